//! Memory of the node and of its NUMA nodes: sizes by use, paging, huge pages, where allocations landed.
use super::file::{Kept, absence, names, numbered};
use super::node;
use crate::Options;
use model::error::OpenError;
use model::{Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Slot, Timestamp};

/// A name in a kernel file, its metric, and what its number is multiplied with.
type Row = (&'static str, Metric, f64);

const KIB: f64 = 1024.0;

/// `/proc/meminfo`, proc(5).
const MEMINFO: &[Row] = &[
    ("MemTotal", Metric::NodeMemorySize, KIB),
    ("MemFree", Metric::NodeMemoryFree, KIB),
    ("MemAvailable", Metric::NodeMemoryAvailable, KIB),
    ("Buffers", Metric::NodeMemoryBuffers, KIB),
    ("Cached", Metric::NodeMemoryCached, KIB),
    ("AnonPages", Metric::NodeMemoryAnonymous, KIB),
    ("Dirty", Metric::NodeMemoryDirty, KIB),
    ("Writeback", Metric::NodeMemoryWriteback, KIB),
    ("Slab", Metric::NodeMemorySlab, KIB),
    ("SReclaimable", Metric::NodeMemorySlabReclaimable, KIB),
    ("SUnreclaim", Metric::NodeMemorySlabUnreclaimable, KIB),
    ("Unevictable", Metric::NodeMemoryUnevictable, KIB),
    ("Percpu", Metric::NodeMemoryPerCpu, KIB),
    ("VmallocUsed", Metric::NodeMemoryVmalloc, KIB),
    ("Committed_AS", Metric::NodeMemoryCommitted, KIB),
    ("Mlocked", Metric::NodeMemoryMlocked, KIB),
    ("Shmem", Metric::NodeMemoryShared, KIB),
    ("PageTables", Metric::NodeMemoryPageTables, KIB),
    ("KernelStack", Metric::NodeMemoryKernelStack, KIB),
    ("SwapTotal", Metric::SwapSize, KIB),
    ("SwapFree", Metric::SwapFree, KIB),
    ("HugePages_Total", Metric::HugePagesTotal, 1.0),
    ("HugePages_Free", Metric::HugePagesFree, 1.0),
    ("HugePages_Rsvd", Metric::HugePagesReserved, 1.0),
    ("HugePages_Surp", Metric::HugePagesSurplus, 1.0),
    ("AnonHugePages", Metric::AnonymousHugePages, KIB),
];

/// `/proc/vmstat`. Minor faults are counted with the major ones there and stalled allocations by memory zone; see below.
const VMSTAT: &[Row] = &[
    ("pgfault", Metric::PageFaultsMinor, 1.0),
    ("pgmajfault", Metric::PageFaultsMajor, 1.0),
    ("pswpin", Metric::PagesSwappedIn, 1.0),
    ("pswpout", Metric::PagesSwappedOut, 1.0),
    ("pgscan_kswapd", Metric::PagesScannedKswapd, 1.0),
    ("pgscan_direct", Metric::PagesScannedDirect, 1.0),
    ("pgsteal_kswapd", Metric::PagesStolenKswapd, 1.0),
    ("pgsteal_direct", Metric::PagesStolenDirect, 1.0),
    ("pgmigrate_success", Metric::PagesMigrated, 1.0),
    ("thp_collapse_alloc", Metric::PagesPromoted, 1.0),
    ("compact_stall", Metric::CompactionStalls, 1.0),
    ("oom_kill", Metric::OomKills, 1.0),
];

/// `meminfo` of a NUMA node, whose lines begin with `Node N`.
const NUMA_MEMINFO: &[Row] = &[
    ("MemTotal", Metric::NumaMemorySize, KIB),
    ("MemFree", Metric::NumaMemoryFree, KIB),
    ("MemUsed", Metric::NumaMemoryUsed, KIB),
    ("FilePages", Metric::NumaMemoryFile, KIB),
    ("AnonPages", Metric::NumaMemoryAnonymous, KIB),
];

/// `numastat` of a NUMA node, Documentation/admin-guide/numastat.rst.
const NUMASTAT: &[Row] = &[
    ("numa_hit", Metric::NumaHit, 1.0),
    ("numa_miss", Metric::NumaMiss, 1.0),
    ("numa_foreign", Metric::NumaForeign, 1.0),
    ("interleave_hit", Metric::NumaInterleave, 1.0),
    ("local_node", Metric::NumaLocal, 1.0),
    ("other_node", Metric::NumaOther, 1.0),
];

/// Opens the source.
///
/// # Errors
/// When `/proc/meminfo` cannot be read.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let roots = options.roots.clone();
    let meminfo =
        Kept::open(roots.proc.join("meminfo")).map_err(|error| OpenError::io("read /proc/meminfo", error))?;
    let vmstat = Kept::new(roots.proc.join("vmstat"));
    let folder = roots.sys.join("devices/system/node");
    let numa = |number: usize| {
        let folder = folder.join(format!("node{number}"));
        Numa {
            number,
            slot: None,
            meminfo: Kept::new(folder.join("meminfo")),
            numastat: Kept::new(folder.join("numastat")),
        }
    };
    let numas = names(&folder, |_| true).iter().filter_map(|name| numbered(name, "node")).map(numa).collect();
    Ok(Some(Box::new(Memory { info: node(&roots), slot: None, meminfo, vmstat, numas })))
}

