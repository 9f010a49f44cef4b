//! The tally: what the node draws, counted so that an error is on the safe side.
use crate::remainder::Remainder;
use crate::settings::Settings;
use model::work::Work;
use model::{
    Absence, Device, DeviceId, DeviceKind, Frame, History, Metric, Range, Reading, Timestamp, View, Watts,
};

/// A reading above this multiple of the largest limit is a broken sensor's. The worst board in Zeus's published A40
/// measurements drew 1.2 times its limit.
const PLAUSIBLE_MAX: f64 = 1.5;

/// How sure a kind of work must be before a device is held in another way for it. Half: more likely than not.
const SURE: f64 = 0.5;

/// One accelerator as the budget sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// The device.
    pub device: DeviceId,
    /// Measured power now; `None` when it cannot be read or cannot be true.
    pub power: Option<Watts>,
    /// The highest power of the window, readings from before the present cap left out; `None` as for `power`.
    pub peak: Option<Watts>,
    /// The highest power of late, or nearly: what it is likely to draw again.
    pub reach: Option<Watts>,
    /// What a watt of this device counts: 1 and the sensor's margin, or the larger margin of a device that is blind.
    pub factor: f64,
    /// What it is counted at: the peak with the sensor's margin, or its limit with the larger one.
    pub counted: Watts,
    /// What its limit may be, remembered over beats on which it cannot be read; `None`: it cannot be capped.
    pub range: Option<Range>,
    /// The limit that the device enforces now.
    pub enforced: Option<Watts>,
    /// What it does, where that is sure enough to act on.
    pub work: Option<Work>,
    /// The job that it has in common with others: the lowest index of a device that the same workload is on.
    pub job: Option<usize>,
}

impl Load {
    /// What it counts if it draws again what it drew of late, within the limit in force.
    pub fn likely(&self) -> Watts {
        let again =
            self.reach.map(|reach| self.enforced.map_or(reach, |limit| reach.min(limit)) * self.factor);
        again.map_or(self.counted, |again| again.max(self.counted))
    }
}

/// The node's power, part by part.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// The budget.
    pub budget: Watts,
    /// Measured power of the accelerators that can be read.
    pub accelerators: Watts,
    /// Power of the rest of the node.
    pub rest: Watts,
    /// Whether the processor packages' part of it was measured.
    pub rest_measured: bool,
    /// What thresholds are compared with.
    pub counted: Watts,
    /// Whether some device's power could not be read.
    pub blind: bool,
    /// Whether everything was read that has ever been read. Only then may anything be loosened.
    pub certain: bool,
}

/// What is remembered of a device.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    generation: u32,
    range: Option<Range>,
    /// Whether its power was ever read. A device that never had a reading is counted at its limit for good; that is
    /// knowledge, not missing data.
    seen: bool,
    /// The highest power of late, sinking towards what is drawn.
    reach: Option<Watts>,
}

/// Counts the node, beat by beat. Allocates only when a device is new.
#[derive(Debug, Default)]
pub struct Meter {
    loads: Vec<Load>,
    /// By device index.
    memory: Vec<Memory>,
    last: Option<Timestamp>,
    remainder: Remainder,
    /// What the processor packages last drew.
    packages: Option<Watts>,
}

impl Meter {
    /// Counts one beat.
    pub fn read(&mut self, view: &View<'_>, settings: &Settings, budget: Watts) -> Tally {
        self.loads.clear();
        self.memory.resize(view.frame.devices.len(), Memory::default());
        let mut certain = true;
        let passed_s = self.last.map_or(0.0, |last| view.now.seconds_since(last)).max(0.0);
        let sinks = (passed_s / settings.reach_memory.as_secs_f64()).min(1.0);
        self.last = Some(view.now);
        for device in view.frame.devices.accelerators() {
            let memory = &mut self.memory[device.id.index()];
            if memory.generation != device.generation {
                *memory = Memory { generation: device.generation, ..Memory::default() };
            }
            memory.range = range(view.frame, device.id).or(memory.range);
            let mut load = load(view, settings, device, memory.range);
            load.reach = reach(memory.reach, load.peak, sinks);
            memory.reach = load.reach;
            certain &= load.power.is_some() || !memory.seen;
            memory.seen |= load.power.is_some();
            self.loads.push(load);
        }
        let packages = packages(view.frame, view.history);
        certain &= packages.is_some() || self.packages.is_none();
        self.packages = packages.or(self.packages);
        let unread = settings.packages.max(self.packages.unwrap_or(Watts::ZERO));
        let accelerators = self.loads.iter().filter_map(|load| load.power).sum::<Watts>();
        let blind = self.loads.iter().any(|load| load.power.is_none());
        let parts = accelerators + packages.unwrap_or(unread);
        self.remainder.see(view.frame, packages.filter(|_| !blind).map(|_| parts), passed_s);
        let rest = self.remainder.of(parts).unwrap_or(settings.rest) + packages.unwrap_or(unread);
        Tally {
            budget,
            accelerators,
            rest,
            rest_measured: packages.is_some(),
            counted: self.loads.iter().map(|load| load.counted).sum::<Watts>() + rest,
            blind,
            certain,
        }
    }

