//! Devices: what is measured, under an identity that survives renumbering.
use crate::catalogue::{Metric, columns};
use crate::pci::PciAddress;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most devices a node may have at once; one more is refused and counted.
pub const DEVICES_MAX: usize = 1024;

/// A small handle to one device of this process's [`DeviceTable`]. Never shown, never stored across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub(crate) u16);

impl DeviceId {
    /// The position in the table, for arrays that run beside it.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What sort of thing a device is. Decides which metrics it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The whole machine.
    Node,
    /// A processor socket.
    Package,
    /// A logical processor.
    Core,
    /// A NUMA node.
    Numa,
    /// A memory controller as EDAC sees it.
    MemoryController,
    /// A block device.
    Disk,
    /// A network interface.
    Interface,
    /// An InfiniBand port.
    Port,
    /// A control group that is a container, a service or a slice.
    Cgroup,
    /// A RAPL energy domain.
    Zone,
    /// A temperature, fan or power sensor of hwmon or a thermal zone.
    Sensor,
    /// A graphics processor used as an accelerator.
    Gpu,
    /// A neural accelerator.
    Npu,
    /// A part of an accelerator with engines and memory of its own, such as a MIG instance; the whole is its parent.
    Partition,
    /// A link between accelerators as one of them sees it (NVLink, XGMI, a Gaudi port); that one is its parent.
    Link,
    /// An inference engine that serves a model, as its own metrics tell of it.
    Engine,
    /// One opened collector: wattkeeper measures its own sources like any other device.
    Source,
}

impl DeviceKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Node,
        Self::Package,
        Self::Core,
        Self::Numa,
        Self::MemoryController,
        Self::Disk,
        Self::Interface,
        Self::Port,
        Self::Cgroup,
        Self::Zone,
        Self::Sensor,
        Self::Gpu,
        Self::Npu,
        Self::Partition,
        Self::Link,
        Self::Engine,
        Self::Source,
    ];

    /// The word used in labels and on screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Package => "package",
            Self::Core => "core",
            Self::Numa => "numa",
            Self::MemoryController => "memory_controller",
            Self::Disk => "disk",
            Self::Interface => "interface",
            Self::Port => "port",
            Self::Cgroup => "cgroup",
            Self::Zone => "zone",
            Self::Sensor => "sensor",
            Self::Gpu => "gpu",
            Self::Npu => "npu",
            Self::Partition => "partition",
            Self::Link => "link",
            Self::Engine => "engine",
            Self::Source => "source",
        }
    }

    /// Whether the history keeps its series. Links are many, and what they add up to is kept with their accelerator.
    pub const fn is_remembered(self) -> bool {
        !matches!(self, Self::Link)
    }

    /// Whether this is a whole GPU or NPU, and not a part of one.
    pub const fn is_accelerator(self) -> bool {
        matches!(self, Self::Gpu | Self::Npu)
    }
}

/// Who made a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
    /// Huawei, who makes Ascend.
    Huawei,
    /// Not known or not applicable.
    #[default]
    Unknown,
}

impl Vendor {
    /// The word used in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::Amd => "amd",
            Self::Intel => "intel",
            Self::Huawei => "huawei",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known of a device that does not change while it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// The sort of thing.
    pub kind: DeviceKind,
    /// The identity, unique within the kind and stable over restarts: a GPU's UUID, a PCI address, a file name.
    pub key: String,
    /// A short name for people, unique on this node at one time: `gpu0`, `eth0`.
    pub name: String,
    /// The product's name, empty where there is none.
    #[serde(default)]
    pub model: String,
    /// The maker.
    #[serde(default)]
    pub vendor: Vendor,
    /// The key of the accelerator that this is a part of; empty where it stands for itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// Further identity for labels of the info series (`pci`, `driver`, `serial`, `container`), sorted by name.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

impl DeviceInfo {
    /// A device with only an identity; its name is its key.
    pub fn new(kind: DeviceKind, key: impl Into<String>) -> Self {
        let key = key.into();
        Self {
            kind,
            name: key.clone(),
            key,
            model: String::new(),
            vendor: Vendor::Unknown,
            parent: String::new(),
            attributes: BTreeMap::new(),
        }
    }
}

/// One entry of the table.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its handle.
    pub id: DeviceId,
    /// Its identity.
    pub info: Arc<DeviceInfo>,
    /// Whether it has vanished: its last readings are `Lost` and its series have ended.
    pub gone: bool,
    /// Goes up each time the entry is given to another identity, so that stale handles can be told.
    pub generation: u32,
    pub(crate) base: u32,
}

/// Every device of this node, by handle and by identity, and where its cells lie in a frame.
#[derive(Debug, Clone, Default)]
pub struct DeviceTable {
    devices: Vec<Device>,
    by_key: BTreeMap<DeviceKind, BTreeMap<String, DeviceId>>,
    cells: u32,
}

/// The table holds [`DEVICES_MAX`] devices that are all still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the device table is full ({DEVICES_MAX} devices)")]
pub struct TableFull;

