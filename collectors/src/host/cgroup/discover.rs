//! Which control groups are worth following, and what their paths say of containers and pods.
use crate::Roots;
use crate::host::file::names;
use std::path::{Path, PathBuf};

/// Folders looked into at most in one scan.
const FOLDERS_MAX: usize = 4096;
/// How deep groups are looked for; a pod's container lies four or five deep.
const DEPTH_MAX: usize = 7;

/// Where the groups are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// One tree for all, version 2.
    Unified(PathBuf),
    /// One tree a controller, version 1; the folder that holds them.
    Split(PathBuf),
}

impl Hierarchy {
    /// The hierarchy of a host. On a hybrid one the controllers are those of version 1.
    pub(super) fn find(roots: &Roots) -> Option<Self> {
        let mount = roots.sys.join("fs/cgroup");
        if mount.join("cgroup.controllers").exists() {
            return Some(Self::Unified(mount));
        }
        let split = ["cpuacct", "cpu,cpuacct", "cpu", "memory"].iter().any(|name| mount.join(name).is_dir());
        split.then_some(Self::Split(mount))
    }

    /// The tree in which groups are looked for.
    fn tree(&self) -> PathBuf {
        match self {
            Self::Unified(mount) => mount.clone(),
            Self::Split(mount) => {
                let trees = ["cpuacct", "cpu,cpuacct", "cpu", "memory"].map(|name| mount.join(name));
                trees.iter().find(|tree| tree.is_dir()).cloned().unwrap_or_else(|| mount.clone())
            }
        }
    }
}

/// A group to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Below the hierarchy's root.
    pub(super) path: String,
    /// For people.
    pub(super) name: String,
    /// The container's id.
    pub(super) container: Option<String>,
    /// The pod's uid.
    pub(super) pod: Option<String>,
}

impl Group {
    /// What a path says; `None` when the group is not worth following.
    pub(super) fn of(path: &str) -> Option<Self> {
        let last = path.rsplit('/').next()?;
        let container = container_of(last);
        let unit = last.ends_with(".service") || (last.ends_with(".slice") && !path.contains('/'));
        // Services inside a user's or another's delegation are theirs to watch.
        let shallow = path.matches('/').count() <= 1;
        let name = match &container {
            Some(id) => id.chars().take(12).collect(),
            None if unit && shallow => last.to_owned(),
            None => return None,
        };
        Some(Self { path: path.to_owned(), name, container, pod: pod_of(path) })
    }
}

/// The container id in a folder's name: `cri-containerd-<id>.scope`, `docker-<id>.scope`, `crio-<id>.scope`, or bare.
fn container_of(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    let id = stem.rsplit(['-', ':']).next()?;
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}

/// The pod's uid in a path: `pod<uid>` or `kubepods-burstable-pod<uid with underscores>.slice`.
fn pod_of(path: &str) -> Option<String> {
    let uid = |part: &str| {
        let stem = part.strip_suffix(".slice").unwrap_or(part);
        let uid = stem.rsplit_once("pod").map(|(_, uid)| uid.replace('_', "-"))?;
        let plain = uid.len() == 36 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        plain.then_some(uid)
    };
    path.split('/').find_map(uid)
}

/// The groups to follow: containers first, then services and slices; at most `groups_max`.
pub(super) fn discover(hierarchy: &Hierarchy, groups_max: usize) -> Vec<Group> {
    let root = hierarchy.tree();
    let mut groups = Vec::new();
    let mut folders = vec![(String::new(), 0)];
    let mut seen = 0;
    while let Some((path, depth)) = folders.pop() {
        seen += 1;
        if seen > FOLDERS_MAX || depth > DEPTH_MAX {
            continue;
        }
        for name in names(&root.join(&path), |_| true) {
            let below = if path.is_empty() { name } else { format!("{path}/{name}") };
            if is_folder(&root.join(&below)) {
                groups.extend(Group::of(&below));
                folders.push((below, depth + 1));
            }
        }
    }
    groups.sort_by(|a, b| (a.container.is_none(), &a.path).cmp(&(b.container.is_none(), &b.path)));
    groups.truncate(groups_max);
    groups
}

/// Whether it is a folder itself, not a link to one.
fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_common_runtimes_name_container_and_pod() {
        let id = "0123456789abcdef".repeat(4);
        let uid = "11111111-2222-3333-4444-555555555555";
        let under = uid.replace('-', "_");
        for path in [
            format!(
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/cri-containerd-{id}.scope"
            ),
            format!("kubepods/besteffort/pod{uid}/{id}"),
            format!("kubepods.slice/kubepods-pod{under}.slice/crio-{id}.scope"),
            format!("kubelet/kubepods/pod{uid}/cri-containerd:{id}"),
        ] {
            let group = Group::of(&path).unwrap();
            assert_eq!(
                (group.container.as_deref(), group.pod.as_deref()),
                (Some(id.as_str()), Some(uid)),
                "{path}"
            );
            assert_eq!(group.name, "0123456789ab");
        }
        for path in [format!("docker/{id}"), format!("system.slice/docker-{id}.scope")] {
            assert_eq!(Group::of(&path).unwrap().container, Some(id.clone()), "{path}");
        }
    }

    #[test]
    fn services_are_followed_and_what_is_neither_is_not() {
        assert_eq!(Group::of("system.slice/sshd.service").unwrap().name, "sshd.service");
        assert_eq!(Group::of("system.slice").unwrap().container, None);
        assert_eq!(Group::of("init.scope"), None);
        assert_eq!(Group::of("user.slice/user-0.slice/user@0.service/app.slice/x.service"), None);
    }
}
