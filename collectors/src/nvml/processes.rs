//! Who uses a device: the compute and the graphics list, merged by process.
use super::able::Able;
use super::codes::Fault;
use super::raw::{self, List};
use model::{Absence, Metric, Reading};
use nvml_wrapper::Device;
use nvml_wrapper_sys::bindings::nvmlProcessInfo_t;

const LISTS: [List; 2] = [List::Compute, List::Graphics];
/// What `nvml.h` gives for memory that the driver does not know.
const UNKNOWN_MEMORY: u64 = u64::MAX;

/// One process on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    /// The process id in the host's namespace.
    pub(super) pid: u32,
    /// Device memory, in bytes; `None` where the driver does not say.
    pub(super) memory_bytes: Option<u64>,
    /// The list that the amount is from.
    list: List,
}

/// The lists of one device after another: memory that is kept from device to device and beat to beat.
#[derive(Debug, Default)]
pub(super) struct Users {
    buffer: Vec<nvmlProcessInfo_t>,
    users: Vec<User>,
}

impl Users {
    /// The processes that were read last.
    pub(super) fn users(&self) -> &[User] {
        &self.users
    }

    /// Reads both lists; gives how many processes there are, or why that is not known.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn read(&mut self, device: &Device<'_>, able: &mut [Able; 2]) -> Result<Reading, Fault> {
        let Self { buffer, users } = self;
        users.clear();
        let mut refusal = None;
        let mut answered = false;
        for (list, able) in LISTS.into_iter().zip(able).filter(|(_, able)| **able != Able::Lacks) {
            let answer = raw::processes(device, list, buffer);
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
        if answered {
            // At most a few thousand.
            Ok(Metric::Processes.reading(users.len() as f64))
        } else {
            Ok(Reading::Absent(refusal.unwrap_or(Absence::Unsupported)))
        }
    }
}

/// Adds one entry. A process is in both lists when it has both contexts, each time with all its memory; in one list it is
/// several times when it runs on several instances of a partitioned GPU, each time with the memory of that one.
fn add(users: &mut Vec<User>, process: &nvmlProcessInfo_t, list: List) {
    let memory_bytes = (process.usedGpuMemory != UNKNOWN_MEMORY).then_some(process.usedGpuMemory);
    match users.iter_mut().find(|user| user.pid == process.pid) {
        None => users.push(User { pid: process.pid, memory_bytes, list }),
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

    fn entry(pid: u32, bytes: u64) -> nvmlProcessInfo_t {
        nvmlProcessInfo_t { pid, usedGpuMemory: bytes, gpuInstanceId: 0, computeInstanceId: 0 }
    }

    fn merged(entries: &[(u32, u64, List)]) -> Vec<(u32, Option<u64>)> {
        let mut users = Vec::new();
        entries.iter().for_each(|(pid, bytes, list)| add(&mut users, &entry(*pid, *bytes), *list));
        users.iter().map(|user| (user.pid, user.memory_bytes)).collect()
    }

    #[test]
    fn a_process_with_two_contexts_is_one_process_and_its_memory_counts_once() {
        let entries = [(7, 100, List::Compute), (8, 5, List::Compute), (7, 100, List::Graphics)];
        assert_eq!(merged(&entries), [(7, Some(100)), (8, Some(5))]);
    }

    #[test]
    fn a_process_on_two_instances_is_one_process_with_the_memory_of_both() {
        assert_eq!(merged(&[(7, 100, List::Compute), (7, 50, List::Compute)]), [(7, Some(150))]);
    }

    #[test]
    fn memory_that_the_driver_does_not_know_is_not_a_number() {
        assert_eq!(merged(&[(7, u64::MAX, List::Compute)]), [(7, None)]);
        assert_eq!(merged(&[(7, u64::MAX, List::Compute), (7, 3, List::Graphics)]), [(7, Some(3))]);
    }
}
