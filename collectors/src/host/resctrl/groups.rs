//! Which monitoring group stands for a control group: the one of its container's name, or the one with the same tasks.
use super::monitor::Monitor;
use crate::Roots;
use crate::host::cgroup::path::container_id;
use crate::host::file::{Kept, names};
use model::{Batch, Metric, Slot};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Groups looked at at most: hardware has some hundred identifiers to tell them apart.
const GROUPS_MAX: usize = 512;
/// Share of the tasks of both that must be the same ones: they come and go between two lists.
const SAME: f64 = 0.9;
/// Folders that are no groups of control (Documentation/filesystems/resctrl).
const OTHERS: [&str; 3] = ["info", "mon_groups", "mon_data"];

/// The groups of control, the node's default one first. What each counts includes its monitoring groups, so together they are
/// the whole node.
pub(super) fn controlling(root: &Path) -> Vec<PathBuf> {
    let group = |name: &str| !OTHERS.contains(&name) && root.join(name).join("mon_data").is_dir();
    let below = names(root, group).into_iter().take(GROUPS_MAX).map(|name| root.join(name));
    std::iter::once(root.to_owned()).chain(below).collect()
}

/// A monitoring group, or a group of control that is monitored as a whole.
struct Candidate {
    folder: PathBuf,
    name: String,
    tasks: BTreeSet<u32>,
}

/// Every monitoring group of the host.
pub(in crate::host) struct Groups {
    root: PathBuf,
    found: Vec<Candidate>,
}

/// What a control group is called, and where its threads are listed.
pub(in crate::host) struct Wanted<'a> {
    pub(in crate::host) name: &'a str,
    pub(in crate::host) container: Option<&'a str>,
    pub(in crate::host) threads: PathBuf,
}

fn tasks(file: PathBuf) -> BTreeSet<u32> {
    let mut file = Kept::new(file);
    let text = file.text().unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// Whether two lists are of the same tasks.
fn same(one: &BTreeSet<u32>, other: &BTreeSet<u32>) -> bool {
    let most = one.len().max(other.len());
    most > 0 && one.intersection(other).count() as f64 >= SAME * most as f64
}

impl Groups {
    /// None yet.
    pub(in crate::host) fn new(roots: &Roots) -> Self {
        Self { root: super::root(roots), found: Vec::new() }
    }

    /// Looks which groups there are; on a host without resctrl that is one look for a folder.
    pub(in crate::host) fn look(&mut self) {
        self.found.clear();
        if !self.root.join("mon_data").is_dir() {
            return;
        }
        for control in controlling(&self.root) {
            let monitoring = control.join("mon_groups");
            let below = names(&monitoring, |_| true).into_iter().map(|name| monitoring.join(name));
            // The node's default group holds whoever is in no other.
            let whole = (control != self.root).then(|| control.clone());
            for folder in whole.into_iter().chain(below).take(GROUPS_MAX - self.found.len()) {
                let name =
                    folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
                self.found.push(Candidate { tasks: tasks(folder.join("tasks")), folder, name });
            }
        }
    }

    /// The folder of the group that stands for a control group.
    pub(in crate::host) fn of(&self, wanted: &Wanted<'_>) -> Option<&Path> {
        let named = |group: &&Candidate| {
            let id = container_id(&group.name).unwrap_or(&group.name);
            id == wanted.container.unwrap_or(wanted.name)
        };
        if let Some(group) = self.found.iter().find(named) {
            return Some(&group.folder);
        }
        if self.found.is_empty() {
            return None;
        }
        let threads = tasks(wanted.threads.clone());
        self.found.iter().find(|group| same(&group.tasks, &threads)).map(|group| group.folder.as_path())
    }
}

/// What stands for one control group, if anything does.
#[derive(Debug, Default)]
pub(in crate::host) struct Standing {
    group: Option<(PathBuf, Monitor)>,
}

impl Standing {
    /// Takes the group that stands for it now.
    pub(in crate::host) fn take(&mut self, folder: Option<&Path>) {
        if self.group.as_ref().map(|(known, _)| known.as_path()) != folder {
            self.group =
                folder.map(|folder| (folder.to_owned(), Monitor::of(&folder.join("mon_data"), |_| true)));
        }
    }

    /// Reads it into the batch. A control group that nothing stands for has no such readings.
    pub(in crate::host) fn read(&mut self, slot: Slot, batch: &mut Batch) {
        let Some((_, monitor)) = &mut self.group else { return };
        let metrics = [Metric::CgroupTraffic, Metric::CgroupTrafficLocal, Metric::CgroupCache];
        for (metric, read) in metrics.into_iter().zip(monitor.read()) {
            match read {
                Ok(value) => batch.set(slot, metric, value),
                Err(why) => batch.absent(slot, metric, why),
            }
        }
    }
}
