//! The simulated host: processors, their energy, fans; its memory is beside it.
use super::memory::Memory;
use crate::fault::Fault;
use crate::node::{CORES, Node};
use crate::noise::signed;
use model::{Batch, DeviceInfo, DeviceKind, Metric, Slot};

/// The host's devices.
#[derive(Debug)]
pub(super) struct Host {
    node: Slot,
    cores: Vec<Slot>,
    zones: Vec<Slot>,
    fans: Vec<Slot>,
    memory: Memory,
}

/// Fans of the chassis, each in front of every eighth board.
const FANS: usize = 8;

impl Host {
    /// Registers the host's devices.
    pub(super) fn register(batch: &mut Batch) -> Self {
        let core = |n: usize| DeviceInfo {
            name: format!("cpu{n}"),
            ..DeviceInfo::new(DeviceKind::Core, n.to_string())
        };
        let fan = |n: usize| DeviceInfo {
            name: format!("fan{n}"),
            ..DeviceInfo::new(DeviceKind::Sensor, format!("chassis/fan{n}"))
        };
        let zones = ["package-0", "package-1", "package-0/dram", "package-1/dram"];
        Self {
            node: batch.device(DeviceInfo::new(DeviceKind::Node, "simulated-node")),
            cores: (0..CORES).map(|n| batch.device(core(n))).collect(),
            zones: zones.iter().map(|name| batch.device(DeviceInfo::new(DeviceKind::Zone, *name))).collect(),
            fans: (0..FANS).map(|n| batch.device(fan(n))).collect(),
            memory: Memory::register(batch),
        }
    }

    /// Reads them.
    pub(super) fn read(&self, node: &Node, batch: &mut Batch) {
        let second = node.quantum / 100;
        let values = [
            (Metric::Load1, node.load1),
            (
                Metric::TasksRunning,
                (node.load1 * (1.0 + 0.2 * signed(node.seed, 8001, second))).max(1.0).round(),
            ),
            (Metric::ContextSwitches, node.switches.floor()),
            (Metric::Uptime, node.quantum as f64 / 100.0),
            (Metric::PressureCpuSome, node.stall_s),
            (Metric::PressureCpuSome10, node.pressure10),
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
        self.memory.read(self.node, node, batch);
        for (slot, joules) in self.zones.iter().zip(node.package_j.iter().chain(&node.dram_j)) {
            batch.set(*slot, Metric::ZoneEnergy, *joules);
        }
        self.read_fans(node, batch);
    }

    /// Fans turn faster with the node's power; those beside one that stands still turn faster yet.
    fn read_fans(&self, node: &Node, batch: &mut Batch) {
        let stopped = |fan: usize| {
            node.boards().iter().any(|b| b.index as usize % FANS == fan && b.has(Fault::FanStop))
        };
        let any = (0..FANS).any(stopped);
        let rpm = 5000.0 + 0.6 * node.boards_w() + if any { 900.0 } else { 0.0 };
        for (fan, slot) in self.fans.iter().enumerate() {
            let noise = 1.0 + 0.01 * signed(node.seed, 9000 + fan as u64, node.quantum / 100);
            let rpm = if stopped(fan) { 0.0 } else { (rpm * noise / 30.0).round() * 30.0 };
            batch.set(*slot, Metric::SensorFan, rpm);
        }
    }
}
