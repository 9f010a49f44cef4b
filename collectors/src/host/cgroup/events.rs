//! Performance counters of control groups, opt-in: cycles, instructions and cache misses of those that use most processor
//! time, one group of counters a processor, so that ratios within it are consistent.
//!
//! Each costs a file per counter and processor, and a change of counters whenever a processor goes to it or from it: 1.7 us a
//! switch and 3 us a reading, measured with three events of the kernel on two processors (`what_counting_a_group_costs`); those of
//! the hardware were not at hand. So only so many are counted as the operator allows, and none by default.
use super::Followed;
use super::discover::Hierarchy;
use crate::Roots;
use crate::host::file::{Kept, absence};
use crate::host::perf::counter::{Scaled, Times};
use crate::host::perf::group::{Group, Kernel, Kind, MEMBERS_MAX, Machine, Place, Wanted, lacks};
use crate::host::perf::{FIT_BEATS, MEMBERS_MIN, parse_list};
use model::{Absence, Batch, Metric, Reading, Slot};
use perf_event::events::Hardware;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// What is counted, the most wanted first: what cycles per instruction need, misses, and what a clock is measured against.
const WANTED: Wanted = &[
    (Metric::CgroupCycles, Kind::Hardware(Hardware::CPU_CYCLES)),
    (Metric::CgroupInstructions, Kind::Hardware(Hardware::INSTRUCTIONS)),
    (Metric::CgroupCacheMisses, Kind::Hardware(Hardware::CACHE_MISSES)),
    (Metric::CgroupReferenceCycles, Kind::Hardware(Hardware::REF_CPU_CYCLES)),
];
/// Of the files that this process may have open, these counters take at most one in so many: those of processors take half.
const FILES_SHARE: u64 = 4;
/// How much more processor time another group must have used to take the place of one that is counted. Ours: opening costs
/// 55 us a processor (measured), and a series that comes and goes teaches nothing.
const STAYS: f64 = 1.5;

/// What opens counters for groups, and how many.
pub(super) struct Events {
    kernel: Box<dyn Kernel>,
    wanted: Wanted,
    groups_max: usize,
    online: Kept,
    /// The list of processors as last read.
    listed: String,
    cpus: Vec<usize>,
}

impl Events {
    /// Counters for at most so many groups; none where that is 0.
    pub(super) fn new(roots: &Roots, groups_max: usize) -> Option<Self> {
        let online = roots.sys.join("devices/system/cpu/online");
        (groups_max > 0).then(|| Self::over(Box::new(Machine), online, (groups_max, WANTED)))
    }

    fn over(kernel: Box<dyn Kernel>, online: PathBuf, (groups_max, wanted): (usize, Wanted)) -> Self {
        let (online, listed, cpus) = (Kept::new(online), String::new(), Vec::new());
        Self { kernel, wanted, groups_max, online, listed, cpus }
    }

    /// How many groups may be counted: as many as are allowed and as there are files for.
    fn most(&self) -> usize {
        let files = (self.cpus.len() * (self.wanted.len() + 1)) as u64;
        let room = self.kernel.files_max().map_or(u64::MAX, |most| most / FILES_SHARE / files.max(1));
        self.groups_max.min(usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// Chooses who is counted: those that used most processor time since the last choice, and hold no other group, whose
    /// time would be counted twice. To be called after a beat's readings.
    pub(super) fn choose(&mut self, followed: &mut [Followed], batch: &Batch) {
        let changed = self.follow();
        let paths: Vec<String> = followed.iter().map(|one| format!("{}/", one.group.path)).collect();
        let mut ranked = Vec::new();
        for (place, one) in followed.iter_mut().enumerate() {
            if changed || one.counted.is_another() {
                one.counted.close(Absence::Late);
            }
            let used_s = one.counted.used_s(batch.reading(one.slot, Metric::CgroupCpu));
            let holds = paths
                .iter()
                .enumerate()
                .any(|(other, path)| other != place && path.starts_with(&paths[place]));
            if used_s > 0.0 && !holds {
                ranked.push((used_s * if one.counted.is_open() { STAYS } else { 1.0 }, place));
            }
        }
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0));
        ranked.truncate(self.most());
        for (place, one) in followed.iter_mut().enumerate() {
            if !ranked.iter().any(|(_, chosen)| *chosen == place) {
                one.counted.close(Absence::Disabled);
            } else if !one.counted.is_open() {
                one.counted.open(self);
            }
        }
    }

    /// Follows the list of processors; whether it has changed.
    fn follow(&mut self) -> bool {
        let Ok(listed) = self.online.text() else { return false };
        let changed = listed != self.listed;
        if changed {
            self.listed = listed.to_owned();
            self.cpus = parse_list(listed);
        }
        changed
    }
}

/// The group of counters on one processor.
struct Cpu {
    group: Box<dyn Group>,
    scaled: Scaled,
}

/// The counters of one control group over all processors, or why there are none.
pub(super) struct Counted {
    /// Its folder in the tree that the kernel counts by.
    folder: PathBuf,
    /// The folder's inode when it was opened: a restarted container has another under the same name, and the old one's
    /// counters would stand still.
    inode: u64,
    cpus: Result<Vec<Cpu>, Absence>,
    /// Totals over all openings; those of what is not counted stay.
    totals: [f64; WANTED.len()],
    /// Totals when it was opened.
    before: [f64; WANTED.len()],
    /// Times of all processors at the last reading.
    times: Times,
    /// Readings without the hardware since it was opened or made smaller.
    waits: u32,
    /// Processor time at the last choice, in seconds.
    cpu_s: Option<f64>,
}

