//! Who uses a device: the compute and the graphics list, merged by process and instance, and how much each used.
use super::codes::Fault;
use super::raw::{self, List};
use super::session::Gpu;
use crate::able::Able;
use model::{Absence, Metric, Reading, Timestamp};
use nvml_wrapper_sys::bindings::{nvmlProcessInfo_t, nvmlProcessUtilizationSample_t};
use std::time::Duration;

const LISTS: [List; 2] = [List::Compute, List::Graphics];
/// What `nvml.h` gives for memory that the driver does not know.
const UNKNOWN_MEMORY: u64 = u64::MAX;
/// How long samples of utilisation stand when the driver has no newer ones: it makes one about every sixth of a second to
/// every second, by product (`nvml.h`), so that after twice the longest nothing was used.
const SAMPLES_STAND: Duration = Duration::from_secs(2);

/// One process on one device or one instance of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct User {
    /// The process id in the host's namespace.
    pub(super) pid: u32,
    /// Numbers of the GPU instance and the compute instance; `u32::MAX` where it is on none.
    pub(super) instance: (u32, u32),
    /// Device memory, in bytes; `None` where the driver does not say.
    pub(super) memory_bytes: Option<u64>,
    /// Share of the multiprocessors' time, 0 to 1; `None` where the driver does not say.
    pub(super) utilization: Option<f64>,
    /// The list that the amount is from.
    list: List,
}

/// How much a process used, and when that was measured on the driver's clock.
#[derive(Debug, Clone, Copy)]
struct Used {
    pid: u32,
    share: f64,
    at_us: u64,
}

/// The lists of one device: memory that is kept from beat to beat.
#[derive(Debug, Default)]
pub(super) struct Users {
    buffer: Vec<nvmlProcessInfo_t>,
    samples: Vec<nvmlProcessUtilizationSample_t>,
    users: Vec<User>,
    used: Vec<Used>,
    /// The driver's time of the newest sample, and ours when it was seen.
    seen_us: u64,
    seen: Option<Timestamp>,
    lists: [Able; 2],
    utilization: Able,
}

impl Users {
    /// The processes that were read last.
    pub(super) fn users(&self) -> &[User] {
        &self.users
    }

    /// Reads both lists and how much each used; gives how many processes there are, or why that is not known.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn read(&mut self, gpu: &Gpu<'_>, now: Timestamp) -> Result<Reading, Fault> {
        let Self { buffer, users, lists, .. } = self;
        users.clear();
        let mut refusal = None;
        let mut answered = false;
        for (list, able) in LISTS.into_iter().zip(lists).filter(|(_, able)| **able != Able::Lacks) {
            let answer = raw::processes(gpu, list, buffer);
            able.learn(&answer, Fault::never);
            match answer {
                Ok(found) => {
                    answered = true;
                    found.iter().for_each(|process| add(users, process, list));
                }
                Err(fault) if fault.lost() => return Err(fault),
                Err(fault) => refusal = refusal.or(Some(fault.absence())),
            }
        }
        if !answered {
            return Ok(Reading::Absent(refusal.unwrap_or(Absence::Unsupported)));
        }
        self.measure(gpu, now)?;
        Ok(Metric::Processes.reading(distinct(&self.users) as f64))
    }

    /// Adds to each process how much it used. On a GPU that is cut into instances the driver does not say.
    fn measure(&mut self, gpu: &Gpu<'_>, now: Timestamp) -> Result<(), Fault> {
        if self.utilization == Able::Lacks || self.users.is_empty() {
            return Ok(());
        }
        let answer = raw::process_utilization(gpu, self.seen_us, &mut self.samples);
        let stale = self.seen.is_none_or(|seen| now.since(seen) > SAMPLES_STAND);
        match answer {
            Ok(samples) => {
                self.used.clear();
                samples.iter().for_each(|sample| latest(&mut self.used, sample));
                self.seen_us = self.used.iter().map(|used| used.at_us).fold(self.seen_us, u64::max);
                (self.seen, self.utilization) = (Some(now), Able::Works);
            }
            Err(fault) if fault.lost() => return Err(fault),
            Err(Fault::NOT_FOUND) if stale => self.used.clear(),
            Err(Fault::NOT_FOUND) => {}
            Err(fault) => {
                self.utilization.learn::<(), _>(&Err(fault), Fault::never);
                return Ok(());
            }
        }
        // Only processes that used something have a sample (`nvml.h`).
        for user in &mut self.users {
            let used = self.used.iter().find(|used| used.pid == user.pid);
            user.utilization = Some(used.map_or(0.0, |used| used.share));
        }
        Ok(())
    }
}

