//! Workloads that their neighbours slow down beyond the noise floor.
use super::page;
use model::Snapshot;
use model::interference::Estimate;
use serde_json::json;
use std::fmt::Write as _;

/// A workload that is slower than alone, with its whole interval below the noise floor.
#[derive(Debug, Clone, PartialEq)]
pub struct Slowed {
    /// Its name for people.
    pub name: String,
    /// Its identity.
    pub key: String,
    /// How slow it is.
    pub estimate: Estimate,
    /// Who is likely to blame: name and identity.
    pub culprit: Option<(String, String)>,
}

/// Those of a snapshot, the slowest first.
pub(super) fn of(snapshot: &Snapshot) -> Vec<Slowed> {
    let key = |device| snapshot.frame.devices.get(device).info.key.clone();
    let mut list: Vec<_> = snapshot
        .interference
        .iter()
        .filter_map(|workload| Some((workload.device, *workload.estimate()?)))
        .filter(|(_, estimate)| estimate.slowed())
        .map(|(device, estimate)| Slowed {
            name: snapshot.who(device),
            key: key(device),
            estimate,
            culprit: estimate.culprit.map(|who| (snapshot.who(who.device), key(who.device))),
        })
        .collect();
    list.sort_by(|a, b| a.estimate.y.total_cmp(&b.estimate.y));
    list
}

/// A heading and one line each; nothing where there is none.
pub(super) fn text(list: &[Slowed]) -> String {
    let mut text = String::new();
    if list.is_empty() {
        return text;
    }
    let _ = writeln!(text, "\nslower beside their neighbours than alone:");
    for slowed in list {
        let Estimate { y, low, high, resource, culprit, .. } = slowed.estimate;
        let percent = |share: f64| format!("{:.0}", 100.0 * share);
        let [now, low, high] = [y, low, high].map(percent);
        let mut line = format!("{}: {now} % of its speed alone ({low} to {high} %)", slowed.name);
        if let Some(resource) = resource {
            let _ = write!(line, ", held up at: {}", resource.words());
        }
        if let (Some((name, _)), Some(culprit)) = (&slowed.culprit, culprit) {
            let _ = write!(line, ", likely by {name} (correlation {:.2})", culprit.correlation);
        }
        page::put(&mut text, "  ", &line);
    }
    text
}

/// The same for a program.
pub(super) fn json(slowed: &Slowed) -> serde_json::Value {
    let Estimate { y, low, high, basis, resource, culprit } = slowed.estimate;
    let culprit = slowed
        .culprit
        .as_ref()
        .zip(culprit)
        .map(|((name, key), who)| json!({ "name": name, "device": key, "correlation": who.correlation }));
    json!({
        "name": slowed.name, "device": slowed.key, "y": y, "low": low, "high": high,
        "basis": basis, "resource": resource, "culprit": culprit,
    })
}
