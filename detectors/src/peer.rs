//! Peers: a device against its siblings under like work. Finds the one that gets less done, the one whose clock is silently
//! low, and the one that is cooled worse. The median of the others is the covariate, so that what all share says nothing.
mod heat;
mod pace;

use crate::calm::{Calm, Happened, Settling};
use crate::keep::{Reader, Writer};
use crate::thresholds::Thresholds;
use heat::Heat;
use model::{
    Detector, Device, EventSink, FaultKind, Finding, Frame, History, Mask, Severity, Stand, Standing,
};
use pace::Pace;

/// The most siblings that are compared.
pub(crate) const SIBLINGS_MAX: usize = 32;
const MARK: &[u8; 8] = b"wkpeer01";
/// Devices whose learning is kept, at most.
const KEPT_MAX: usize = 256;

/// The numbers that the comparison rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// When a comparison is unfair: after a cap, the time in which clocks and the die follow; after a job's start or end, its
    /// first iterations. Ours.
    pub settling: Settling,
    /// Siblings that must do like work. Ours: the median of three bears one that is ill too.
    pub siblings_min: usize,
    /// Time over which work is averaged, in seconds. Ours: a dozen iterations or bursts.
    pub window_s: f64,
    /// For how long a difference must hold, in seconds. Ours.
    pub hold_s: f64,
    /// How far utilisation may differ under like work. Ours.
    pub busy_apart: f64,
    /// How far enforced limits may differ, as a share. Ours: drivers round.
    pub limit_apart: f64,
    /// Share of its siblings' work from which a device is a straggler: `gpu_rel_threshold` of NVIDIA's NVRx is 0.75.
    pub straggler_ratio: f64,
    /// How many times larger the largest ratio between the counters of two devices may be than the smallest for both to do the
    /// same sort of work. Ours: noise of a window of bursts, while prompts and tokens differ by three and more.
    pub shape_apart: f64,
    /// Share of its siblings' work that a device must once have had in this job for its straggling to be a warning. Ours: what
    /// was so from the job's start may be the job's.
    pub straggler_before: f64,
    /// Clock below the siblings' median without a reason: facebookresearch/gcm calls 75 MHz from the application clock
    /// critical; in hertz.
    pub clock_low_hz: f64,
    /// Share of the busy time without any reason for a low clock. Ours.
    pub clock_silent: f64,
    /// Time constant with which a die follows its power, in seconds. An assumption.
    pub heat_lag_s: f64,
    /// Time over which temperature and power are compared, in seconds. Ours: several of the above.
    pub heat_window_s: f64,
    /// Power, as a share of the limit, from which cooling is judged. Ours: below it a bad cooler warms by a degree or two.
    pub heat_power: f64,
    /// How much hotter than its siblings at equal power a device is cooled badly, in celsius. Ours: twice what boards in one
    /// chassis were assumed to differ by.
    pub heat_apart_c: f64,
    /// How much hotter than it itself used to be against its siblings, in celsius. Ours: three and a half whole degrees.
    pub heat_change_c: f64,
    /// Time over which the usual difference from the siblings is learnt, in seconds; judged once a quarter of it has passed.
    pub heat_learn_s: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            settling: Settling { cap_s: 60.0, job_s: 120.0, clock_s: 60.0, gap_s: 60.0 },
            siblings_min: 3,
            window_s: 30.0,
            hold_s: 20.0,
            busy_apart: 0.12,
            limit_apart: 0.02,
            straggler_ratio: 0.75,
            shape_apart: 1.4,
            straggler_before: 0.9,
            clock_low_hz: 75e6,
            clock_silent: 0.9,
            heat_lag_s: 12.0,
            heat_window_s: 60.0,
            heat_power: 0.3,
            heat_apart_c: 8.0,
            heat_change_c: 3.5,
            heat_learn_s: 3600.0,
        }
    }
}

/// What is known of one device.
#[derive(Debug, Clone, Copy, Default)]
struct Subject {
    calm: Calm,
    pace: Pace,
    heat: Heat,
    /// Siblings that did like work on the newest beat.
    siblings: usize,
    /// Whether it does work that can be compared.
    works: bool,
}

/// The detector.
#[derive(Debug, Default)]
pub struct Peer {
    settings: Settings,
    /// By device index.
    subjects: Vec<Subject>,
    /// Usual temperature differences from an earlier run, by key, until their devices are met.
    kept: Vec<(String, f64, f64)>,
    /// Room for the siblings of one device.
    siblings: Vec<usize>,
}

/// Opens the detector.
pub fn open(_: &Thresholds) -> Box<dyn Detector> {
    Box::new(Peer { siblings: Vec::with_capacity(SIBLINGS_MAX), ..Peer::default() })
}

/// A finding of this detector.
fn finding(device: &Device, fault: FaultKind, severity: Severity, score: f64) -> Finding {
    Finding {
        detector: "peer",
        device: device.id,
        fault,
        code: 0,
        detail: "",
        severity,
        remedy: fault.remedy(),
        score,
        evidence: [None; 4],
    }
}

