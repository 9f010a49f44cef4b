//! What the tasks of a group did by procfs: time of running and of waiting for a processor, calls and their bytes, bytes from and
//! to storage. Sums of what each task added between two looks, so that one that ends takes nothing back and one that joins brings
//! nothing.
use super::discover::{Hierarchy, folders};
use crate::host::file::{Kept, absence};
use model::{Absence, Batch, Metric, Slot};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Tasks of one group at most. A look at one costs some microseconds, and a beat that may take ten milliseconds has
/// dozens of groups to look at. A group with more has none of these values: a part would pass for the whole.
const TASKS_MAX: usize = 64;
/// Processes of one group at most; the kernel takes locks and checks rights for each one's `io`.
const PROCESSES_MAX: usize = 16;
/// Tasks and processes of all groups at most, in one beat.
const LOOKS_MAX: usize = 4096;
/// One in so many of the files that the agent may have open is kept open for tasks. The rest is opened for each look, so
/// that a host with many tasks takes no descriptors from devices and connections.
const FILES_SHARE: u64 = 8;
/// Longer than `schedstat` and `io` are, and than `stat` is up to the time of the start.
const LENGTH_MAX: usize = 512;
const NANO: f64 = 1e-9;

/// How one of the files is found, bounded and read.
#[derive(Debug)]
struct Form<const N: usize> {
    file: &'static str,
    max: usize,
    parse: fn(&str) -> Option<[u64; N]>,
    metrics: [(Metric, f64); N],
}

/// Documentation/scheduler/sched-stats: nanoseconds on a processor, nanoseconds waiting for one, timeslices. A process's
/// own file is its main thread's alone, so that threads are listed.
static SCHEDULED: Form<3> = Form {
    file: "schedstat",
    max: TASKS_MAX,
    parse: scheduled,
    metrics: [(Metric::CgroupRun, NANO), (Metric::CgroupRunDelay, NANO), (Metric::CgroupTimeslices, 1.0)],
};

/// proc(5): a process's whole, with its threads that ended. A write counts for who made the page dirty, also on version 1, whose
/// own counts lay what a flusher writes later at nobody's door.
static CALLED: Form<7> = Form {
    file: "io",
    max: PROCESSES_MAX,
    parse: called,
    metrics: [
        (Metric::CgroupReadCallBytes, 1.0),
        (Metric::CgroupWriteCallBytes, 1.0),
        (Metric::CgroupReadCalls, 1.0),
        (Metric::CgroupWriteCalls, 1.0),
        (Metric::CgroupProcessRead, 1.0),
        (Metric::CgroupProcessWritten, 1.0),
        (Metric::CgroupProcessCancelled, 1.0),
    ],
};

fn scheduled(text: &str) -> Option<[u64; 3]> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse().ok());
    Some([words.next()??, words.next()??, words.next()??])
}

/// Names in a process's `io`, in the order of the metrics.
const CALLS: [&str; 7] =
    ["rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"];

fn called(text: &str) -> Option<[u64; 7]> {
    let mut numbers = [None; CALLS.len()];
    for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
        if let Some(place) = CALLS.iter().position(|known| *known == name) {
            numbers[place] = value.trim().parse().ok();
        }
    }
    let mut all = [0; CALLS.len()];
    for (known, number) in all.iter_mut().zip(numbers) {
        *known = number?;
    }
    Some(all)
}

/// What all groups share: where tasks are, the time, and what is left of the limits in this beat.
#[derive(Debug)]
pub(super) struct Look {
    uptime: Kept,
    /// Of the beat before, in ticks since the boot like the start of a task.
    before: Option<u64>,
    now: Option<u64>,
    tasks: usize,
    files: usize,
    files_max: usize,
    path: String,
    root: usize,
}

impl Look {
    /// The tasks below a procfs.
    pub(super) fn new(proc: &Path) -> Self {
        let path = proc.to_string_lossy().into_owned();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        // No limit at all is as good as a large one.
        let files_max = usize::try_from(limit.unwrap_or(u64::MAX) / FILES_SHARE).unwrap_or(usize::MAX);
        Self {
            uptime: Kept::new(proc.join("uptime")),
            before: None,
            now: None,
            tasks: LOOKS_MAX,
            files: files_max,
            files_max,
            root: path.len(),
            path,
        }
    }