impl DeviceTable {
    /// Finds or adds the device with this identity; one that was gone is back.
    ///
    /// # Errors
    /// [`TableFull`] when there is neither a free entry nor a gone device of the same kind to replace.
    pub fn register(&mut self, info: &Arc<DeviceInfo>) -> Result<DeviceId, TableFull> {
        if let Some(id) = self.find(info.kind, &info.key) {
            let device = &mut self.devices[id.index()];
            device.gone = false;
            device.info = Arc::clone(info);
            return Ok(id);
        }
        if self.devices.len() < DEVICES_MAX {
            return Ok(self.push(info));
        }
        let old = self
            .devices
            .iter()
            .find(|d| d.gone && d.info.kind == info.kind)
            .map(|d| d.id)
            .ok_or(TableFull)?;
        let device = &mut self.devices[old.index()];
        let keys = self.by_key.entry(info.kind).or_default();
        keys.remove(&device.info.key);
        keys.insert(info.key.clone(), old);
        device.info = Arc::clone(info);
        device.gone = false;
        device.generation += 1;
        Ok(old)
    }

    fn push(&mut self, info: &Arc<DeviceInfo>) -> DeviceId {
        // DEVICES_MAX keeps the position below u16::MAX.
        let id = DeviceId(self.devices.len() as u16);
        self.devices.push(Device {
            id,
            info: Arc::clone(info),
            gone: false,
            generation: 0,
            base: self.cells,
        });
        self.cells += columns(info.kind).len() as u32;
        self.by_key.entry(info.kind).or_default().insert(info.key.clone(), id);
        id
    }

    /// Marks a device as gone.
    pub fn retire(&mut self, id: DeviceId) {
        self.devices[id.index()].gone = true;
    }

    /// The entry of a handle.
    ///
    /// # Panics
    /// When the handle is from another table.
    pub fn get(&self, id: DeviceId) -> &Device {
        &self.devices[id.index()]
    }

    /// The device with this identity.
    pub fn find(&self, kind: DeviceKind, key: &str) -> Option<DeviceId> {
        self.by_key.get(&kind)?.get(key).copied()
    }

    /// Every device, gone ones included, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter()
    }

    /// The devices that are there, of one kind.
    pub fn of_kind(&self, kind: DeviceKind) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(move |d| d.info.kind == kind && !d.gone)
    }

    /// The whole accelerator at a PCI address, also one that is gone; the function within it does not matter.
    pub fn at_pci(&self, address: PciAddress) -> Option<DeviceId> {
        let wholes = self.devices.iter().filter(|d| d.info.kind.is_accelerator());
        let at = |d: &&Device| {
            let text = d.info.attributes.get("pci").map_or(d.info.key.as_str(), String::as_str);
            PciAddress::parse(text).is_some_and(|own| own.same_slot(address))
        };
        // Of two that were there one after the other, the one that is there now.
        wholes.filter(at).min_by_key(|d| d.gone).map(|d| d.id)
    }

    /// The device that this one is a part of; itself where it is a whole, or where the whole is not known.
    pub fn whole(&self, id: DeviceId) -> DeviceId {
        let parent = self.get(id).info.parent.as_str();
        if parent.is_empty() {
            return id;
        }
        let found = [DeviceKind::Gpu, DeviceKind::Npu].into_iter().find_map(|kind| self.find(kind, parent));
        found.unwrap_or(id)
    }

    /// The whole accelerators that are there.
    pub fn accelerators(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|d| d.info.kind.is_accelerator() && !d.gone)
    }

    /// How many entries there are, gone ones included.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether nothing was ever registered.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// How many cells a frame over this table has.
    pub fn cells(&self) -> usize {
        self.cells as usize
    }

    /// Where a reading lies in a frame; `None` when devices of that kind never have the metric.
    pub fn cell(&self, id: DeviceId, metric: Metric) -> Option<usize> {
        let device = &self.devices[id.index()];
        metric.column(device.info.kind).map(|column| device.base as usize + column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(kind: DeviceKind, key: &str) -> Arc<DeviceInfo> {
        Arc::new(DeviceInfo::new(kind, key))
    }

    #[test]
    fn an_identity_keeps_its_handle_when_it_returns() {
        let mut table = DeviceTable::default();
        let first = table.register(&info(DeviceKind::Gpu, "GPU-a")).unwrap();
        let second = table.register(&info(DeviceKind::Gpu, "GPU-b")).unwrap();
        table.retire(first);
        assert_eq!(table.of_kind(DeviceKind::Gpu).count(), 1);
        assert_eq!(table.register(&info(DeviceKind::Gpu, "GPU-a")).unwrap(), first);
        assert_ne!(first, second);
        assert!(!table.get(first).gone);
    }

    #[test]
    fn the_same_key_of_two_kinds_is_two_devices() {
        let mut table = DeviceTable::default();
        let core = table.register(&info(DeviceKind::Core, "0")).unwrap();
        let package = table.register(&info(DeviceKind::Package, "0")).unwrap();
        assert_ne!(core, package);
    }

    #[test]
    fn a_full_table_reuses_only_what_is_gone() {
        let mut table = DeviceTable::default();
        for n in 0..DEVICES_MAX {
            table.register(&info(DeviceKind::Cgroup, &n.to_string())).unwrap();
        }
        assert_eq!(table.register(&info(DeviceKind::Cgroup, "new")), Err(TableFull));
        let old = table.find(DeviceKind::Cgroup, "7").unwrap();
        table.retire(old);
        assert_eq!(table.register(&info(DeviceKind::Gpu, "GPU")), Err(TableFull));
        assert_eq!(table.register(&info(DeviceKind::Cgroup, "new")), Ok(old));
        assert_eq!(table.get(old).generation, 1);
        assert_eq!(table.find(DeviceKind::Cgroup, "7"), None);
    }
}
