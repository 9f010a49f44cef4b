//! Tests of who is on a device: groups of every runtime, pids that are used again, damaged files, limits.
use super::*;
use std::fs;
use std::path::Path;

const UID: &str = "11111111-2222-3333-4444-555555555555";

fn id() -> String {
    "0123456789abcdef".repeat(4)
}

fn process(root: &Path, pid: u32, name: &str, started: u64) {
    let dir = root.join("proc").join(pid.to_string());
    fs::create_dir_all(&dir).unwrap();
    let zeros = "0 ".repeat(18);
    fs::write(dir.join("stat"), format!("{pid} ({name}) S {zeros}{started} 0 0\n")).unwrap();
}

fn groups(root: &Path, pid: u32, text: &str) {
    fs::write(root.join("proc").join(pid.to_string()).join("cgroup"), text).unwrap();
}

fn name(processes: &mut Processes, pid: u32) -> String {
    processes.get(pid).map(|process| process.name.to_string()).unwrap_or_default()
}

fn key(text: &str) -> Option<(WorkloadKind, String)> {
    member::workload_of(text).map(|workload| (workload.kind, workload.key))
}

#[test]
fn every_runtimes_naming_leads_to_the_pod_and_its_container() {
    let (id, under) = (id(), UID.replace('-', "_"));
    for path in [
        format!(
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/cri-containerd-{id}.scope"
        ),
        format!("0::/kubepods/besteffort/pod{UID}/{id}"),
        format!("0::/kubepods.slice/kubepods-pod{under}.slice/crio-{id}.scope/container"),
        format!(
            "0::/system.slice/containerd.service/kubepods-burstable-pod{under}.slice:cri-containerd:{id}"
        ),
        format!("0::/docker/{}/kubelet/kubepods/burstable/pod{UID}/{id}", "f".repeat(64)),
        format!("0::/kubepods/pod{UID}/{id}/docker/{}", "e".repeat(64)),
        format!("0::/../../kubepods-burstable-pod{under}.slice/cri-containerd-{id}.scope"),
        format!("0::/kubepods/pod{UID}/{id} (deleted)"),
        format!("12:devices:/kubepods/pod{UID}/{id}\n1:name=systemd:/kubepods/pod{UID}/{id}\n0::/\n"),
        format!(
            "4:cpu:/\n3:memory:/kubepods/pod{UID}/{id}\n1:name=systemd:/system.slice/kubelet.service\n0::/"
        ),
    ] {
        assert_eq!(key(&path), Some((WorkloadKind::Pod, format!("{UID}/{id}"))), "{path}");
    }
    let beside = format!("0::/kubepods/pod{UID}");
    assert_eq!(key(&beside), Some((WorkloadKind::Pod, UID.into())), "a process beside the containers");
}

#[test]
fn containers_jobs_and_units_are_told_apart() {
    let id = id();
    let slurm = |number: &str| Some((WorkloadKind::Slurm, number.to_owned()));
    let unit = |name: &str| Some((WorkloadKind::Unit, name.to_owned()));
    let container = Some((WorkloadKind::Container, id.clone()));
    for (path, expected) in [
        (format!("0::/system.slice/docker-{id}.scope"), container.clone()),
        (format!("0::/machine.slice/libpod-{id}.scope/container"), container.clone()),
        (format!("9:memory:/docker/{id}"), container.clone()),
        (format!("0::/docker/{id}/system.slice/slurmstepd.scope/job_7/step_0"), container),
        (
            "0::/lxc.payload.trainer/system.slice/x.service".into(),
            Some((WorkloadKind::Container, "trainer".into())),
        ),
        ("0::/system.slice/slurmstepd.scope/job_123/step_0/user/task_0".into(), slurm("123")),
        ("4:devices:/slurm/uid_1000/job_123/step_0\n0::/system.slice/slurmd.service".into(), slurm("123")),
        ("4:cpu:/slurm_node7/uid_0/job_9/step_batch".into(), slurm("9")),
        (format!("0::/system.slice/slurmstepd.scope/job_123/step_0/libpod-{id}.scope"), slurm("123")),
        ("0::/system.slice/ollama.service".into(), unit("ollama.service")),
        ("0::/system.slice/ollama.service/worker".into(), unit("ollama.service")),
        (
            "0::/user.slice/user-7.slice/user@7.service/app.slice/a.service".into(),
            unit("user@7.service/a.service"),
        ),
        ("0::/user.slice/user-7.slice/session-3.scope".into(), None),
        ("0::/work/job_5".into(), None),
        ("0::/slurm/job_x".into(), None),
        ("0::/".into(), None),
        ("".into(), None),
        ("no colons\n1:\n::\n0::".into(), None),
    ] {
        assert_eq!(key(&path), expected, "{path}");
    }
}

