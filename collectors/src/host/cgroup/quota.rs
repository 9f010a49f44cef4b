//! The actuator: how much processor time a group may use, by the quota of the scheduler, on version 1 and 2
//! (Documentation/scheduler/sched-bwc.rst, Documentation/admin-guide/cgroup-v2.rst).
//!
//! A quota is given in cores. As many as the machine has is no quota at all, and is written as `max` or -1. The group's own
//! period stays. Never turned are the root group, our own, and those that ours is in. What writes quotas too is a kubelet when
//! it updates a pod, and systemd when its units are loaded anew; both are foreign writers like any other.
use super::discover::{DEPTH_MAX, Hierarchy, folders};
use crate::Roots;
use model::error::Reason;
use model::{ActuateError, Actuator, Knob, Order, Span};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The smallest quota, as a share of the machine: Thunderbolt's floor is 1 % (OSDI'20, Table 2, quoted second-hand).
const FLOOR_SHARE: f64 = 0.01;
/// The smallest quota that the kernel takes, in microseconds (`min_cfs_quota_period`, kernel/sched/core.c).
const QUOTA_MIN_US: f64 = 1000.0;

/// Sets quotas.
#[derive(Debug)]
pub(super) struct Quotas {
    hierarchy: Hierarchy,
    roots: Roots,
    /// Quotas of at least as many cores as there are, which stood there before our first write, by the group's path: they
    /// bound nothing, and are given back as they were all the same.
    wide: BTreeMap<String, Quota>,
}

/// What stands in a group's files, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Quota {
    /// `None`: no quota.
    quota_us: Option<f64>,
    period_us: f64,
}

impl Quota {
    /// As cores of a machine that has so many.
    fn cores(self, machine: f64) -> f64 {
        self.quota_us.map_or(machine, |quota| (quota / self.period_us).min(machine))
    }

    /// Whether it is there and bounds nothing on a machine with so many cores.
    fn wide(self, machine: f64) -> bool {
        self.quota_us.is_some() && self.cores(machine) >= machine
    }
}

/// Where a group's quota stands.
enum Place {
    /// Version 2: quota and period in one file.
    Unified(PathBuf),
    /// Version 1: a file each.
    Split { quota: PathBuf, period: PathBuf },
}

fn malformed() -> io::Error {
    ErrorKind::InvalidData.into()
}

fn number(text: &str) -> io::Result<f64> {
    let number: i64 = text.trim().parse().map_err(|_| malformed())?;
    // Microseconds of a period are far below 2^53.
    Ok(number as f64)
}

impl Place {
    fn read(&self) -> io::Result<Quota> {
        let (quota, period) = match self {
            Self::Unified(file) => {
                let text = std::fs::read_to_string(file)?;
                let (quota, period) = text.trim().split_once(' ').ok_or_else(malformed)?;
                (quota.to_owned(), number(period)?)
            }
            Self::Split { quota, period } => {
                (std::fs::read_to_string(quota)?, number(&std::fs::read_to_string(period)?)?)
            }
        };
        let quota = if quota == "max" { -1.0 } else { number(&quota)? };
        if period < 1.0 || quota == 0.0 {
            return Err(malformed());
        }
        Ok(Quota { quota_us: (quota > 0.0).then_some(quota), period_us: period })
    }

    fn write(&self, quota: Quota) -> io::Result<()> {
        let (file, text) = match (self, quota.quota_us) {
            (Self::Unified(file), Some(us)) => (file, format!("{us:.0} {:.0}\n", quota.period_us)),
            (Self::Unified(file), None) => (file, format!("max {:.0}\n", quota.period_us)),
            (Self::Split { quota: file, .. }, Some(us)) => (file, format!("{us:.0}\n")),
            (Self::Split { quota: file, .. }, None) => (file, "-1\n".to_owned()),
        };
        let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(file)?;
        file.write_all(text.as_bytes())
    }
}

fn failed(what: &str, key: &str) -> impl FnOnce(io::Error) -> ActuateError {
    let operation = format!("{what} the quota of {key}");
    move |error| match error.raw_os_error() {
        // On version 1 a group may have no more than the one above it, nor less than one below it (kernel/sched/core.c).
        Some(libc::EINVAL) => ActuateError::new(operation, Reason::Refused).because(error),
        Some(libc::ENODEV | libc::ENOENT) => ActuateError::new(operation, Reason::Lost).because(error),
        _ => ActuateError::io(operation, error),
    }
}

impl Quotas {
    pub(super) fn new(hierarchy: Hierarchy, roots: Roots) -> Self {
        Self { hierarchy, roots, wide: BTreeMap::new() }
    }

