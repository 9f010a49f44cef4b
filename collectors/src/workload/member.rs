//! What a process belongs to, as its `cgroup` file says it: a pod's container, a container, a Slurm job, a unit.
use crate::host::cgroup::path::{container_id, lxc, pod_uid};
use model::{Workload, WorkloadKind};

/// How many characters of a container's id people are shown.
const ID_SHOWN: usize = 12;

/// The workload that the text of `/proc/<pid>/cgroup` names; `None` when the process stands for itself.
///
/// One line a hierarchy, `<number>:<controllers>:<path>`. On version 1 and on hybrid hosts some hierarchies know the
/// process and others put it at their root, so the line that says most counts: a pod before a container, that before a
/// job, and that before a unit.
pub(super) fn workload_of(text: &str) -> Option<Workload> {
    let path = |line: &str| line.splitn(3, ':').nth(2).map(str::to_owned);
    let found = text.lines().filter_map(path).filter_map(|path| of_path(&path));
    found.min_by_key(|workload| workload.kind)
}

/// The workload that one path names.
///
/// The innermost pod counts, since a node may itself be a container; in it the outermost container, since what a
/// container starts is its own. Without a pod, whichever of container and job is further out was given the resources.
/// A reader in a control group namespace of its own sees paths that begin with `/..`, which say as much.
fn of_path(path: &str) -> Option<Workload> {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let (mut pod, mut owner, mut units) = (None, None, Vec::new());
    let (mut above, mut slurm) = ("", false);
    for part in path.split('/').filter(|part| !part.is_empty() && *part != "..") {
        if let Some(uid) = pod_uid(part) {
            (pod, owner) = (Some(uid), None);
        }
        slurm |= part.contains("slurm");
        if owner.is_none() {
            let container = container_id(part).or_else(|| lxc(above, part)).map(Owner::Container);
            owner = container.or_else(|| job(part).filter(|_| slurm && pod.is_none()).map(Owner::Job));
        }
        if part.ends_with(".service") {
            units.push(part);
        }
        above = part;
    }
    match (pod, owner) {
        (Some(uid), owner) => Some(in_pod(uid, owner.as_ref())),
        (None, Some(Owner::Container(id))) => Some(container(id)),
        (None, Some(Owner::Job(number))) => {
            Some(Workload { name: format!("job {number}"), ..Workload::new(WorkloadKind::Slurm, number) })
        }
        // A unit of a user's own manager is named below it, since two users may have one of the same name.
        (None, None) if !units.is_empty() => Some(Workload::new(WorkloadKind::Unit, units.join("/"))),
        (None, None) => None,
    }
}

/// Who was given the resources.
enum Owner<'a> {
    /// A container, by its id or LXC name.
    Container(&'a str),
    /// A Slurm job, by its number.
    Job(&'a str),
}

/// The number of a Slurm job in a folder's name: `job_<number>`, below `slurmstepd.scope` or `slurm/uid_<uid>`.
fn job(part: &str) -> Option<&str> {
    let number = part.strip_prefix("job_")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

fn shown(id: &str) -> String {
    if id.len() == 64 { id.chars().take(ID_SHOWN).collect() } else { id.to_owned() }
}

fn container(id: &str) -> Workload {
    Workload { name: shown(id), container: id.to_owned(), ..Workload::new(WorkloadKind::Container, id) }
}

/// A pod's container, under its id until somebody knows its name. A process may also stand beside the containers.
fn in_pod(uid: String, owner: Option<&Owner<'_>>) -> Workload {
    let Some(Owner::Container(id)) = owner else {
        return Workload { pod_uid: uid.clone(), ..Workload::new(WorkloadKind::Pod, uid) };
    };
    let key = format!("{uid}/{id}");
    Workload {
        name: shown(id),
        container: (*id).to_owned(),
        pod_uid: uid,
        ..Workload::new(WorkloadKind::Pod, key)
    }
}
