//! The node: the clock that busy processors run at, and how full the way to memory is of what it was ever seen to carry.
use model::{DeviceKind, Frame, Metric, Timestamp};

/// Windows of a cache domain before its highest traffic is taken for what it can carry: a minute at a beat of a second. Ours.
const WINDOWS_MIN: u32 = 60;
/// Half-life of the highest traffic, in seconds: a day, so that what memory could do before a change is forgotten.
const HALF_LIFE_S: f64 = 86_400.0;
/// Modes of a core that are work.
const WORK: [Metric; 3] = [Metric::CoreUser, Metric::CoreNice, Metric::CoreSystem];

/// A core as of the last frame.
#[derive(Debug, Clone, Copy)]
struct Core {
    work_s: f64,
    cycles: f64,
    reference: f64,
    traffic: f64,
    /// The highest traffic of the domain of which it is the first, in bytes a second.
    highest: f64,
    windows: u32,
}

/// Nothing is known of it.
const UNKNOWN: Core = Core {
    work_s: f64::NAN,
    cycles: f64::NAN,
    reference: f64::NAN,
    traffic: f64::NAN,
    highest: 0.0,
    windows: 0,
};

/// The node's part of a window.
#[derive(Debug, Default)]
pub(in super::super) struct Machine {
    /// By device index.
    cores: Vec<Core>,
    at: Option<Timestamp>,
    clock: Option<f64>,
    /// Bytes a second of all domains.
    traffic: Option<f64>,
    /// Share of its highest traffic that the fullest domain carries.
    full: Option<f64>,
}

impl Machine {
    /// Takes a frame.
    pub(in super::super) fn take(&mut self, frame: &Frame) {
        let window_s = self.at.map_or(f64::NAN, |last| frame.at.seconds_since(last));
        self.at = Some(frame.at);
        self.cores.resize(frame.devices.len(), UNKNOWN);
        (self.traffic, self.full) = (None, None);
        // Clocks weighed by the work done at them: an idle core's says nothing of work.
        let (mut told, mut counted) = ([0.0; 2], [0.0; 2]);
        for device in frame.devices.of_kind(DeviceKind::Core).filter(|core| !core.gone) {
            let value = |metric| frame.value(device.id, metric).unwrap_or(f64::NAN);
            let core = &mut self.cores[device.id.index()];
            let before = *core;
            core.work_s = WORK.iter().map(|metric| value(*metric)).sum();
            (core.cycles, core.reference) = (value(Metric::CoreCycles), value(Metric::CoreReferenceCycles));
            core.traffic = value(Metric::DomainTraffic);
            add(
                &mut told,
                (core.work_s - before.work_s) * value(Metric::CoreFrequencyRatio),
                core.work_s - before.work_s,
            );
            add(&mut counted, core.cycles - before.cycles, core.reference - before.reference);
            if let Some((bytes, share)) = core.carried(&before, window_s) {
                self.traffic = Some(self.traffic.unwrap_or(0.0) + bytes);
                self.full =
                    share.map_or(self.full, |share| Some(self.full.map_or(share, |full| full.max(share))));
            }
        }
        let mean = |[sum, weight]: [f64; 2]| (weight > 0.0).then_some(sum / weight);
        self.clock = mean(told).or(mean(counted));
    }

    /// The clock of busy processors, of a reference that does not change.
    pub(in super::super) fn clock(&self) -> Option<f64> {
        self.clock
    }

    /// Whether some domain carries nearly as much as it ever did, and most of the node's traffic is others'; `None` where that is
    /// not counted, or was for too short a time to know what a domain can carry.
    pub(in super::super) fn is_full(&self, own: Option<f64>, limit: f64) -> Option<bool> {
        let (traffic, full) = (self.traffic?, self.full?);
        // A workload of which no traffic is known may be any part of it; the node's is evidence all the same.
        Some(full >= limit && own.is_none_or(|own| own < traffic / 2.0))
    }

    /// Bytes of memory it holds.
    pub(in super::super) fn bytes(&self) -> usize {
        self.cores.capacity() * size_of::<Core>()
    }
}

/// Adds a value and its weight where both are known and something was done.
fn add(sums: &mut [f64; 2], value: f64, weight: f64) {
    if value >= 0.0 && weight > 0.0 {
        sums[0] += value;
        sums[1] += weight;
    }
}

impl Core {
    /// Traffic of the window in bytes a second, and its share of the highest once that is known for long enough.
    fn carried(&mut self, before: &Self, window_s: f64) -> Option<(f64, Option<f64>)> {
        let bytes = (self.traffic - before.traffic) / window_s;
        if !bytes.is_finite() || bytes < 0.0 {
            return None;
        }
        self.highest = (self.highest * (-window_s / HALF_LIFE_S).exp2()).max(bytes);
        self.windows = self.windows.saturating_add(1);
        let known = self.windows >= WINDOWS_MIN && self.highest > 0.0;
        Some((bytes, known.then(|| bytes / self.highest)))
    }
}
