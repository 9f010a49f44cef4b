//! The simulated host: processors, memory and their energy.
use crate::node::{CORES, MEMORY_BYTES, Node};
use model::{Batch, DeviceInfo, DeviceKind, Metric, Slot};

/// The host's devices.
#[derive(Debug)]
pub(super) struct Host {
    node: Slot,
    cores: Vec<Slot>,
    zones: Vec<Slot>,
}

impl Host {
    /// Registers the host's devices.
    pub(super) fn register(batch: &mut Batch) -> Self {
        let core = |n: usize| DeviceInfo {
            name: format!("cpu{n}"),
            ..DeviceInfo::new(DeviceKind::Core, n.to_string())
        };
        let zones = ["package-0", "package-1", "package-0/dram", "package-1/dram"];
        Self {
            node: batch.device(DeviceInfo::new(DeviceKind::Node, "simulated-node")),
            cores: (0..CORES).map(|n| batch.device(core(n))).collect(),
            zones: zones.iter().map(|name| batch.device(DeviceInfo::new(DeviceKind::Zone, *name))).collect(),
        }
    }

    /// Reads them.
    pub(super) fn read(&self, node: &Node, batch: &mut Batch) {
        let load = node.busy * CORES as f64;
        let used = 0.08 + 0.25 * node.busy;
        let size = MEMORY_BYTES as f64;
        let values = [
            (Metric::Load1, load),
            (Metric::Uptime, node.quantum as f64 / 100.0),
            (Metric::NodeMemorySize, size),
            (Metric::NodeMemoryAvailable, size * (1.0 - used)),
            (Metric::PressureCpuSome10, (node.busy - 0.3).max(0.0)),
            (Metric::PressureMemorySome10, 0.0),
            (Metric::PressureIoSome10, 0.0),
        ];
        for (metric, value) in values {
            batch.set(self.node, metric, value);
        }
        for (slot, times) in self.cores.iter().zip(&node.core_s) {
            for (metric, seconds) in
                [Metric::CoreUser, Metric::CoreSystem, Metric::CoreIdle].into_iter().zip(times)
            {
                batch.set(*slot, metric, *seconds);
            }
        }
        for (slot, joules) in self.zones.iter().zip(node.package_j.iter().chain(&node.dram_j)) {
            batch.set(*slot, Metric::ZoneEnergy, *joules);
        }
    }
}