    /// Every accelerator that is there, as of the last beat.
    pub fn loads(&self) -> &[Load] {
        &self.loads
    }
}

fn load(view: &View<'_>, settings: &Settings, device: &Device, range: Option<Range>) -> Load {
    let device = device.id;
    let enforced = view.frame.value(device, Metric::PowerLimitEnforced).map(Watts);
    // A driver without an instantaneous reading has only the average; it lags, but it is not blind.
    let metric = match view.frame.get(device, Metric::PowerInstant) {
        Reading::Absent(Absence::Unsupported) => Metric::PowerAverage,
        Reading::Value(_) | Reading::Absent(_) => Metric::PowerInstant,
    };
    let plausible = |watts: &f64| *watts > 0.0 && range.is_none_or(|r| *watts <= PLAUSIBLE_MAX * r.max().0);
    let power = view.frame.value(device, metric).filter(plausible).map(Watts);
    let peak = power.map(|power| {
        let past = view.history.series(view.frame, device, metric);
        let window = window(view, device, settings.window);
        let recent = past.into_iter().flat_map(|series| series.recent(window)).flatten().filter(plausible);
        recent.map(Watts).fold(power, Watts::max)
    });
    let factor = if peak.is_some() { 1.0 + settings.gain_margin } else { settings.blind_margin };
    let counted = match (peak, enforced, range) {
        (Some(peak), ..) => peak * factor,
        (None, Some(limit), _) => limit * factor,
        (None, None, Some(range)) => range.max() * factor,
        (None, None, None) => settings.unknown_device,
    };
    let (work, job) = (work(view.frame, device), job(view.frame, device));
    Load { device, power, peak, reach: None, factor, counted, range, enforced, work, job }
}

/// The higher of what is drawn and what was, which sinks by a part of the difference. A missing reading changes nothing.
fn reach(before: Option<Watts>, peak: Option<Watts>, sinks: f64) -> Option<Watts> {
    match (before, peak) {
        (Some(before), Some(peak)) => Some(peak.max(before - (before - peak) * sinks)),
        (before, peak) => before.or(peak),
    }
}

fn work(frame: &Frame, device: DeviceId) -> Option<Work> {
    let state = frame.works.iter().find(|state| state.device == device)?;
    (state.confidence >= SURE).then_some(state.work)
}

/// The lowest index of a device that the first workload of this one is on.
fn job(frame: &Frame, device: DeviceId) -> Option<usize> {
    let own =
        frame.processes.iter().find(|process| process.device == device && process.workload.is_some())?;
    let same = frame.processes.iter().filter(|process| process.workload == own.workload);
    same.map(|process| process.device.index()).min()
}

/// How many of the newest readings count: a peak from before the present cap says nothing about what follows.
fn window(view: &View<'_>, device: DeviceId, most: usize) -> usize {
    let beat_s = view.frame.beat_s;
    match view.cap(device) {
        // A float to integer cast saturates, and the result is bounded by `most`.
        Some(cap) if beat_s > 0.0 => {
            (beats_since(cap.since, view.now, beat_s) as usize).clamp(1, most.max(1))
        }
        Some(_) | None => most.max(1),
    }
}

fn beats_since(since: Timestamp, now: Timestamp, beat_s: f64) -> f64 {
    // A beat that is a little early or late is still one beat.
    (now.seconds_since(since) / beat_s - 0.1).ceil()
}

/// What the limit of a device may be, as its driver says.
pub fn range(frame: &Frame, device: DeviceId) -> Option<Range> {
    let watts = |metric| frame.value(device, metric).map(Watts);
    let max = watts(Metric::PowerLimitMax)?;
    Range::new(watts(Metric::PowerLimitMin)?, max, watts(Metric::PowerLimitDefault).unwrap_or(max))
}

/// Power of the RAPL packages and their memories; `None` unless every package can be read.
pub(crate) fn packages(frame: &Frame, history: &History) -> Option<Watts> {
    let counts = |key: &str| key.starts_with("package") && (!key.contains('/') || key.ends_with("/dram"));
    let mut sum = None;
    for zone in frame.devices.of_kind(DeviceKind::Zone).filter(|zone| counts(&zone.info.key)) {
        match history.latest(frame, zone.id, Metric::ZoneEnergy) {
            Some(power) => sum = Some(sum.unwrap_or(Watts::ZERO) + Watts(power)),
            None if zone.info.key.contains('/') => {}
            None => return None,
        }
    }
    sum
}

#[cfg(test)]
mod tests;