/// Keeps the newest sample of each process.
fn latest(used: &mut Vec<Used>, sample: &nvmlProcessUtilizationSample_t) {
    let share = f64::from(sample.smUtil.min(100)) / 100.0;
    let fresh = Used { pid: sample.pid, share, at_us: sample.timeStamp };
    match used.iter_mut().find(|known| known.pid == sample.pid) {
        Some(known) if known.at_us <= fresh.at_us => *known = fresh,
        Some(_) => {}
        None => used.push(fresh),
    }
}

/// How many processes there are, each once however many instances it is on.
fn distinct(users: &[User]) -> usize {
    let first = |(place, user): &(usize, &User)| users[..*place].iter().all(|other| other.pid != user.pid);
    users.iter().enumerate().filter(first).count()
}

/// Adds one entry. A process is in both lists when it has both contexts, each time with all its memory; in one list it is
/// several times when it runs on several instances of a partitioned GPU, each time with the memory of that one.
fn add(users: &mut Vec<User>, process: &nvmlProcessInfo_t, list: List) {
    let memory_bytes = (process.usedGpuMemory != UNKNOWN_MEMORY).then_some(process.usedGpuMemory);
    let (pid, instance) = (process.pid, (process.gpuInstanceId, process.computeInstanceId));
    match users.iter_mut().find(|user| (user.pid, user.instance) == (pid, instance)) {
        None => users.push(User { pid, instance, memory_bytes, utilization: None, list }),
        Some(user) if user.list == list => {
            user.memory_bytes = match (user.memory_bytes, memory_bytes) {
                (Some(one), Some(other)) => Some(one.saturating_add(other)),
                (one, other) => one.or(other),
            };
        }
        Some(user) => user.memory_bytes = user.memory_bytes.max(memory_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: u32, bytes: u64, instance: u32) -> nvmlProcessInfo_t {
        nvmlProcessInfo_t { pid, usedGpuMemory: bytes, gpuInstanceId: instance, computeInstanceId: 0 }
    }

    fn merged(entries: &[(u32, u64, List)]) -> Vec<(u32, Option<u64>)> {
        let mut users = Vec::new();
        entries.iter().for_each(|(pid, bytes, list)| add(&mut users, &entry(*pid, *bytes, 0), *list));
        users.iter().map(|user| (user.pid, user.memory_bytes)).collect()
    }

    #[test]
    fn a_process_with_two_contexts_is_one_process_and_its_memory_counts_once() {
        let entries = [(7, 100, List::Compute), (8, 5, List::Compute), (7, 100, List::Graphics)];
        assert_eq!(merged(&entries), [(7, Some(100)), (8, Some(5))]);
    }

    #[test]
    fn a_process_on_two_instances_has_a_place_on_each_and_is_one_process() {
        let mut users = Vec::new();
        add(&mut users, &entry(7, 100, 1), List::Compute);
        add(&mut users, &entry(7, 50, 2), List::Compute);
        assert_eq!(users.iter().map(|user| user.memory_bytes).collect::<Vec<_>>(), [Some(100), Some(50)]);
        assert_eq!(distinct(&users), 1);
        assert_eq!(merged(&[(7, 100, List::Compute), (7, 50, List::Compute)]), [(7, Some(150))]);
    }

    #[test]
    fn memory_that_the_driver_does_not_know_is_not_a_number() {
        assert_eq!(merged(&[(7, u64::MAX, List::Compute)]), [(7, None)]);
        assert_eq!(merged(&[(7, u64::MAX, List::Compute), (7, 3, List::Graphics)]), [(7, Some(3))]);
    }

    #[test]
    fn the_newest_sample_of_a_process_counts_and_is_no_more_than_all() {
        let sample = |at_us: u64, percent: u32| nvmlProcessUtilizationSample_t {
            pid: 7,
            timeStamp: at_us,
            smUtil: percent,
            memUtil: 0,
            encUtil: 0,
            decUtil: 0,
        };
        let mut used = Vec::new();
        [sample(5, 40), sample(9, 130), sample(7, 60)].iter().for_each(|sample| latest(&mut used, sample));
        assert_eq!(used.iter().map(|used| (used.share, used.at_us)).collect::<Vec<_>>(), [(1.0, 9)]);
    }
}
