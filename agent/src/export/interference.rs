//! Families of interference: how fast each workload is of its speed alone, or why that is not known.
use super::page::Page;
use model::interference::{Estimate, Judgement, Vector};
use model::{Interference, Snapshot};
use std::collections::BTreeSet;

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
