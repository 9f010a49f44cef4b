//! What is said of a device whose driver call has not returned: for how long, and which call it is.
use crate::format::ago;
use model::{Absence, Device, FaultKind, Metric, Reading, Snapshot};

/// `late 12 s` for a device that does not answer in time, `late` where it is not known for how long.
pub(super) fn word(snapshot: &Snapshot, device: &Device) -> Option<String> {
    if device.gone {
        return None;
    }
    let get = |metric| snapshot.frame.get(device.id, metric);
    if let Some(seconds) = get(Metric::CallLate).value().filter(|seconds| *seconds > 0.0) {
        return Some(format!("late {}", ago(seconds)));
    }
    let late = Reading::Absent(Absence::Late);
    let vital = [Metric::Up, Metric::Utilization, Metric::PowerInstant, Metric::PowerAverage];
    vital.into_iter().all(|metric| get(metric) == late).then(|| "late".to_owned())
}

/// The call that has not returned, as the vendor names it; empty where it is not known.
pub(super) fn call<'a>(snapshot: &'a Snapshot, device: &Device) -> &'a str {
    let seen = snapshot.frame.late.iter().find(|late| late.device == device.id).map_or("", |late| late.call);
    if !seen.is_empty() {
        return seen;
    }
    // A snapshot that came over HTTP has it in the event only.
    let hung = |event: &&model::Event| {
        event.active() && event.device == device.id && event.fault == FaultKind::SourceHung
    };
    snapshot.events.iter().find(hung).map_or("", |event| &*event.detail)
}

/// One sentence: which call has not returned for how long.
pub(super) fn sentence(snapshot: &Snapshot, device: &Device) -> Option<String> {
    word(snapshot, device)?;
    let call = match call(snapshot, device) {
        "" => "The driver's call".to_owned(),
        call => format!("The driver's call {call}"),
    };
    let seconds = snapshot.frame.value(device.id, Metric::CallLate).filter(|seconds| *seconds > 0.0);
    let time = seconds.map_or("in time".to_owned(), |seconds| format!("for {}", ago(seconds)));
    Some(format!("{call} has not returned {time}."))
}
