//! Performance counters of each processor, system-wide: one hardware and one software group, each read as a whole so that
//! ratios within it are consistent, and scaled by the time it was on the hardware.
pub(in crate::host) mod counter;
pub(in crate::host) mod group;

use super::file::{Kept, absence};
use crate::{Need, Options, Roots};
use counter::Scaled;
use group::{Group, HARDWARE, Kernel, MEMBERS_MAX, Machine, Place, SOFTWARE, Wanted, lacks};
use model::error::{OpenError, Reason};
use model::{Absence, Batch, CollectError, Collector, Metric, Slot, Timestamp};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// Processors counted at most.
const CPUS_MAX: usize = 512;
/// Of the files that this process may have open, counters take at most one in so many.
const FILES_SHARE: u64 = 2;
/// Readings after which a group that was never on the hardware is taken to be too large for it.
pub(in crate::host) const FIT_BEATS: u32 = 10;
/// Members below which a group is not made smaller: cycles and instructions.
pub(in crate::host) const MEMBERS_MIN: usize = 2;

/// What counting needs.
pub const NEEDS: &[Need] = &[Need {
    what: "performance counters",
    right: "CAP_PERFMON, or perf_event_paranoid of -1",
    without: "cycles, instructions, cache misses, context switches of each core",
}];

/// Opens the source. Counters are the machine's own, so a fixture tree has none; nor has a kernel that cannot count.
///
/// Where counting is refused, as without CAP_PERFMON, the source opens all the same and every counter is `Denied`.
///
/// # Errors
/// When counters would take more than half of the files that this process may have open (the limit `nofile` has to be
/// raised), or the kernel fails to open one.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    if options.roots != Roots::default() {
        return Ok(None);
    }
    let online = options.roots.sys.join("devices/system/cpu/online");
    Ok(start(Box::new(Machine), online)?.map(|perf| Box::new(perf) as Box<dyn Collector>))
}

/// The source over a kernel and its list of processors.
fn start(mut kernel: Box<dyn Kernel>, online: PathBuf) -> Result<Option<Perf>, OpenError> {
    let mut online = Kept::new(online);
    let cpus = online.text().map(parse_list).unwrap_or_default();
    let Some(&first) = cpus.first() else { return Ok(None) };
    let Some(files) = probe(kernel.as_mut(), first)? else { return Ok(None) };
    let (wanted, room) = (files * cpus.len() as u64, kernel.files_max().map(|most| most / FILES_SHARE));
    if let Some(room) = room.filter(|room| wanted > *room) {
        let what = format!(
            "open {wanted} counters: at most {room} files may be theirs, raise the limit of open files"
        );
        return Err(OpenError::new(what, Reason::Full));
    }
    Ok(Some(Perf { kernel, online, listed: String::new(), cpus: Vec::new() }))
}

/// Files that the counters of one processor take, 0 where counting is refused; `None` where nothing can be counted.
fn probe(kernel: &mut dyn Kernel, cpu: usize) -> Result<Option<u64>, OpenError> {
    let mut files = None;
    for wanted in [SOFTWARE, HARDWARE] {
        match kernel.open(Place { cpu, cgroup: None }, wanted) {
            Ok(group) => files = Some(files.unwrap_or(0) + group.metrics().len() as u64 + 1),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => files = files.or(Some(0)),
            Err(error) if lacks(&error) => {}
            Err(error) => return Err(OpenError::io("count events", error)),
        }
    }
    Ok(files)
}

/// The numbers in a list such as `0-3,8`, at most [`CPUS_MAX`].
pub(in crate::host) fn parse_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse::<usize>().ok()?)
    };
    text.split(',').filter_map(range).flatten().take(CPUS_MAX).collect()
}

/// An open group with its totals.
struct Tally {
    group: Box<dyn Group>,
    scaled: Scaled,
    /// Readings without the hardware since it was opened or made smaller.
    waits: u32,
}

