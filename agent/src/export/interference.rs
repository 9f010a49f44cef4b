//! Families of interference: how fast each workload, and each process on an accelerator, is of its speed alone, or why that is not known.
use super::page::Page;
use model::interference::{Estimate, Judgement, Sharer, Vector};
use model::{Interference, Snapshot};
use std::collections::BTreeSet;

/// Processes on a page at most: as many as the detector follows at once.
const PROCESSES_MAX: usize = 256;

/// Adds what is known of each workload among its neighbours. What is not known has no line.
pub(super) fn add(snapshot: &Snapshot, page: &mut Page) {
    let mut seen = BTreeSet::new();
    for workload in &snapshot.interference {
        let device = snapshot.frame.devices.get(workload.device);
        // A series must not appear twice, and nothing is said of who is gone.
        if !device.gone && seen.insert(workload.device) {
            one(snapshot, workload, [&device.info.key, device.info.kind.as_str()], page);
        }
    }
    processes(snapshot, page);
}

/// The processes on accelerators of which there is an estimate; the others come and go too often for a line that says nothing.
fn processes(snapshot: &Snapshot, page: &mut Page) {
    let mut seen = BTreeSet::new();
    let judged = snapshot.sharers.iter().filter_map(|sharer| Some((sharer, sharer.estimate()?)));
    let present = judged.filter(|(sharer, _)| !snapshot.frame.devices.get(sharer.device).gone);
    // A series must not appear twice.
    let once = present.filter(|(sharer, _)| seen.insert((sharer.device, sharer.pid)));
    for (sharer, estimate) in once.take(PROCESSES_MAX) {
        process(snapshot, sharer, estimate, page);
    }
}

fn process(snapshot: &Snapshot, sharer: &Sharer, estimate: &Estimate, page: &mut Page) {
    let info = &snapshot.frame.devices.get(sharer.device).info;
    let pid = sharer.pid.to_string();
    let [namespace, pod, container] = sharer
        .workload
        .as_deref()
        .map_or(["", "", ""], |who| [who.namespace.as_str(), who.pod.as_str(), who.container.as_str()]);
    let labels = [info.key.as_str(), info.kind.as_str(), &pid, &sharer.name, namespace, pod, container];
    page.add("interference_process_performance_ratio", &labels, estimate.y);
    page.add("interference_process_performance_low_ratio", &labels, estimate.low);
    page.add("interference_process_performance_high_ratio", &labels, estimate.high);
}

fn one(snapshot: &Snapshot, workload: &Interference, [device, kind]: [&str; 2], page: &mut Page) {
    match &workload.judgement {
        Judgement::Estimate(estimate) => judged(snapshot, estimate, [device, kind], page),
        Judgement::Abstained(why) => {
            page.add("interference_abstained", &[device, kind, why.as_str()], 1.0);
        }
    }
    if let Some(counters) = workload.counters {
        page.add("interference_counters", &[device, kind, counters.as_str()], 1.0);
    }
    let mut vector = |name, vector: &Vector| {
        for (resource, share) in vector.iter() {
            page.add(name, &[device, kind, resource.as_str()], share);
        }
    };
    vector("interference_sensitivity_ratio", &workload.sensitivity);
    vector("interference_pressure_ratio", &workload.pressure);
}

fn judged(snapshot: &Snapshot, estimate: &Estimate, [device, kind]: [&str; 2], page: &mut Page) {
    page.add("interference_performance_ratio", &[device, kind], estimate.y);
    page.add("interference_performance_low_ratio", &[device, kind], estimate.low);
    page.add("interference_performance_high_ratio", &[device, kind], estimate.high);
    let key = |culprit: model::DeviceId| snapshot.frame.devices.get(culprit).info.key.as_str();
    let culprit = estimate.culprit.map(|culprit| (key(culprit.device), culprit.correlation));
    if let Some(resource) = estimate.resource {
        let name = culprit.map_or("", |(name, _)| name);
        page.add("interference_resource", &[device, kind, resource.as_str(), name], 1.0);
    }
    if let Some((name, correlation)) = culprit {
        page.add("interference_culprit_correlation_ratio", &[device, kind, name], correlation);
    }
}