    /// Begins a beat. The time is taken before any list is read: who starts later than this and is not listed now is new.
    pub(super) fn begin(&mut self) {
        self.before = self.now;
        self.now = uptime(&mut self.uptime);
        (self.tasks, self.files) = (LOOKS_MAX, self.files_max);
    }

    /// Opens a task's file.
    fn open(&mut self, task: u32, file: &str) -> io::Result<File> {
        self.path.truncate(self.root);
        // Writing to a string does not fail.
        let _ = write!(self.path, "/{task}/{file}");
        File::open(&self.path)
    }

    /// Whether a task started after the beat before: then all that it did is of this beat.
    fn is_new(&mut self, task: u32) -> bool {
        let mut buffer = [0; LENGTH_MAX];
        let file = self.open(task, "stat");
        let stat = file.and_then(|file| text(&file, &mut buffer));
        let start = stat.ok().and_then(started);
        matches!((self.before, start), (Some(before), Some(start)) if start > before)
    }
}

fn uptime(file: &mut Kept) -> Option<u64> {
    let seconds: f64 = file.text().ok()?.split_ascii_whitespace().next()?.parse().ok()?;
    Some((seconds * rustix::param::clock_ticks_per_second() as f64).round() as u64)
}

/// Field 22 of `stat`, counted behind the name, which may hold anything.
fn started(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// A short file from its beginning; the kernel gives it in one piece.
fn text<'a>(file: &File, buffer: &'a mut [u8; LENGTH_MAX]) -> io::Result<&'a str> {
    let length = file.read_at(buffer, 0)?;
    std::str::from_utf8(&buffer[..length]).map_err(|_| ErrorKind::InvalidData.into())
}

/// A task that was listed at the last look.
#[derive(Debug)]
struct Member<const N: usize> {
    task: u32,
    file: Option<File>,
    last: Option<[u64; N]>,
    /// Listed, and not to be found: it ended between the two, or is hidden from us.
    missed: bool,
}

impl<const N: usize> Member<N> {
    fn read(&mut self, form: &Form<N>, look: &mut Look) -> io::Result<[u64; N]> {
        let mut buffer = [0; LENGTH_MAX];
        let file = match self.file.take() {
            Some(file) => file,
            None => look.open(self.task, form.file)?,
        };
        let numbers = (form.parse)(text(&file, &mut buffer)?).ok_or(ErrorKind::InvalidData)?;
        if look.files > 0 {
            look.files -= 1;
            self.file = Some(file);
        }
        Ok(numbers)
    }

    /// What it added since the last look. Numbers that fell are another task's under the same number.
    fn added(&mut self, numbers: [u64; N], followed: bool, look: &mut Look) -> [u64; N] {
        let last = self.last.replace(numbers);
        match last.filter(|last| last.iter().zip(&numbers).all(|(last, now)| last <= now)) {
            Some(last) => std::array::from_fn(|place| numbers[place] - last[place]),
            None if followed && look.is_new(self.task) => numbers,
            None => [0; N],
        }
    }
}

/// The sums over one list of tasks.
#[derive(Debug)]
struct Sum<const N: usize> {
    form: &'static Form<N>,
    list: Kept,
    listed: Vec<u32>,
    /// Sorted by task.
    members: Vec<Member<N>>,
    totals: [u64; N],
    /// Whether the group was followed on the beat before.
    followed: bool,
}

impl<const N: usize> Sum<N> {
    fn new(form: &'static Form<N>, list: PathBuf) -> Self {
        let list = Kept::new(list);
        Self { form, list, listed: Vec::new(), members: Vec::new(), totals: [0; N], followed: false }
    }

