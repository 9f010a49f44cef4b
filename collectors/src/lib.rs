//! Collectors: the only production code that touches devices. Opening is apart from reading; each source is one file.
mod able;
pub mod amd;
pub mod ascend;
pub mod cuda;
pub mod engine;
pub mod gaudi;
pub mod host;
pub mod intel;
mod library;
mod listed;
pub mod nvml;
pub mod replay;
pub mod roots;
mod sysfs;
pub mod workload;

use model::{Actuator, Calls, Collector, OpenError};
pub use roots::Roots;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What sources are opened with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where `/proc` and `/sys` are.
    pub roots: Roots,
    /// Paths of vendor libraries by the name of their source, where the operator chose one.
    pub libraries: BTreeMap<String, PathBuf>,
    /// The most control groups followed at once.
    pub cgroups_max: usize,
    /// The most control groups whose performance counters are read; 0 for none.
    pub cgroup_counters: usize,
    /// The inference engines whose own metrics are read.
    pub engines: Vec<engine::Target>,
    /// From one reading of an engine's metrics to the next.
    pub engine_interval: Duration,
    /// Whether memory is probed actively.
    pub probe: bool,
    /// Where the source accounts for its calls into drivers.
    pub calls: Calls,
}

impl Options {
    /// The library of a source, for `dlopen`: the operator's choice, else the entry's own.
    pub fn library<'a>(&'a self, source: &str, own: &'a str) -> &'a Path {
        self.libraries.get(source).map_or(Path::new(own), PathBuf::as_path)
    }
}

/// Whether a source may run on the beat's own thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Reads the kernel's own files, which answer at once.
    Inline,
    /// Calls a vendor library or something else that can hang. The devices it meets may have workers of their own.
    Worker,
}

/// A right that a source needs, for the table of needs and for `wattkeeper doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// What is read or done with it.
    pub what: &'static str,
    /// The least right that suffices: "none", a group, a capability.
    pub right: &'static str,
    /// What is lost without it.
    pub without: &'static str,
}

impl Need {
    /// Something that every user may read.
    pub const fn none(what: &'static str) -> Self {
        Self { what, right: "none", without: "" }
    }
}

/// How a source is opened: `None` means that this host has no such device.
pub type OpenCollector = fn(&Options) -> Result<Option<Box<dyn Collector>>, OpenError>;
/// How the source of the reflex is opened for the device with a key: `None` means that this host has no such devices.
pub type OpenReflex = fn(&Options, &str) -> Result<Option<Box<dyn Collector>>, OpenError>;
/// How an actuator is opened: `None` means that this host has no such device.
pub type OpenActuator = fn(&Options) -> Result<Option<Box<dyn Actuator>>, OpenError>;

/// One source that wattkeeper knows how to open. A vendor's entry is a constant of its own module.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The collector's name.
    pub name: &'static str,
    /// Where it runs.
    pub place: Place,
    /// Opens it.
    pub open: OpenCollector,
    /// Opens a source that reads nothing but the instantaneous power of one device, for the reflex.
    pub reflex: Option<OpenReflex>,
    /// Opens what turns the devices' knobs.
    pub actuator: Option<OpenActuator>,
    /// The vendor library that it loads, if any; the operator may name another.
    pub library: Option<&'static str>,
    /// The rights that it needs.
    pub needs: &'static [Need],
}

impl Entry {
    /// A source on the beat's own thread.
    pub const fn inline(name: &'static str, open: OpenCollector, needs: &'static [Need]) -> Self {
        Self { name, place: Place::Inline, open, reflex: None, actuator: None, library: None, needs }
    }

    /// A source on a thread of its own.
    pub const fn worker(name: &'static str, open: OpenCollector, needs: &'static [Need]) -> Self {
        Self { place: Place::Worker, ..Self::inline(name, open, needs) }
    }
}

/// Every source, in the order in which a beat reads them. A new vendor is one folder, its `mod` above and its
/// entry here.
pub const BUILT_IN: &[Entry] = &[
    Entry::inline("cpu", host::cpu::open, &[Need::none("processor time, load, scheduling")]),
    Entry::inline("memory", host::memory::open, &[Need::none("memory, NUMA and paging")]),
    Entry::inline("pressure", host::pressure::open, &[Need::none("stalls (PSI)")]),
    Entry::inline("perf", host::perf::open, host::perf::NEEDS),
    host::probe::ENTRY,
    Entry::inline(
        "resctrl",
        host::resctrl::open,
        &[Need::none("traffic to memory and use of caches (resctrl)")],
    ),
    Entry::inline("disk", host::disk::open, &[Need::none("disk requests")]),
    Entry::inline("network", host::network::open, &[Need::none("network counters")]),
    Entry::inline("infiniband", host::infiniband::open, &[Need::none("InfiniBand port counters")]),
    host::cgroup::ENTRY,
    Entry::inline(
        "thermal",
        host::thermal::open,
        &[Need::none("temperatures, fans and power of the host's sensors")],
    ),
    host::rapl::ENTRY,
    Entry::inline("edac", host::edac::open, &[Need::none("memory errors of the host")]),
    Entry::inline("kmsg", host::kmsg::open, host::kmsg::NEEDS),
    Entry::worker("space", host::space::open, &[Need::none("space on file systems")]),
    nvml::ENTRY,
    amd::ENTRY,
    intel::ENTRY,
    intel::npu::ENTRY,
    gaudi::ENTRY,
    ascend::ENTRY,
    engine::ENTRY,
];
