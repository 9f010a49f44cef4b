//! Time as a value: every stage is handed a [`Timestamp`] and none reads a clock.
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One reading of both clocks.
///
/// Order and differences use the monotonic part only, so a step of the wall clock changes nothing but what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timestamp {
    /// Nanoseconds on a monotonic clock with an arbitrary start.
    pub mono_ns: u64,
    /// Milliseconds since the Unix epoch, UTC, as the wall clock said at that moment.
    pub wall_ms: i64,
}

impl Timestamp {
    /// The time that passed since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.mono_ns.saturating_sub(earlier.mono_ns))
    }

    /// Seconds that passed since `earlier`; zero when `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.since(earlier).as_secs_f64()
    }

    /// This moment moved forward on both clocks.
    #[must_use]
    pub fn after(self, step: Duration) -> Self {
        Self {
            mono_ns: self.mono_ns.saturating_add(u64::try_from(step.as_nanos()).unwrap_or(u64::MAX)),
            wall_ms: self.wall_ms.saturating_add(i64::try_from(step.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// Seconds since the Unix epoch, for exposition formats.
    pub fn unix_seconds(self) -> f64 {
        self.wall_ms as f64 / 1e3
    }
}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.mono_ns, self.wall_ms).cmp(&(other.mono_ns, other.wall_ms))
    }
}

/// Where a rig's time comes from: the machine's clocks, or the simulator's.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_step_changes_no_difference() {
        let before = Timestamp { mono_ns: 1_000_000_000, wall_ms: 1_000 };
        let after = Timestamp { mono_ns: 2_000_000_000, wall_ms: -500_000 };
        assert_eq!(after.since(before), Duration::from_secs(1));
        assert_eq!(before.since(after), Duration::ZERO);
        assert!(after > before);
    }
}