    /// Reads all tasks or none; `whole`: no group below has tasks of its own.
    fn read(&mut self, whole: bool, look: &mut Look, slot: Slot, batch: &mut Batch) {
        let read =
            if whole { self.list(look).and_then(|()| self.add(look)) } else { Err(Absence::Unsupported) };
        self.followed = read.is_ok();
        if read.is_err() {
            // What was not followed without a break begins anew.
            self.members.clear();
        }
        for ((metric, scale), total) in self.form.metrics.iter().zip(self.totals) {
            match read {
                Ok(()) => batch.set(slot, *metric, total as f64 * scale),
                Err(why) => batch.absent(slot, *metric, why),
            }
        }
    }

    /// Who is in the group. The file is opened for every reading: on version 1 the kernel gives a file that stays open
    /// the same list again for a second after each use (`CGROUP_PIDLIST_DESTROY_DELAY`, kernel/cgroup/cgroup-v1.c).
    fn list(&mut self, look: &mut Look) -> Result<(), Absence> {
        let text = self.list.anew().map_err(|error| absence(&error))?;
        self.listed.clear();
        for line in text.lines().take(self.form.max + 1) {
            self.listed.push(line.trim().parse().map_err(|_| Absence::Implausible)?);
        }
        self.listed.sort_unstable();
        self.listed.dedup();
        // Version 2 writes 0 for a task outside of our PID namespace, of which nothing can be read.
        let seen = self.listed.first() != Some(&0);
        if !seen || self.listed.len() > self.form.max || self.listed.len() > look.tasks {
            return Err(Absence::Unsupported);
        }
        look.tasks -= self.listed.len();
        Ok(())
    }

    fn add(&mut self, look: &mut Look) -> Result<(), Absence> {
        self.meet();
        let mut counted = self.members.is_empty();
        for member in &mut self.members {
            match member.read(self.form, look) {
                Ok(numbers) => {
                    member.missed = false;
                    counted |= numbers.iter().any(|number| *number > 0);
                    let added = member.added(numbers, self.followed, look);
                    self.totals.iter_mut().zip(added).for_each(|(total, added)| *total += added);
                }
                Err(error) if is_gone(&error) && !member.missed => {
                    (member.missed, member.last) = (true, None);
                    counted = true;
                }
                // Listed twice and never there: procfs is mounted so that it hides others' processes.
                Err(error) if is_gone(&error) => return Err(Absence::Denied),
                Err(error) => return Err(absence(&error)),
            }
        }
        // A kernel that does not keep these numbers writes zeros for all.
        if counted { Ok(()) } else { Err(Absence::Unsupported) }
    }

    /// Lets go of who is not listed any more and makes room for who is new.
    fn meet(&mut self) {
        let listed = &self.listed;
        self.members.retain(|member| listed.binary_search(&member.task).is_ok());
        for task in listed {
            if let Err(place) = self.members.binary_search_by_key(task, |member| member.task) {
                self.members.insert(place, Member { task: *task, file: None, last: None, missed: false });
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// The tasks and the processes of a group.
#[derive(Debug)]
pub(super) struct Tasks {
    folder: PathBuf,
    threads: Sum<3>,
    processes: Sum<7>,
    /// Whether it has groups below, where links do not tell.
    divided: bool,
}

impl Tasks {
    /// Those of the group at `path` below the hierarchy.
    pub(super) fn new(hierarchy: &Hierarchy, path: &str) -> Self {
        let folder = hierarchy.tree().join(path);
        Self {
            threads: Sum::new(&SCHEDULED, hierarchy.threads(path)),
            processes: Sum::new(&CALLED, folder.join("cgroup.procs")),
            divided: !folders(&folder).is_empty(),
            folder,
        }
    }

    /// Looks again whether there are groups below.
    pub(super) fn look_again(&mut self) {
        self.divided = !folders(&self.folder).is_empty();
    }

    /// Reads both. A group with groups below lists only the few tasks, or none, that are in none of them.
    pub(super) fn read(&mut self, look: &mut Look, slot: Slot, batch: &mut Batch) {
        let whole = !self.divided && fs::metadata(&self.folder).is_ok_and(|metadata| metadata.nlink() <= 2);
        self.threads.read(whole, look, slot, batch);
        self.processes.read(whole, look, slot, batch);
    }
}