    /// The place of a group's quota.
    fn place(&self, key: &str) -> Result<Place, ActuateError> {
        let refuse = |reason| Err(ActuateError::new(format!("find a quota of the group {key:?}"), reason));
        let odd = |part: &str| matches!(part, "" | "." | "..");
        if key.split('/').any(odd) || self.ours(key) {
            return refuse(Reason::Refused);
        }
        let Some(tree) = self.hierarchy.quotas() else { return refuse(Reason::Unsupported) };
        // A tree that is not mounted for a while does not mean that its groups are gone.
        if matches!(self.hierarchy, Hierarchy::Unified(_)) && !tree.join("cgroup.controllers").exists() {
            return refuse(Reason::Missing);
        }
        let folder = tree.join(key);
        if !folder.is_dir() {
            return refuse(Reason::Lost);
        }
        let place = match self.hierarchy {
            Hierarchy::Unified(_) => Place::Unified(folder.join("cpu.max")),
            Hierarchy::Split(_) => Place::Split {
                quota: folder.join("cpu.cfs_quota_us"),
                period: folder.join("cpu.cfs_period_us"),
            },
        };
        let file = match &place {
            Place::Unified(file) | Place::Split { quota: file, .. } => file,
        };
        if file.exists() { Ok(place) } else { refuse(Reason::Unsupported) }
    }

    /// Whether this process is in the group or in one below it. Where that cannot be told, it is assumed to be.
    fn ours(&self, key: &str) -> bool {
        let Ok(text) = std::fs::read_to_string(self.roots.proc.join("self/cgroup")) else { return true };
        let own: Vec<&str> = text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
        let below = |path: &str| {
            let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(key));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if own.iter().any(|path| below(path)) {
            return true;
        }
        // In a namespace of its own a process is at the root, or outside it, wherever the host has put it.
        let hidden = own.iter().any(|path| matches!(*path, "/" | "") || path.contains(".."));
        let tree = self.hierarchy.quotas();
        hidden && tree.is_some_and(|tree| holds(&tree.join(key), std::process::id(), DEPTH_MAX))
    }

    /// Cores of the machine.
    fn machine(&self, key: &str) -> Result<f64, ActuateError> {
        let text = std::fs::read_to_string(self.roots.proc.join("stat")).unwrap_or_default();
        let core = |line: &&str| {
            line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let cores = text.lines().filter(core).count();
        let none = || ActuateError::new(format!("count the cores for the quota of {key}"), Reason::Malformed);
        // Machines have thousands of cores at most.
        if cores > 0 { Ok(cores as f64) } else { Err(none()) }
    }
}

/// Whether a process is in the group of a folder or in one below it.
fn holds(folder: &Path, pid: u32, depth: usize) -> bool {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let here = text.lines().any(|line| line.parse() == Ok(pid));
    here || depth > 0 && folders(folder).iter().any(|name| holds(&folder.join(name), pid, depth - 1))
}

impl Hierarchy {
    /// The tree of the controller that has quotas.
    fn quotas(&self) -> Option<PathBuf> {
        match self {
            Self::Unified(mount) => Some(mount.clone()),
            Self::Split(mount) => {
                let trees = ["cpu", "cpu,cpuacct", "cpuacct,cpu"].map(|name| mount.join(name));
                trees.into_iter().find(|tree: &PathBuf| Path::is_dir(tree))
            }
        }
    }
}

impl Actuator for Quotas {
    fn name(&self) -> &'static str {
        "cgroup"
    }

    /// From a share of the machine, or the present quota where that is less, to the whole machine, which is no quota.
    fn span(&mut self, key: &str, knob: Knob) -> Result<Span, ActuateError> {
        knob.only(Knob::CpuQuota, key)?;
        let quota = self.place(key)?.read().map_err(failed("read", key))?;
        let machine = self.machine(key)?;
        let floor = (FLOOR_SHARE * machine).max(QUOTA_MIN_US / quota.period_us);
        let span = Span::new(floor.min(quota.cores(machine)), machine);
        span.ok_or_else(|| {
            ActuateError::new(format!("find what the quota of {key} may be"), Reason::Malformed)
        })
    }

    fn enforced(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        knob.only(Knob::CpuQuota, key)?;
        let quota = self.place(key)?.read().map_err(failed("read", key))?;
        Ok(quota.cores(self.machine(key)?))
    }

    /// The number of the group's folder, which the kernel does not give twice (kernfs, fs/kernfs/dir.c).
    fn incarnation(&mut self, key: &str, knob: Knob) -> Option<u64> {
        let tree = self.hierarchy.quotas().filter(|_| knob == Knob::CpuQuota)?;
        std::fs::metadata(tree.join(key)).ok().map(|folder| folder.ino())
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        let key = order.key();
        order.knob().only(Knob::CpuQuota, key)?;
        let (place, machine) = (self.place(key)?, self.machine(key)?);
        let present = place.read().map_err(failed("read", key))?;
        if present.wide(machine) {
            self.wide.insert(key.to_owned(), present);
        }
        let quota_us = (order.value() * present.period_us).round();
        let wanted = if order.value() >= machine {
            self.wide.remove(key).unwrap_or(Quota { quota_us: None, ..present })
        } else if quota_us >= QUOTA_MIN_US {
            Quota { quota_us: Some(quota_us), ..present }
        } else {
            let what = format!("set the quota of {key} to {} cores", order.value());
            return Err(ActuateError::new(what, Reason::Refused));
        };
        place.write(wanted).map_err(failed("set", key))?;
        let read_back = place.read().map_err(failed("read back", key))?;
        Ok(read_back.cores(machine))
    }
}

#[cfg(test)]
mod tests;
