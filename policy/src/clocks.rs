//! Clocks: what a locked clock does to power, and who is held by one.
use crate::budget::Load;
use crate::scene::{Scene, propose};
use model::stages::Cap;
use model::work::Work;
use model::{Action, DeviceId, Hertz, Keep, Knob, Metric, ProposalSink, Watts, Why};

/// Power as a whole goes with this power of the clock: 1110 of 1410 MHz cut an A100's peak by 20 % (POLCA, arXiv 2308.12908), read as
/// the board's. A smaller exponent asks for a lower clock, so that an error is on the safe side of the budget.
const EXPONENT: f64 = 0.93;

/// The clock that brings what is drawn at a clock to other watts.
pub(crate) fn clock_for(now: Hertz, draws: Watts, wanted: Watts) -> Hertz {
    Hertz(now.0 * (wanted.0 / draws.0).max(0.0).powf(1.0 / EXPONENT))
}

/// The power at one clock of what draws so much at another.
pub(crate) fn power_at(clock: Hertz, now: Hertz, draws: Watts) -> Watts {
    draws * (clock.0 / now.0).max(0.0).powf(EXPONENT)
}

/// The clock that a device runs at, no higher than its lock.
pub(crate) fn clock(scene: &Scene<'_>, load: &Load) -> Option<Hertz> {
    let locked = scene.view.clock_cap(load.device).map(|cap| cap.limit);
    let read = scene.view.frame.value(load.device, Metric::ClockSm).filter(|hertz| *hertz > 0.0).map(Hertz);
    match (locked, read) {
        (Some(locked), Some(read)) => Some(Hertz(locked.0.min(read.0))),
        (locked, read) => locked.or(read),
    }
}

/// The lock that holds a device for the budget; one that tunes is not the budget's to give back.
pub(crate) fn held<'a>(scene: &'a Scene<'_>, device: DeviceId) -> Option<&'a Cap<Hertz>> {
    scene.view.clock_cap(device).filter(|cap| cap.keep == Keep::Safety)
}

/// Locks the clock of a device that generates tokens, so that it draws no more than this. It runs far below its cap, which therefore
/// does nothing (H200: 137 to 300 of 700 W, arXiv 2605.11999) but stay behind as the backstop.
pub(crate) fn lock(scene: &Scene<'_>, load: &Load, wanted: Watts, why: Why, sink: &mut ProposalSink) {
    if load.work != Some(Work::Decode) {
        return;
    }
    let reach = scene.view.reach(load.device, Knob::ClockMax);
    let (Some(span), Some(now), Some(draws)) = (reach, clock(scene, load), load.peak) else { return };
    if wanted + scene.settings.deadband >= draws {
        return;
    }
    let to = span.clamp(clock_for(now, draws, wanted).0);
    let locked = scene.view.clock_cap(load.device).map_or(span.max(), |cap| cap.limit.0);
    if to + Knob::ClockMax.slack() < locked {
        sink.proposals.push(propose(load.device, Action::Clock(Hertz(to)), why));
    }
}

/// Locks the lowest clock of a device under the brake, where it has that knob and is not there yet.
pub(crate) fn halt(scene: &Scene<'_>, load: &Load, sink: &mut ProposalSink) {
    let Some(span) = scene.view.reach(load.device, Knob::ClockMax) else { return };
    let above = |limit: Hertz| limit.0 > span.min() + Knob::ClockMax.slack();
    if scene.view.clock_cap(load.device).is_none_or(|cap| above(cap.limit)) {
        sink.proposals.push(propose(load.device, Action::Clock(Hertz(span.min())), Why::OverBudget));
    }
}

/// The next step up of a locked clock: all of it where the device may then draw no more than `fits`, by its cap or by the model, else
/// as far as that, at most half of its clocks. `None`: nothing that is worth a write.
pub(crate) fn freer(scene: &Scene<'_>, load: &Load, fits: Watts, capped: Option<Watts>) -> Option<Action> {
    let cap = held(scene, load.device)?;
    let span = scene.view.reach(load.device, Knob::ClockMax);
    let drawn = load.counted * (1.0 / load.factor);
    let freed = power_at(cap.original, cap.limit, drawn);
    if capped.is_some_and(|capped| capped <= fits) || freed <= fits {
        return Some(Action::Release(Knob::ClockMax));
    }
    let stride = span.map_or(f64::INFINITY, |span| (span.max() - span.min()) * scene.settings.step);
    let to = clock_for(cap.limit, drawn, fits).0.min(cap.limit.0 + stride).min(cap.original.0);
    (to > cap.limit.0 + Knob::ClockMax.slack()).then_some(Action::Clock(Hertz(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_less_power_is_what_the_low_clock_of_an_a100_gives() {
        let to = power_at(Hertz(1110e6), Hertz(1410e6), Watts(400.0));
        assert!((to.0 - 320.0).abs() < 1.0, "{to}");
        let back = clock_for(Hertz(1410e6), Watts(400.0), to);
        assert!((back.0 - 1110e6).abs() < 1.0, "{back}");
    }
}
