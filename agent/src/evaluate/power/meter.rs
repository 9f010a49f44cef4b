//! The meter on the feed: how often and for how long the node drew too much, and whether the breaker bore it.
use sim::plant::STEP_S;
use sim::plant::breaker::Breaker;

/// Time in which a policy may bring power down before it counts, in seconds: what Dynamo (ISCA'16) saw RAPL settle in, and what the
/// policy allows a limit.
pub const SETTLING_S: f64 = 2.0;
/// The share of the budget above which a length counts.
const FAR: f64 = 1.05;

/// What was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Meter {
    breaker: Breaker,
    /// Times the breaker tripped.
    pub trips: u64,
    /// Seconds above the budget.
    pub over_s: f64,
    /// Seconds above 105 % of it, those within [`SETTLING_S`] of each beginning left out.
    pub far_s: f64,
    /// The highest power as a share of the budget.
    pub worst: f64,
    /// The hottest that the breaker was, 0 to 1.
    pub hottest: f64,
    /// The longest time at a stretch above 105 %, in seconds.
    pub longest_s: f64,
    stretch_s: f64,
}

impl Meter {
    /// Takes the power of one step as a share of the budget; says whether it went on being far too high for too long.
    pub fn step(&mut self, share: f64) -> bool {
        self.trips += u64::from(self.breaker.carry(share, STEP_S));
        self.hottest = self.hottest.max(self.breaker.heat());
        self.worst = self.worst.max(share);
        if share > 1.0 {
            self.over_s += STEP_S;
        }
        if share <= FAR {
            self.stretch_s = 0.0;
            return false;
        }
        self.stretch_s += STEP_S;
        self.longest_s = self.longest_s.max(self.stretch_s);
        // A step is a tenth of a second, and sums of tenths are off by a little.
        let late = self.stretch_s > SETTLING_S + 0.5 * STEP_S;
        if late {
            self.far_s += STEP_S;
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beyond_settling_counts_as_far_too_much() {
        let mut meter = Meter::default();
        for _ in 0..3 {
            (0..20).for_each(|_| assert!(!meter.step(1.2)));
            assert!(!meter.step(1.04));
        }
        assert_eq!(meter.far_s, 0.0);
        (0..30).for_each(|_| {
            meter.step(1.06);
        });
        assert!((meter.far_s - 1.0).abs() < 1e-9 && (meter.over_s - 9.3).abs() < 1e-9, "{meter:?}");
        assert_eq!((meter.worst, meter.trips), (1.2, 0));
    }

    #[test]
    fn a_quarter_too_much_for_a_minute_trips() {
        let mut meter = Meter::default();
        (0..601).for_each(|_| {
            meter.step(1.25);
        });
        assert_eq!(meter.trips, 1);
    }
}
