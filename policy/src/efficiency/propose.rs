//! From wishes to proposals: what differs from the tuning caps in force is set, and what nobody wishes any more is given back.
use super::{Dial, Wish};
use model::{Action, DeviceId, Hertz, Keep, Knob, Metric, Proposal, View, Watts, Why};

/// Turns the wishes of a beat into proposals, behind those that are there. A knob that a safety cap holds, and a device for
/// which a proposal is there already, are left alone: the budget goes first. Nothing is raised under pressure. A raise says
/// `Headroom`, since the guard lets nothing else raise.
pub fn propose(wishes: &[Wish], view: &View<'_>, pressure: bool, proposals: &mut Vec<Proposal>) {
    let first = proposals.len();
    for device in view.frame.devices.accelerators().map(|device| device.id) {
        if proposals[..first].iter().any(|other| other.device == device) {
            continue;
        }
        let wish = wishes.iter().find(|wish| wish.device == device);
        for dial in [Dial::PowerLimit, Dial::Clock] {
            let wanted = wish.filter(|wish| wish.dial == dial).and_then(|wish| position(wish, view));
            let change = change(view, device, dial, wanted).filter(|(_, raises)| !(*raises && pressure));
            if let Some((action, raises)) = change {
                let (event, expires, keep) = (None, None, Keep::Tuning);
                let why = if raises { Why::Headroom } else { Why::Efficiency };
                proposals.push(Proposal { device, action, why, event, expires, keep });
            }
        }
    }
}

/// What a wish is in the knob's unit; `None` where the device's range is not known.
fn position(wish: &Wish, view: &View<'_>) -> Option<f64> {
    let highest = match wish.dial {
        Dial::PowerLimit => view.frame.value(wish.device, Metric::PowerLimitMax)?,
        Dial::Clock => view.reach(wish.device, Knob::ClockMax)?.max(),
    };
    Some(highest * wish.share)
}

/// What is to be done about a knob, if anything, and whether that raises it.
fn change(view: &View<'_>, device: DeviceId, dial: Dial, wanted: Option<f64>) -> Option<(Action, bool)> {
    let (knob, cap) = match dial {
        Dial::PowerLimit => (Knob::PowerLimit, view.cap(device).map(|cap| (cap.limit.0, cap.keep))),
        Dial::Clock => (Knob::ClockMax, view.clock_cap(device).map(|cap| (cap.limit.0, cap.keep))),
    };
    let set = |wanted: f64| match dial {
        Dial::PowerLimit => Action::Limit(Watts(wanted)),
        Dial::Clock => Action::Clock(Hertz(wanted)),
    };
    match (cap, wanted) {
        (Some((_, Keep::Safety)), _) | (None, None) => None,
        (Some((_, Keep::Tuning)), None) => Some((Action::Release(knob), true)),
        (Some((limit, Keep::Tuning)), Some(wanted)) if (limit - wanted).abs() <= knob.slack() => None,
        (cap, Some(wanted)) => Some((set(wanted), cap.is_some_and(|(limit, _)| wanted > limit))),
    }
}
