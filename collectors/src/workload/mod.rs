//! Who is on a device: names of processes and what they belong to, read once a process and kept in a bounded cache.
mod blocked;
mod files;
mod member;

pub use blocked::Blocked;

use crate::roots::Roots;
use files::Files;
use model::{Workload, WorkloadKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

/// Processes kept; past that, those longest unused go. As many as a frame carries.
const PROCESSES_MAX: usize = model::frame::PROCESSES_MAX;
/// Turns after which a process that nobody asked for is forgotten.
const TURNS_KEPT: u64 = 10;
/// Turns from one full look at a process to the next, where its `cgroup` file is kept open. `exec` changes the name.
const TURNS_LOOKED: u64 = 10;
/// `cgroup` files kept open at most; a soft limit of 1024 descriptors is common.
const OPEN_MAX: usize = 256;

/// A process as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its command name.
    pub name: Arc<str>,
    /// What it belongs to, or itself.
    pub workload: Arc<Workload>,
}

#[derive(Debug)]
struct Known {
    /// When the process started, in clock ticks since boot; tells a reused pid.
    started: u64,
    /// The hash of its `cgroup` file.
    groups: u64,
    process: Process,
    /// Its `cgroup` file. The kernel binds an open file of procfs to the process, not to the number: once the process
    /// has ended, reading fails, whoever has the number then.
    kept: Option<File>,
    asked: u64,
    looked: u64,
}

/// Processes by pid.
///
/// The rule by which a reused pid is told, on every turn on which somebody asks:
/// - on procfs, the `cgroup` file that was opened when the process was met is read again through its descriptor. That
///   fails with `ESRCH` when the process has ended, and shows when it was moved to another group. Name and start time
///   are read anew every [`TURNS_LOOKED`] turns;
/// - past [`OPEN_MAX`] descriptors, or where procfs is only a copy, the start time in `stat` is compared.
///
/// Either way a pid with another start time is another process and takes over nothing.
#[derive(Debug)]
pub struct Processes {
    files: Files,
    known: BTreeMap<u32, Known>,
    /// One copy of each workload.
    workloads: BTreeSet<Arc<Workload>>,
    open: usize,
    turn: u64,
}

impl Processes {
    /// An empty cache over procfs.
    pub fn new(roots: &Roots) -> Self {
        Self {
            files: Files::new(roots),
            known: BTreeMap::new(),
            workloads: BTreeSet::new(),
            open: 0,
            turn: 0,
        }
    }

    /// Begins a beat and forgets what nobody asks for any more.
    pub fn turn(&mut self) {
        self.turn += 1;
        let (turn, open) = (self.turn, &mut self.open);
        let before = self.known.len();
        self.known.retain(|_, known| {
            let stays = turn - known.asked <= TURNS_KEPT;
            *open -= usize::from(!stays && known.kept.is_some());
            stays
        });
        if self.known.len() < before {
            self.release();
        }
    }

    /// The process behind a pid; `None` when there is none, or when it cannot be seen, as in another pid namespace.
    pub fn get(&mut self, pid: u32) -> Option<&Process> {
        if !self.holds(pid) {
            self.forget(pid);
            self.meet(pid)?;
        }
        let turn = self.turn;
        self.known.get_mut(&pid).map(|known| {
            known.asked = turn;
            &known.process
        })
    }

    /// Whether what is known of a pid still holds.
    fn holds(&mut self, pid: u32) -> bool {
        let Some(known) = self.known.get_mut(&pid) else { return false };
        if known.asked == self.turn && self.turn > 0 {
            return true;
        }
        // Full looks are spread over the turns by the pid.
        let due = self.turn - known.looked >= TURNS_LOOKED
            || (self.turn + u64::from(pid)).is_multiple_of(TURNS_LOOKED);
        if let (Some(file), false) = (&known.kept, due) {
            return self.files.groups(file) == Some(known.groups);
        }
        let Some(stat) = self.files.stat(pid) else { return false };
        if stat.started != known.started || *stat.name != *known.process.name {
            return false;
        }
        if !due {
            return true;
        }
        known.looked = self.turn;
        match &known.kept {
            Some(file) => self.files.groups(file) == Some(known.groups),
            None => self.files.open(pid).and_then(|file| self.files.groups(&file)) == Some(known.groups),
        }
    }

    fn forget(&mut self, pid: u32) {
        if let Some(old) = self.known.remove(&pid) {
            self.open -= usize::from(old.kept.is_some());
            self.release();
        }
    }

    /// Lets go of workloads that no process has any more.
    fn release(&mut self) {
        let known = &self.known;
        let used =
            |workload: &Arc<Workload>| known.values().any(|k| Arc::ptr_eq(&k.process.workload, workload));
        self.workloads.retain(|workload| Arc::strong_count(workload) > 1 && used(workload));
    }

    /// Reads a process for the first time. On procfs its groups are read last, through a file opened first: they can be
    /// read only if the process whose `stat` was read in between has not ended. A copy has its start time read again, so
    /// that groups are not those of a process that took over the number meanwhile.
    fn meet(&mut self, pid: u32) -> Option<()> {
        let file = self.files.open(pid);
        let (started, name) = {
            let stat = self.files.stat(pid)?;
            (stat.started, Arc::<str>::from(stat.name))
        };
        let groups = file.as_ref().and_then(|file| self.files.groups(file));
        let member = groups.and_then(|_| member::workload_of(&self.files.text()));
        let proven = self.files.bound && groups.is_some();
        if !proven && self.files.stat(pid)?.started != started {
            return None;
        }
        let itself = || Workload {
            name: name.to_string(),
            ..Workload::new(WorkloadKind::Process, format!("{name}:{pid}:{started}"))
        };
        let workload = self.share(member.unwrap_or_else(itself));
        self.make_room();
        let kept = file.filter(|_| proven && self.open < OPEN_MAX);
        self.open += usize::from(kept.is_some());
        let (process, turn) = (Process { name, workload }, self.turn);
        let known = Known { started, groups: groups.unwrap_or(0), process, kept, asked: turn, looked: turn };
        self.known.insert(pid, known);
        Some(())
    }

    fn share(&mut self, workload: Workload) -> Arc<Workload> {
        if let Some(shared) = self.workloads.get(&workload) {
            return Arc::clone(shared);
        }
        let shared = Arc::new(workload);
        self.workloads.insert(Arc::clone(&shared));
        shared
    }

    fn make_room(&mut self) {
        if self.known.len() >= PROCESSES_MAX {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.asked).map(|(pid, _)| *pid);
            if let Some(pid) = oldest {
                self.forget(pid);
            }
        }
    }
}

#[cfg(test)]
mod tests;
