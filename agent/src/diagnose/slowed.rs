//! Workloads, and processes on accelerators, that their neighbours slow down beyond the noise floor.
use super::page;
use model::Snapshot;
use model::interference::{Estimate, Sharer};
use serde_json::json;
use std::fmt::Write as _;

/// Somebody for people and for programs.
#[derive(Debug, Clone, PartialEq)]
pub struct Who {
    /// Its name for people; of a process empty where it is not known.
    pub name: String,
    /// The identity of the control group or the accelerator.
    pub key: String,
    /// Which process on the accelerator; `None` for all that is there, and for a control group.
    pub pid: Option<u32>,
}

impl Who {
    fn process(snapshot: &Snapshot, sharer: &Sharer) -> Self {
        let key = snapshot.frame.devices.get(sharer.device).info.key.clone();
        Self { name: sharer.who(), key, pid: Some(sharer.pid) }
    }

    fn told(&self) -> String {
        match self.pid {
            Some(pid) if self.name.is_empty() => format!("pid {pid}"),
            Some(pid) => format!("{} (pid {pid})", self.name),
            None => self.name.clone(),
        }
    }
}

/// Who is slower than alone, with the whole interval below the noise floor.
#[derive(Debug, Clone, PartialEq)]
pub struct Slowed {
    /// A workload, or a process.
    pub who: Who,
    /// The accelerator's name, of a process.
    pub on: Option<String>,
    /// How slow it is.
    pub estimate: Estimate,
    /// Who is likely to blame.
    pub culprit: Option<Who>,
}

/// Those of a snapshot, the slowest first.
pub(super) fn of(snapshot: &Snapshot) -> Vec<Slowed> {
    let mut list = workloads(snapshot);
    list.extend(processes(snapshot));
    list.sort_by(|a, b| a.estimate.y.total_cmp(&b.estimate.y));
    list
}

fn workloads(snapshot: &Snapshot) -> Vec<Slowed> {
    let who = |device| Who {
        name: snapshot.who(device),
        key: snapshot.frame.devices.get(device).info.key.clone(),
        pid: None,
    };
    snapshot
        .interference
        .iter()
        .filter_map(|workload| Some((workload.device, *workload.estimate()?)))
        .filter(|(_, estimate)| estimate.slowed())
        .map(|(device, estimate)| Slowed {
            who: who(device),
            on: None,
            estimate,
            culprit: estimate.culprit.map(|culprit| who(culprit.device)),
        })
        .collect()
}

fn processes(snapshot: &Snapshot) -> impl Iterator<Item = Slowed> {
    let judged = snapshot.sharers.iter().filter_map(|sharer| Some((sharer, *sharer.estimate()?)));
    judged.filter(|(_, estimate)| estimate.slowed()).map(|(sharer, estimate)| {
        let who = Who::process(snapshot, sharer);
        let unnamed = |pid| Who { name: String::new(), pid: Some(pid), ..who.clone() };
        let culprit = snapshot
            .in_the_way_of(sharer)
            .map(|(pid, other)| other.map_or_else(|| unnamed(pid), |other| Who::process(snapshot, other)));
        let on = Some(snapshot.frame.devices.get(sharer.device).info.name.clone());
        Slowed { who, on, estimate, culprit }
    })
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
        let on = slowed.on.as_ref().map_or_else(String::new, |on| format!(" on {on}"));
        let mut line = format!("{}{on}: {now} % of its speed alone ({low} to {high} %)", slowed.who.told());
        if let Some(resource) = resource {
            let _ = write!(line, ", held up at: {}", resource.words());
        }
        if let Some(blamed) = &slowed.culprit {
            let _ = write!(line, ", likely by {}", blamed.told());
        }
        if let Some(culprit) = culprit {
            let _ = write!(line, " (correlation {:.2})", culprit.correlation);
        }
        page::put(&mut text, "  ", &line);
    }
    text
}

/// The same for a program.
pub(super) fn json(slowed: &Slowed) -> serde_json::Value {
    let Estimate { y, low, high, basis, resource, culprit } = slowed.estimate;
    let correlation = culprit.map(|culprit| culprit.correlation);
    let culprit = slowed.culprit.as_ref().map(
        |who| json!({ "name": who.name, "device": who.key, "pid": who.pid, "correlation": correlation }),
    );
    let Who { name, key, pid } = &slowed.who;
    json!({
        "name": name, "device": key, "pid": pid, "y": y, "low": low, "high": high,
        "basis": basis, "resource": resource, "culprit": culprit,
    })
}
