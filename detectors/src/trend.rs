//! Trends: memory that never levels off, heat at equal power that creeps up, corrected errors that come ever faster.
mod creep;
mod held;
mod leak;
mod rising;

use crate::calm::{Calm, Happened, Settling};
use crate::keep::{Reader, Writer};
use crate::thresholds::Thresholds;
use creep::Creep;
use held::Rest;
use leak::Leak;
use model::{
    Detector, Device, DeviceId, DeviceKind, EventSink, FaultKind, Finding, Frame, History, Severity, Stand,
    Standing, Work,
};
use rising::Rising;

const MARK: &[u8; 8] = b"wktrnd01";
/// Devices whose learning is kept, at most.
const KEPT_MAX: usize = 256;

/// The numbers that trends rest on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// After a job's start its memory fills and its allocator settles. Ours: ten minutes.
    pub settling: Settling,
    /// Minutes of growth that are looked at. Ours: an allocator settles sooner.
    pub leak_minutes: usize,
    /// Kendall's rank correlation of memory and time from which it grows without pause (Mann, Econometrica 13, 1945): of 20
    /// points in random order one in 10^9 has this.
    pub leak_tau: f64,
    /// Growth over the window as a share of all memory. Ours: less is an allocator's.
    pub leak_share: f64,
    /// Growth of the window's last third over that of those before it, for what levels off slows down, and of its first over
    /// that of all, for what has just begun may yet. Ours.
    pub leak_level: f64,
    /// Memory that will be full later than this is no leak to speak of, in seconds. Ours: a day.
    pub leak_full_s: f64,
    /// The most that one minute may have of the growth: where it has more, something started, as a job in a group does. Ours: a
    /// little more than growth has that comes every other minute.
    pub leak_burst: f64,
    /// What is given back when a job ends, as a share of the node's growth before it, from which that growth may have been the
    /// job's. Ours.
    pub leak_given: f64,
    /// How much hotter at equal power than it used to be, in celsius. Ours: beyond what inlet air does over a day.
    pub creep_c: f64,
    /// Chance from which errors that come faster are no accident, for each counter and window. Ours: one in a million, about
    /// one false in nineteen years of one counter's ten-minute windows.
    pub rising_chance: f64,
    /// Errors in the window that count as many at least. Ours.
    pub rising_least: f64,
    /// How much faster than before they must come. Ours.
    pub rising_ratio: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            settling: Settling { cap_s: 0.0, job_s: 600.0, clock_s: 60.0, gap_s: 900.0 },
            leak_minutes: 20,
            leak_tau: 0.9,
            leak_share: 0.01,
            leak_level: 0.7,
            leak_full_s: 86_400.0,
            leak_burst: 0.12,
            leak_given: 0.5,
            creep_c: 5.0,
            rising_chance: 1e-6,
            rising_least: 10.0,
            rising_ratio: 3.0,
        }
    }
}

/// What is known of one device.
#[derive(Debug, Clone, Default)]
struct Subject {
    calm: Calm,
    leak: Leak,
    creep: Option<Box<Creep>>,
    rising: Rising,
}

/// The detector.
#[derive(Debug, Default)]
struct Trend {
    settings: Settings,
    /// By device index.
    subjects: Vec<Subject>,
    rest: Rest,
    kept: Vec<(String, Creep)>,
}

/// Opens the detector.
pub fn open(_: &Thresholds) -> Box<dyn Detector> {
    Box::new(Trend::default())
}

/// A finding of this detector.
fn finding(device: DeviceId, fault: FaultKind, severity: Severity, score: f64) -> Finding {
    Finding {
        detector: "trend",
        device,
        fault,
        code: 0,
        detail: "",
        severity,
        remedy: fault.remedy(),
        score,
        evidence: [None; 4],
    }
}

fn followed(device: &&Device) -> bool {
    let kind = device.info.kind;
    !device.gone && (kind.is_accelerator() || kind == DeviceKind::Cgroup)
}

impl Trend {
    fn look(&mut self, frame: &Frame, device: &Device, events: &mut EventSink) {
        let Self { settings, subjects, kept, .. } = self;
        let subject = &mut subjects[device.id.index()];
        match subject.calm.follow(frame, device, &settings.settling) {
            Happened::New => {
                *subject = Subject { calm: subject.calm, ..Subject::default() };
                if device.info.kind.is_accelerator() {
                    let known = kept.iter().position(|(key, _)| *key == device.info.key);
                    let creep = known.map(|place| kept.swap_remove(place).1);
                    subject.creep = Some(Box::new(creep.unwrap_or_default()));
                }
            }
            Happened::Job => subject.leak = Leak::default(),
            Happened::Cap | Happened::Nothing => {}
        }
        let loads = frame.work(device.id).is_some_and(|state| matches!(state.work, Work::Load | Work::Idle));
        if subject.calm.masked().is_some() || loads {
            subject.leak.rest();
        } else if let Some(held) = held::of(frame, device) {
            let found = subject.leak.follow(frame.beat_s, &held, settings);
            found.into_iter().for_each(|found| events.push(found.finding(frame, device)));
        }
        if let Some(creep) = &mut subject.creep {
            creep.follow(frame, device.id);
        }
        if let Some(found) = subject.rising.follow(frame, device.id, settings) {
            events.push(found);
        }
    }

