//! The memory of the simulated host by use, and of the control groups of the jobs on its two NUMA nodes.
use crate::node::{MEMORY_BYTES, Node};
use crate::noise::signed;
use model::{Batch, DeviceInfo, DeviceKind, Metric, Slot};

/// Memory that each control group may use, in bytes.
const GROUP_BYTES: f64 = 128.0 * (1_u64 << 30) as f64;
/// What a group holds without work, and what a job at work adds, as shares of that: loaders and their workers.
const GROUP_IDLE: f64 = 0.05;
const GROUP_JOB: f64 = 0.4;
/// Shares of the node's memory, all assumptions: services; pages that the driver pins for a job and that no group is charged for; what the
/// kernel cannot give back, and can; shared memory; what it keeps free.
const SERVICES: f64 = 0.06;
const PINNED: f64 = 0.01;
const SLAB_FIRM: f64 = 0.004;
const SLAB_SOFT: f64 = 0.008;
const SHARED: f64 = 0.002;
const TABLES: f64 = 0.001;
const RESERVE: f64 = 0.003;

/// The control groups' devices.
#[derive(Debug)]
pub(super) struct Memory {
    groups: Vec<Slot>,
}

/// What a group holds, in bytes.
#[derive(Debug, Clone, Copy)]
struct Group {
    anonymous: f64,
    file: f64,
}

impl Group {
    /// Loaders that breathe, what leaks and what pools hold; the page cache has what is left.
    fn of(node: &Node, group: usize) -> Self {
        let held = &node.held;
        let noise = 0.01 * signed(node.seed, 8010 + group as u64, node.quantum / 100);
        let own = GROUP_IDLE + GROUP_JOB * held.taken[group] + noise;
        let anonymous = (own + held.leaked[group] + held.pooled[group]).min(1.0);
        let file = held.cached[group].min(1.0 - anonymous);
        Self { anonymous: GROUP_BYTES * anonymous, file: GROUP_BYTES * file }
    }
}

impl Memory {
    pub(super) fn register(batch: &mut Batch) -> Self {
        let group = |n: usize| DeviceInfo {
            name: format!("job{n}"),
            ..DeviceInfo::new(DeviceKind::Cgroup, format!("/kubepods/job{n}"))
        };
        Self { groups: (0..2).map(|n| batch.device(group(n))).collect() }
    }

    /// Reads the node's memory and the groups'.
    pub(super) fn read(&self, slot: Slot, node: &Node, batch: &mut Batch) {
        let groups = [0, 1].map(|group| Group::of(node, group));
        for (slot, Group { anonymous, file }) in self.groups.iter().zip(groups) {
            for (metric, value) in [
                (Metric::CgroupMemory, anonymous + file),
                (Metric::CgroupMemoryLimit, GROUP_BYTES),
                (Metric::CgroupAnonymous, anonymous),
                (Metric::CgroupFile, file),
                (Metric::CgroupShared, 0.0),
            ] {
                batch.set(*slot, metric, value);
            }
        }
        let size = MEMORY_BYTES as f64;
        let sum = |part: fn(&Group) -> f64| groups.iter().map(part).sum::<f64>() / size;
        let jobs: f64 = node.held.taken.iter().sum();
        let noise = 0.002 * signed(node.seed, 8000, node.quantum / 100);
        let anonymous = SERVICES + noise + node.held.host + sum(|group| group.anonymous);
        let tables = TABLES + 0.002 * anonymous;
        let firm = anonymous + SHARED + SLAB_FIRM + tables + PINNED * jobs;
        let room = (1.0 - firm - RESERVE).max(0.0);
        // The page cache fills what is free and gives way when something else needs it.
        let file = (node.held.read + sum(|group| group.file)).min((room - SLAB_SOFT).max(0.0));
        let soft = SLAB_SOFT.min(room);
        let values = [
            (Metric::NodeMemoryAvailable, room),
            (Metric::NodeMemoryFree, room + RESERVE - file - soft),
            (Metric::NodeMemoryCached, file + SHARED),
            (Metric::NodeMemoryAnonymous, anonymous),
            (Metric::NodeMemoryShared, SHARED),
            (Metric::NodeMemorySlab, SLAB_FIRM + soft),
            (Metric::NodeMemorySlabReclaimable, soft),
            (Metric::NodeMemorySlabUnreclaimable, SLAB_FIRM),
            (Metric::NodeMemoryPageTables, tables),
        ];
        batch.set(slot, Metric::NodeMemorySize, size);
        for (metric, share) in values {
            batch.set(slot, metric, size * share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::load::Workload;
    use crate::profile::H100;

    /// What a node with a fault and with jobs says of its memory after twenty minutes, and what its first group does. `change`: what is
    /// done to it then.
    fn said(fault: Option<Fault>, change: impl Fn(&mut Node)) -> impl Fn(Metric) -> f64 {
        let mut node = Node::new(&H100, 8, 1, 0);
        (0..8).for_each(|board| node.set_workload(board, Workload::Training));
        fault.into_iter().for_each(|fault| node.boards[0].inject(fault));
        (1..=20).for_each(|minute| node.step_to(60_000_000_000 * minute));
        change(&mut node);
        let mut batch = Batch::default();
        let slot = batch.device(DeviceInfo::new(DeviceKind::Node, "node"));
        let memory = Memory::register(&mut batch);
        batch.begin();
        memory.read(slot, &node, &mut batch);
        let group = memory.groups[0];
        move |metric| {
            let reading = [slot, group].into_iter().find_map(|slot| batch.reading(slot, metric)?.value());
            reading.unwrap_or_else(|| panic!("{metric} is not told"))
        }
    }

    fn as_it_is(_: &mut Node) {}

    #[test]
    fn a_page_cache_takes_what_is_free_and_nothing_that_is_available() {
        let (sound, fills) = (said(None, as_it_is), said(Some(Fault::CacheFills), as_it_is));
        let more = fills(Metric::CgroupMemory) - sound(Metric::CgroupMemory);
        assert!(more > 0.25 * GROUP_BYTES, "{more}");
        for metric in [Metric::NodeMemoryAvailable, Metric::NodeMemoryAnonymous, Metric::CgroupAnonymous] {
            assert_eq!(sound(metric), fills(metric), "{metric}");
        }
        let freed = sound(Metric::NodeMemoryFree) - fills(Metric::NodeMemoryFree);
        assert!((freed - more).abs() < 1e-3 * more, "{freed} and {more}");
    }

    #[test]
    fn a_leak_and_a_pool_are_anonymous_and_the_cache_gives_way_to_them() {
        let (sound, leaks, pools) = (
            said(None, as_it_is),
            said(Some(Fault::HostLeak), as_it_is),
            said(Some(Fault::PoolFills), as_it_is),
        );
        for one in [&leaks, &pools] {
            let more = one(Metric::NodeMemoryAnonymous) - sound(Metric::NodeMemoryAnonymous);
            let gone = sound(Metric::NodeMemoryAvailable) - one(Metric::NodeMemoryAvailable);
            assert!(more > 1e10 && (gone - more).abs() < 0.01 * more, "{more} and {gone}");
        }
        // A leak leaves the node less than it had cached.
        let late = said(None, |node| node.held.host = 0.83);
        assert!(late(Metric::NodeMemoryCached) < sound(Metric::NodeMemoryCached));
        assert!(late(Metric::NodeMemoryFree) > 0.0 && late(Metric::NodeMemoryAvailable) > 0.0);
        assert!(pools(Metric::CgroupFile) < sound(Metric::CgroupFile));
    }
}
