//! Loosening: one class a hold, the most important first, and never more than fits if all of it is drawn at once.
use crate::budget::Load;
use crate::clocks;
use crate::host;
use crate::scene::{Scene, propose};
use model::stages::Cap;
use model::work::Work;
use model::{Action, Keep, Knob, Priority, ProposalSink, Range, Watts, Why};

/// The order in which classes get power back.
const RELEASE_ORDER: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];
/// A device that draws this share of its cap would draw more if it could.
const HUNGRY: f64 = 0.9;

/// The counted power below which caps of a class may be loosened: each class by the threshold that trims it.
pub(crate) fn line(scene: &Scene<'_>, class: Priority) -> Watts {
    let threshold = if class == Priority::Low { scene.settings.low } else { scene.settings.high };
    scene.tally.budget * (threshold - scene.settings.release_gap)
}

/// Whether a device of a class is capped by us.
pub(crate) fn capped(scene: &Scene<'_>, class: Priority) -> bool {
    caps(scene, class).next().is_some() || locked(scene, class).next().is_some()
}

/// Whether everything is known and power is low enough to loosen something.
pub(crate) fn calm(scene: &Scene<'_>) -> bool {
    let covered = scene.cover(scene.settings.release_gap) > Watts::ZERO;
    let low = |class: &Priority| covered || scene.tally.counted < line(scene, *class);
    let may = |class: &Priority| low(class) && capped(scene, *class);
    let host = || scene.tally.counted < line(scene, Priority::Normal) && host::capped(scene);
    scene.tally.certain && (RELEASE_ORDER.iter().any(may) || host())
}

/// Proposes one step for the first class that has something to gain. Processors come right after the most important accelerators:
/// one that waits for its data does nothing with its power.
///
/// After the step, counted power stays below the class's line even if every loosened device at once draws all it may; or below the
/// budget, less the gap, even if every device does.
pub(crate) fn step(scene: &Scene<'_>, sink: &mut ProposalSink) {
    for class in RELEASE_ORDER {
        let again = line(scene, class) - likely(scene);
        let room = Room { again, limits: scene.cover(scene.settings.release_gap) };
        if room.again.max(room.limits) > Watts::ZERO && raise(scene, class, room, sink) {
            return;
        }
        let room = line(scene, Priority::Normal) - likely(scene);
        if class == Priority::High && room > Watts::ZERO && host::raise(scene, room, sink) {
            return;
        }
    }
}

/// Counted power if every device draws again what it drew of late.
fn likely(scene: &Scene<'_>) -> Watts {
    scene.tally.rest + scene.loads.iter().map(Load::likely).sum()
}

/// Counted watts that may be given: above what devices are likely to draw again, and above what their limits let them draw.
#[derive(Debug, Clone, Copy)]
struct Room {
    again: Watts,
    limits: Watts,
}

type Capped<'a> = (&'a Cap, &'a Load, Range);

/// The caps of a class on devices that are there, with what is known of the device.
fn caps<'a>(scene: &'a Scene<'_>, class: Priority) -> impl Iterator<Item = Capped<'a>> {
    let known = move |cap: &'a Cap| {
        let load = scene.loads.iter().find(|load| load.device == cap.device)?;
        Some((cap, load, load.range?))
    };
    // A cap that tunes is not the budget's to give back.
    let ours = move |cap: &&Cap| cap.keep == Keep::Safety && scene.view.priority(cap.device) == class;
    scene.view.caps.power.iter().filter(ours).filter_map(known)
}

/// The devices of a class whose clock is locked by us.
fn locked<'a>(scene: &'a Scene<'_>, class: Priority) -> impl Iterator<Item = &'a Load> {
    let of_class = move |load: &&Load| scene.view.priority(load.device) == class;
    scene.loads.iter().filter(of_class).filter(move |load| clocks::held(scene, load.device).is_some())
}

/// Raises the caps of one class into the room; says whether anything was proposed. Devices that want more go first.
fn raise(scene: &Scene<'_>, class: Priority, room: Room, sink: &mut ProposalSink) -> bool {
    // A limit below our cap is somebody else's: raising ours over it would be a fight.
    let ours = |(cap, load, _): &Capped<'_>| {
        load.enforced.is_none_or(|now| now + scene.settings.deadband >= cap.limit)
    };
    // A locked clock keeps a device from drawing what it would.
    let hungry = |(cap, load, _): &Capped<'_>| {
        clocks::held(scene, load.device).is_some() || load.peak.is_none_or(|peak| peak >= cap.limit * HUNGRY)
    };
    let wanting = caps(scene, class).filter(ours).filter(hungry).count();
    let count = if wanting > 0 { wanting } else { caps(scene, class).filter(ours).count() };
    let loose = locked(scene, class).filter(|load| scene.view.cap(load.device).is_none()).count();
    let before = sink.proposals.len();
    let each = 1.0 / (count + loose).max(1) as f64;
    let step = Step { scene, room: Room { again: room.again * each, limits: room.limits * each } };
    let chosen = || caps(scene, class).filter(ours).filter(|it| wanting == 0 || hungry(it));
    for one in chosen() {
        let (cap, load, _) = one;
        let own = trains(load).map(|job| (job, cap.device));
        let of_job = |other: &Capped<'_>| own.is_some_and(|(job, _)| trains(other.1) == Some(job));
        let mates = chosen().filter(of_job).map(|mate| step.limit(&mate));
        // Boards that compute in step are as fast as the slowest, so all of them get what fits each.
        let limit = mates.fold(step.limit(&one), Watts::min);
        step.power(cap, load, limit, sink);
        step.clock(load, Some(limit.max(cap.limit)), sink);
    }
    for load in locked(scene, class).filter(|load| scene.view.cap(load.device).is_none()) {
        step.clock(load, None, sink);
    }
    sink.proposals.len() > before
}

/// One step of one class.
#[derive(Debug, Clone, Copy)]
struct Step<'a> {
    scene: &'a Scene<'a>,
    /// For each device.
    room: Room,
}

impl Step<'_> {
    /// What a device may draw after the step.
    fn fits(&self, load: &Load) -> Watts {
        let counted = 1.0 / load.factor;
        let again = (load.likely() + self.room.again) * counted;
        let limit = self.scene.in_force(load).filter(|_| self.room.limits > Watts::ZERO);
        limit.map_or(again, |limit| again.max(limit + self.room.limits * counted))
    }

    fn limit(&self, (cap, load, range): &Capped<'_>) -> Watts {
        let stride = (range.max() - range.min()) * self.scene.settings.step;
        self.fits(load).min(cap.limit + stride).min(cap.original)
    }

    fn power(&self, cap: &Cap, load: &Load, limit: Watts, sink: &mut ProposalSink) {
        let deadband = self.scene.settings.deadband;
        let action = if limit + deadband >= cap.original && self.fits(load) >= cap.original {
            Action::Release(Knob::PowerLimit)
        } else if limit > cap.limit + deadband {
            Action::Limit(limit)
        } else {
            return;
        };
        sink.proposals.push(propose(cap.device, action, Why::Headroom));
    }

    /// Frees a locked clock; `capped` is the cap after this step.
    fn clock(&self, load: &Load, capped: Option<Watts>, sink: &mut ProposalSink) {
        if let Some(action) = clocks::freer(self.scene, load, self.fits(load), capped) {
            sink.proposals.push(propose(load.device, action, Why::Headroom));
        }
    }
}

fn trains(load: &Load) -> Option<usize> {
    load.job.filter(|_| load.work == Some(Work::Training))
}
