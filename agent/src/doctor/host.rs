//! The process and its host: what is visible and permitted apart from the sources.
use super::{Check, Facts, Verdict};
use crate::config::Config;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// Where the kubelet says which pod was given which device (the PodResources API, Kubernetes 1.20 and later).
const POD_RESOURCES: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";

/// Fewer open files than this cannot hold the counters of a large node. Ours: two per processor of a node with 256, and
/// as many again for files kept open.
const FILES_FEW: u64 = 1024;

/// All checks, in the order of the report.
pub(super) fn checks(config: &Config, facts: &Facts) -> Vec<Check> {
    vec![
        user(facts),
        place(facts),
        processes(&config.collectors.proc, facts),
        cgroups(&config.collectors.sys),
        kubelet(Path::new(POD_RESOURCES), facts),
        state(config),
        files(facts),
        paranoid(facts),
    ]
}

fn user(facts: &Facts) -> Check {
    let held = facts.held();
    let held = if held.is_empty() { "no capability that matters here".into() } else { held.join(", ") };
    Check::new("user", Verdict::Ok, format!("uid {}, {held}", facts.user))
}

fn place(facts: &Facts) -> Check {
    let place = facts.container.map_or("no container".to_owned(), |kind| format!("inside {kind}"));
    Check::new("place", Verdict::Ok, place)
}

/// Whether processes of other users, and of the host, can be looked up by their ids.
pub(super) fn processes(proc: &Path, facts: &Facts) -> Check {
    let lost = "names and workloads of processes on accelerators; their power is nobody's";
    // Elsewhere than at /proc is the host's procfs, mounted for the purpose; it numbers processes as the host does.
    if proc == Path::new("/proc") && facts.host_pids == Some(false) {
        let grant = vec!["Kubernetes: hostPID: true; Docker: --pid=host".into()];
        return Check::denied("processes", "only those of this container are visible", lost, grant);
    }
    // The first process is root's, so `hidepid` hides it from others (proc(5)).
    match std::fs::read(proc.join("1/cgroup")) {
        Ok(_) => Check::new("processes", Verdict::Ok, format!("all are visible in {}", proc.display())),
        Err(error) => {
            let found = format!("{} cannot be read: {error}", proc.join("1/cgroup").display());
            let grant = vec![
                "mount /proc without hidepid, or with gid= of a group that this user is in".into(),
                "systemd: no ProtectProc=".into(),
            ];
            Check::denied("processes", found, lost, grant)
        }
    }
}

fn cgroups(sys: &Path) -> Check {
    let root = sys.join("fs/cgroup");
    let (verdict, found) = if root.join("cgroup.controllers").exists() {
        (Verdict::Ok, "version 2".to_owned())
    } else if root.join("unified/cgroup.controllers").exists() {
        (Verdict::Ok, "version 1 with version 2 beside it (hybrid)".to_owned())
    } else if root.join("cpu").exists() || root.join("memory").exists() {
        (Verdict::Ok, "version 1".to_owned())
    } else {
        (Verdict::None, format!("none are mounted at {}", root.display()))
    };
    Check::new("cgroups", verdict, found)
}

/// Whether the kubelet's socket is there and may be opened. It is not connected to.
pub(super) fn kubelet(socket: &Path, facts: &Facts) -> Check {
    let lost = "names of pods that were given a device and have no process on it yet";
    let pod = facts.container == Some("a pod of Kubernetes");
    match socket.metadata() {
        Ok(file) if !file.file_type().is_socket() => {
            Check::new("kubelet", Verdict::Failed, format!("{} is no socket", socket.display()))
        }
        Ok(_) if permitted(socket, Access::READ_OK | Access::WRITE_OK) => {
            Check::new("kubelet", Verdict::Ok, format!("{} may be opened", socket.display()))
        }
        Ok(_) => {
            let grant = vec!["it is root's: run as root, or with CAP_DAC_OVERRIDE".into()];
            Check::denied("kubelet", format!("{} may not be opened", socket.display()), lost, grant)
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let grant = vec!["its folder is root's: run as root, or with CAP_DAC_OVERRIDE".into()];
            Check::denied("kubelet", format!("{} cannot be seen", socket.display()), lost, grant)
        }
        Err(_) if pod => {
            let folder = socket.parent().unwrap_or(socket).display().to_string();
            let grant = vec![format!("Kubernetes: mount hostPath {folder} at the same path")];
            Check::denied("kubelet", format!("{} is not mounted", socket.display()), lost, grant)
        }
        Err(_) => Check::new("kubelet", Verdict::None, format!("no socket at {}", socket.display())),
    }
}

/// Whether what must survive a restart can be written; a folder that is not there yet is made by the agent.
pub(super) fn state(config: &Config) -> Check {
    let directory = config.state_directory.as_path();
    let there = directory.ancestors().find(|folder| folder.exists()).unwrap_or(directory);
    if there.is_dir() && permitted(there, Access::WRITE_OK | Access::EXEC_OK) {
        let when = if there == directory { "is writable" } else { "can be made" };
        return Check::new("state", Verdict::Ok, format!("{} {when}", directory.display()));
    }
    let found = format!("{} cannot be written", directory.display());
    let lost = if config.power.enforce {
        "the journal of original power limits, so nothing is enforced"
    } else {
        "what must survive a restart; enforcement, once it is wanted"
    };
    let grant = vec![
        "systemd: StateDirectory=wattkeeper".into(),
        "Kubernetes: mount a hostPath there; elsewhere set state.directory".into(),
    ];
    Check::denied("state", found, lost, grant)
}

fn files(facts: &Facts) -> Check {
    match facts.files_max {
        Some(few) if few < FILES_FEW => {
            let grant = vec![format!("systemd: LimitNOFILE={FILES_FEW}, or ulimit -n {FILES_FEW}")];
            let lost = "counters and files kept open on a node with many processors";
            Check::denied("open files", format!("at most {few}"), lost, grant)
        }
        Some(limit) => Check::new("open files", Verdict::Ok, format!("at most {limit}")),
        None => Check::new("open files", Verdict::Ok, "no limit"),
    }
}

fn paranoid(facts: &Facts) -> Check {
    match facts.perf_paranoid {
        Some(level) => {
            Check::new("perf events", Verdict::Ok, format!("kernel.perf_event_paranoid is {level}"))
        }
        None => Check::new("perf events", Verdict::None, "the kernel has none"),
    }
}

/// Whether the kernel would let this process, with its effective rights, do that.
fn permitted(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}
