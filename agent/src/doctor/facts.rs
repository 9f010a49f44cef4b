//! Facts about this process that decide what it may read: user, capabilities, namespaces, limits, container.
use collectors::Roots;
use rustix::process::{Resource, getrlimit};
use std::path::Path;

/// The inode of the host's own pid namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h).
const HOST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// What a process may do, as the kernel sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The effective user.
    pub user: u32,
    /// Effective capabilities, a bit each (capabilities(7)).
    pub capabilities: u64,
    /// Whether process ids are those of the host; `None` where it cannot be told.
    pub host_pids: Option<bool>,
    /// How many files it may have open; `None` for no limit.
    pub files_max: Option<u64>,
    /// What sort of container it runs in, if any.
    pub container: Option<&'static str>,
    /// `kernel.perf_event_paranoid`, where the kernel has it.
    pub perf_paranoid: Option<i32>,
}

impl Facts {
    /// The facts of this process. Its own status is always read at `/proc`, wherever the host's is mounted.
    pub fn of_this_process(roots: &Roots) -> Self {
        let own = Path::new("/proc/self");
        let namespace = std::fs::read_link(own.join("ns/pid")).ok();
        let paranoid = std::fs::read_to_string(roots.proc.join("sys/kernel/perf_event_paranoid")).ok();
        Self {
            user: rustix::process::geteuid().as_raw(),
            capabilities: effective(&std::fs::read_to_string(own.join("status")).unwrap_or_default()),
            host_pids: namespace.map(|link| link.as_os_str() == HOST_PID_NAMESPACE),
            files_max: getrlimit(Resource::Nofile).current,
            container: container(),
            perf_paranoid: paranoid.and_then(|text| text.trim().parse().ok()),
        }
    }

    /// Whether a capability is in force.
    pub fn has(&self, capability: &str) -> bool {
        CAPABILITIES.iter().any(|(name, bit)| *name == capability && self.capabilities & (1 << bit) != 0)
    }

    /// The capabilities in force, of those that matter here.
    pub fn held(&self) -> Vec<&'static str> {
        CAPABILITIES.iter().map(|(name, _)| *name).filter(|name| self.has(name)).collect()
    }
}

/// The capabilities that matter here and their numbers (include/uapi/linux/capability.h).
const CAPABILITIES: &[(&str, u32)] = &[
    ("CAP_DAC_OVERRIDE", 1),
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYSLOG", 34),
    ("CAP_PERFMON", 38),
];

/// The effective set in the text of `/proc/<pid>/status`.
pub(super) fn effective(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

fn container() -> Option<&'static str> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Some("a pod of Kubernetes");
    }
    // Docker and Podman leave these marks in every container.
    let marks = [("/.dockerenv", "a Docker container"), ("/run/.containerenv", "a Podman container")];
    marks.into_iter().find(|(mark, _)| Path::new(mark).exists()).map(|(_, name)| name)
}
