//! The guard: the only way from a decision to an order.
use model::{Action, Decision, Mode, Order, Range, Reason, Watts, Why};
use std::sync::Arc;

/// What the guard knows of the device that a decision is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// The stable key.
    pub key: Arc<str>,
    /// What its limit may be.
    pub range: Option<Range>,
    /// The limit before our first write, once it is journalled.
    pub original: Option<Watts>,
    /// The limit it enforces now.
    pub enforced: Option<Watts>,
}

/// Lets a decision through as an order, or says why not.
///
/// # Errors
/// `Refused` for advice, for a decision that would loosen without being entitled to, or above the original;
/// `Unsupported` for a device without a range; `Missing` for a release without a journalled original.
pub fn admit(decision: &Decision, subject: &Subject) -> Result<Order, Reason> {
    if decision.mode != Mode::Enforce {
        return Err(Reason::Refused);
    }
    let range = subject.range.ok_or(Reason::Unsupported)?;
    let ceiling = subject.original.unwrap_or(range.max());
    let limit = match decision.action {
        Action::Limit(limit) => limit.min(ceiling),
        Action::Brake => range.min(),
        Action::Release => subject.original.ok_or(Reason::Missing)?,
    };
    let order = Order::power_limit(decision.device, Arc::clone(&subject.key), limit, range);
    let loosens = subject.enforced.is_none_or(|now| order.limit() > now);
    let entitled = matches!(decision.why, Why::Headroom | Why::Stop);
    // An unknown present limit may only be loosened by who is entitled to; tightening to the floor is always safe.
    if loosens && !entitled && order.limit() > range.min() && subject.enforced.is_some() {
        return Err(Reason::Refused);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, DeviceTable, Timestamp};
    use proptest::prelude::*;

    fn decision(action: Action, why: Why, mode: Mode) -> Decision {
        let mut table = DeviceTable::default();
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        Decision { id: 1, at: Timestamp::default(), device, action, why, event: None, expires: None, mode }
    }

    fn subject(original: Option<f64>, enforced: f64) -> Subject {
        let range = Range::new(Watts(200.0), Watts(700.0), Watts(700.0));
        Subject { key: "GPU-a".into(), range, original: original.map(Watts), enforced: Some(Watts(enforced)) }
    }

    #[test]
    fn advice_never_becomes_an_order() {
        let advice = decision(Action::Brake, Why::OverBudget, Mode::Advise);
        assert_eq!(admit(&advice, &subject(None, 700.0)), Err(Reason::Refused));
    }

    #[test]
    fn a_release_needs_its_original() {
        let release = decision(Action::Release, Why::Stop, Mode::Enforce);
        assert_eq!(admit(&release, &subject(None, 300.0)), Err(Reason::Missing));
        assert_eq!(admit(&release, &subject(Some(650.0), 300.0)).unwrap().limit(), Watts(650.0));
    }

    #[test]
    fn nothing_but_headroom_or_a_stop_loosens() {
        let up = decision(Action::Limit(Watts(500.0)), Why::OverHigh, Mode::Enforce);
        assert_eq!(admit(&up, &subject(Some(700.0), 300.0)), Err(Reason::Refused));
        let up = decision(Action::Limit(Watts(500.0)), Why::Headroom, Mode::Enforce);
        assert!(admit(&up, &subject(Some(700.0), 300.0)).is_ok());
    }

    proptest! {
        #[test]
        fn no_order_leaves_the_range_or_passes_the_original(asked in -1e6..1e6_f64, original in 200.0..700.0_f64) {
            let up = decision(Action::Limit(Watts(asked)), Why::Headroom, Mode::Enforce);
            let order = admit(&up, &subject(Some(original), 300.0)).unwrap();
            prop_assert!(order.limit() >= Watts(200.0) && order.limit() <= Watts(original));
        }
    }
}
