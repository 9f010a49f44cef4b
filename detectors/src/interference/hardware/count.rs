//! What counters of a workload grew by over one window.
use model::{DeviceId, Frame, Metric, Timestamp};

/// The totals that are looked at.
const TOTALS: [Metric; 5] = [
    Metric::CgroupCycles,
    Metric::CgroupInstructions,
    Metric::CgroupCacheMisses,
    Metric::CgroupReferenceCycles,
    Metric::CgroupTraffic,
];
/// Instructions below which a window says nothing per instruction.
const INSTRUCTIONS_MIN: f64 = 1e5;
/// Misses per thousand instructions below which differences mean nothing: added to both sides of a ratio.
const MISSES_FLOOR: f64 = 0.1;
/// Bytes of a cache line, which a miss fetches.
const LINE: f64 = 64.0;

/// Totals at the last frame; NaN for what is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    at: Timestamp,
    values: [f64; TOTALS.len()],
}

impl Default for Totals {
    fn default() -> Self {
        Self { at: Timestamp::default(), values: [f64::NAN; TOTALS.len()] }
    }
}

/// Growth over a window; NaN for what is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    grown: [f64; TOTALS.len()],
    window_s: f64,
    /// Share of the workload's time in which it was counted; 0 where it is not known.
    pub(super) share: f64,
    /// The node's clock, for where the workload's own is not counted.
    clock: Option<f64>,
}

impl Default for Count {
    fn default() -> Self {
        Self { grown: [f64::NAN; TOTALS.len()], window_s: 0.0, share: 0.0, clock: None }
    }
}

impl Totals {
    /// The window that ends with a frame.
    pub(super) fn take(&mut self, frame: &Frame, device: DeviceId, clock: Option<f64>) -> Count {
        let window_s = frame.at.seconds_since(self.at);
        let values = TOTALS.map(|metric| frame.value(device, metric).unwrap_or(f64::NAN));
        let last = std::mem::replace(self, Self { at: frame.at, values });
        let mut grown = [f64::NAN; TOTALS.len()];
        for ((grown, now), before) in grown.iter_mut().zip(values).zip(last.values) {
            // What fell was reset.
            *grown = if now >= before { now - before } else { f64::NAN };
        }
        let share = frame.value(device, Metric::CgroupEventsScheduled).unwrap_or(0.0);
        Count { grown, window_s, share, clock }
    }
}

impl Count {
    fn of(&self, metric: Metric) -> Option<f64> {
        let place = TOTALS.iter().position(|known| *known == metric)?;
        Some(self.grown[place]).filter(|grown| grown.is_finite())
    }

    fn instructions(&self) -> Option<f64> {
        self.of(Metric::CgroupInstructions).filter(|count| *count >= INSTRUCTIONS_MIN)
    }

    /// Cycles per instruction.
    pub(super) fn cpi(&self) -> Option<f64> {
        Some(self.of(Metric::CgroupCycles)? / self.instructions()?).filter(|cpi| *cpi > 0.0)
    }

    /// Misses per thousand instructions, with what is added.
    pub(super) fn misses(&self) -> Option<f64> {
        Some(self.of(Metric::CgroupCacheMisses)? / self.instructions()? * 1e3 + MISSES_FLOOR)
    }

    /// The clock it ran at, of a reference that does not change.
    pub(super) fn clock(&self) -> Option<f64> {
        let reference = self.of(Metric::CgroupReferenceCycles).filter(|cycles| *cycles > 0.0);
        let own = reference.and_then(|reference| Some(self.of(Metric::CgroupCycles)? / reference));
        own.or(self.clock).filter(|clock| *clock > 0.0)
    }

    /// Bytes a second to and from memory, as resctrl counts them.
    pub(super) fn traffic(&self) -> Option<f64> {
        Some(self.of(Metric::CgroupTraffic)? / self.window_s).filter(|bytes| bytes.is_finite())
    }

    /// The same, or what its cache misses fetch.
    pub(super) fn presses(&self) -> Option<f64> {
        let misses = || Some(self.of(Metric::CgroupCacheMisses)? * LINE / self.window_s);
        self.traffic().or_else(misses).filter(|bytes| bytes.is_finite())
    }
}
