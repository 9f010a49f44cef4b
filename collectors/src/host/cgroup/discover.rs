//! Which control groups are worth following, and where they are.
use super::path::Group;
use crate::Roots;
use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Folders looked into at most in one scan.
const FOLDERS_MAX: usize = 4096;
/// How deep groups are looked for: a pod's container lies four or five deep, and two deeper on a node that is itself a
/// container.
pub(super) const DEPTH_MAX: usize = 7;
/// Version 1's trees, the one with the most groups first.
const TREES: [&str; 4] = ["cpuacct", "cpu,cpuacct", "cpu", "memory"];

/// Where the groups are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// One tree for all, version 2.
    Unified(PathBuf),
    /// One tree a controller, version 1; the folder that holds them.
    Split(PathBuf),
}

impl Hierarchy {
    /// The hierarchy of a host. A hybrid one is of version 1 if any controller that is read here is still there.
    pub(super) fn find(roots: &Roots) -> Option<Self> {
        let mount = roots.sys.join("fs/cgroup");
        let unified = |tree: &Path| tree.join("cgroup.controllers").exists();
        if unified(&mount) {
            return Some(Self::Unified(mount));
        }
        if TREES.iter().any(|name| mount.join(name).is_dir()) {
            return Some(Self::Split(mount));
        }
        let beside = mount.join("unified");
        unified(&beside).then_some(Self::Unified(beside))
    }

    /// The folder by which performance counters know a group. On version 1 they have a tree of their own; where that is not
    /// mounted, they go with version 2's, if a group of this name is there.
    pub(super) fn counted(&self, path: &str) -> PathBuf {
        match self {
            Self::Unified(mount) => mount.join(path),
            Self::Split(mount) => {
                let trees = ["perf_event", "unified"].map(|tree| mount.join(tree).join(path));
                let there = trees.iter().find(|folder| folder.is_dir());
                there.unwrap_or(&trees[0]).clone()
            }
        }
    }

    /// The file with the threads of a group.
    pub(super) fn threads(&self, path: &str) -> PathBuf {
        let file = match self {
            Self::Unified(_) => "cgroup.threads",
            Self::Split(_) => "tasks",
        };
        self.tree().join(path).join(file)
    }

    /// The tree in which groups are looked for.
    pub(super) fn tree(&self) -> PathBuf {
        match self {
            Self::Unified(mount) => mount.clone(),
            Self::Split(mount) => {
                let trees = TREES.map(|name| mount.join(name));
                trees.iter().find(|tree| tree.is_dir()).cloned().unwrap_or_else(|| mount.clone())
            }
        }
    }
}

/// The groups to follow, at most `groups_max`: containers before services and slices, and among each those that are
/// followed already, so that a group keeps its place for as long as it lives.
pub(super) fn discover(
    hierarchy: &Hierarchy,
    groups_max: usize,
    followed: impl Fn(&str) -> bool,
) -> Vec<Group> {
    let mut groups: Vec<Group> = walk(&hierarchy.tree()).iter().filter_map(|path| Group::of(path)).collect();
    groups
        .sort_by_cached_key(|group| (group.container.is_none(), !followed(&group.path), group.path.clone()));
    groups.truncate(groups_max);
    name_apart(&mut groups);
    groups
}

/// Every group below a root, level by level, so that a limit cuts off the deepest.
fn walk(root: &Path) -> Vec<String> {
    let (mut found, mut looked) = (Vec::new(), 0);
    let mut level = vec![String::new()];
    for _ in 0..=DEPTH_MAX {
        let mut below = Vec::new();
        for path in level.iter().take(FOLDERS_MAX - looked) {
            looked += 1;
            for name in folders(&root.join(path)) {
                below.push(if path.is_empty() { name } else { format!("{path}/{name}") });
            }
        }
        found.extend(below.iter().cloned());
        level = below;
    }
    found
}

/// The folders in a folder. Links are left alone, so that there is no way round in a circle.
pub(super) fn folders(folder: &Path) -> Vec<String> {
    // A folder without folders has two links, its name and its own dot; most groups are such, and each has dozens of
    // files that need not be listed. Where links are not counted there are fewer than two.
    if fs::metadata(folder).is_ok_and(|metadata| metadata.nlink() == 2) {
        return Vec::new();
    }
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_folder).filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Gives groups of one name their whole path as name.
fn name_apart(groups: &mut [Group]) {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    groups.iter().for_each(|group| *uses.entry(group.name.clone()).or_default() += 1);
    for group in groups.iter_mut().filter(|group| uses.get(&group.name).is_some_and(|uses| *uses > 1)) {
        group.name.clone_from(&group.path);
    }
}