impl Counted {
    /// Not counted yet.
    pub(super) fn new(hierarchy: &Hierarchy, path: &str) -> Self {
        Self {
            folder: hierarchy.counted(path),
            inode: 0,
            cpus: Err(Absence::Disabled),
            totals: [0.0; WANTED.len()],
            before: [0.0; WANTED.len()],
            times: Times::default(),
            waits: 0,
            cpu_s: None,
        }
    }

    fn is_open(&self) -> bool {
        self.cpus.is_ok()
    }

    /// Whether another group of the same name has taken its place.
    fn is_another(&self) -> bool {
        self.is_open() && fs::metadata(&self.folder).map(|folder| folder.ino()).ok() != Some(self.inode)
    }

    /// Processor time since the last choice; 0 where that is not known.
    fn used_s(&mut self, now: Option<Reading>) -> f64 {
        let now = now.and_then(Reading::value);
        let last = std::mem::replace(&mut self.cpu_s, now);
        now.zip(last).map_or(0.0, |(now, last)| (now - last).max(0.0))
    }

    fn close(&mut self, why: Absence) {
        // One that could not be opened is tried again, and says why until then.
        if self.is_open() || why == Absence::Disabled {
            self.cpus = Err(why);
        }
    }

    fn open(&mut self, events: &mut Events) {
        (self.before, self.times, self.waits) = (self.totals, Times::default(), 0);
        self.cpus = self.opened(events);
    }

    fn opened(&mut self, events: &mut Events) -> Result<Vec<Cpu>, Absence> {
        let folder = File::open(&self.folder).map_err(|error| absence(&error))?;
        self.inode = folder.metadata().map_err(|error| absence(&error))?.ino();
        let one = |cpu: &usize| {
            let place = Place { cpu: *cpu, cgroup: Some(&folder) };
            match events.kernel.open(place, events.wanted) {
                Ok(group) => Ok(Cpu { scaled: Scaled::new(group.metrics().len()), group }),
                Err(error) if lacks(&error) => Err(Absence::Unsupported),
                Err(error) => Err(absence(&error)),
            }
        };
        events.cpus.iter().map(one).collect()
    }

    /// Reads all processors into the batch, or the reason why there is nothing to read.
    pub(super) fn read(&mut self, slot: Slot, batch: &mut Batch) {
        let share = match self.add() {
            Ok(share) => share,
            Err(why) => {
                self.cpus = Err(why);
                WANTED.iter().for_each(|(metric, _)| batch.absent(slot, *metric, why));
                batch.absent(slot, Metric::CgroupEventsScheduled, why);
                return;
            }
        };
        let Ok(cpus) = &self.cpus else { return };
        for (place, (metric, _)) in WANTED.iter().enumerate() {
            // What some processors count and others do not is no count of the group.
            let counted = cpus.iter().all(|cpu| cpu.group.metrics().contains(metric));
            match (counted, share) {
                (false, _) => batch.absent(slot, *metric, Absence::Unsupported),
                // A total that stands still would say that nothing was executed, when nobody looked.
                (true, Some(share)) if share <= 0.0 => batch.absent(slot, *metric, Absence::Late),
                (true, _) => batch.set(slot, *metric, self.totals[place]),
            }
        }
        if let Some(share) = share {
            batch.set(slot, Metric::CgroupEventsScheduled, share);
        }
        self.fit(share);
    }

    /// Adds what was counted since the last reading; the share of the group's time in which it was, `None` where it had none.
    fn add(&mut self) -> Result<Option<f64>, Absence> {
        let cpus = self.cpus.as_mut().map_err(|why| *why)?;
        let (mut now, mut totals) = (Times::default(), self.before);
        for cpu in cpus {
            let mut counts = [0; MEMBERS_MAX];
            let counts = &mut counts[..cpu.group.metrics().len()];
            let times = cpu.group.read(counts).map_err(|error| absence(&error))?;
            now.enabled_ns += times.enabled_ns;
            now.running_ns += times.running_ns;
            cpu.scaled.add(times, counts);
            for (metric, total) in cpu.group.metrics().iter().zip(cpu.scaled.totals()) {
                if let Some(place) = WANTED.iter().position(|(wanted, _)| wanted == metric) {
                    totals[place] += total;
                }
            }
        }
        let (enabled_s, running_s) = now.since(self.times);
        (self.times, self.totals) = (now, totals);
        Ok((enabled_s > 0.0).then(|| (running_s / enabled_s).min(1.0)))
    }

    /// Makes a group of counters smaller that never gets on the hardware, as that of a processor is.
    fn fit(&mut self, share: Option<f64>) {
        let Ok(cpus) = &mut self.cpus else { return };
        if share.is_none() || !cpus.iter().all(|cpu| cpu.scaled.never_ran()) {
            return;
        }
        self.waits += 1;
        if self.waits >= FIT_BEATS {
            self.waits = 0;
            for cpu in cpus.iter_mut().filter(|cpu| cpu.group.metrics().len() > MEMBERS_MIN) {
                cpu.group.shed();
                cpu.scaled.shed();
            }
        }
    }
}

#[cfg(test)]
mod tests;
