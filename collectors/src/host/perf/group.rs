//! A group of counters on one processor, opened through perf-event2.
use super::counter::Sample;
use model::Metric;
use perf_event::events::{Event, Hardware, Software};
use perf_event::{Builder, Counter, Group as Raw, ReadFormat};
use std::io;

/// An event that may be a member of a group.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Of the processor.
    Hardware(Hardware),
    /// Of the kernel.
    Software(Software),
}

/// The hardware group. A member that the processor lacks is left out; the others still form one group.
pub(super) const HARDWARE: &[(Metric, Kind)] = &[
    (Metric::CoreCycles, Kind::Hardware(Hardware::CPU_CYCLES)),
    (Metric::CoreInstructions, Kind::Hardware(Hardware::INSTRUCTIONS)),
    (Metric::CoreCacheReferences, Kind::Hardware(Hardware::CACHE_REFERENCES)),
    (Metric::CoreCacheMisses, Kind::Hardware(Hardware::CACHE_MISSES)),
    (Metric::CoreBranches, Kind::Hardware(Hardware::BRANCH_INSTRUCTIONS)),
    (Metric::CoreBranchMisses, Kind::Hardware(Hardware::BRANCH_MISSES)),
    (Metric::CoreStalledFrontend, Kind::Hardware(Hardware::STALLED_CYCLES_FRONTEND)),
    (Metric::CoreStalledBackend, Kind::Hardware(Hardware::STALLED_CYCLES_BACKEND)),
];

/// The software group.
pub(super) const SOFTWARE: &[(Metric, Kind)] = &[
    (Metric::CoreSwitches, Kind::Software(Software::CONTEXT_SWITCHES)),
    (Metric::CoreMigrations, Kind::Software(Software::CPU_MIGRATIONS)),
    (Metric::CoreFaults, Kind::Software(Software::PAGE_FAULTS)),
];

/// Opens groups.
pub(super) struct Group;

/// An open, counting group.
pub(super) struct Opened {
    group: Raw,
    members: Vec<Counter>,
    /// The metrics of the members.
    pub(super) metrics: Vec<Metric>,
    /// What was wanted.
    wanted: &'static [(Metric, Kind)],
}

fn builder<'a>(event: impl Event, cpu: usize) -> Builder<'a> {
    let mut builder = Builder::new(event);
    builder.any_pid().one_cpu(cpu).include_kernel().include_hv();
    builder
}

fn add(group: &mut Raw, kind: Kind, cpu: usize) -> io::Result<Counter> {
    match kind {
        Kind::Hardware(event) => builder(event, cpu).build_with_group(group),
        Kind::Software(event) => builder(event, cpu).build_with_group(group),
    }
}

impl Group {
    /// Opens a group on a processor. The group's own leader is a software clock, which any group can have.
    pub(super) fn open(cpu: usize, wanted: &'static [(Metric, Kind)]) -> io::Result<Opened> {
        let format = ReadFormat::GROUP
            | ReadFormat::ID
            | ReadFormat::TOTAL_TIME_ENABLED
            | ReadFormat::TOTAL_TIME_RUNNING;
        let mut group = builder(Software::DUMMY, cpu).read_format(format).build_group()?;
        let mut members = Vec::with_capacity(wanted.len());
        let mut metrics = Vec::with_capacity(wanted.len());
        let mut refusal = None;
        for (metric, kind) in wanted {
            match add(&mut group, *kind, cpu) {
                Ok(member) => {
                    members.push(member);
                    metrics.push(*metric);
                }
                Err(error) => refusal = Some(error),
            }
        }
        if members.is_empty() {
            return Err(refusal.unwrap_or_else(|| io::ErrorKind::NotFound.into()));
        }
        group.enable()?;
        Ok(Opened { group, members, metrics, wanted })
    }
}

impl Opened {
    /// Reads the group in one system call and hands each member's sample over by its place.
    pub(super) fn read(&mut self, mut take: impl FnMut(usize, Sample)) -> io::Result<()> {
        let data = self.group.read()?;
        let nanoseconds = |time: Option<std::time::Duration>| time.map_or(0, |time| time.as_nanos() as u64);
        let (enabled_ns, running_ns) = (nanoseconds(data.time_enabled()), nanoseconds(data.time_running()));
        for (place, member) in self.members.iter().enumerate() {
            if let Some(entry) = data.get(member) {
                take(place, Sample { count: entry.value(), enabled_ns, running_ns });
            }
        }
        Ok(())
    }

    /// The metrics that were wanted and that the processor lacks.
    pub(super) fn missing(&self) -> impl Iterator<Item = Metric> + '_ {
        self.wanted.iter().map(|(metric, _)| *metric).filter(|metric| !self.metrics.contains(metric))
    }
}
