//! Naming: the pods behind uids and ids, and the accelerators behind the ids of device plugins.
use crate::cluster::{Cluster, Held, PodName, Pods, Wanted};
use model::snapshot::SourceHealth;
use model::{Device, DeviceId, DeviceKind, DeviceTable, Frame, Holding, Workload, WorkloadKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Named workloads kept at once; past that all are named anew.
const NAMED_MAX: usize = 4096;

/// A pod's container as it works now, under its container's id.
#[derive(Debug)]
struct Present {
    raw: Arc<Workload>,
    /// The beat on which it was last there.
    turn: u64,
}

/// Gives pods' workloads their names. Allocates only when something changed.
#[derive(Debug, Default)]
pub(super) struct Naming {
    cluster: Option<Cluster>,
    pods: Arc<Pods>,
    /// By the key with the container's id.
    named: BTreeMap<String, Arc<Workload>>,
    present: BTreeMap<String, Present>,
    /// Newly named ones, with what they were before.
    renamed: Vec<(Arc<Workload>, Arc<Workload>)>,
    table: Arc<DeviceTable>,
    holdings: Vec<Holding>,
    turn: u64,
    changed: bool,
}

impl Naming {
    pub(super) fn new(cluster: Option<Cluster>) -> Self {
        Self { cluster, ..Self::default() }
    }

    /// Begins a beat: takes over what was published since the last one.
    pub(super) fn begin(&mut self, frame: &Frame) {
        self.turn += 1;
        let pods = self.cluster.as_ref().map(Cluster::pods);
        let news = pods.filter(|pods| !Arc::ptr_eq(pods, &self.pods));
        if news.is_none() && Arc::ptr_eq(&self.table, &frame.devices) {
            return;
        }
        if let Some(pods) = news {
            self.pods = pods;
            let list: Vec<Arc<Workload>> = self.present.values().map(|p| Arc::clone(&p.raw)).collect();
            list.iter().for_each(|raw| self.name(raw));
        }
        self.table = Arc::clone(&frame.devices);
        let before = std::mem::take(&mut self.holdings);
        for held in &self.pods.held {
            if let Some(device) = find(&self.table, held) {
                let workload = Arc::new(holder(&self.pods, held));
                self.holdings.push(Holding { device, workload });
            }
        }
        self.holdings.sort_by(|a, b| (a.device, &a.workload).cmp(&(b.device, &b.workload)));
        self.holdings.dedup();
        // A holder whose pod had no uid yet is counted on under its uid.
        for (new, old) in self.holdings.iter().flat_map(|new| before.iter().map(move |old| (new, old))) {
            let (new, old) = (&new.workload, &old.workload);
            let same =
                (&new.namespace, &new.pod, &new.container) == (&old.namespace, &old.pod, &old.container);
            if same && old.pod_uid.is_empty() && !new.pod_uid.is_empty() {
                self.renamed.push((Arc::clone(old), Arc::clone(new)));
            }
        }
    }

    /// The workload under its best name.
    pub(super) fn of(&mut self, raw: &Arc<Workload>) -> Arc<Workload> {
        if raw.kind != WorkloadKind::Pod {
            return Arc::clone(raw);
        }
        match self.present.get_mut(&raw.key) {
            Some(present) => present.turn = self.turn,
            None => {
                self.present.insert(raw.key.clone(), Present { raw: Arc::clone(raw), turn: self.turn });
                self.changed = true;
                self.name(raw);
            }
        }
        Arc::clone(self.named.get(&raw.key).unwrap_or(raw))
    }

    /// Finds names for a workload, as far as they are known; what was known before stays.
    fn name(&mut self, raw: &Arc<Workload>) {
        let known = self.named.get(&raw.key);
        let pod = self.pods.names.get(&raw.pod_uid);
        let container =
            self.pods.containers.get(&raw.container).or_else(|| pod.and_then(|pod| self.sole(pod)));
        if pod.is_none() && container.is_none() {
            return;
        }
        let mut workload = known.map_or_else(|| (**raw).clone(), |known| (**known).clone());
        if let Some(PodName { namespace, pod }) = pod {
            (workload.namespace, workload.pod) = (namespace.clone(), pod.clone());
            workload.name.clone_from(pod);
        }
        if let Some(container) = container {
            workload.key = format!("{}/{container}", raw.pod_uid);
            workload.container.clone_from(container);
        }
        if known.is_some_and(|known| **known == workload) {
            return;
        }
        let workload = Arc::new(workload);
        self.renamed.push((Arc::clone(known.unwrap_or(raw)), Arc::clone(&workload)));
        if self.named.len() >= NAMED_MAX {
            self.named.clear();
        }
        self.named.insert(raw.key.clone(), workload);
    }

    /// The container of a pod that was given devices, if it is one only: then what works on a device is that one.
    fn sole(&self, pod: &PodName) -> Option<&String> {
        let mut held = self.pods.held.iter().filter(|held| held.pod == *pod).map(|held| &held.container);
        let first = held.next()?;
        held.all(|other| other == first).then_some(first)
    }

    /// Ends a beat: tells the cluster when other pods work here than before. Gives the workloads that have new names.
    pub(super) fn end(&mut self) -> impl Iterator<Item = (Arc<Workload>, Arc<Workload>)> + '_ {
        let (turn, before) = (self.turn, self.present.len());
        self.present.retain(|_, present| present.turn == turn);
        self.changed |= self.present.len() < before;
        if std::mem::take(&mut self.changed) {
            let present = &self.present;
            self.named.retain(|key, _| present.contains_key(key));
            let wanted = present.values().map(|present| &present.raw);
            let wanted =
                wanted.map(|raw| Wanted { uid: raw.pod_uid.clone(), container: raw.container.clone() });
            if let Some(cluster) = &self.cluster {
                cluster.changed(wanted.collect());
            }
        }
        self.renamed.drain(..)
    }

    /// Who holds which device, in order of devices.
    pub(super) fn holdings(&self) -> &[Holding] {
        &self.holdings
    }

    /// The holdings of one device.
    pub(super) fn of_device(&self, device: DeviceId) -> &[Holding] {
        let first = self.holdings.partition_point(|holding| holding.device < device);
        let count = self.holdings[first..].partition_point(|holding| holding.device == device);
        &self.holdings[first..first + count]
    }

    /// Names of pods by uid.
    pub(super) fn pod_names(&self) -> &BTreeMap<String, PodName> {
        &self.pods.names
    }

    pub(super) fn health(&self) -> Option<SourceHealth> {
        self.cluster.as_ref().and_then(Cluster::health)
    }
}

