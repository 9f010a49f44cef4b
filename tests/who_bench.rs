//! What attribution costs: 200 processes in 50 pods, cold and steady: `cargo bench -p tests --bench who`.
//!
//! Processor time of the thread, on a copy of procfs (where start times are compared by path) and on procfs itself
//! (where `cgroup` files are kept open), both for looking processes up alone and for a whole attribution over eight boards.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints its figures")]
use agent::attribution::Attribution;
use collectors::Roots;
use collectors::workload::{Blocked, Processes};
use model::{DeviceId, DeviceInfo, DeviceKind, Frame, Metric, ProcessUse, Reading, Timestamp};
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

const PODS: u32 = 50;
const PROCESSES: u32 = 200;
const BOARDS: usize = 8;
const TURNS: usize = 500;

/// Processor time of this thread, in microseconds.
fn thread_us() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of the right type that lives through the call.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn timed(work: impl FnOnce()) -> f64 {
    let before = thread_us();
    work();
    thread_us() - before
}

fn uid(pod: u32) -> String {
    format!("00000000-0000-4000-8000-{pod:012}")
}

fn tree(home: &Path) {
    for pid in 1..=PROCESSES {
        let (pod, folder) = (pid % PODS, home.join("proc").join(pid.to_string()));
        fs::create_dir_all(&folder).unwrap();
        let stat = format!("{pid} (python3) S {}{} 0 0\n", "0 ".repeat(18), 1000 + pid);
        fs::write(folder.join("stat"), stat).unwrap();
        let slice = uid(pod).replace('-', "_");
        let group = format!(
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{slice}.slice/cri-containerd-{pod:064x}.scope\n"
        );
        fs::write(folder.join("cgroup"), group).unwrap();
    }
    for pod in 0..PODS {
        fs::create_dir_all(home.join("pods").join(format!("team_pod-{pod}_{}", uid(pod)))).unwrap();
        fs::create_dir_all(home.join("containers")).unwrap();
        fs::write(home.join("containers").join(format!("pod-{pod}_team_main-{pod:064x}.log")), "").unwrap();
    }
}

fn report(what: &str, cold: f64, mut steady: Vec<f64>) {
    steady.sort_by(f64::total_cmp);
    let mean = steady.iter().sum::<f64>() / steady.len() as f64;
    println!(
        "{what}: cold {:.3} ms, steady mean {:.3} ms, p99 {:.3} ms",
        cold / 1e3,
        mean / 1e3,
        steady[steady.len() * 99 / 100] / 1e3
    );
}

fn look_up(what: &str, roots: &Roots, pids: &[u32]) {
    let mut processes = Processes::new(roots);
    let mut turn = || {
        processes.turn();
        pids.iter().filter(|pid| processes.get(**pid).is_some()).count()
    };
    let cold = timed(|| assert_eq!(turn(), pids.len()));
    let steady = (0..TURNS).map(|_| timed(|| assert_eq!(turn(), pids.len()))).collect();
    report(what, cold, steady);
}

/// A look at who is blocked, with its share of the names of all processes. Between looks nothing is read.
fn look_for_blocked(what: &str, roots: &Roots, pids: &[u32]) {
    let mut blocked = Blocked::new(roots);
    let mut now = Timestamp { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 };
    let mut look = || {
        now = now.after(Duration::from_secs(10));
        blocked.turn(now);
        pids.iter().filter_map(|pid| blocked.of(*pid, now)).count()
    };
    let cold = timed(|| assert_eq!(look(), pids.len()));
    let steady = (0..TURNS).map(|_| timed(|| assert_eq!(look(), pids.len()))).collect();
    report(what, cold, steady);
}

fn frame() -> (Frame, Vec<DeviceId>) {
    let mut frame = Frame::default();
    let table = Arc::make_mut(&mut frame.devices);
    let boards = (0..BOARDS)
        .map(|n| table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}")))).unwrap())
        .collect();
    (frame, boards)
}

fn fill(frame: &mut Frame, boards: &[DeviceId], now: Timestamp) {
    frame.begin(now);
    for board in boards {
        let seconds = now.mono_ns as f64 / 1e9;
        frame.put(*board, Metric::PowerInstant, Reading::Value(500.0));
        frame.put(*board, Metric::Energy, Reading::Value(500.0 * seconds));
        frame.put(*board, Metric::Utilization, Reading::Value(0.9));
    }
    let name: Arc<str> = Arc::from("");
    frame.processes.extend((1..=PROCESSES).map(|pid| ProcessUse {
        device: boards[pid as usize % BOARDS],
        pid,
        name: Arc::clone(&name),
        memory_bytes: Some(1 << 30),
        utilization: Some(0.03),
        workload: None,
    }));
}

fn whole(home: &Path) {
    let mut config = agent::config::load(None, &[]).unwrap();
    config.collectors.proc = home.join("proc");
    config.cluster.pod_resources = home.join("none.sock");
    config.cluster.pod_logs = home.join("pods");
    config.cluster.container_logs = home.join("containers");
    let mut attribution = Attribution::new(&config);
    let (mut frame, boards) = frame();
    let mut now = Timestamp { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 };
    let mut beat = |attribution: &mut Attribution| {
        now = now.after(Duration::from_secs(1));
        fill(&mut frame, &boards, now);
        timed(|| attribution.attribute(&mut frame))
    };
    let cold = beat(&mut attribution);
    let named = |attribution: &Attribution| {
        attribution.shares().iter().flat_map(|s| &s.workload).any(|w| w.pod == "pod-7")
    };
    tests::eventually("pods have names", || {
        beat(&mut attribution);
        named(&attribution)
    });
    let steady = (0..TURNS).map(|_| beat(&mut attribution)).collect();
    report("attribution over 8 boards on a copy of procfs", cold, steady);
    println!("shares: {}", attribution.shares().len());
}

fn sleeper() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

fn main() {
    let home = tempfile::tempdir().unwrap();
    tree(home.path());
    let pids: Vec<u32> = (1..=PROCESSES).collect();
    look_up("200 processes on a copy of procfs", &Roots::below(home.path()), &pids);
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| sleeper()).collect();
    let pids: Vec<u32> = children.iter().map(Child::id).collect();
    look_up("200 processes on procfs", &Roots::default(), &pids);
    look_for_blocked("a look at 200 processes for blocked ones, on procfs", &Roots::default(), &pids);
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    whole(home.path());
}
