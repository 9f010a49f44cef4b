//! The growth of a counter between two beats, for what a driver gives only as a sum.
use model::Timestamp;

/// A counter as it was on the last beat.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Growth {
    last: Option<(Timestamp, f64)>,
}

impl Growth {
    /// By how much a second the counter grew since the last beat; `None` on the first, after it was reset, and when no time
    /// has passed.
    pub(crate) fn rate(&mut self, now: Timestamp, value: f64) -> Option<f64> {
        let (then, before) = self.last.replace((now, value))?;
        let seconds = now.seconds_since(then);
        (seconds > 0.0 && value >= before).then(|| (value - before) / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_rate_needs_two_beats_and_a_counter_that_did_not_go_back() {
        let at = |ms| Timestamp::default().after(Duration::from_millis(ms));
        let mut growth = Growth::default();
        assert_eq!(growth.rate(at(0), 100.0), None);
        assert_eq!(growth.rate(at(0), 150.0), None, "no time has passed");
        assert_eq!(growth.rate(at(500), 250.0), Some(200.0));
        assert_eq!(growth.rate(at(1500), 10.0), None, "it was reset");
        assert_eq!(growth.rate(at(2500), 30.0), Some(20.0));
    }
}
