//! Pace: how long a run lasts, and how it works only a share of the time or no faster than a rate.
use crate::clock::{mono_ns, wait_until};

/// A period of work and rest, in nanoseconds: short beside a beat, long beside a time slice.
const PERIOD_NS: u64 = 100_000_000;

/// A run from its begin to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    begin_ns: u64,
    end_ns: u64,
}

impl Pace {
    /// A run that begins now.
    pub(crate) fn new(seconds: u64) -> Self {
        let begin_ns = mono_ns();
        Self { begin_ns, end_ns: begin_ns + seconds * 1_000_000_000 }
    }

    /// Whether there is time left.
    pub(crate) fn goes_on(&self) -> bool {
        mono_ns() < self.end_ns
    }

    /// The share of the run that has passed, 0 to 1.
    pub(crate) fn passed(&self) -> f64 {
        let passed = mono_ns().saturating_sub(self.begin_ns) as f64;
        (passed / (self.end_ns - self.begin_ns) as f64).min(1.0)
    }

    /// Calls `work`, which must return within milliseconds, for a share of every period until the end.
    pub(crate) fn share(&self, share: f64, mut work: impl FnMut()) {
        let busy_ns = (PERIOD_NS as f64 * share) as u64;
        let mut period = self.begin_ns;
        while self.goes_on() {
            while mono_ns() < (period + busy_ns).min(self.end_ns) {
                work();
            }
            period = (period + PERIOD_NS).max(mono_ns().saturating_sub(PERIOD_NS));
            wait_until(period.min(self.end_ns));
        }
    }

    /// Waits until so many bytes are due at a rate in bytes a second, or the end.
    pub(crate) fn due(&self, bytes: u64, rate: f64) {
        let due_ns = self.begin_ns + (bytes as f64 / rate * 1e9) as u64;
        wait_until(due_ns.min(self.end_ns));
    }

    /// Waits for the end.
    pub(crate) fn sit_out(&self) {
        wait_until(self.end_ns);
    }
}
