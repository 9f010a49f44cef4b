//! Who a series is about: GPUs, their partitions and links with DCGM's labels in DCGM's order, and the pods on them.
use super::Names;
use crate::export::families::label;
use crate::export::holders::{Holder, holders};
use model::{Device, DeviceKind, Snapshot, Vendor, Workload};
use prometheus::proto::LabelPair;
use std::collections::BTreeSet;

/// A device with its labels.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) device: &'a Device,
    pub(super) labels: Vec<LabelPair>,
    pub(super) holders: Vec<Holder<'a>>,
}

/// A GPU with its parts.
#[derive(Debug)]
pub(super) struct Gpu<'a> {
    pub(super) whole: Subject<'a>,
    pub(super) partitions: Vec<Subject<'a>>,
    pub(super) links: Vec<Subject<'a>>,
}

/// The NVIDIA GPUs that are there, in the order of their numbers.
pub(super) fn gpus<'a>(snapshot: &'a Snapshot, names: &Names) -> Vec<Gpu<'a>> {
    let devices = &snapshot.frame.devices;
    let nvidia = |device: &&Device| device.info.vendor == Vendor::Nvidia;
    let mut found: Vec<_> = devices.of_kind(DeviceKind::Gpu).filter(nvidia).collect();
    found.sort_by_key(|device| number(&device.info.name).parse::<u32>().unwrap_or(u32::MAX));
    found.into_iter().map(|device| gpu(snapshot, names, device)).collect()
}

fn gpu<'a>(snapshot: &'a Snapshot, names: &Names, device: &'a Device) -> Gpu<'a> {
    let devices = &snapshot.frame.devices;
    let parts = |kind: DeviceKind| devices.of_kind(kind).filter(|part| part.info.parent == device.info.key);
    let subject =
        |part: &'a Device, labels| Subject { device: part, labels, holders: holders(snapshot, part.id) };
    // DCGM knows GPU instances and not the compute instances in them, so the first one speaks for its GPU instance.
    let mut seen = BTreeSet::new();
    let partitions = parts(DeviceKind::Partition)
        .filter(|part| seen.insert(attribute(part, "gi")))
        .map(|part| subject(part, labels(snapshot, names, device, Some(part))))
        .collect();
    let links = parts(DeviceKind::Link).map(|link| subject(link, link_labels(snapshot, names, device, link)));
    Gpu { whole: subject(device, labels(snapshot, names, device, None)), partitions, links: links.collect() }
}

/// The digits that a name ends in: the number of `gpu3`, or of `gpu3/link11`.
fn number(name: &str) -> &str {
    &name[name.trim_end_matches(|c: char| c.is_ascii_digit()).len()..]
}

fn attribute<'a>(device: &'a Device, name: &str) -> &'a str {
    device.info.attributes.get(name).map_or("", String::as_str)
}

/// The PCI address as DCGM writes it, `00000000:1B:00.0`, from that or from sysfs's `0000:1b:00.0`.
pub(super) fn pci(address: &str) -> String {
    let (domain, rest) = address.split_once(':').unwrap_or(("", address));
    format!("{domain:0>8}:{rest}").to_uppercase()
}

/// Labels in DCGM's order; those of which nothing is known are left out.
struct Labels(Vec<LabelPair>);

impl Labels {
    fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.push(label(name, value));
        }
    }

    fn add_pci(&mut self, whole: &Device) {
        let address = attribute(whole, "pci");
        if !address.is_empty() {
            self.add("pci_bus_id", &pci(address));
        }
    }

    fn add_host(&mut self, snapshot: &Snapshot, names: &Names, whole: &Device) {
        self.add(names.host, &snapshot.node.host);
        self.add(names.driver, attribute(whole, "driver"));
    }
}

fn labels(snapshot: &Snapshot, names: &Names, whole: &Device, part: Option<&Device>) -> Vec<LabelPair> {
    let mut labels = Labels(Vec::with_capacity(12));
    let index = number(&whole.info.name);
    labels.add("gpu", index);
    labels.add("UUID", &whole.info.key);
    labels.add_pci(whole);
    labels.add("device", &format!("nvidia{index}"));
    labels.add("modelName", &whole.info.model);
    if let Some(part) = part {
        labels.add("GPU_I_PROFILE", attribute(part, "profile"));
        labels.add("GPU_I_ID", attribute(part, "gi"));
    }
    labels.add_host(snapshot, names, whole);
    labels.0
}

/// Rows about links name the GPU in other words.
fn link_labels(snapshot: &Snapshot, names: &Names, whole: &Device, link: &Device) -> Vec<LabelPair> {
    let mut labels = Labels(Vec::with_capacity(10));
    let index = number(&whole.info.name);
    labels.add("nvlink", number(&link.info.name));
    labels.add("gpu", index);
    labels.add("gpu_uuid", &whole.info.key);
    labels.add_pci(whole);
    labels.add("device", &format!("nvidia{index}"));
    labels.add("model_name", &whole.info.model);
    labels.add_host(snapshot, names, whole);
    labels.0
}

/// The labels of a pod.
pub(super) fn pod_labels(workload: &Workload) -> Vec<LabelPair> {
    let mut labels = Labels(Vec::with_capacity(3));
    labels.add("container", &workload.container);
    labels.add("namespace", &workload.namespace);
    labels.add("pod", &workload.pod);
    labels.0
}
