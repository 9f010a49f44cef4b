//! Who uses it: pods named through a fake kubelet, power that adds up, energy that survives a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use agent::cluster::{Cluster, Held, PodName, Wanted};
use agent::config::ClusterConfig;
use fake_nvml::Control;
use model::Reason;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::kubelet::{Kubelet, Mood};
use tests::{Agent, eventually, fake_library, metric};

/// The pid of the fake driver's process on the first board.
const FIRST_PID: u32 = 4_194_000;

/// A host: procfs, the kubelet's folders and socket, a state directory.
struct Host {
    home: tempfile::TempDir,
}

fn uid(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn id(number: u32) -> String {
    format!("{number:064x}")
}

impl Host {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["proc", "pods", "containers", "state"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        Self { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn cluster(&self) -> ClusterConfig {
        ClusterConfig {
            pod_resources: self.path("kubelet.sock"),
            pod_logs: self.path("pods"),
            container_logs: self.path("containers"),
        }
    }

    /// Makes the folders that a kubelet makes for a pod with one container `main`.
    fn pod(&self, number: u32, container: u32) {
        let folder = self.path("pods").join(format!("team_pod-{number}_{}", uid(number)));
        fs::create_dir_all(folder).unwrap();
        let link = format!("pod-{number}_team_main-{}.log", id(container));
        fs::write(self.path("containers").join(link), "").unwrap();
    }

    fn process(&self, pid: u32, started: u64, group: &str) {
        let folder = self.path("proc").join(pid.to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("stat"), format!("{pid} (train) S {}{started} 0 0\n", "0 ".repeat(18)))
            .unwrap();
        fs::write(folder.join("cgroup"), format!("0::{group}\n")).unwrap();
    }

    fn in_pod(&self, pid: u32, pod: u32, container: u32) {
        let slice = uid(pod).replace('-', "_");
        let group =
            format!("/kubepods.slice/kubepods-pod{slice}.slice/cri-containerd-{}.scope", id(container));
        self.process(pid, u64::from(container), &group);
    }

    fn agent(&self, node: &Path) -> Agent {
        let set = |key: &str, value: String| ["--set".to_owned(), format!("{key}={value}")];
        let path = |name: &str| self.path(name).display().to_string();
        let arguments = [
            set("collectors.libraries", format!("[\"nvml={}\"]", fake_library().display())),
            set("collectors.proc", path("proc")),
            set("cluster.pod_resources", path("kubelet.sock")),
            set("cluster.pod_logs", path("pods")),
            set("cluster.container_logs", path("containers")),
            set("state.directory", path("state")),
            set("beat.interval", "200ms".into()),
        ];
        let arguments: Vec<&str> = arguments.iter().flatten().map(String::as_str).collect();
        Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", node)])
    }
}

fn held(pod: u32, id: &str) -> [String; 4] {
    ["team".into(), format!("pod-{pod}"), "main".into(), id.into()]
}

fn wanted(pod: u32, container: u32) -> Wanted {
    Wanted { uid: uid(pod), container: id(container) }
}

fn as_held(pod: u32, device: &str) -> Held {
    Held {
        pod: PodName { namespace: "team".into(), pod: format!("pod-{pod}") },
        container: "main".into(),
        resource: "nvidia.com/gpu".into(),
        id: device.into(),
    }
}

fn reason(cluster: &Cluster) -> Option<Reason> {
    cluster.health().and_then(|health| health.reason)
}

#[test]
fn the_kubelet_is_listed_at_the_start_and_one_new_pod_is_got_by_name() {
    let host = Host::new();
    host.pod(1, 1);
    let kubelet = Kubelet::start(&host.path("kubelet.sock"), vec![held(1, "GPU-a"), held(1, "GPU-b")]);
    let cluster = Cluster::start(&host.cluster()).unwrap();
    eventually("the first answer is there", || cluster.pods().held.len() == 2);
    assert_eq!(cluster.pods().held, [as_held(1, "GPU-a"), as_held(1, "GPU-b")]);
    assert!(cluster.pods().names.contains_key(&uid(1)));
    assert!(cluster.health().unwrap().up);
    assert_eq!(kubelet.asked(), (1, 0));

    host.pod(2, 2);
    kubelet.state().held.push(held(2, "GPU-c"));
    cluster.changed(vec![wanted(1, 1), wanted(2, 2)]);
    eventually("the new pod is known", || cluster.pods().held.len() == 3);
    assert_eq!(cluster.pods().containers[&id(2)], "main");
    assert_eq!(kubelet.asked(), (1, 1));

    kubelet.state().held.retain(|held| held[1] != "pod-1");
    cluster.changed(vec![wanted(2, 2)]);
    eventually("the old pod is gone", || cluster.pods().held == [as_held(2, "GPU-c")]);
    assert_eq!(kubelet.asked(), (2, 1));
}

#[test]
fn a_kubelet_without_get_is_listed() {
    let host = Host::new();
    host.pod(1, 1);
    let kubelet = Kubelet::start(&host.path("kubelet.sock"), vec![]);
    kubelet.state().mood = Mood::NoGet;
    let cluster = Cluster::start(&host.cluster()).unwrap();
    eventually("the first answer is there", || cluster.health().is_some());
    host.pod(2, 2);
    kubelet.state().held.push(held(2, "GPU-c"));
    cluster.changed(vec![wanted(2, 2)]);
    eventually("the new pod is known", || cluster.pods().held.len() == 1);
    assert!(cluster.health().unwrap().up);
    assert_eq!(kubelet.asked(), (2, 1));
}

#[test]
fn a_slow_and_a_refusing_kubelet_have_their_reasons_and_what_was_known_stays() {
    let host = Host::new();
    let kubelet = Kubelet::start(&host.path("kubelet.sock"), vec![held(1, "GPU-a")]);
    let cluster = Cluster::start(&host.cluster()).unwrap();
    eventually("the first answer is there", || cluster.pods().held.len() == 1);
    kubelet.state().mood = Mood::Denies;
    cluster.changed(vec![]);
    eventually("it is denied", || reason(&cluster) == Some(Reason::Denied));
    kubelet.state().mood = Mood::Slow;
    eventually("it is late", || reason(&cluster) == Some(Reason::Late));
    assert_eq!(cluster.pods().held.len(), 1);
    assert!(cluster.health().unwrap().failures[&Reason::Denied] >= 1);
    kubelet.state().mood = Mood::Well;
    eventually("it is well again", || cluster.health().unwrap().up);
}

#[test]
fn no_socket_is_nothing_to_tell_and_one_that_refuses_or_talks_garbage_is() {
    let host = Host::new();
    host.pod(1, 1);
    let cluster = Cluster::start(&host.cluster()).unwrap();
    eventually("names come from the folders alone", || cluster.pods().names.contains_key(&uid(1)));
    assert_eq!(cluster.health(), None);

    let socket = host.path("kubelet.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let cluster = Cluster::start(&host.cluster()).unwrap();
    eventually("it refuses", || reason(&cluster) == Some(Reason::Io));

    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(&[0xa5; 4096]));
        }
    });
    let cluster = Cluster::start(&host.cluster()).unwrap();
    eventually("it does not understand", || reason(&cluster) == Some(Reason::Malformed));
    assert!(cluster.pods().held.is_empty());
}

