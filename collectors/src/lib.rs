//! Collectors: the only production code that touches devices. Opening is apart from reading; each source is one file.
pub mod host;
pub mod nvml;
pub mod replay;
pub mod roots;
pub mod workload;

use model::{Actuator, Collector, OpenError};
pub use roots::Roots;
use std::path::PathBuf;

/// What sources are opened with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where `/proc` and `/sys` are.
    pub roots: Roots,
    /// Path or name of the NVML library, for `dlopen`.
    pub nvml_library: PathBuf,
    /// The most control groups followed at once.
    pub cgroups_max: usize,
}

/// Whether a source may run on the beat's own thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Reads the kernel's own files, which answer at once.
    Inline,
    /// Calls a vendor library or something else that can hang.
    Worker,
}

/// How a source is opened: `None` means that this host has no such device.
pub type OpenCollector = fn(&Options) -> Result<Option<Box<dyn Collector>>, OpenError>;
/// How an actuator is opened: `None` means that this host has no such device.
pub type OpenActuator = fn(&Options) -> Result<Option<Box<dyn Actuator>>, OpenError>;

/// One source that wattkeeper knows how to open.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The collector's name.
    pub name: &'static str,
    /// Where it runs.
    pub place: Place,
    /// Opens it.
    pub open: OpenCollector,
}

const fn inline(name: &'static str, open: OpenCollector) -> Entry {
    Entry { name, place: Place::Inline, open }
}

const fn worker(name: &'static str, open: OpenCollector) -> Entry {
    Entry { name, place: Place::Worker, open }
}

/// Every source, in the order in which a beat reads them.
pub const BUILT_IN: &[Entry] = &[
    inline("cpu", host::cpu::open),
    inline("memory", host::memory::open),
    inline("pressure", host::pressure::open),
    inline("perf", host::perf::open),
    inline("disk", host::disk::open),
    inline("network", host::network::open),
    inline("infiniband", host::infiniband::open),
    inline("cgroup", host::cgroup::open),
    inline("thermal", host::thermal::open),
    inline("rapl", host::rapl::open),
    inline("edac", host::edac::open),
    worker("space", host::space::open),
    worker("nvml", nvml::open),
];

/// Sources that read nothing but instantaneous power, for the reflex.
pub const REFLEX: &[Entry] = &[worker("nvml", nvml::open_reflex)];

/// Everything that can turn a knob.
pub const ACTUATORS: &[(&str, OpenActuator)] = &[("nvml", nvml::open_actuator)];
