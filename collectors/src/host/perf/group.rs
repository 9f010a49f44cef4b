//! A group of counters on one processor: what the source needs of the kernel, and the kernel itself through perf-event2.
use super::counter::Times;
use model::Metric;
use perf_event::events::{Event, Hardware, Software};
use perf_event::{Builder, Counter, Group as Raw, ReadFormat};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::{FromRawFd as _, IntoRawFd as _};

/// An event that may be a member of a group.
#[derive(Debug, Clone, Copy)]
pub(in crate::host) enum Kind {
    /// Of the processor.
    Hardware(Hardware),
    /// Of the kernel.
    Software(Software),
}

/// What a group should count, the most wanted first.
pub(in crate::host) type Wanted = &'static [(Metric, Kind)];

/// The hardware group.
pub(super) const HARDWARE: Wanted = &[
    (Metric::CoreCycles, Kind::Hardware(Hardware::CPU_CYCLES)),
    (Metric::CoreInstructions, Kind::Hardware(Hardware::INSTRUCTIONS)),
    (Metric::CoreCacheReferences, Kind::Hardware(Hardware::CACHE_REFERENCES)),
    (Metric::CoreCacheMisses, Kind::Hardware(Hardware::CACHE_MISSES)),
    (Metric::CoreBranches, Kind::Hardware(Hardware::BRANCH_INSTRUCTIONS)),
    (Metric::CoreBranchMisses, Kind::Hardware(Hardware::BRANCH_MISSES)),
    (Metric::CoreStalledFrontend, Kind::Hardware(Hardware::STALLED_CYCLES_FRONTEND)),
    (Metric::CoreStalledBackend, Kind::Hardware(Hardware::STALLED_CYCLES_BACKEND)),
    // Last, where it takes no other's place: Intel has a counter for it that can count nothing else.
    (Metric::CoreReferenceCycles, Kind::Hardware(Hardware::REF_CPU_CYCLES)),
];

/// The software group.
pub(super) const SOFTWARE: Wanted = &[
    (Metric::CoreSwitches, Kind::Software(Software::CONTEXT_SWITCHES)),
    (Metric::CoreMigrations, Kind::Software(Software::CPU_MIGRATIONS)),
    (Metric::CoreFaults, Kind::Software(Software::PAGE_FAULTS)),
];

/// Members that a group has at most.
pub(in crate::host) const MEMBERS_MAX: usize = 9;
const _: () = assert!(HARDWARE.len() <= MEMBERS_MAX && SOFTWARE.len() <= MEMBERS_MAX);

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(in crate::host) struct Place<'a> {
    /// On which processor.
    pub(in crate::host) cpu: usize,
    /// Of which control group and those below it, by its open folder; of all tasks where there is none.
    pub(in crate::host) cgroup: Option<&'a File>,
}

/// What opens groups.
pub(in crate::host) trait Kernel: Send {
    /// Opens a group at a place and starts it. Members that the processor lacks, or that do not fit beside the
    /// others, are left out; the rest still is one group.
    ///
    /// # Errors
    /// When no member can be counted, or the kernel refuses for a reason that is not the member's own.
    fn open(&mut self, place: Place<'_>, wanted: Wanted) -> io::Result<Box<dyn Group>>;

    /// The most files that this process may have open; `None` for no limit.
    fn files_max(&self) -> Option<u64>;
}

/// An open, counting group.
pub(in crate::host) trait Group: Send {
    /// What its members count.
    fn metrics(&self) -> &[Metric];

    /// Reads all members at once: their counts go to the front of `counts`, in the order of [`Group::metrics`].
    ///
    /// # Errors
    /// When the group cannot be read, as when its processor went offline.
    fn read(&mut self, counts: &mut [u64]) -> io::Result<Times>;

