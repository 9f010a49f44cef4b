//! The counters of one group over time: raw counts become totals that only grow, scaled for the time the group did not run.

/// The times of a group, in nanoseconds since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::host) struct Times {
    /// For how long it was enabled.
    pub(in crate::host) enabled_ns: u64,
    /// For how long it was on the hardware.
    pub(in crate::host) running_ns: u64,
}

impl Times {
    /// Seconds enabled and running since an earlier reading.
    pub(in crate::host) fn since(self, earlier: Self) -> (f64, f64) {
        // The nanoseconds of an interval are far below 2^53.
        let passed = |now: u64, before: u64| now.saturating_sub(before) as f64 * 1e-9;
        (passed(self.enabled_ns, earlier.enabled_ns), passed(self.running_ns, earlier.running_ns))
    }
}

/// Scaled totals of a group's members.
///
/// A count of an interval in which the group ran for only a part is multiplied with enabled time over running time of
/// that interval (perf_event_open(2), `PERF_FORMAT_TOTAL_TIME_RUNNING`). It is done interval by interval, because a
/// total scaled as a whole can fall when the share changes. A reading without any running time is dropped; the next one
/// that ran stands for the gap as well.
#[derive(Debug, Clone)]
pub(in crate::host) struct Scaled {
    /// At the last reading.
    last: Times,
    /// At the last reading that ran, with its counts.
    base: Times,
    counts: Vec<u64>,
    totals: Vec<f64>,
}

impl Scaled {
    /// Totals of a group of so many members, all 0.
    pub(in crate::host) fn new(members: usize) -> Self {
        let (last, base) = (Times::default(), Times::default());
        Self { last, base, counts: vec![0; members], totals: vec![0.0; members] }
    }

    /// Adds what was counted since the last reading, one count a member. Gives the share of the interval in which the
    /// group ran, from 0 to 1; `None` when no time has passed.
    pub(in crate::host) fn add(&mut self, now: Times, counts: &[u64]) -> Option<f64> {
        let (enabled, running) = now.since(self.last);
        self.last = now;
        let share = (enabled > 0.0).then(|| (running / enabled).min(1.0));
        let (enabled, running) = now.since(self.base);
        if running > 0.0 {
            // Of two clocks read one after the other the second may be ahead; that is no reason to scale down.
            let scale = (enabled / running).max(1.0);
            for ((total, before), count) in self.totals.iter_mut().zip(&mut self.counts).zip(counts) {
                *total += count.saturating_sub(*before) as f64 * scale;
                *before = *count;
            }
            self.base = now;
        }
        share
    }

    /// Scaled counts since the start, one a member.
    pub(in crate::host) fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// Whether the group has never been on the hardware.
    pub(in crate::host) fn never_ran(&self) -> bool {
        self.base.running_ns == 0
    }

    /// Forgets the last member.
    pub(in crate::host) fn shed(&mut self) {
        self.counts.pop();
        self.totals.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn times(enabled: u64, running: u64) -> Times {
        Times { enabled_ns: enabled * S / 10, running_ns: running * S / 10 }
    }

    #[test]
    fn a_group_that_shares_the_hardware_is_scaled_up_interval_by_interval() {
        let mut group = Scaled::new(2);
        assert_eq!(group.add(times(10, 10), &[100, 10]), Some(1.0));
        assert_eq!(group.add(times(20, 15), &[150, 15]), Some(0.5));
        assert_eq!(group.totals(), [200.0, 20.0], "the ratio of two members is kept");
        assert_eq!(group.add(times(30, 25), &[250, 25]), Some(1.0));
        assert_eq!(group.totals(), [300.0, 30.0], "what was scaled once stays as it was");
    }

    #[test]
    fn a_gap_on_the_hardware_is_made_up_for_by_the_next_interval_that_ran() {
        let mut group = Scaled::new(1);
        group.add(times(10, 10), &[100]);
        assert_eq!(group.add(times(20, 10), &[100]), Some(0.0));
        assert_eq!(group.totals(), [100.0]);
        assert_eq!(group.add(times(30, 20), &[200]), Some(1.0));
        assert_eq!(group.totals(), [300.0]);
    }

    #[test]
    fn a_total_never_falls_whatever_is_read() {
        let mut group = Scaled::new(1);
        let mut random = 1_u64;
        let mut before = 0.0;
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let now = Times { enabled_ns: random >> 40, running_ns: (random >> 20) & 0xff_ffff };
            let share = group.add(now, &[random >> 30]);
            assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)), "{now:?}: {share:?}");
            assert!(group.totals()[0] >= before && group.totals()[0].is_finite(), "{now:?}");
            before = group.totals()[0];
        }
    }

    #[test]
    fn no_time_is_no_share() {
        let mut group = Scaled::new(1);
        assert!(group.never_ran());
        group.add(times(10, 5), &[1]);
        assert_eq!(group.add(times(10, 5), &[1]), None);
        assert!(!group.never_ran());
    }
}
