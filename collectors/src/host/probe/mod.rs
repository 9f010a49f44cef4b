//! An active probe of memory, opt-in: on each beat and cache domain a short pointer chase and a short copy on an idle processor.
//!
//! It is for hosts that let nobody read hardware counters. What the probe walks over was read last some 60 beats ago. Where part
//! of it is still in the shared cache by then, work that wants the cache throws it out, and work that wants the memory bus makes
//! what is fetched arrive later: both would raise the latency and lower the rate of copies. It cannot tell one from the other,
//! nor who it is.
//!
//! On the one machine on which that was measured, two processors of a virtual machine whose third level others share, it saw
//! neither: 390 ns a load whether or not anybody was in the way, as if nothing were left in the cache to be thrown out. Against the
//! median of quiet windows, latency was 0.99 beside the lab's antagonist of the cache and 1.00 beside that of memory bandwidth (205
//! windows each), and 1.15 or more in 4 % and 14 % of them, in 12 % of quiet ones. Quiet readings of one campaign vary by 12 %
//! (latency) and 33 % (copies; coefficients of variation). Source: columns `node_probe_*` of detectors/data/interference. A lack of
//! change is no proof of quiet. It costs 106 us of processor time a run (100 to 117) and 38 us a beat to see who is idle, on that machine
//! at a load of 18, at which no beat of 768 found an idle processor to run on (`tests/measure.rs`).
mod domain;
mod idle;
mod machine;
mod run;

use super::core;
use super::file::Kept;
use crate::{Entry, Need, Options};
use domain::{Domain, domains};
use idle::Idle;
use machine::{Machine, This};
use model::error::OpenError;
use model::{Absence, Batch, CollectError, Collector, Metric, Slot, Timestamp};
use run::{Sample, Work};

/// The source's entry. It runs on a thread of its own, for it moves that thread from processor to processor.
pub const ENTRY: Entry = Entry::worker(
    "probe",
    open,
    &[Need {
        what: "latency and bandwidth of memory by an active probe (only with probe.enabled = true)",
        right: "a cpuset with a processor of each cache domain",
        without: "latency and bandwidth of the domains outside",
    }],
);

/// Bytes of memory that all domains together may take.
const MEMORY_MAX: usize = 128 << 20;
/// Cache domains probed at most, the first ones: 16.
const DOMAINS_MAX: usize = MEMORY_MAX / run::BYTES;
/// Share of the time since the last beat for which a processor must have been idle to be probed on: work that keeps
/// every processor of a domain busier is not to lose time to a probe.
const IDLE_MIN: f64 = 0.1;

/// Opens the source; there is none where the operator has not asked for it.
///
/// # Errors
/// When `/proc/stat` cannot be read.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    if !options.probe {
        return Ok(None);
    }
    Ok(start(options, Box::new(This::default()))?.map(|probe| Box::new(probe) as Box<dyn Collector>))
}

/// The source on a machine.
fn start(options: &Options, machine: Box<dyn Machine>) -> Result<Option<Probe>, OpenError> {
    let stat = Kept::open(options.roots.proc.join("stat"))
        .map_err(|error| OpenError::io("read /proc/stat", error))?;
    let mut places: Vec<Place> = domains(&options.roots.sys).into_iter().map(Place::new).collect();
    places.truncate(DOMAINS_MAX);
    Ok((!places.is_empty()).then(|| Probe { machine, stat, idle: Idle::default(), places }))
}

/// Why a beat has no sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    /// No processor of the domain was idle, or it is not known yet.
    Busy,
    /// Something else ran meanwhile, so what was measured is not memory.
    Preempted,
    /// This process may not run on the domain's processors.
    Denied,
}

/// One domain with what it is probed with and what that has cost.
struct Place {
    domain: Domain,
    slot: Option<Slot>,
    work: Option<Work>,
    /// Processor time of this source on behalf of the domain, in nanoseconds.
    spent_ns: u64,
    busy: u64,
    preempted: u64,
}

impl Place {
    fn new(domain: Domain) -> Self {
        Self { domain, slot: None, work: None, spent_ns: 0, busy: 0, preempted: 0 }
    }

    /// Probes the domain where that takes nothing from anybody.
    fn probe(&mut self, idle: &Idle, machine: &mut dyn Machine) -> Result<Sample, Skip> {
        let allowed = |cpu: &&usize| machine.is_allowed(**cpu);
        let mut candidates = self.domain.cpus.iter().filter(allowed).peekable();
        candidates.peek().ok_or(Skip::Denied)?;
        let cpu = idle.idlest(candidates.copied(), IDLE_MIN).ok_or(Skip::Busy)?;
        machine.pin(cpu).map_err(|_| Skip::Denied)?;
        // Made here, so that its pages are of the domain's own memory.
        let sample = self.work.get_or_insert_with(Work::new).run(machine);
        machine.unpin();
        sample.ok_or(Skip::Preempted)
    }

    fn tell(&mut self, sample: Result<Sample, Skip>, batch: &mut Batch) {
        let first = self.domain.cpus[0];
        let slot = *self.slot.get_or_insert_with(|| batch.device(core(first)));
        match sample {
            Ok(sample) => {
                batch.set(slot, Metric::ProbeLatency, sample.latency_s);
                batch.set(slot, Metric::ProbeCopy, sample.copy_bytes_per_s);
            }
            Err(skip) => {
                self.busy += u64::from(skip == Skip::Busy);
                self.preempted += u64::from(skip == Skip::Preempted);
                let why = if skip == Skip::Denied { Absence::Denied } else { Absence::Late };
                batch.absent(slot, Metric::ProbeLatency, why);
                batch.absent(slot, Metric::ProbeCopy, why);
            }
        }
        batch.set(slot, Metric::ProbeSeconds, self.spent_ns as f64 / 1e9);
        batch.set(slot, Metric::ProbeSkipsBusy, self.busy as f64);
        batch.set(slot, Metric::ProbeSkipsPreempted, self.preempted as f64);
    }
}

struct Probe {
    machine: Box<dyn Machine>,
    stat: Kept,
    idle: Idle,
    places: Vec<Place>,
}

impl Collector for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let machine = self.machine.as_mut();
        // What all domains share, such as reading the file below, is put down to the first.
        let mut mark_ns = machine.cpu_ns();
        machine.begin();
        let stat = self.stat.text().map_err(|error| CollectError::io("read /proc/stat", error))?;
        self.idle.follow(stat);
        for place in &mut self.places {
            let sample = place.probe(&self.idle, machine);
            let now_ns = machine.cpu_ns();
            place.spent_ns += now_ns.saturating_sub(mark_ns);
            mark_ns = now_ns;
            place.tell(sample, batch);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
