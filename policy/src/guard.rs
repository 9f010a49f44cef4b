//! The guard: the only way from a decision to an order.
use model::{Action, Decision, Mode, Order, Range, Reason, Timestamp, Watts, Why};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The least time between two loosenings of one device: the shortest of the policy's random holds (Thunderbolt, OSDI'20:
/// 1 to 10 s).
pub const LOOSEN_EVERY: Duration = Duration::from_secs(1);
/// Limits this close are the same: devices round, NVML to 1 W on some boards.
const SAME: Watts = Watts(1.0);

/// What the guard knows of the device that a decision is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// The stable key.
    pub key: Arc<str>,
    /// What its limit may be.
    pub range: Option<Range>,
    /// The limit before our first write, once it is journalled.
    pub original: Option<Watts>,
    /// What we set last.
    pub set: Option<Watts>,
    /// The limit it enforces now.
    pub enforced: Option<Watts>,
    /// Whether an original can be journalled, or why not.
    pub journal: Result<(), Reason>,
}

/// Lets decisions through as orders, and remembers when it let a device be loosened.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    loosened: BTreeMap<Arc<str>, Timestamp>,
}

impl Guard {
    /// Lets a decision through as an order inside the device's range and never above its original, or says why not.
    ///
    /// # Errors
    /// - `Refused`: advice; a raise by who is not entitled to one, over somebody else's tighter limit, or less than
    ///   [`LOOSEN_EVERY`] after the last one.
    /// - `Late`: the decision has expired.
    /// - `Unsupported`: the device has no range.
    /// - `Missing`: a release without a journalled original.
    /// - `Lost`: the present limit, which would be the original, cannot be read.
    /// - the journal's reason: an original would have to be journalled and cannot be.
    pub fn admit(&mut self, decision: &Decision, subject: &Subject, now: Timestamp) -> Result<Order, Reason> {
        if decision.mode != Mode::Enforce {
            return Err(Reason::Refused);
        }
        if decision.expires.is_some_and(|expiry| expiry <= now) {
            return Err(Reason::Late);
        }
        let range = subject.range.ok_or(Reason::Unsupported)?;
        let limit = match (decision.action, subject.original) {
            (Action::Release, original) => original.ok_or(Reason::Missing)?,
            (action, original) => {
                if original.is_none() {
                    subject.journal?;
                }
                let ceiling = original.or(subject.enforced).ok_or(Reason::Lost)?;
                if let Action::Limit(limit) = action { limit.min(ceiling) } else { range.min() }
            }
        };
        let order = Order::power_limit(decision.device, Arc::clone(&subject.key), limit, range);
        self.allow_raise(decision.why, &order, subject, now)?;
        Ok(order)
    }