#[test]
fn a_pid_used_again_between_two_turns_takes_over_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut processes = Processes::new(&Roots::below(home.path()));
    process(home.path(), 42, "train", 100);
    groups(home.path(), 42, &format!("0::/kubepods/pod{UID}/{}", id()));
    processes.turn();
    let first = Arc::clone(&processes.get(42).unwrap().workload);
    assert_eq!(first.kind, WorkloadKind::Pod);

    process(home.path(), 42, "train", 200);
    groups(home.path(), 42, "0::/system.slice/other.service");
    processes.turn();
    assert_eq!(processes.get(42).unwrap().workload.key, "other.service");

    process(home.path(), 42, "train", 300);
    fs::remove_file(home.path().join("proc/42/cgroup")).unwrap();
    processes.turn();
    assert_eq!(processes.get(42).unwrap().workload.key, "train:42:300");
}

#[test]
fn a_process_that_ends_is_nobody_at_once_and_its_descriptor_is_given_back() {
    let mut processes = Processes::new(&Roots::default());
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    processes.turn();
    assert!(processes.get(child.id()).is_some());
    assert_eq!(processes.open, 1);
    processes.turn();
    assert!(processes.get(child.id()).is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    processes.turn();
    assert_eq!(processes.get(child.id()), None);
    assert_eq!((processes.open, processes.known.len(), processes.workloads.len()), (0, 0, 0));
}

#[test]
fn processes_of_one_container_share_one_workload() {
    let home = tempfile::tempdir().unwrap();
    let mut processes = Processes::new(&Roots::below(home.path()));
    for pid in [1, 2] {
        process(home.path(), pid, "p", u64::from(pid));
        groups(home.path(), pid, &format!("0::/docker/{}", id()));
    }
    let one = Arc::clone(&processes.get(1).unwrap().workload);
    assert!(Arc::ptr_eq(&one, &processes.get(2).unwrap().workload));
}

#[test]
fn a_process_moved_to_another_group_changes_its_workload() {
    let home = tempfile::tempdir().unwrap();
    let mut processes = Processes::new(&Roots::below(home.path()));
    process(home.path(), 42, "p", 1);
    groups(home.path(), 42, "0::/system.slice/slurmd.service");
    processes.turn();
    assert_eq!(processes.get(42).unwrap().workload.kind, WorkloadKind::Unit);
    groups(home.path(), 42, "0::/system.slice/slurmstepd.scope/job_5/step_0");
    for _ in 0..TURNS_LOOKED {
        processes.turn();
        processes.get(42);
    }
    assert_eq!(processes.get(42).unwrap().workload.key, "5");
}

#[test]
fn a_name_may_hold_brackets_and_follows_exec() {
    let home = tempfile::tempdir().unwrap();
    process(home.path(), 42, "py (3) x", 100);
    let mut processes = Processes::new(&Roots::below(home.path()));
    assert_eq!(name(&mut processes, 42), "py (3) x");
    process(home.path(), 42, "python3", 100);
    (0..TURNS_LOOKED).for_each(|_| processes.turn());
    assert_eq!(name(&mut processes, 42), "python3", "the start time stays the same over exec");
}

#[test]
fn a_process_that_nobody_asks_for_is_forgotten() {
    let home = tempfile::tempdir().unwrap();
    process(home.path(), 1, "asked", 1);
    process(home.path(), 2, "left", 1);
    let mut processes = Processes::new(&Roots::below(home.path()));
    name(&mut processes, 2);
    for _ in 0..=TURNS_KEPT {
        name(&mut processes, 1);
        processes.turn();
    }
    assert_eq!(processes.known.keys().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(processes.workloads.len(), 1);
}

#[test]
fn damaged_files_and_unseen_pids_are_nobody() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("proc/7")).unwrap();
    let mut processes = Processes::new(&Roots::below(home.path()));
    assert_eq!(processes.get(8), None);
    for text in [&b""[..], b"7", b"7 (", b"7 (a", b")(", b"7 (a) S 1 2", b"7 (\xff) S x", b"\xff\xfe"] {
        fs::write(home.path().join("proc/7/stat"), text).unwrap();
        assert_eq!(processes.get(7), None, "{text:?}");
    }
    process(home.path(), 7, "a", 1);
    fs::write(home.path().join("proc/7/cgroup"), vec![0xff; 200_000]).unwrap();
    assert_eq!(processes.get(7).unwrap().workload.kind, WorkloadKind::Process);
}

#[test]
fn this_process_has_the_name_that_the_kernel_gives_it() {
    let mut processes = Processes::new(&Roots::default());
    // The thread whose id is the process's own bears the name.
    let comm = fs::read_to_string(format!("/proc/{}/comm", std::process::id())).unwrap();
    assert_eq!(name(&mut processes, std::process::id()), comm.trim_end());
}

#[test]
fn the_cache_is_bounded() {
    let home = tempfile::tempdir().unwrap();
    let mut processes = Processes::new(&Roots::below(home.path()));
    for pid in 1..=PROCESSES_MAX as u32 + 50 {
        process(home.path(), pid, "p", 1);
        processes.get(pid);
    }
    assert_eq!(processes.known.len(), PROCESSES_MAX);
    assert!(processes.workloads.len() <= PROCESSES_MAX);
}
