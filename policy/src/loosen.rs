//! Loosening: one class a hold, the most important first, and never more than fits if all of it is drawn at once.
use crate::budget::Load;
use crate::scene::{Scene, propose};
use model::stages::Cap;
use model::{Action, Knob, Priority, ProposalSink, Range, Watts, Why};

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
    caps(scene, class).next().is_some()
}

/// Whether everything is known and power is low enough to loosen something.
pub(crate) fn calm(scene: &Scene<'_>) -> bool {
    let may = |class: &Priority| scene.tally.counted < line(scene, *class) && capped(scene, *class);
    scene.tally.certain && RELEASE_ORDER.iter().any(may)
}

/// Proposes one step for the first class that has something to gain.
///
/// After the step, counted power stays below the class's line even if every loosened device at once draws all it may.
pub(crate) fn step(scene: &Scene<'_>, sink: &mut ProposalSink) {
    for class in RELEASE_ORDER {
        let room = line(scene, class) - scene.tally.counted;
        if room > Watts::ZERO && raise(scene, class, room, sink) {
            return;
        }
    }
}

type Capped<'a> = (&'a Cap, &'a Load, Range);

/// The caps of a class on devices that are there, with what is known of the device.
fn caps<'a>(scene: &'a Scene<'_>, class: Priority) -> impl Iterator<Item = Capped<'a>> {
    let known = move |cap: &'a Cap| {
        let load = scene.loads.iter().find(|load| load.device == cap.device)?;
        Some((cap, load, load.range?))
    };
    scene.view.caps.power.iter().filter(move |cap| scene.view.priority(cap.device) == class).filter_map(known)
}

/// Raises the caps of one class into the room; says whether anything was proposed. Devices that want more go first.
fn raise(scene: &Scene<'_>, class: Priority, room: Watts, sink: &mut ProposalSink) -> bool {
    let deadband = scene.settings.deadband;
    // A limit below our cap is somebody else's: raising ours over it would be a fight.
    let ours = |(cap, load, _): &Capped<'_>| load.enforced.is_none_or(|now| now + deadband >= cap.limit);
    let hungry = |(cap, load, _): &Capped<'_>| load.peak.is_none_or(|peak| peak >= cap.limit * HUNGRY);
    let wanting = caps(scene, class).filter(ours).filter(hungry).count();
    let count = if wanting > 0 { wanting } else { caps(scene, class).filter(ours).count() };
    let before = sink.proposals.len();
    for (cap, load, range) in caps(scene, class).filter(ours).filter(|it| wanting == 0 || hungry(it)) {
        let drawn = load.counted * (1.0 / load.factor);
        let fits = drawn + room * (1.0 / (count as f64 * load.factor));
        let stride = (range.max() - range.min()) * scene.settings.step;
        let limit = fits.min(cap.limit + stride).min(cap.original);
        let action = if limit + deadband >= cap.original && fits >= cap.original {
            Action::Release(Knob::PowerLimit)
        } else if limit > cap.limit + deadband {
            Action::Limit(limit)
        } else {
            continue;
        };
        sink.proposals.push(propose(cap.device, action, Why::Headroom));
    }
    sink.proposals.len() > before
}
