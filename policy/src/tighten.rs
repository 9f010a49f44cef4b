//! Tightening: the brake, and trimming by just as many watts as are needed.
use crate::budget::Load;
use crate::clocks;
use crate::scene::{Scene, propose};
use crate::share::{Giver, cut};
use model::work::Work;
use model::{Action, Priority, ProposalSink, Watts, Why};

/// The order in which classes give up power.
const CUT_ORDER: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

/// Brings every device to its floor, and to its lowest clock, that is not there. Said again on every beat until it is so.
pub(crate) fn brake(scene: &Scene<'_>, sink: &mut ProposalSink) {
    for load in scene.loads {
        let Some(range) = load.range else { continue };
        let above = |limit: Watts| limit > range.min() + scene.settings.deadband;
        if scene.in_force(load).is_none_or(above) {
            sink.proposals.push(propose(load.device, Action::Brake, Why::OverBudget));
        }
        clocks::halt(scene, load, sink);
    }
}

/// Trims low-priority devices towards the low threshold.
pub(crate) fn trim_low(scene: &Scene<'_>, givers: &mut Vec<Giver>, sink: &mut ProposalSink) {
    trim(scene, (scene.settings.low, Why::OverLow, &CUT_ORDER[..1]), givers, sink);
}

/// Trims all devices, once power is above the high threshold, until limits keep the budget.
///
/// Afterwards a device may draw what it drew, an idle one its floor: then the sum of caps, and not a hope, is what keeps
/// the budget, so that no more is kept free than what the host may rise by. An idle device is counted at its floor because that is what its cap allows; counting what it draws would
/// let caps add up to more than the budget once it wakes.
pub(crate) fn trim_all(scene: &Scene<'_>, givers: &mut Vec<Giver>, sink: &mut ProposalSink) {
    let high = scene.settings.high;
    let most = scene.kept_free().map_or(high, |free| high.max(1.0 - free.0 / scene.tally.budget.0));
    trim(scene, (most, Why::OverHigh, &CUT_ORDER), givers, sink);
}

/// Cuts to the middle between the threshold and its release, so that a cut causes neither at once.
fn trim(scene: &Scene<'_>, what: (f64, Why, &[Priority]), givers: &mut Vec<Giver>, sink: &mut ProposalSink) {
    let (threshold, why, classes) = what;
    let target = scene.tally.budget * (threshold - 0.5 * scene.settings.release_gap);
    givers.clear();
    let fixed = weigh(scene, classes.len() > 1, givers);
    let allowed: Watts = givers.iter().map(|giver| giver.from).sum();
    cut(givers, classes, fixed + allowed - target);
    let capable =
        || scene.loads.iter().filter(|load| load.range.is_some() && !scene.drift.contended(load.device));
    level_jobs(capable, givers);
    for (load, giver) in capable().zip(givers.iter()).filter(|(_, giver)| classes.contains(&giver.priority)) {
        let limit = giver.to * (1.0 / load.factor);
        let cap = scene.view.cap(load.device).map(|cap| cap.limit);
        // A tighter limit than our cap is somebody else's and stays; a raised one is a case of drift.
        let now = match (cap, load.enforced) {
            (Some(cap), Some(enforced)) => Some(cap.min(enforced)),
            (cap, enforced) => cap.or(enforced),
        };
        if now.is_none_or(|now| limit + scene.settings.deadband < now) {
            sink.proposals.push(propose(load.device, Action::Limit(limit), why));
        }
        clocks::lock(scene, load, limit, why, sink);
    }
}

/// Gives the devices of one training job one common limit, their mean: boards that compute in step are as fast as the slowest.
fn level_jobs<'a, I: Iterator<Item = &'a Load>>(loads: impl Fn() -> I, givers: &mut [Giver]) {
    let trains = |load: &Load| load.job.filter(|_| load.work == Some(Work::Training));
    for (place, load) in loads().enumerate() {
        let Some(job) = trains(load) else { continue };
        // The first of a job speaks for all of it.
        if loads().take(place).any(|other| trains(other) == Some(job)) {
            continue;
        }
        let (mut sum, mut count) = (Watts::ZERO, 0.0);
        let members = || loads().enumerate().filter(|(_, other)| trains(other) == Some(job));
        for (member, _) in members() {
            (sum, count) = (sum + givers[member].to, count + 1.0);
        }
        let mean = sum * (1.0 / count);
        for (member, _) in members() {
            givers[member].to = mean.max(givers[member].floor);
        }
    }
}

/// What a device should be left, where there is enough: an important one its limit, as others can pay for it; another one, where caps
/// are to last, what it drew of late; else what it draws. `None`: its limit.
fn likely(load: &Load, priority: Priority, all: bool) -> Option<Watts> {
    match (all, priority) {
        (true, Priority::High) => None,
        (true, Priority::Normal | Priority::Low) => load.reach,
        (false, _) => load.peak,
    }
}

/// Makes givers, in counted watts, of the devices that can be capped, and gives the counted power of everything else:
/// the host, devices without a knob, limits that somebody else holds up, and what devices draw above their caps.
fn weigh(scene: &Scene<'_>, all: bool, givers: &mut Vec<Giver>) -> Watts {
    let mut fixed = scene.tally.rest;
    for load in scene.loads {
        let Some(range) = load.range.filter(|_| !scene.drift.contended(load.device)) else {
            fixed = fixed + load.counted;
            continue;
        };
        let limit = scene.in_force(load).unwrap_or(range.max());
        let draws = load.peak.unwrap_or(limit);
        let priority = scene.view.priority(load.device);
        let may = range.clamp(limit.min(likely(load, priority, all).unwrap_or(limit)));
        if scene.view.cap(load.device).is_none_or(|cap| scene.settled(cap)) {
            fixed = fixed + (draws - may).max(Watts::ZERO) * load.factor;
        }
        let (from, floor) = (may * load.factor, range.min() * load.factor);
        givers.push(Giver { priority, from, floor, to: from });
    }
    fixed
}