/// The workload of a container that was given a device. Where the pod's uid is not known, namespace and name stand in.
fn holder(pods: &Pods, held: &Held) -> Workload {
    let uid = pods.names.iter().filter(|(_, name)| **name == held.pod).map(|(uid, _)| uid.as_str()).next();
    let PodName { namespace, pod } = held.pod.clone();
    let owner = uid.map_or_else(|| format!("{namespace}/{pod}"), str::to_owned);
    Workload {
        name: pod.clone(),
        namespace,
        pod,
        pod_uid: uid.unwrap_or("").to_owned(),
        container: held.container.clone(),
        ..Workload::new(WorkloadKind::Pod, format!("{owner}/{}", held.container))
    }
}

/// The accelerator or partition that a device plugin's id stands for.
///
/// NVIDIA and Gaudi name the UUID, NVIDIA with `::<replica>` behind it where a device is shared; AMD the PCI address; the
/// Ascend plugin `<product>-<number>`; the Intel plugin `card<number>-<share>`.
fn find(table: &DeviceTable, held: &Held) -> Option<DeviceId> {
    let id = held.id.split("::").next().unwrap_or("");
    let kinds = [DeviceKind::Gpu, DeviceKind::Npu, DeviceKind::Partition];
    if let Some(device) = kinds.into_iter().find_map(|kind| table.find(kind, id)) {
        return Some(device);
    }
    let ascend = held.resource.starts_with("huawei.com/").then(|| id.rsplit_once('-')).flatten();
    let name = ascend.map(|(_, number)| format!("ascend{number}"));
    let card =
        id.strip_prefix("card").and_then(|rest| rest.split('-').next()).map(|number| format!("card{number}"));
    let same = |device: &&Device| {
        let attribute = |name: &str| device.info.attributes.get(name).map(String::as_str);
        name.as_deref() == Some(device.info.name.as_str())
            || attribute("pci").is_some_and(|pci| pci_tail(pci).eq_ignore_ascii_case(pci_tail(id)))
            || ["uuid", "serial"].iter().any(|name| attribute(name) == Some(id))
            || card.is_some() && attribute("card") == card.as_deref()
    };
    table.iter().filter(|device| !device.gone && kinds.contains(&device.info.kind)).find(same).map(|d| d.id)
}

/// A PCI address without leading zeros of its domain, which is written with four digits or eight.
fn pci_tail(address: &str) -> &str {
    address.trim_start_matches('0')
}

#[cfg(test)]
mod tests;
