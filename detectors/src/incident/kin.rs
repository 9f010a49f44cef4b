//! Kin: which devices can have a fault's cause in common, by part and whole, source, link and node.
use super::causes::Reach;
use model::{DeviceId, DeviceKind, DeviceTable, FaultKind};

/// Which source reads which device, by [`DeviceId::index`]. Filled by whoever runs the sources.
#[derive(Debug, Clone, Default)]
pub struct Kin {
    source: Vec<Option<DeviceId>>,
}

impl Kin {
    /// Says that a device is read by a source. What was said of a device that has gone stays: who read it is still so.
    pub fn read_by(&mut self, device: DeviceId, source: DeviceId) {
        if self.source.len() <= device.index() {
            self.source.resize(device.index() + 1, None);
        }
        self.source[device.index()] = Some(source);
    }

    fn source(&self, device: DeviceId) -> Option<DeviceId> {
        self.source.get(device.index()).copied().flatten()
    }
}

/// Faults that one end of a link can leave at the other.
const OVER_LINKS: [FaultKind; 4] =
    [FaultKind::Xid, FaultKind::LinkErrors, FaultKind::LinkDown, FaultKind::FabricDown];
/// Faults that are told of the node where nobody says which device they are about, and what a device's end does to the
/// node's own counters.
const OF_NOBODY: [FaultKind; 3] = [FaultKind::ProcessStuck, FaultKind::PcieAer, FaultKind::Residual];

/// The devices of a node and who belongs to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) devices: &'a DeviceTable,
    pub(super) kin: &'a Kin,
}

impl World<'_> {
    fn kind(self, device: DeviceId) -> DeviceKind {
        self.devices.get(device).info.kind
    }

    /// Whether two devices are one, or parts of one.
    pub(super) fn same(self, one: DeviceId, other: DeviceId) -> bool {
        self.devices.whole(one) == self.devices.whole(other)
    }

    /// Whether one of two devices is the source that reads the other.
    pub(super) fn source_and_device(self, one: DeviceId, other: DeviceId) -> bool {
        let reads = |source: DeviceId, device: DeviceId| {
            self.kind(source) == DeviceKind::Source
                && self.kin.source(self.devices.whole(device)) == Some(source)
        };
        reads(one, other) || reads(other, one)
    }

    /// Whether two devices are read by one source.
    pub(super) fn one_source(self, one: DeviceId, other: DeviceId) -> bool {
        let source = self.kin.source(self.devices.whole(one));
        source.is_some() && source == self.kin.source(self.devices.whole(other))
    }

    /// The accelerators that are read by the source of one of them, those that are gone included.
    pub(super) fn siblings(self, device: DeviceId) -> impl Iterator<Item = DeviceId> {
        let all = self.devices.iter().filter(|known| known.info.kind.is_accelerator());
        all.map(|known| known.id).filter(move |other| self.one_source(device, *other))
    }

    /// Whether a cause on one device reaches a fault on another.
    pub(super) fn reaches(self, cause: (DeviceId, Reach), symptom: (DeviceId, FaultKind)) -> bool {
        let ((cause, reach), (device, fault)) = (cause, symptom);
        let (from, to) = (self.devices.whole(cause), self.devices.whole(device));
        if from == to {
            return true;
        }
        if self.kind(to) == DeviceKind::Node && self.kind(from).is_accelerator() && OF_NOBODY.contains(&fault)
        {
            return true;
        }
        if self.kind(from) == DeviceKind::Source {
            return self.kin.source(to) == Some(from);
        }
        match reach {
            Reach::Own => false,
            Reach::Peers => OVER_LINKS.contains(&fault) && self.linked(cause, device),
            Reach::Node => !self.kind(from).is_accelerator(),
            Reach::Everything => true,
        }
    }

    /// Whether a link of one accelerator names the other as its far end. Where a fault is about one link, only that link
    /// counts.
    pub(super) fn linked(self, one: DeviceId, other: DeviceId) -> bool {
        self.names(one, other) || self.names(other, one)
    }

    fn names(self, near: DeviceId, far: DeviceId) -> bool {
        let far = &self.devices.get(self.devices.whole(far)).info;
        let Some(slot) = far.attributes.get("pci").map(|slot| slot.trim_start_matches('0')) else {
            return false;
        };
        let leads = |link: &model::Device| {
            let remote = link.info.attributes.get("remote").map(|slot| slot.trim_start_matches('0'));
            remote.is_some_and(|remote| remote.eq_ignore_ascii_case(slot))
        };
        if self.kind(near) == DeviceKind::Link {
            return leads(self.devices.get(near));
        }
        let near = &self.devices.get(near).info;
        self.devices.of_kind(DeviceKind::Link).any(|link| link.info.parent == near.key && leads(link))
    }
}
