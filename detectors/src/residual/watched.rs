//! What the residual remembers of one device: which beats may be learnt from, and when it had better say nothing.
use crate::level::REACH;
use crate::thresholds::Thresholds;
use model::{Device, DeviceId, Frame, Mask, Metric};

/// The most rows of a fit; with a beat of one second this is the last half hour.
pub(super) const ROWS_MAX: usize = 1800;
/// Beats that are remembered.
const BEATS: usize = ROWS_MAX + REACH;
const WORDS: usize = BEATS.div_ceil(64);
/// Beats after a fit that came to nothing until the next is tried.
const RETRY_BEATS: usize = 60;
/// The least change of a limit that is a change, in watts.
const LIMIT_STEP_W: f64 = 0.5;

/// Which of the newest beats may be learnt from; bit 0 of the first word is this beat.
#[derive(Debug, Clone, Copy, Default)]
struct Usable([u64; WORDS]);

impl Usable {
    fn pass(&mut self, usable: bool) {
        let mut carry = u64::from(usable);
        for word in &mut self.0 {
            (*word, carry) = ((*word << 1) | carry, *word >> 63);
        }
    }

    fn refuse(&mut self) {
        self.0[0] &= !1;
    }

    fn has(&self, ago: usize) -> bool {
        ago < BEATS && self.0[ago / 64] >> (ago % 64) & 1 == 1
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// What is remembered of one device.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watched {
    device: Option<DeviceId>,
    generation: u32,
    usable: Usable,
    /// Beats until the next fit may be tried.
    wait: usize,
    /// Beats that are still left out after a change of the power limit.
    masked: usize,
    /// Beats for which nothing is said after a load never learnt.
    settling: usize,
    /// Beats until a window without a gap is there again.
    broken: usize,
    /// Beats since the last fit whose load was never learnt.
    novel: usize,
    /// Unusual beats less usual ones.
    strange: usize,
    limit_w: Option<f64>,
    processes: Option<f64>,
    /// Whether the device does nothing, and for how many beats it has been so.
    idle: bool,
    idle_beats: usize,
}

impl Watched {
    /// Lets a beat pass. A changed limit is masked, since our own cap is no anomaly.
    pub(super) fn follow(&mut self, frame: &Frame, device: &Device, thresholds: &Thresholds) {
        if self.generation != device.generation {
            *self = Self { generation: device.generation, ..Self::default() };
        }
        self.device = Some(device.id);
        let changed = |now: Option<f64>, before: &mut Option<f64>, step: f64| {
            let changed = now.zip(*before).is_some_and(|(now, before)| (now - before).abs() > step);
            *before = now.or(*before);
            changed
        };
        self.masked = self.masked.saturating_sub(1);
        self.settling = self.settling.saturating_sub(1);
        self.broken = if frame.after_gap() { REACH } else { self.broken.saturating_sub(1) };
        self.wait = self.wait.saturating_sub(1);
        let limit_w = frame.value(device.id, Metric::PowerLimitEnforced);
        if changed(limit_w, &mut self.limit_w, LIMIT_STEP_W) {
            self.masked = thresholds.residual_mask_beats;
        }
        if changed(frame.value(device.id, Metric::Processes), &mut self.processes, 0.5) {
            self.settling = thresholds.residual_settle_beats;
        }
        if self.began_or_ended(frame.value(device.id, Metric::Utilization), thresholds) {
            self.settling = thresholds.residual_settle_beats;
        }
        self.usable.pass(self.masked == 0);
    }

    /// Whether work began or ended just now: the device turned busy or idle after having been the other for long.
    fn began_or_ended(&mut self, busy: Option<f64>, thresholds: &Thresholds) -> bool {
        let Some(busy) = busy else { return false };
        let idle = busy < thresholds.residual_idle_share;
        if idle == self.idle {
            self.idle_beats += 1;
            return false;
        }
        let long = self.idle_beats >= thresholds.residual_job_beats;
        (self.idle, self.idle_beats) = (idle, 0);
        long
    }

    /// Notes a load that the model has never seen: it may be learnt, not judged.
    pub(super) fn note_novel(&mut self, thresholds: &Thresholds) {
        self.settling = thresholds.residual_settle_beats;
        self.novel += 1;
    }

    /// The device, once it was met.
    pub(super) fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// Whether this beat may be judged.
    pub(super) fn may_judge(&self) -> bool {
        self.masked == 0 && self.settling == 0
    }

    /// Takes the judgement of this beat. Says whether unusual has become the rule, so that the model is to be forgotten;
    /// learning then begins anew.
    pub(super) fn judged(&mut self, unusual: bool, thresholds: &Thresholds) -> bool {
        if !unusual {
            self.strange = self.strange.saturating_sub(1);
            return false;
        }
        self.usable.refuse();
        self.strange += 1;
        let rebase = self.strange >= thresholds.residual_rebase_beats;
        if rebase {
            *self = Self { generation: self.generation, limit_w: self.limit_w, ..Self::default() };
        }
        rebase
    }

    /// What is due: a model from the past where there is none or its load is new, or a fit of the model there is.
    pub(super) fn due(&self, known: bool, points: usize, thresholds: &Thresholds) -> Option<Due> {
        let learn = thresholds.residual_learn_beats.min(points.saturating_sub(REACH));
        let enough = self.usable.count() >= learn;
        let new = self.novel >= learn.max(1);
        match (known, enough && (self.wait == 0 || new)) {
            (false, true) => Some(Due::Model),
            (true, true) if new => Some(Due::Model),
            (true, _) if self.wait == 0 => Some(Due::Fit),
            _ => None,
        }
    }

    /// The share of what a first model needs, 0 to 1.
    pub(super) fn progress(&self, thresholds: &Thresholds) -> f64 {
        (self.usable.count() as f64 / thresholds.residual_learn_beats.max(1) as f64).min(1.0)
    }

    /// Why nothing is judged, and for how many beats.
    pub(super) fn mask(&self) -> Option<(Mask, usize)> {
        if self.masked > 0 {
            return Some((Mask::PowerCap, self.masked));
        }
        if self.broken > 0 {
            return Some((Mask::Clock, self.broken));
        }
        (self.settling > 0)
            .then_some((if self.novel > 0 { Mask::NovelLoad } else { Mask::Job }, self.settling))
    }

    /// Notes that a fit was given out.
    pub(super) fn tried(&mut self, thresholds: &Thresholds) {
        self.wait = thresholds.residual_refit_beats;
        self.novel = 0;
    }

    /// Notes that a fit came to nothing.
    pub(super) fn failed(&mut self) {
        self.wait = RETRY_BEATS;
    }

    /// Whether the beat so long ago may be learnt from.
    pub(super) fn usable(&self, ago: usize) -> bool {
        self.usable.has(ago)
    }
}

/// What a device's model needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A model made from the past.
    Model,
    /// New axes.
    Fit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_beat_is_not_learnt_from() {
        let mut usable = Usable::default();
        for n in 0..BEATS {
            usable.pass(true);
            if n == 500 {
                usable.refuse();
            }
        }
        let watched = Watched { usable, ..Watched::default() };
        let refused = BEATS - 1 - 500;
        assert!(!watched.usable(refused) && watched.usable(refused + 1) && watched.usable(refused - 1));
        assert!(!watched.usable(BEATS), "beyond what is remembered");
    }
}