    /// Closes the last member, so that the rest needs less of the hardware.
    fn shed(&mut self);
}

/// The kernel of this machine.
pub(in crate::host) struct Machine;

impl Kernel for Machine {
    fn open(&mut self, place: Place<'_>, wanted: Wanted) -> io::Result<Box<dyn Group>> {
        let format = ReadFormat::GROUP
            | ReadFormat::ID
            | ReadFormat::TOTAL_TIME_ENABLED
            | ReadFormat::TOTAL_TIME_RUNNING;
        // The leader counts nothing, so that no member is needed for there to be a group.
        let mut group = builder(Software::DUMMY, place).read_format(format).build_group()?;
        let (mut members, mut metrics, mut refusal) = (Vec::new(), Vec::new(), None);
        for (metric, kind) in wanted {
            match add(&mut group, *kind, place) {
                Ok(member) => {
                    members.push(member);
                    metrics.push(*metric);
                }
                Err(error) if lacks(&error) => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        if members.is_empty() {
            return Err(refusal.unwrap_or_else(|| ErrorKind::NotFound.into()));
        }
        group.enable()?;
        let leader = group.into_counter().into_raw_fd();
        // SAFETY: `into_raw_fd` gave up the descriptor, so this is its only owner.
        let leader = unsafe { File::from_raw_fd(leader) };
        Ok(Box::new(Opened { leader, members, metrics }))
    }

    fn files_max(&self) -> Option<u64> {
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current
    }
}

fn builder(event: impl Event, place: Place<'_>) -> Builder<'_> {
    let mut builder = Builder::new(event);
    builder.one_cpu(place.cpu).include_kernel().include_hv();
    match place.cgroup {
        Some(folder) => builder.observe_cgroup(folder),
        None => builder.any_pid(),
    };
    builder
}

fn add(group: &mut Raw, kind: Kind, place: Place<'_>) -> io::Result<Counter> {
    match kind {
        Kind::Hardware(event) => builder(event, place).build_with_group(group),
        Kind::Software(event) => builder(event, place).build_with_group(group),
    }
}

/// Whether an error says that an event cannot be counted here, by itself or beside the others (EINVAL): perf_event_open(2),
/// ERRORS.
pub(in crate::host) fn lacks(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS))
}

/// A group of this machine. Its leader is read directly into a buffer on the stack: a read allocates nothing.
struct Opened {
    leader: File,
    members: Vec<Counter>,
    metrics: Vec<Metric>,
}

/// Words of a reading: how many members, two times, and a value and an id for the leader and each member.
const WORDS_MAX: usize = 3 + 2 * (1 + MEMBERS_MAX);

impl Group for Opened {
    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn read(&mut self, counts: &mut [u64]) -> io::Result<Times> {
        let mut bytes = [0_u8; 8 * WORDS_MAX];
        let length = self.leader.read(&mut bytes)?;
        let mut words = [0_u64; WORDS_MAX];
        let (whole, _) = bytes[..length].as_chunks::<8>();
        words.iter_mut().zip(whole).for_each(|(word, bytes)| *word = u64::from_ne_bytes(*bytes));
        let ids = self.members.iter().map(Counter::id);
        parse(&words[..whole.len()], ids, counts).ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    fn shed(&mut self) {
        self.members.pop();
        self.metrics.pop();
    }
}

/// Takes a reading of a group apart: `nr`, `time_enabled`, `time_running`, then `value` and `id` of each (struct
/// read_format in perf_event_open(2)). `None` when a member is not in it: the processor went offline and the group fell
/// apart.
fn parse(words: &[u64], ids: impl Iterator<Item = u64>, counts: &mut [u64]) -> Option<Times> {
    let [_, enabled_ns, running_ns, pairs @ ..] = words else { return None };
    let (pairs, _) = pairs.as_chunks::<2>();
    for (count, wanted) in counts.iter_mut().zip(ids) {
        *count = pairs.iter().find(|[_, id]| *id == wanted)?[0];
    }
    Some(Times { enabled_ns: *enabled_ns, running_ns: *running_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_taken_apart_by_the_ids_of_the_members() {
        let words = [3, 900, 450, 0, 7, 11, 8, 22, 9];
        let mut counts = [0; 2];
        let times = parse(&words, [9, 8].into_iter(), &mut counts);
        assert_eq!(times, Some(Times { enabled_ns: 900, running_ns: 450 }));
        assert_eq!(counts, [22, 11]);
    }

    #[test]
    fn a_reading_without_a_member_is_none() {
        for words in [&[1, 900, 450, 0, 7][..], &[1, 900, 450, 0], &[0, 1], &[]] {
            assert_eq!(parse(words, [8].into_iter(), &mut [0]), None, "{words:?}");
        }
    }

    #[test]
    fn only_what_is_the_event_s_own_fault_leaves_it_out() {
        let error = |code| lacks(&io::Error::from_raw_os_error(code));
        assert!(error(libc::ENOENT) && error(libc::EINVAL) && error(libc::EOPNOTSUPP));
        assert!(!error(libc::EACCES) && !error(libc::EMFILE) && !error(libc::EPERM));
    }
}