    /// Lets a limit that is no raise pass, and a raise only by who is entitled to it and not too often.
    fn allow_raise(
        &mut self,
        why: Why,
        order: &Order,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<(), Reason> {
        let reference = subject.enforced.or(subject.set);
        let raises = reference.is_none_or(|limit| order.limit() > limit + SAME);
        let at_floor = subject.range.is_some_and(|range| order.limit() <= range.min());
        if !raises || at_floor || why == Why::Stop {
            return Ok(());
        }
        let foreign = matches!((subject.set, subject.enforced), (Some(set), Some(now)) if now + SAME < set);
        let soon = self.loosened.get(&subject.key).is_some_and(|last| now.since(*last) < LOOSEN_EVERY);
        if why != Why::Headroom || foreign || soon {
            return Err(Reason::Refused);
        }
        self.loosened.insert(Arc::clone(&subject.key), now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, DeviceTable};
    use proptest::prelude::*;

    fn decision(action: Action, why: Why, mode: Mode) -> Decision {
        let mut table = DeviceTable::default();
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        Decision { id: 1, at: Timestamp::default(), device, action, why, event: None, expires: None, mode }
    }

    fn limit(watts: f64, why: Why) -> Decision {
        decision(Action::Limit(Watts(watts)), why, Mode::Enforce)
    }

    fn subject(original: Option<f64>, enforced: Option<f64>) -> Subject {
        let range = Range::new(Watts(200.0), Watts(700.0), Watts(700.0));
        let (original, enforced) = (original.map(Watts), enforced.map(Watts));
        Subject { key: "GPU-a".into(), range, original, set: enforced, enforced, journal: Ok(()) }
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs_f64(seconds))
    }

    fn admit(decision: &Decision, subject: &Subject) -> Result<Watts, Reason> {
        Guard::default().admit(decision, subject, at(1.0)).map(|order| order.limit())
    }

    #[test]
    fn advice_never_becomes_an_order() {
        let advice = decision(Action::Brake, Why::OverBudget, Mode::Advise);
        assert_eq!(admit(&advice, &subject(None, Some(700.0))), Err(Reason::Refused));
    }

    #[test]
    fn a_release_needs_its_original() {
        let release = decision(Action::Release, Why::Stop, Mode::Enforce);
        assert_eq!(admit(&release, &subject(None, Some(300.0))), Err(Reason::Missing));
        assert_eq!(admit(&release, &subject(Some(650.0), Some(300.0))), Ok(Watts(650.0)));
    }

    #[test]
    fn without_a_journal_no_first_write_passes_but_a_known_device_may_be_tightened() {
        let brake = decision(Action::Brake, Why::OverBudget, Mode::Enforce);
        let mut without = Subject { journal: Err(Reason::Busy), ..subject(None, Some(700.0)) };
        assert_eq!(admit(&brake, &without), Err(Reason::Busy));
        without.original = Some(Watts(700.0));
        assert_eq!(admit(&brake, &without), Ok(Watts(200.0)));
    }

    #[test]
    fn a_limit_that_cannot_be_read_cannot_become_an_original() {
        assert_eq!(admit(&limit(300.0, Why::OverHigh), &subject(None, None)), Err(Reason::Lost));
    }

    #[test]
    fn an_expired_decision_is_late() {
        let late = Decision { expires: Some(at(1.0)), ..limit(300.0, Why::OverHigh) };
        assert_eq!(admit(&late, &subject(Some(700.0), Some(700.0))), Err(Reason::Late));
        let timely = Decision { expires: Some(at(1.1)), ..late };
        assert_eq!(admit(&timely, &subject(Some(700.0), Some(700.0))), Ok(Watts(300.0)));
    }

    #[test]
    fn nothing_but_headroom_or_a_stop_loosens() {
        for why in [Why::OverLow, Why::OverHigh, Why::OverBudget, Why::Blind, Why::Drift] {
            assert_eq!(admit(&limit(500.0, why), &subject(Some(700.0), Some(300.0))), Err(Reason::Refused));
        }
        assert_eq!(admit(&limit(500.0, Why::Headroom), &subject(Some(700.0), Some(300.0))), Ok(Watts(500.0)));
    }

    #[test]
    fn a_device_whose_limit_cannot_be_read_is_judged_by_what_was_set() {
        let blind = Subject { enforced: None, ..subject(Some(700.0), Some(300.0)) };
        assert_eq!(admit(&limit(500.0, Why::OverHigh), &blind), Err(Reason::Refused));
        assert_eq!(admit(&limit(250.0, Why::OverHigh), &blind), Ok(Watts(250.0)));
    }

    #[test]
    fn a_tighter_limit_of_somebody_else_is_accepted() {
        let foreign = Subject { set: Some(Watts(400.0)), ..subject(Some(700.0), Some(250.0)) };
        assert_eq!(admit(&limit(500.0, Why::Headroom), &foreign), Err(Reason::Refused));
        assert_eq!(admit(&limit(240.0, Why::OverHigh), &foreign), Ok(Watts(240.0)));
    }

    #[test]
    fn a_device_is_loosened_once_a_hold_and_tightened_at_any_time() {
        let mut guard = Guard::default();
        let now = subject(Some(700.0), Some(300.0));
        assert!(guard.admit(&limit(400.0, Why::Headroom), &now, at(10.0)).is_ok());
        assert_eq!(guard.admit(&limit(500.0, Why::Headroom), &now, at(10.9)), Err(Reason::Refused));
        assert!(guard.admit(&limit(250.0, Why::OverHigh), &now, at(10.9)).is_ok());
        assert!(guard.admit(&limit(500.0, Why::Headroom), &now, at(11.0)).is_ok());
    }

    proptest! {
        #[test]
        fn no_order_leaves_the_range_or_passes_the_original(asked in -1e6..1e6_f64, original in 200.0..700.0_f64) {
            let limit = admit(&limit(asked, Why::Headroom), &subject(Some(original), Some(300.0))).unwrap();
            prop_assert!(limit >= Watts(200.0) && limit <= Watts(original));
        }
    }
}