#[test]
fn an_answer_without_end_is_refused_and_one_with_too_many_devices_is_cut() {
    let host = Host::new();
    let long = "x".repeat(1 << 20);
    let kubelet =
        Kubelet::start(&host.path("kubelet.sock"), (0..20).map(|n| held(n, &format!("{n}{long}"))).collect());
    let cluster = Cluster::start(&host.cluster()).unwrap();
    eventually("it is too much", || reason(&cluster) == Some(Reason::Full));
    kubelet.state().held = (0..10_000).map(|n| held(1, &format!("GPU-{n}"))).collect();
    eventually("it is cut", || cluster.pods().held.len() == 4096);
}

/// The values of a family's series for one device.
fn values(page: &str, family: &str, device: &str) -> Vec<f64> {
    let of_device = format!("device=\"{device}\"");
    let lines =
        page.lines().filter(|line| line.starts_with(&format!("{family}{{")) && line.contains(&of_device));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

fn adds_up(page: &str, device: &str) {
    let whole = metric(page, "wattkeeper_accelerator_power_watts", &[device, "reading=\"instant\""]).unwrap();
    let sum: f64 = values(page, "wattkeeper_workload_power_watts", device).iter().sum();
    assert!((sum - whole).abs() <= 1e-6 * whole, "{sum} of {whole}");
}

#[test]
fn the_power_of_pods_jobs_and_units_adds_up_to_the_devices_and_energy_survives_a_restart() {
    let host = Host::new();
    let node = host.path("node");
    let control = Control::open(&node).unwrap();
    for board in 0..4 {
        control.load(board, "training").unwrap();
    }
    host.pod(1, 1);
    host.pod(2, 2);
    host.in_pod(FIRST_PID, 1, 1);
    host.process(FIRST_PID + 1, 7, "/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0");
    host.process(FIRST_PID + 2, 8, "/system.slice/ollama.service");
    let kubelet = Kubelet::start(&host.path("kubelet.sock"), vec![]);
    let agent = host.agent(&node);
    let devices: Vec<String> = {
        let state = agent.get("/metrics").text();
        let gpus = state.lines().filter(|line| line.starts_with("wattkeeper_device_info{kind=\"gpu\""));
        let key = |line: &str| line.split("device=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        gpus.map(key).collect()
    };
    // The second pod was given the first board too, in shares of time, and does nothing there.
    kubelet.state().held =
        vec![held(1, &format!("{}::0", devices[0])), held(2, &format!("{}::1", devices[0]))];
    host.in_pod(FIRST_PID + 3, 2, 2);
    let power = |labels: &[&str]| agent.metric("wattkeeper_workload_power_watts", labels);
    let first = format!("device=\"{}\"", devices[0]);
    eventually("both pods have their part of the first board", || {
        let part =
            |pod: &str| power(&[&first, "kind=\"pod\"", "namespace=\"team\"", pod, "container=\"main\""]);
        part("pod=\"pod-1\"").is_some_and(|watts| watts > 60.0)
            && part("pod=\"pod-2\"").is_some_and(|watts| watts > 1.0 && watts < 60.0)
    });
    let page = agent.get("/metrics").text();
    devices.iter().for_each(|device| adds_up(&page, device));
    assert!(
        metric(&page, "wattkeeper_workload_power_watts", &["kind=\"slurm\"", "workload=\"4711\""]).is_some()
    );
    assert!(
        metric(&page, "wattkeeper_workload_memory_bytes", &["workload=\"ollama.service\""]).unwrap() > 1e9
    );
    let open = [devices[7].as_str(), "kind=\"unattributed\"", "workload=\"\""];
    assert!(
        metric(&page, "wattkeeper_workload_power_watts", &open).unwrap() > 10.0,
        "an idle board is nobody's"
    );

    let energy = |agent: &Agent, pod: &str| {
        agent.metric("wattkeeper_workload_energy_joules_total", &[&first, &format!("pod=\"{pod}\"")])
    };
    eventually("the pod has used some energy", || {
        energy(&agent, "pod-1").is_some_and(|joules| joules > 100.0)
    });
    let before = energy(&agent, "pod-1").unwrap();
    let mut agent = agent;
    agent.signal(15);
    assert!(agent.wait(Duration::from_secs(5)).success());
    // Meanwhile the container was started anew, in the same pod.
    fs::remove_dir_all(host.path("proc").join(FIRST_PID.to_string())).unwrap();
    host.pod(1, 9);
    host.in_pod(FIRST_PID, 1, 9);
    let agent = host.agent(&node);
    eventually("the pod counts on", || energy(&agent, "pod-1").is_some_and(|joules| joules >= before));
    let series =
        values(&agent.get("/metrics").text(), "wattkeeper_workload_energy_joules_total", &devices[0]);
    assert_eq!(series.len(), 3, "one pod's two containers are one series, beside the other pod and nobody");
}

#[test]
fn instances_of_one_board_belong_to_their_pods_and_add_up_to_the_board() {
    let host = Host::new();
    let node = host.path("node");
    let control = Control::open(&node).unwrap();
    control.load(0, "training").unwrap();
    control.cut(0, 3).unwrap();
    for pod in 1..=2 {
        host.pod(pod, pod);
        host.in_pod(FIRST_PID + 99 + pod, pod, pod);
    }
    let agent = host.agent(&node);
    let part = |label: &str| agent.metric("wattkeeper_workload_power_watts", &["kind=\"pod\"", label]);
    eventually("both pods have their part", || {
        let parts = ["pod=\"pod-1\"", "pod=\"pod-2\""].map(part);
        parts.iter().all(|watts| watts.is_some_and(|watts| watts > 20.0))
    });
    let page = agent.get("/metrics").text();
    let pod = |line: &&str| line.starts_with("wattkeeper_workload_power_watts{") && line.contains("pod-1");
    let line = page.lines().find(pod).unwrap();
    let board = line.split("device=\"").nth(1).unwrap().split('"').next().unwrap();
    adds_up(&page, board);
    let open = metric(&page, "wattkeeper_workload_power_watts", &[board, "kind=\"unattributed\""]).unwrap();
    assert!(open > 20.0, "the third instance's process cannot be seen, so its part is nobody's: {open}");
}

#[test]
fn damaged_counts_are_put_aside_and_counting_goes_on() {
    let host = Host::new();
    let node = host.path("node");
    let control = Control::open(&node).unwrap();
    control.load(0, "training").unwrap();
    host.process(FIRST_PID, 8, "/system.slice/ollama.service");
    fs::write(host.path("state").join("energy.json"), "{\"version\":1,\"devices\":[{").unwrap();
    let agent = host.agent(&node);
    eventually("energy is counted", || {
        let joules = agent.metric("wattkeeper_workload_energy_joules_total", &["ollama.service"]);
        joules.is_some_and(|joules| joules > 1.0)
    });
    let aside = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("energy.damaged-");
    assert!(fs::read_dir(host.path("state")).unwrap().any(|entry| aside(entry.unwrap())));
}