impl Peer {
    fn follow(&mut self, frame: &Frame, device: &Device) {
        let settings = &self.settings;
        let subject = &mut self.subjects[device.id.index()];
        match subject.calm.follow(frame, device, &settings.settling) {
            Happened::New => {
                let kept = self.kept.iter().position(|(key, ..)| *key == device.info.key);
                let kept = kept.map(|place| self.kept.swap_remove(place));
                let usual = kept.map(|(_, usual, weight)| (usual, weight));
                *subject = Subject { calm: subject.calm, heat: Heat::new(usual), ..Subject::default() };
            }
            Happened::Job => {
                subject.pace = Pace::default();
                subject.heat.unsettle();
            }
            Happened::Cap => subject.pace.unsettle(),
            Happened::Nothing => {}
        }
        subject.works = subject.pace.follow(frame, device.id, settings);
        subject.heat.follow(frame, device.id, settings);
    }

    /// The siblings: sound devices of the same product.
    fn find_siblings(&mut self, frame: &Frame, device: &Device) {
        self.siblings.clear();
        let same = |other: &&Device| {
            other.id != device.id
                && !other.gone
                && other.info.kind == device.info.kind
                && other.info.model == device.info.model
        };
        let found = frame.devices.accelerators().filter(same).map(|other| other.id.index());
        self.siblings.extend(found.take(SIBLINGS_MAX));
    }

    fn look(&mut self, frame: &Frame, device: &Device, events: &mut EventSink) {
        self.find_siblings(frame, device);
        let Self { settings, subjects, siblings, .. } = self;
        let own = device.id.index();
        let mut subject = subjects[own];
        let limit = subject.calm.limit_w();
        let like = |other: &Subject| {
            let close = |(one, two): (f64, f64)| (one - two).abs() <= settings.limit_apart * two;
            other.calm.masked().is_none()
                && limit.zip(other.calm.limit_w()).is_none_or(close)
                && subject.pace.is_like(&other.pace, settings)
        };
        let peers = || siblings.iter().map(|place| &subjects[*place]).filter(|other| like(other));
        subject.siblings = peers().count();
        let fair = subject.calm.masked().is_none() && subject.siblings >= settings.siblings_min;
        if fair {
            let paces = || peers().map(|other| &other.pace);
            let mut pace = subject.pace;
            let found = pace.judge(frame, device, &paces, settings);
            found.into_iter().for_each(|finding| events.push(finding));
            subject.pace = pace;
        } else {
            subject.pace.rest();
        }
        let sampled = subject.heat.is_sampled();
        let shares = |other: &&Subject| !sampled || subject.pace.is_like(&other.pace, settings);
        let heats = siblings.iter().map(|place| &subjects[*place]).filter(shares).map(|other| &other.heat);
        if let Some(finding) = subject.heat.judge(device, &heats, frame.lasted_s, settings) {
            events.push(finding);
        }
        subjects[own] = subject;
    }
}

impl Detector for Peer {
    fn name(&self) -> &'static str {
        "peer"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.subjects.resize(frame.devices.len(), Subject::default());
        for device in frame.devices.accelerators().filter(|device| !device.gone) {
            self.follow(frame, device);
        }
        for device in frame.devices.accelerators().filter(|device| !device.gone) {
            self.look(frame, device, events);
        }
    }

    fn bytes(&self) -> usize {
        self.subjects.capacity() * size_of::<Subject>() + self.siblings.capacity() * size_of::<usize>()
    }

    fn standings(&self, list: &mut Vec<Standing>) {
        for (index, subject) in self.subjects.iter().enumerate() {
            let Some(device) = subject.pace.device().filter(|device| device.index() == index) else {
                continue;
            };
            let alone = Stand::Masked { mask: Mask::Alone, left_s: 0.0 };
            let stand = match subject.calm.masked() {
                Some(masked) => masked,
                None if subject.siblings < self.settings.siblings_min && !subject.heat.compares() => alone,
                None if subject.heat.progress(&self.settings) < 1.0 => {
                    Stand::Learning { progress: subject.heat.progress(&self.settings) }
                }
                None => Stand::Watching,
            };
            list.push(Standing { detector: "peer".into(), device, stand });
        }
    }

    fn learnt(&self, frame: &Frame) -> Option<Vec<u8>> {
        let mut writer = Writer::new(MARK);
        for device in frame.devices.accelerators().take(KEPT_MAX) {
            let usual = self.subjects.get(device.id.index()).and_then(|subject| subject.heat.usual());
            if let Some((usual, weight)) = usual {
                writer.key(&device.info.key);
                writer.number(usual);
                writer.number(weight);
            }
        }
        Some(writer.done())
    }

    fn recall(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let mut reader = Reader::new(bytes, MARK)?;
        let mut kept = Vec::new();
        while !reader.is_done() && kept.len() < KEPT_MAX {
            let (key, usual, weight) = (reader.key()?, reader.number()?, reader.number()?);
            if usual.abs() > 100.0 || !(0.0..=1.0).contains(&weight) {
                return Err("no temperature");
            }
            kept.push((key, usual, weight));
        }
        self.kept = kept;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
