//! Which pods hold a device, and what each has of it.
use model::{DeviceId, Share, Snapshot, Workload, WorkloadKind};
use std::collections::BTreeMap;

/// A pod's container on a device.
#[derive(Debug)]
pub(crate) struct Holder<'a> {
    pub(crate) workload: &'a Workload,
    /// What it has of the device; `None` when it was given the device and does not work there.
    pub(crate) share: Option<&'a Share>,
}

/// The pods on a device, those that were given it and those that work there, in the order of their names.
pub(crate) fn holders<'a>(snapshot: &'a Snapshot, device: DeviceId) -> Vec<Holder<'a>> {
    let given =
        snapshot.holdings.iter().filter(|holding| holding.device == device).map(|h| (&*h.workload, None));
    let at_work = snapshot.shares.iter().filter(|share| share.device == device);
    let at_work = at_work.filter_map(|share| Some((share.workload.as_deref()?, Some(share))));
    let mut found: BTreeMap<_, Holder<'a>> = BTreeMap::new();
    for (workload, share) in given.chain(at_work) {
        if workload.kind == WorkloadKind::Pod && !workload.pod.is_empty() {
            let name = (&workload.namespace, &workload.pod, &workload.container);
            let holder = found.entry(name).or_insert(Holder { workload, share: None });
            holder.share = share.or(holder.share);
        }
    }
    found.into_values().collect()
}
