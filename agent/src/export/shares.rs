//! Families of workloads: what each has of each accelerator.
use super::page::Page;
use model::{Share, Snapshot};

/// The kind under which the part that is nobody's stands.
const UNATTRIBUTED: &str = "unattributed";
/// Shares on a page at most: what the tally keeps and the accelerators of a node.
const SHARES_MAX: usize = 2048;

/// Adds the shares of a snapshot to a page. A number that is not known is left out.
pub(super) fn add(snapshot: &Snapshot, page: &mut Page) {
    for share in snapshot.shares.iter().take(SHARES_MAX) {
        let device = &snapshot.frame.devices.get(share.device).info.key;
        let labels = labels(device, share);
        if let Some(power) = share.power {
            page.add("workload_power_watts", &labels, power.0);
        }
        page.add("workload_energy_joules_total", &labels, share.energy_j);
        if let Some(bytes) = share.memory_bytes {
            // Far below 2^53, so it is exact.
            page.add("workload_memory_bytes", &labels, bytes as f64);
        }
        if let Some(utilization) = share.utilization {
            page.add("workload_utilization_ratio", &labels, utilization);
        }
    }
}

fn labels<'a>(device: &'a str, share: &'a Share) -> [&'a str; 6] {
    match &share.workload {
        Some(who) => [device, who.kind.as_str(), &who.key, &who.namespace, &who.pod, &who.container],
        None => [device, UNATTRIBUTED, "", "", "", ""],
    }
}
