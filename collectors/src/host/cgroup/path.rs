//! What a control group's path says: the container or unit it is, and the pod it belongs to. Both those who follow groups
//! and those who ask what a process belongs to read paths here.

/// A group to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Below the hierarchy's root.
    pub(super) path: String,
    /// For people: twelve characters of a container's id, or the name of a unit or of an LXC container.
    pub(super) name: String,
    /// The container's id; for LXC its name.
    pub(super) container: Option<String>,
    /// The pod's uid, with dashes as Kubernetes writes it.
    pub(super) pod: Option<String>,
}

impl Group {
    /// What a path says; `None` when the group is not worth following.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
        let pod = pod_of(path);
        let (name, container) = if let Some(id) = container_id(last) {
            (id.chars().take(12).collect(), Some(id.to_owned()))
        } else if let Some(name) = lxc(parent, last) {
            (name.to_owned(), Some(name.to_owned()))
        } else if is_unit(path, last) && pod.is_none() {
            (last.to_owned(), None)
        } else {
            return None;
        };
        Some(Self { path: path.to_owned(), name, container, pod })
    }
}

/// The container id in a folder's name: `cri-containerd-<id>.scope`, `crio-<id>.scope`, `docker-<id>.scope`,
/// `libpod-<id>.scope`, `<anything>:cri-containerd:<id>`, or bare. The process that watches over a container of CRI-O
/// or Podman has a group of its own with the same id, `crio-conmon-<id>.scope`; that is not the container.
pub(crate) fn container_id(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    let id = stem.rsplit(['-', ':']).next()?;
    let plain = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (plain && !stem.contains("conmon-")).then_some(id)
}

/// The name of an LXC container: `lxc/<name>`, `lxc.payload/<name>` or `lxc.payload.<name>`.
pub(crate) fn lxc<'a>(parent: &str, last: &'a str) -> Option<&'a str> {
    let above = parent.rsplit('/').next().unwrap_or("");
    let name = match last.strip_prefix("lxc.payload.") {
        Some(name) => name,
        None if matches!(above, "lxc" | "lxc.payload") => last,
        None => return None,
    };
    (!name.is_empty()).then_some(name)
}

/// Whether it is a service or a slice at most two deep. Units further down, inside a user's session or a container, are
/// theirs to watch.
fn is_unit(path: &str, last: &str) -> bool {
    (last.ends_with(".service") || last.ends_with(".slice")) && path.matches('/').count() <= 1
}

/// The uid of the innermost pod in a path: `pod<uid>`, or `kubepods-burstable-pod<uid with underscores>.slice`.
fn pod_of(path: &str) -> Option<String> {
    path.split('/').filter_map(pod_uid).next_back()
}

/// The uid of the pod that a folder's name bears: `pod<uid>`, `kubepods-burstable-pod<uid with underscores>.slice`, or
/// the same before a colon.
pub(crate) fn pod_uid(name: &str) -> Option<String> {
    let uid = |part: &str| {
        let stem = part.strip_suffix(".slice").unwrap_or(part);
        let uid = stem.rsplit_once("pod")?.1.replace('_', "-");
        is_uid(&uid).then_some(uid)
    };
    name.split(':').filter_map(uid).next_back()
}

/// Whether it is a pod's uid: a UUID, or the 32 digits of a hash that the kubelet gives a static pod.
fn is_uid(text: &str) -> bool {
    let dash = |place: usize| text.len() == 36 && matches!(place, 8 | 13 | 18 | 23);
    let fits = |(place, byte): (usize, u8)| if dash(place) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    matches!(text.len(), 32 | 36) && text.bytes().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "11111111-2222-3333-4444-555555555555";

    fn id() -> String {
        "0123456789abcdef".repeat(4)
    }

    #[test]
    fn paths_of_the_common_runtimes_name_container_and_pod() {
        let (id, under) = (id(), UID.replace('-', "_"));
        for path in [
            format!(
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/cri-containerd-{id}.scope"
            ),
            format!("kubepods/besteffort/pod{UID}/{id}"),
            format!("kubepods/pod{UID}/{id}"),
            format!("kubepods.slice/kubepods-pod{under}.slice/crio-{id}.scope"),
            format!("kubepods.slice/kubepods-pod{under}.slice/docker-{id}.scope"),
            format!(
                "system.slice/containerd.service/kubepods-burstable-pod{under}.slice:cri-containerd:{id}"
            ),
            format!("docker/{}/kubelet/kubepods/burstable/pod{UID}/{id}", "f".repeat(64)),
        ] {
            let group = Group::of(&path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(
                (group.container.as_deref(), group.pod.as_deref()),
                (Some(id.as_str()), Some(UID)),
                "{path}"
            );
            assert_eq!(group.name, "0123456789ab");
        }
    }

    #[test]
    fn containers_outside_kubernetes_have_no_pod() {
        let id = id();
        for path in [
            format!("docker/{id}"),
            format!("system.slice/docker-{id}.scope"),
            format!("machine.slice/libpod-{id}.scope"),
            format!("user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope"),
        ] {
            let group = Group::of(&path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((group.container.as_deref(), group.pod), (Some(id.as_str()), None), "{path}");
        }
    }

    #[test]
    fn a_static_pod_is_known_by_its_hash() {
        let hash = "0123456789abcdef0123456789abcdef";
        let path = format!("kubepods/burstable/pod{hash}/{}", id());
        assert_eq!(Group::of(&path).unwrap().pod.as_deref(), Some(hash));
    }

    #[test]
    fn an_lxc_container_is_known_by_its_whole_name() {
        for path in ["lxc/trainer-web-01", "lxc.payload/trainer-web-01", "lxc.payload.trainer-web-01"] {
            let group = Group::of(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(
                (group.name.as_str(), group.container.as_deref()),
                ("trainer-web-01", Some("trainer-web-01"))
            );
        }
        for path in ["lxc", "lxc.payload.", "lxc.monitor.a", "lxc.monitor/a", "lxc/a/ns"] {
            assert_eq!(Group::of(path), None, "{path}");
        }
    }

    #[test]
    fn who_watches_over_a_container_is_not_the_container() {
        for path in
            [format!("machine.slice/libpod-conmon-{}.scope", id()), format!("crio-conmon-{}.scope", id())]
        {
            assert_eq!(Group::of(&path), None, "{path}");
        }
    }

    #[test]
    fn units_are_followed_two_deep_and_what_is_neither_is_not() {
        for path in ["system.slice", "user.slice/user-0.slice", "kubepods.slice/kubepods-burstable.slice"] {
            let group = Group::of(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((group.container, group.pod), (None, None), "{path}");
        }
        assert_eq!(Group::of("system.slice/sshd.service").unwrap().name, "sshd.service");
        let pod = format!("kubepods.slice/kubepods-pod{}.slice", UID.replace('-', "_"));
        for path in ["", "init.scope", "kubepods", "user.slice/user-0.slice/user@0.service", pod.as_str()] {
            assert_eq!(Group::of(path), None, "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_an_id_is_none() {
        let short = &id()[1..];
        for path in [format!("docker/{short}"), format!("docker/g{short}"), format!("kubepods/pod{UID}")] {
            assert_eq!(Group::of(&path), None, "{path}");
        }
        let odd = format!("kubepods/pod{}/{}", "-".repeat(36), id());
        assert_eq!(Group::of(&odd).unwrap().pod, None);
    }
}
