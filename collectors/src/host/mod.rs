//! The host: processors, memory, pressure, disks, network, control groups, heat and energy, from the kernel's own files.
pub mod cgroup;
pub mod cpu;
pub mod disk;
pub mod edac;
mod file;
pub mod infiniband;
pub mod kmsg;
pub mod memory;
pub mod network;
pub mod perf;
pub mod pressure;
pub mod probe;
pub mod rapl;
pub mod resctrl;
pub mod space;
pub mod thermal;

use crate::Roots;
use model::{DeviceInfo, DeviceKind};

/// The node as a device; every source that speaks of it registers the same one.
fn node(roots: &Roots) -> DeviceInfo {
    let read =
        |name: &str| std::fs::read_to_string(roots.proc.join("sys/kernel").join(name)).unwrap_or_default();
    let (name, boot) = (read("hostname"), read("random/boot_id"));
    let name = name.trim();
    let mut info = DeviceInfo::new(DeviceKind::Node, if name.is_empty() { "localhost" } else { name });
    // Faults that come back are told by it from faults that stayed.
    if !boot.trim().is_empty() {
        info.attributes.insert("boot".to_owned(), boot.trim().to_owned());
    }
    info
}

/// A logical processor as a device.
fn core(number: usize) -> DeviceInfo {
    DeviceInfo { name: format!("cpu{number}"), ..DeviceInfo::new(DeviceKind::Core, number.to_string()) }
}

#[cfg(test)]
mod tests;
