//! Control groups that are containers, services or slices: usage, throttling, memory, pressure, storage and tasks, on
//! version 1 and 2.
mod discover;
mod events;
mod files;
pub(crate) mod path;
mod quota;
mod tasks;

use super::resctrl::groups::{Groups, Standing, Wanted};
use crate::{Entry, Need, Options};
use discover::{Hierarchy, discover};
use events::{Counted, Events};
use files::Files;
use model::error::OpenError;
use model::{Actuator, Batch, CollectError, Collector, DeviceInfo, DeviceKind, Slot, Timestamp};
use path::Group;
use std::collections::{BTreeMap, BTreeSet};
use tasks::{Look, Tasks};

/// From one look for new and vanished groups to the next, in seconds.
const SCAN_S: f64 = 10.0;

/// The line of control groups in the table of sources.
pub const ENTRY: Entry = Entry {
    actuator: Some(open_actuator),
    ..Entry::inline(
        "cgroup",
        open,
        &[
            Need::none("containers, services and slices"),
            Need {
                what: "calls and storage of control groups' processes (/proc/<pid>/io)",
                right: "root, or CAP_SYS_PTRACE; the host's PID namespace",
                without: "cgroup_calls_total, cgroup_call_bytes_total and cgroup_process_storage_bytes_total",
            },
            Need {
                what: "performance counters of control groups (only with collectors.cgroup.counters above 0)",
                right: "CAP_PERFMON, or perf_event_paranoid of -1",
                without: "cgroup_events_total",
            },
            Need {
                what: "quotas of processor time of control groups (only with power.enforce = true)",
                right: "root, or CAP_DAC_OVERRIDE; /sys/fs/cgroup mounted to be written",
                without: "the way to lower the processors' power where RAPL is locked",
            },
        ],
    )
};

/// Opens the actuator; a host without control groups has none.
///
/// # Errors
/// None at present.
pub fn open_actuator(options: &Options) -> Result<Option<Box<dyn Actuator>>, OpenError> {
    let roots = options.roots.clone();
    let quotas = |hierarchy| Box::new(quota::Quotas::new(hierarchy, roots)) as Box<dyn Actuator>;
    Ok(Hierarchy::find(&options.roots).map(quotas))
}

/// Opens the source; a host without control groups, or a limit of 0 groups, has none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let found = Hierarchy::find(&options.roots).filter(|_| options.cgroups_max > 0);
    let source = |hierarchy| Cgroups {
        hierarchy,
        groups_max: options.cgroups_max,
        followed: Vec::new(),
        scanned: None,
        look: Look::new(&options.roots.proc),
        events: Events::new(&options.roots, options.cgroup_counters),
        monitoring: Groups::new(&options.roots),
    };
    Ok(found.map(|hierarchy| Box::new(source(hierarchy)) as Box<dyn Collector>))
}

struct Followed {
    group: Group,
    slot: Slot,
    files: Files,
    tasks: Tasks,
    counted: Counted,
    standing: Standing,
}

struct Cgroups {
    hierarchy: Hierarchy,
    groups_max: usize,
    followed: Vec<Followed>,
    scanned: Option<Timestamp>,
    look: Look,
    events: Option<Events>,
    monitoring: Groups,
}

impl Cgroups {
    /// Lets go of groups that are gone, meets new ones, and looks again for files that were not there.
    fn scan(&mut self, now: Timestamp, batch: &mut Batch) {
        let followed: BTreeSet<&str> = self.followed.iter().map(|f| f.group.path.as_str()).collect();
        let mut found: BTreeMap<String, Group> =
            discover(&self.hierarchy, self.groups_max, |path| followed.contains(path))
                .into_iter()
                .map(|group| (group.path.clone(), group))
                .collect();
        self.followed.retain_mut(|followed| {
            let stays = found.remove(&followed.group.path).is_some();
            if stays {
                followed.files.look_again();
                followed.tasks.look_again();
            } else {
                batch.gone(followed.slot, now);
            }
            stays
        });
        for group in found.into_values() {
            let slot = batch.device(identity(&group));
            let files = Files::new(&self.hierarchy, &group.path);
            let tasks = Tasks::new(&self.hierarchy, &group.path);
            let (counted, standing) = (Counted::new(&self.hierarchy, &group.path), Standing::default());
            self.followed.push(Followed { group, slot, files, tasks, counted, standing });
        }
        self.monitoring.look();
        for Followed { group, standing, .. } in &mut self.followed {
            let threads = self.hierarchy.threads(&group.path);
            let container = group.container.as_deref();
            standing.take(self.monitoring.of(&Wanted { name: &group.name, container, threads }));
        }
    }
}

fn identity(group: &Group) -> DeviceInfo {
    let mut info =
        DeviceInfo { name: group.name.clone(), ..DeviceInfo::new(DeviceKind::Cgroup, group.path.clone()) };
    for (name, value) in [("container", &group.container), ("pod", &group.pod)] {
        info.attributes.extend(value.as_ref().map(|value| (name.to_owned(), value.clone())));
    }
    info
}

impl Collector for Cgroups {
    fn name(&self) -> &'static str {
        "cgroup"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let scans = self.scanned.is_none_or(|last| now.seconds_since(last) >= SCAN_S);
        if scans {
            self.scanned = Some(now);
            self.scan(now, batch);
        }
        self.look.begin();
        let mut vanished = false;
        for followed in &mut self.followed {
            vanished |= !followed.files.read(followed.slot, batch);
            followed.tasks.read(&mut self.look, followed.slot, batch);
            followed.standing.read(followed.slot, batch);
        }
        if let Some(events) = &mut self.events {
            self.followed.iter_mut().for_each(|followed| followed.counted.read(followed.slot, batch));
            if scans {
                events.choose(&mut self.followed, batch);
            }
        }
        if vanished {
            // The next beat looks again, so that a stopped container does not linger and a restarted unit is met anew.
            self.scanned = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