    /// The node's own memory: what jobs take and give back as they come and go is no growth, and control groups are judged beside it.
    fn look_at_node(&mut self, frame: &Frame, node: &Device, events: &mut EventSink) {
        let Self { settings, subjects, rest, .. } = self;
        let mut boards = frame.devices.accelerators().filter(|board| !board.gone);
        let moves = boards.any(|board| subjects[board.id.index()].calm.masked().is_some());
        let subject = &mut subjects[node.id.index()];
        if matches!(subject.calm.follow(frame, node, &settings.settling), Happened::New | Happened::Job) {
            subject.leak = Leak::default();
        }
        // Half of what a minute of the least leak adds is lost in it.
        let least = 0.5 * settings.leak_share / settings.leak_minutes as f64;
        let Some((held, other)) = rest.follow(frame, node, least) else { return };
        let found = if moves || other || subject.calm.masked().is_some() {
            subject.leak.pause()
        } else {
            subject.leak.follow(frame.beat_s, &held, settings)
        };
        found.into_iter().for_each(|found| events.push(found.finding(frame, node)));
    }

    /// Heat that crept up on one device and not on the others: what all share is the room's air.
    fn creeping(&self, device: &Device, events: &mut EventSink) {
        let drift = |index: usize| self.subjects.get(index)?.creep.as_ref()?.drift();
        let Some((own, evidence)) = drift(device.id.index()) else { return };
        let (mut all, mut count) = ([0.0; crate::peer::SIBLINGS_MAX], 0);
        for other in (0..self.subjects.len()).filter(|other| *other != device.id.index()) {
            if let Some((other, _)) = drift(other).filter(|_| count < all.len()) {
                all[count] = other;
                count += 1;
            }
        }
        let shared = crate::mean::median(&mut all[..count]).filter(|_| count >= 3);
        // With too few others the room's air is not known, and half as much again must be seen.
        let (drift, least) = match shared {
            Some(shared) => (own - shared, self.settings.creep_c),
            None => (own, 1.5 * self.settings.creep_c),
        };
        if drift >= least {
            let found = finding(device.id, FaultKind::HeatCreep, Severity::Warning, drift / least);
            events.push(Finding { evidence: [Some(evidence), None, None, None], ..found });
        }
    }
}

impl Detector for Trend {
    fn name(&self) -> &'static str {
        "trend"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.subjects.resize_with(frame.devices.len(), Subject::default);
        for device in frame.devices.iter().filter(followed) {
            self.look(frame, device, events);
        }
        // After the boards, which say whether jobs come and go.
        if let Some(node) = frame.devices.of_kind(DeviceKind::Node).next() {
            self.look_at_node(frame, node, events);
        }
        for device in frame.devices.accelerators().filter(|device| !device.gone) {
            self.creeping(device, events);
        }
    }

    fn bytes(&self) -> usize {
        let creeps = self.subjects.iter().filter(|subject| subject.creep.is_some()).count();
        self.subjects.capacity() * size_of::<Subject>() + creeps * size_of::<Creep>() + self.rest.bytes()
    }

    fn standings(&self, list: &mut Vec<Standing>) {
        for subject in &self.subjects {
            let Some(creep) = &subject.creep else { continue };
            let Some(device) = creep.device() else { continue };
            let progress = subject.leak.progress(&self.settings);
            let stand = match subject.calm.masked() {
                Some(masked) => masked,
                None if progress < 1.0 => Stand::Learning { progress },
                None => Stand::Watching,
            };
            list.push(Standing { detector: "trend".into(), device, stand });
        }
    }

    fn learnt(&self, frame: &Frame) -> Option<Vec<u8>> {
        let mut writer = Writer::new(MARK);
        for device in frame.devices.accelerators().take(KEPT_MAX) {
            if let Some(creep) = self.subjects.get(device.id.index()).and_then(|s| s.creep.as_ref()) {
                writer.key(&device.info.key);
                creep.write(&mut writer);
            }
        }
        Some(writer.done())
    }

    fn recall(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let mut reader = Reader::new(bytes, MARK)?;
        let mut kept = Vec::new();
        while !reader.is_done() && kept.len() < KEPT_MAX {
            kept.push((reader.key()?, Creep::read(&mut reader)?));
        }
        self.kept = kept;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