impl Tally {
    fn read(&mut self, scheduled: Metric, slot: Slot, batch: &mut Batch) -> io::Result<()> {
        let mut counts = [0; MEMBERS_MAX];
        let counts = &mut counts[..self.group.metrics().len()];
        let share = self.scaled.add(self.group.read(counts)?, counts);
        // A total that stands still would say that nothing was executed, when nobody looked.
        let waited = share.is_some_and(|share| share <= 0.0);
        for (metric, total) in self.group.metrics().iter().zip(self.scaled.totals()) {
            match waited {
                false => batch.set(slot, *metric, *total),
                true => batch.absent(slot, *metric, Absence::Late),
            }
        }
        if let Some(share) = share {
            batch.set(slot, scheduled, share);
        }
        self.fit();
        Ok(())
    }

    /// Makes a group smaller that never gets on the hardware. The kernel refuses members that can never fit, but it
    /// does not consider that others hold counters for good, as the NMI watchdog does; such a group waits for ever.
    fn fit(&mut self) {
        if !self.scaled.never_ran() {
            return;
        }
        self.waits += 1;
        if self.waits >= FIT_BEATS && self.group.metrics().len() > MEMBERS_MIN {
            self.group.shed();
            self.scaled.shed();
            self.waits = 0;
        }
    }
}

/// One of a processor's two groups, or why it is absent.
struct Side {
    wanted: Wanted,
    /// The share of time on the hardware.
    scheduled: Metric,
    tally: Result<Tally, Absence>,
}

impl Side {
    fn open(kernel: &mut dyn Kernel, cpu: usize, wanted: Wanted, scheduled: Metric) -> Self {
        let tally = match kernel.open(Place { cpu, cgroup: None }, wanted) {
            Ok(group) => {
                let scaled = Scaled::new(group.metrics().len());
                Ok(Tally { group, scaled, waits: 0 })
            }
            Err(error) if lacks(&error) => Err(Absence::Unsupported),
            Err(error) => Err(absence(&error)),
        };
        Self { wanted, scheduled, tally }
    }

    fn read(&mut self, slot: Slot, batch: &mut Batch) {
        let why = match &mut self.tally {
            Ok(tally) => match tally.read(self.scheduled, slot, batch) {
                Ok(()) => {
                    let counted = tally.group.metrics();
                    let lacked = self.wanted.iter().filter(|(metric, _)| !counted.contains(metric));
                    lacked.for_each(|(metric, _)| batch.absent(slot, *metric, Absence::Unsupported));
                    return;
                }
                Err(error) => absence(&error),
            },
            Err(why) => *why,
        };
        self.wanted.iter().for_each(|(metric, _)| batch.absent(slot, *metric, why));
        batch.absent(slot, self.scheduled, why);
    }
}

struct Cpu {
    number: usize,
    slot: Slot,
    sides: [Side; 2],
}

struct Perf {
    kernel: Box<dyn Kernel>,
    online: Kept,
    /// The list of processors as last read.
    listed: String,
    cpus: Vec<Cpu>,
}

impl Perf {
    /// Follows the list of processors. One that went offline takes its groups with it, and its device is ended by the
    /// source of processor times; one that comes back is counted anew.
    fn follow(&mut self, batch: &mut Batch) {
        let online = parse_list(&self.listed);
        self.cpus.retain(|cpu| online.contains(&cpu.number));
        for number in online {
            if self.cpus.iter().any(|cpu| cpu.number == number) {
                continue;
            }
            let slot = batch.device(super::core(number));
            let kernel = self.kernel.as_mut();
            let sides = [
                Side::open(kernel, number, SOFTWARE, Metric::CoreSoftwareScheduled),
                Side::open(kernel, number, HARDWARE, Metric::CoreHardwareScheduled),
            ];
            self.cpus.push(Cpu { number, slot, sides });
        }
    }
}

impl Collector for Perf {
    fn name(&self) -> &'static str {
        "perf"
    }

    fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let listed = self.online.text().map_err(|error| CollectError::io("list processors", error))?;
        if listed != self.listed {
            self.listed = listed.to_owned();
            self.follow(batch);
        }
        for cpu in &mut self.cpus {
            cpu.sides.iter_mut().for_each(|side| side.read(cpu.slot, batch));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
