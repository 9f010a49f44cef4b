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
pub mod rapl;
pub mod space;
pub mod thermal;

use crate::Roots;
use model::{DeviceInfo, DeviceKind};

/// The node as a device; every source that speaks of it registers the same one.
fn node(roots: &Roots) -> DeviceInfo {
    let name = std::fs::read_to_string(roots.proc.join("sys/kernel/hostname")).unwrap_or_default();
    DeviceInfo::new(DeviceKind::Node, if name.trim().is_empty() { "localhost" } else { name.trim() })
}

/// A logical processor as a device.
fn core(number: usize) -> DeviceInfo {
    DeviceInfo { name: format!("cpu{number}"), ..DeviceInfo::new(DeviceKind::Core, number.to_string()) }
}

#[cfg(test)]
mod tests;
