//! The pace at which the kubelet is asked: never twice within a second, ever slower while it is of no use.
use std::time::Duration;

/// The least time from one asking to the next.
pub(super) const LEAST: Duration = Duration::from_secs(1);
/// The longest pause after failures, and while a name stays missing.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
/// From one asking to the next when nothing happens: what the beat cannot see, such as a device given to a pod that does
/// not use it yet, is known after this long.
pub(super) const SLOW: Duration = Duration::from_secs(300);

/// How long to wait, from what came of the askings so far.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The pause that stands now; doubled from time to time.
    pause: Option<Duration>,
}

impl Pace {
    /// After an asking: for how long nothing is asked, and for how long after that only on a change.
    pub(super) fn after(&mut self, failed: bool, unknown: bool) -> (Duration, Duration) {
        if !failed && !unknown {
            self.pause = None;
            return (LEAST, SLOW);
        }
        let pause = self.pause.map_or(LEAST, |pause| (2 * pause).min(LONGEST));
        self.pause = Some(pause);
        // A kubelet that fails is left alone whatever happens; one that answers is asked when something changed.
        if failed { (pause, Duration::ZERO) } else { (LEAST, pause.saturating_sub(LEAST)) }
    }

    /// Something changed: a missing name may be there soon, so pauses begin short again.
    pub(super) fn changed(&mut self) {
        self.pause = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_that_fails_is_asked_ever_more_seldom_and_one_that_recovers_at_once_again() {
        let mut pace = Pace::default();
        let pauses: Vec<u64> = (0..8).map(|_| pace.after(true, true).0.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pace.after(false, false), (LEAST, SLOW));
        assert_eq!(pace.after(true, false).0, LEAST);
    }

    #[test]
    fn a_name_that_stays_missing_is_asked_for_ever_more_seldom_until_something_changes() {
        let mut pace = Pace::default();
        let pauses: Vec<u64> =
            (0..4).map(|_| pace.after(false, true)).map(|(a, b)| (a + b).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8]);
        pace.changed();
        assert_eq!(pace.after(false, true), (LEAST, Duration::ZERO));
    }
}
