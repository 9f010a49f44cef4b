//! Calm: whether nothing has just happened to a device that would make a comparison unfair.
use model::{Device, Frame, Mask, Metric, Stand};

/// How long things make a comparison unfair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settling {
    /// After the enforced power limit changed, in seconds.
    pub cap_s: f64,
    /// After a process came or went, in seconds.
    pub job_s: f64,
    /// After a gap between two beats longer than [`Settling::gap_s`], in seconds.
    pub clock_s: f64,
    /// A gap between two beats that breaks what was followed, in seconds.
    pub gap_s: f64,
}

/// The least change of a limit that is a change, in watts: drivers round.
const LIMIT_STEP_W: f64 = 0.5;

/// What is remembered of one device.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calm {
    generation: u32,
    known: bool,
    limit_w: Option<f64>,
    processes: Option<f64>,
    mask: Option<(Mask, f64)>,
}

/// What happened on a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happened {
    /// Nothing of note.
    Nothing,
    /// The power limit changed.
    Cap,
    /// A job came or went, or time jumped.
    Job,
    /// It is a device never seen, or one that was gone: nothing that was learnt holds.
    New,
}

impl Calm {
    /// Lets a beat pass and says what happened.
    pub(crate) fn follow(&mut self, frame: &Frame, device: &Device, settling: &Settling) -> Happened {
        if !self.known || self.generation != device.generation {
            *self = Self { generation: device.generation, known: true, ..Self::default() };
            self.limit_w = frame.value(device.id, Metric::PowerLimitEnforced);
            self.processes = frame.value(device.id, Metric::Processes);
            return Happened::New;
        }
        let changed = |now: Option<f64>, before: &mut Option<f64>, step: f64| {
            let changed = now.zip(*before).is_some_and(|(now, before)| (now - before).abs() > step);
            *before = now.or(*before);
            changed
        };
        let limit = frame.value(device.id, Metric::PowerLimitEnforced);
        let capped = changed(limit, &mut self.limit_w, LIMIT_STEP_W);
        let job = changed(frame.value(device.id, Metric::Processes), &mut self.processes, 0.5);
        self.mask = self.mask.map(|(mask, left)| (mask, left - frame.beat_s)).filter(|(_, left)| *left > 0.0);
        if frame.beat_s > settling.gap_s {
            self.set(Mask::Clock, settling.clock_s);
            return Happened::Job;
        }
        if job {
            self.set(Mask::Job, settling.job_s);
            return Happened::Job;
        }
        if capped {
            self.set(Mask::PowerCap, settling.cap_s);
            return Happened::Cap;
        }
        Happened::Nothing
    }

    fn set(&mut self, mask: Mask, left_s: f64) {
        // What settles at once masks nothing.
        if left_s > 0.0 && self.mask.is_none_or(|(_, left)| left < left_s) {
            self.mask = Some((mask, left_s));
        }
    }

    /// The mask that is in force.
    pub(crate) fn masked(&self) -> Option<Stand> {
        self.mask.map(|(mask, left_s)| Stand::Masked { mask, left_s })
    }

    /// The limit in force, in watts.
    pub(crate) fn limit_w(&self) -> Option<f64> {
        self.limit_w
    }
}
