//! One counter over time: raw counts become a total that only grows, scaled for the time the group was not counting.

/// A reading of a counter with the times of its group, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// The raw count.
    pub(super) count: u64,
    /// For how long the group was enabled.
    pub(super) enabled_ns: u64,
    /// For how long it was on the hardware.
    pub(super) running_ns: u64,
}

/// The scaled total.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scaled {
    last: Option<Sample>,
    total: f64,
    scheduled: Option<f64>,
}

impl Scaled {
    /// Adds what was counted since the last reading. An interval in which the group never ran adds nothing.
    pub(super) fn add(&mut self, now: Sample) {
        let before = self.last.replace(now).unwrap_or(Sample { count: 0, enabled_ns: 0, running_ns: 0 });
        // Counts and times of an interval are far below 2^53.
        let passed = |now: u64, before: u64| now.saturating_sub(before) as f64;
        let enabled = passed(now.enabled_ns, before.enabled_ns);
        let running = passed(now.running_ns, before.running_ns);
        self.scheduled = (enabled > 0.0).then(|| (running / enabled).min(1.0));
        if running > 0.0 {
            self.total += passed(now.count, before.count) * (enabled / running).max(1.0);
        }
    }

    /// The scaled count since the start.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// The share of the last interval in which the group was on the hardware.
    pub(super) fn scheduled(&self) -> Option<f64> {
        self.scheduled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(count: u64, enabled_ns: u64, running_ns: u64) -> Sample {
        Sample { count, enabled_ns, running_ns }
    }

    #[test]
    fn a_counter_that_shares_the_hardware_is_scaled_up_interval_by_interval() {
        let mut counter = Scaled::default();
        counter.add(sample(100, 1000, 1000));
        counter.add(sample(150, 2000, 1500));
        assert_eq!(counter.total(), 200.0);
        assert_eq!(counter.scheduled(), Some(0.5));
    }

    #[test]
    fn an_interval_without_hardware_adds_nothing_and_the_total_never_falls() {
        let mut counter = Scaled::default();
        counter.add(sample(100, 1000, 1000));
        counter.add(sample(100, 2000, 1000));
        assert_eq!((counter.total(), counter.scheduled()), (100.0, Some(0.0)));
        counter.add(sample(10, 3000, 2000));
        assert_eq!(counter.total(), 100.0);
    }
}
