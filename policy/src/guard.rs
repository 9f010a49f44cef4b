//! The guard: the only way from a decision to an order.
use model::{Action, Decision, Knob, Mode, Order, Reason, Span, Timestamp, Why};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The least time between two loosenings of one device: the shortest of the policy's random holds (Thunderbolt, OSDI'20:
/// 1 to 10 s).
pub const LOOSEN_EVERY: Duration = Duration::from_secs(1);

/// What the guard knows of the knob that a decision is about. Positions are in its unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// The stable key.
    pub key: Arc<str>,
    /// The positions it has.
    pub span: Option<Span>,
    /// The position before our first write, once it is journalled.
    pub original: Option<f64>,
    /// What we set last.
    pub set: Option<f64>,
    /// The position it enforces now.
    pub enforced: Option<f64>,
    /// Whether an original can be journalled, or why not.
    pub journal: Result<(), Reason>,
}

/// Lets decisions through as orders, and remembers when it let a device be loosened.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    loosened: BTreeMap<(Arc<str>, Knob), Timestamp>,
}

impl Guard {
    /// Lets a decision through as an order inside the knob's span and never above its original, or says why not.
    ///
    /// # Errors
    /// - `Refused`: advice; a raise by who is not entitled to one, over somebody else's tighter limit, or less than
    ///   [`LOOSEN_EVERY`] after the last one.
    /// - `Late`: the decision has expired.
    /// - `Unsupported`: the device has no such knob.
    /// - `Missing`: a release without a journalled original.
    /// - `Lost`: the present position, which would be the original, cannot be read.
    /// - the journal's reason: an original would have to be journalled and cannot be.
    pub fn admit(&mut self, decision: &Decision, subject: &Subject, now: Timestamp) -> Result<Order, Reason> {
        if decision.mode != Mode::Enforce {
            return Err(Reason::Refused);
        }
        if decision.expires.is_some_and(|expiry| expiry <= now) {
            return Err(Reason::Late);
        }
        let span = subject.span.ok_or(Reason::Unsupported)?;
        let value = match (decision.action, subject.original) {
            (Action::Release(_), original) => original.ok_or(Reason::Missing)?,
            (action, original) => {
                if original.is_none() {
                    subject.journal?;
                }
                let ceiling = original.or(subject.enforced).ok_or(Reason::Lost)?;
                action.value().map_or(span.min(), |value| value.min(ceiling))
            }
        };
        let knob = decision.action.knob();
        let order = Order::new(decision.device, Arc::clone(&subject.key), (knob, value), span);
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
        let knob = order.knob();
        let raises = reference.is_none_or(|now| order.value() > now + knob.slack());
        let at_floor = subject.span.is_some_and(|span| order.value() <= span.min());
        if !raises || at_floor || why == Why::Stop {
            return Ok(());
        }
        let foreign =
            matches!((subject.set, subject.enforced), (Some(set), Some(now)) if now + knob.slack() < set);
        let name = (Arc::clone(&subject.key), knob);
        let soon = self.loosened.get(&name).is_some_and(|last| now.since(*last) < LOOSEN_EVERY);
        if why != Why::Headroom || foreign || soon {
            return Err(Reason::Refused);
        }
        self.loosened.insert(name, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, DeviceTable, Hertz, Keep, Watts};
    use proptest::prelude::*;

    fn decision(action: Action, why: Why, mode: Mode) -> Decision {
        let mut table = DeviceTable::default();
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        Decision {
            id: 1,
            at: Timestamp::default(),
            device,
            action,
            why,
            event: None,
            expires: None,
            keep: Keep::Safety,
            mode,
        }
    }

    fn limit(watts: f64, why: Why) -> Decision {
        decision(Action::Limit(Watts(watts)), why, Mode::Enforce)
    }

    fn subject(original: Option<f64>, enforced: Option<f64>) -> Subject {
        let span = Span::new(200.0, 700.0);
        Subject { key: "GPU-a".into(), span, original, set: enforced, enforced, journal: Ok(()) }
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs_f64(seconds))
    }

