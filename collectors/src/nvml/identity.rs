//! Who a GPU is: its product, place, versions and neighbours, and whether it is still the one it was.
use super::codes::Fault;
use super::raw::{Handle, getters};
use super::session::{Gpu, Session};
use model::{DeviceInfo, DeviceKind, Vendor};

/// The most neighbours that are asked after.
const PEERS_MAX: u32 = 16;

/// Attributes that a device keeps as long as it is the same: one of them different is a change that somebody should know of.
const LASTING: [&str; 4] = ["pci", "vbios", "driver", "serial"];

/// Who a device is; what cannot be read of it is left out.
pub(super) fn identity(session: &Session, gpu: &Gpu<'_>, index: u32, uuid: &str) -> DeviceInfo {
    let architecture = gpu.call("nvmlDeviceGetArchitecture", |device| device.architecture());
    let attributes = [
        ("pci", gpu.call("nvmlDeviceGetPciInfo_v3", |device| device.pci_info()).map(|pci| pci.bus_id)),
        ("serial", gpu.call("nvmlDeviceGetSerial", |device| device.serial())),
        ("vbios", gpu.call("nvmlDeviceGetVbiosVersion", |device| device.vbios_version())),
        ("driver", session.driver(gpu.calls())),
        ("architecture", architecture.map(|known| format!("{known:?}").to_lowercase())),
        ("peers", Ok(peers(session, gpu, index))),
    ];
    let known = |(name, value): (&str, Result<String, Fault>)| {
        value.ok().filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value))
    };
    DeviceInfo {
        name: format!("gpu{index}"),
        model: gpu.call("nvmlDeviceGetName", |device| device.name()).unwrap_or_default(),
        vendor: Vendor::Nvidia,
        attributes: attributes.into_iter().filter_map(known).collect(),
        ..DeviceInfo::new(DeviceKind::Gpu, uuid)
    }
}

/// The way to each other GPU that answers, the best of it: `gpu1:nvlink gpu2:pix`. The words are those of `nvidia-smi topo`.
fn peers(session: &Session, gpu: &Gpu<'_>, index: u32) -> String {
    let count = session.count(gpu.calls()).unwrap_or(0).min(PEERS_MAX);
    let way = |other: u32| {
        let handle = session.handle(other, gpu.calls()).ok()?;
        Some(format!("gpu{other}:{}", way_to(gpu, handle)?))
    };
    (0..count).filter(|other| *other != index).filter_map(way).collect::<Vec<_>>().join(" ")
}

fn way_to(gpu: &Gpu<'_>, other: Handle) -> Option<&'static str> {
    if getters::linked(gpu, other).unwrap_or(false) {
        return Some("nvlink");
    }
    // The levels of nvmlGpuTopologyLevel_t.
    match getters::common_ancestor(gpu, other).ok()? {
        0 => Some("board"),
        10 => Some("pix"),
        20 => Some("pxb"),
        30 => Some("phb"),
        40 => Some("node"),
        50 => Some("sys"),
        _ => None,
    }
}

/// Whether a device is another one than it was, in something that lasts. What was not known before is no change.
pub(super) fn changed(before: &DeviceInfo, after: &DeviceInfo) -> bool {
    let differs = |name: &&str| match (before.attributes.get(*name), after.attributes.get(*name)) {
        (Some(before), Some(after)) => before != after,
        _ => false,
    };
    let other_model = !before.model.is_empty() && !after.model.is_empty() && before.model != after.model;
    before.key != after.key || other_model || LASTING.iter().any(differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_firmware_is_a_change_and_another_neighbour_is_not() {
        let with = |name: &str, value: &str| {
            let mut info = DeviceInfo::new(DeviceKind::Gpu, "GPU-a");
            info.attributes.insert("vbios".into(), "1".into());
            info.attributes.insert(name.into(), value.into());
            info
        };
        assert!(changed(&with("vbios", "1"), &with("vbios", "2")));
        assert!(!changed(&with("peers", "gpu1:nvlink"), &with("peers", "gpu1:sys")));
        assert!(!changed(&DeviceInfo::new(DeviceKind::Gpu, "GPU-a"), &with("driver", "1")));
        assert!(changed(&DeviceInfo::new(DeviceKind::Gpu, "GPU-b"), &with("driver", "1")));
    }
}