struct Numa {
    number: usize,
    slot: Option<Slot>,
    meminfo: Kept,
    numastat: Kept,
}

struct Memory {
    info: DeviceInfo,
    slot: Option<Slot>,
    meminfo: Kept,
    vmstat: Kept,
    numas: Vec<Numa>,
}

/// Reads a file by a table; when it cannot be read, everything that the table names is absent for that reason.
fn read(
    file: &mut Kept,
    table: &[Row],
    prefix_words: usize,
    slot: Slot,
    batch: &mut Batch,
) -> std::io::Result<()> {
    match file.text() {
        Ok(text) => parse(text, table, prefix_words, slot, batch),
        Err(error) => {
            table.iter().for_each(|(_, metric, _)| batch.absent(slot, *metric, absence(&error)));
            return Err(error);
        }
    }
    Ok(())
}

/// Takes `name value` or `name: value kB` lines by a table. What the table names and the text lacks stays unsupported.
fn parse(text: &str, table: &[Row], prefix_words: usize, slot: Slot, batch: &mut Batch) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(prefix_words);
        let Some(name) = words.next() else { continue };
        let name = name.strip_suffix(':').unwrap_or(name);
        let Some((_, metric, scale)) = table.iter().find(|(known, ..)| *known == name) else { continue };
        match words.next().and_then(|word| word.parse::<f64>().ok()) {
            Some(number) => batch.set(slot, *metric, number * scale),
            None => batch.absent(slot, *metric, model::Absence::Implausible),
        }
    }
}

impl Collector for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let slot = match self.slot {
            Some(slot) => slot,
            None => *self.slot.insert(batch.device(self.info.clone())),
        };
        read(&mut self.meminfo, MEMINFO, 0, slot, batch)
            .map_err(|error| CollectError::io("read /proc/meminfo", error))?;
        vmstat(&mut self.vmstat, slot, batch);
        for numa in &mut self.numas {
            let info = || {
                let name = format!("node{}", numa.number);
                DeviceInfo { name, ..DeviceInfo::new(DeviceKind::Numa, numa.number.to_string()) }
            };
            let slot = *numa.slot.get_or_insert_with(|| batch.device(info()));
            // One of them failing is data: its metrics say why.
            let _ = read(&mut numa.meminfo, NUMA_MEMINFO, 2, slot, batch);
            let _ = read(&mut numa.numastat, NUMASTAT, 0, slot, batch);
        }
        Ok(())
    }
}

fn vmstat(file: &mut Kept, slot: Slot, batch: &mut Batch) {
    match file.text() {
        Ok(text) => {
            parse(text, VMSTAT, 0, slot, batch);
            minor_faults_only(slot, batch);
            let stalls = text.lines().filter_map(|line| {
                line.strip_prefix("allocstall")?.split_once(' ')?.1.trim().parse::<f64>().ok()
            });
            if let Some(stalls) = stalls.reduce(|sum, count| sum + count) {
                batch.set(slot, Metric::AllocationStalls, stalls);
            }
        }
        Err(error) => {
            let named = VMSTAT.iter().map(|(_, metric, _)| *metric);
            named
                .chain([Metric::AllocationStalls])
                .for_each(|metric| batch.absent(slot, metric, absence(&error)));
        }
    }
}

/// `pgfault` counts all faults; minor ones are those that are not major.
fn minor_faults_only(slot: Slot, batch: &mut Batch) {
    let value = |metric| batch.reading(slot, metric).and_then(model::Reading::value);
    if let (Some(all), Some(major)) = (value(Metric::PageFaultsMinor), value(Metric::PageFaultsMajor)) {
        batch.set(slot, Metric::PageFaultsMinor, (all - major).max(0.0));
    }
}