    fn admit(decision: &Decision, subject: &Subject) -> Result<f64, Reason> {
        Guard::default().admit(decision, subject, at(1.0)).map(|order| order.value())
    }

    #[test]
    fn advice_never_becomes_an_order() {
        let advice = decision(Action::Brake, Why::OverBudget, Mode::Advise);
        assert_eq!(admit(&advice, &subject(None, Some(700.0))), Err(Reason::Refused));
    }

    #[test]
    fn a_release_needs_its_original() {
        let release = decision(Action::Release(Knob::PowerLimit), Why::Stop, Mode::Enforce);
        assert_eq!(admit(&release, &subject(None, Some(300.0))), Err(Reason::Missing));
        assert_eq!(admit(&release, &subject(Some(650.0), Some(300.0))), Ok(650.0));
    }

    #[test]
    fn without_a_journal_no_first_write_passes_but_a_known_device_may_be_tightened() {
        let brake = decision(Action::Brake, Why::OverBudget, Mode::Enforce);
        let mut without = Subject { journal: Err(Reason::Busy), ..subject(None, Some(700.0)) };
        assert_eq!(admit(&brake, &without), Err(Reason::Busy));
        without.original = Some(700.0);
        assert_eq!(admit(&brake, &without), Ok(200.0));
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
        assert_eq!(admit(&timely, &subject(Some(700.0), Some(700.0))), Ok(300.0));
    }

    #[test]
    fn nothing_but_headroom_or_a_stop_loosens() {
        for why in [Why::OverLow, Why::OverHigh, Why::OverBudget, Why::Blind, Why::Drift] {
            assert_eq!(admit(&limit(500.0, why), &subject(Some(700.0), Some(300.0))), Err(Reason::Refused));
        }
        assert_eq!(admit(&limit(500.0, Why::Headroom), &subject(Some(700.0), Some(300.0))), Ok(500.0));
    }

    #[test]
    fn a_device_whose_limit_cannot_be_read_is_judged_by_what_was_set() {
        let blind = Subject { enforced: None, ..subject(Some(700.0), Some(300.0)) };
        assert_eq!(admit(&limit(500.0, Why::OverHigh), &blind), Err(Reason::Refused));
        assert_eq!(admit(&limit(250.0, Why::OverHigh), &blind), Ok(250.0));
    }

    #[test]
    fn a_tighter_limit_of_somebody_else_is_accepted() {
        let foreign = Subject { set: Some(400.0), ..subject(Some(700.0), Some(250.0)) };
        assert_eq!(admit(&limit(500.0, Why::Headroom), &foreign), Err(Reason::Refused));
        assert_eq!(admit(&limit(240.0, Why::OverHigh), &foreign), Ok(240.0));
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

    #[test]
    fn knobs_of_one_device_wait_each_for_itself() {
        let mut guard = Guard::default();
        let power = subject(Some(700.0), Some(300.0));
        let span = Span::new(345e6, 1980e6);
        let clock =
            Subject { span, original: Some(1980e6), set: Some(1e9), enforced: Some(1e9), ..power.clone() };
        let faster = decision(Action::Clock(Hertz(1.2e9)), Why::Headroom, Mode::Enforce);
        assert!(guard.admit(&limit(400.0, Why::Headroom), &power, at(10.0)).is_ok());
        let order = guard.admit(&faster, &clock, at(10.1)).unwrap();
        assert_eq!((order.knob(), order.value()), (Knob::ClockMax, 1.2e9));
        assert_eq!(guard.admit(&faster, &clock, at(10.2)), Err(Reason::Refused));
    }

    proptest! {
        #[test]
        fn no_order_leaves_the_range_or_passes_the_original(asked in -1e6..1e6_f64, original in 200.0..700.0_f64) {
            let limit = admit(&limit(asked, Why::Headroom), &subject(Some(original), Some(300.0))).unwrap();
            prop_assert!(limit >= 200.0 && limit <= original);
        }
    }
}
