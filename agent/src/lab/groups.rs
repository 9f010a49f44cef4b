//! The lab's control groups: one for the victim, one for its antagonists, so that both are measured as containers are.
use super::LabError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The slice that holds the lab's groups.
const SLICE: &str = "wattkeeper-lab.slice";
/// Controllers that count something for a group, where version 1 has each in a tree of its own.
const TREES: [&str; 6] = ["cpu", "cpuacct", "cpu,cpuacct", "memory", "pids", "blkio"];
/// The same on version 2, for `cgroup.subtree_control`.
const CONTROLLERS: &str = "+cpu +memory +io +pids";

/// Who a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The victim.
    Victim,
    /// Its antagonists.
    Antagonist,
}

impl Side {
    /// The path of its group below the hierarchy's root, which is the key of its device.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Victim => "wattkeeper-lab.slice/victim.service",
            Self::Antagonist => "wattkeeper-lab.slice/antagonist.service",
        }
    }
}

/// The groups; removed when dropped.
#[derive(Debug)]
pub(super) struct Groups {
    /// The roots of the trees that have them.
    trees: Vec<PathBuf>,
}

impl Groups {
    /// Makes both groups below `mount`, usually `/sys/fs/cgroup`.
    ///
    /// # Errors
    /// When there is no hierarchy, or this user may not make groups in it.
    pub(super) fn make(mount: &Path) -> Result<Self, LabError> {
        let unified = mount.join("cgroup.controllers").exists();
        let trees: Vec<PathBuf> = match unified {
            true => vec![mount.to_owned()],
            false => TREES.iter().map(|tree| mount.join(tree)).filter(|tree| distinct(tree)).collect(),
        };
        if trees.is_empty() {
            return Err(LabError::NoGroups(mount.to_owned()));
        }
        let groups = Self { trees };
        for tree in &groups.trees {
            for side in [Side::Victim, Side::Antagonist] {
                let group = tree.join(side.path());
                fs::create_dir_all(&group).map_err(|error| LabError::Group { path: group.clone(), error })?;
            }
            if unified {
                for parent in [tree.clone(), tree.join(SLICE)] {
                    // A controller that is not there leaves its counters absent, which is no reason to give up.
                    let _ = fs::write(parent.join("cgroup.subtree_control"), CONTROLLERS);
                }
            }
        }
        Ok(groups)
    }

    /// Moves a process into a group.
    ///
    /// # Errors
    /// When one of the trees refuses it.
    pub(super) fn enter(&self, side: Side, pid: u32) -> io::Result<()> {
        self.trees
            .iter()
            .try_for_each(|tree| fs::write(tree.join(side.path()).join("cgroup.procs"), pid.to_string()))
    }
}

/// Whether it is a tree of its own, and not a second name for one.
fn distinct(tree: &Path) -> bool {
    fs::symlink_metadata(tree).is_ok_and(|metadata| metadata.is_dir())
}

impl Drop for Groups {
    fn drop(&mut self) {
        for tree in &self.trees {
            for side in [Side::Victim, Side::Antagonist] {
                // Only empty groups can be removed, so nobody's is.
                let _ = fs::remove_dir(tree.join(side.path()));
            }
            let _ = fs::remove_dir(tree.join(SLICE));
        }
    }
}
