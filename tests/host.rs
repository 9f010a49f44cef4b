//! The host as the last resort, end to end: limits of processor packages by name and quotas of containers in trees of files, lowered
//! once the fake NVML's boards are at their floors, held over the agent's death, and given back.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use agent::clock::{MachineClock, wait_until};
use fake_nvml::Control;
use model::Clock as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::{Agent, binary, eventually, fake_library};

/// Cores of the machine.
const CORES: usize = 64;

/// A tree of files with a node of eight boards that train.
struct Bench {
    home: tempfile::TempDir,
    control: Control,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["state", "sys", "proc/self"] {
            std::fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let control = Control::open(&home.path().join("node")).unwrap();
        (0..8).for_each(|board| control.load(board, "training").unwrap());
        let bench = Self { home, control, stop: Arc::default(), thread: None };
        let cores: String = (0..CORES).map(|core| format!("cpu{core} 1 0 1 100 0 0 0 0 0 0\n")).collect();
        bench.write("proc/stat", &format!("cpu 64 0 64 6400 0 0 0 0 0 0\n{cores}"));
        bench.write("proc/self/cgroup", "2:cpu:/system.slice/wattkeeper.service\n");
        bench
    }

    fn write(&self, below: &str, text: &str) {
        put(&self.home.path().join(below), text);
    }

    fn read(&self, below: &str) -> String {
        std::fs::read_to_string(self.home.path().join(below)).unwrap().trim().to_owned()
    }

    /// Does something with the tree again and again, with the seconds since the last time.
    fn live(&mut self, mut turn: impl FnMut(&Path, f64) + Send + 'static) {
        let (stop, home) = (Arc::clone(&self.stop), self.home.path().to_owned());
        self.thread = Some(std::thread::spawn(move || {
            let mut last = MachineClock.now();
            while !stop.load(Ordering::Relaxed) {
                let now = MachineClock.now();
                turn(&home, now.seconds_since(last));
                last = now;
                wait_until(now.mono_ns + 20_000_000);
            }
        }));
    }

    /// What tells a `wattkeeper` where everything is.
    fn places(&self) -> Vec<String> {
        let below = |name: &str| self.home.path().join(name).display().to_string();
        let library = format!("collectors.libraries=[\"nvml={}\"]", fake_library().display());
        let places = [("sys", "collectors.sys"), ("proc", "collectors.proc"), ("state", "state.directory")];
        let places = places.map(|(name, key)| format!("{key}={}", below(name)));
        places.into_iter().chain([library]).flat_map(|set| ["--set".to_owned(), set]).collect()
    }

    fn agent(&self, more: &[&str]) -> Agent {
        let places = self.places();
        let mut arguments: Vec<&str> = places.iter().map(String::as_str).collect();
        let common = ["beat.interval=200ms", "power.rest=1000W", "power.enforce=true"];
        arguments.extend(common.iter().chain(more).flat_map(|set| ["--set", *set]));
        let node: PathBuf = self.home.path().join("node");
        Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", node.as_path())])
    }

    fn boards(&self) -> Vec<f64> {
        (0..8).map(|board| self.control.power_limit(board).unwrap()).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Writes a counter in its place and in one go: it is kept open by who reads it, who must never see it empty.
fn count(path: &Path, value: f64) {
    if let Ok(file) = std::fs::File::options().write(true).open(path) {
        let _ = file.write_at(format!("{value:020.0}\n").as_bytes(), 0);
    }
}

/// Two packages of 350 W; the long-term constraint is the first of one and the second of the other.
fn packages() -> Bench {
    let mut bench = Bench::new();
    for (package, names) in [["long_term", "short_term"], ["short_term", "long_term"]].iter().enumerate() {
        let zone = format!("sys/class/powercap/intel-rapl:{package}");
        bench.write(&format!("{zone}/name"), &format!("package-{package}\n"));
        bench.write(&format!("{zone}/enabled"), "1\n");
        bench.write(&format!("{zone}/max_energy_range_uj"), "262143328850\n");
        bench.write(&format!("{zone}/energy_uj"), "0\n");
        for (number, name) in names.iter().enumerate() {
            let watts = if *name == "long_term" { "350000000\n" } else { "420000000\n" };
            bench.write(&format!("{zone}/constraint_{number}_name"), &format!("{name}\n"));
            bench.write(&format!("{zone}/constraint_{number}_power_limit_uw"), watts);
            bench.write(&format!("{zone}/constraint_{number}_max_power_uw"), "350000000\n");
        }
    }
    let mut joules = [0.0; 2];
    bench.live(move |home, passed_s| {
        for (package, joules) in joules.iter_mut().enumerate() {
            let zone = home.join(format!("sys/class/powercap/intel-rapl:{package}"));
            let file = zone.join(format!("constraint_{package}_power_limit_uw"));
            let limit = std::fs::read_to_string(file).unwrap_or_default().trim().parse().unwrap_or(0.0) / 1e6;
            *joules += passed_s * f64::min(330.0, limit);
            count(&zone.join("energy_uj"), *joules * 1e6);
        }
    });
    bench
}

/// Both constraints of both packages, in watts.
fn limits(bench: &Bench) -> Vec<f64> {
    let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
    let file = |(package, number)| {
        format!("sys/class/powercap/intel-rapl:{package}/constraint_{number}_power_limit_uw")
    };
    let watts = |place| bench.read(&file(place)).parse::<f64>().unwrap_or(f64::NAN) / 1e6;
    places.into_iter().map(watts).collect()
}

const WHOLE: [f64; 4] = [350.0, 420.0, 420.0, 350.0];

/// Boards at their lowest limits and clocks, the rest and the packages count 2950 W and more: 0.95 of it.
const SQUEEZED: &str = "power.budget=3100 W";

#[test]
fn a_squeezed_budget_lowers_packages_by_name_after_boards_and_release_gives_them_back() {
    let bench = packages();
    let mut agent = bench.agent(&[SQUEEZED, "power.host=limit"]);
    eventually("boards are at their floors", || bench.boards() == [200.0; 8]);
    // By the name of the constraint, not below 60 % of what it was; the short-term limits stay.
    let lowered = |watts: &[f64]| {
        watts[1..3] == [420.0; 2] && [watts[0], watts[3]].iter().all(|limit| (210.0..350.0).contains(limit))
    };
    eventually("packages are lowered", || lowered(&limits(&bench)));
    assert!(agent.metric("wattkeeper_power_node_watts", &[]).is_some());
    let journal = bench.read("state/limits.journal");
    assert!(journal.contains("package-0") && journal.contains("package-1"), "{journal}");
    agent.signal(libc::SIGKILL);
    agent.wait(Duration::from_secs(2));
    assert!(lowered(&limits(&bench)), "a safety cap is held: {:?}", limits(&bench));
    let node = bench.home.path().join("node");
    let mut release = Command::new(binary());
    release.arg("release").args(bench.places()).env("WATTKEEPER_FAKE_NVML", node);
    let mut told = (None, String::new());
    eventually("the guardian has seen the death and gives all back", || {
        let output = release.output().unwrap();
        told = (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned());
        told.0 == Some(0)
    });
    assert!(told.1.contains("package-1: power_limit 350 W is back"), "{}", told.1);
    assert_eq!((limits(&bench), bench.boards()), (WHOLE.to_vec(), vec![700.0; 8]));
}

#[test]
fn packages_that_a_killed_agent_held_are_given_back_by_one_that_is_to_leave_them_alone() {
    let bench = packages();
    let mut first = bench.agent(&[SQUEEZED, "power.host=limit"]);
    eventually("packages are lowered", || limits(&bench)[0] < 350.0 && limits(&bench)[3] < 350.0);
    first.signal(libc::SIGKILL);
    first.wait(Duration::from_secs(2));
    let _second = bench.agent(&[SQUEEZED]);
    eventually("packages are given back", || limits(&bench) == WHOLE);
    assert!(bench.boards().iter().all(|limit| *limit < 700.0), "boards are held on: {:?}", bench.boards());
    // Their entries go only once the limits are back.
    eventually("the journal lets go", || !bench.read("state/limits.journal").contains("package-"));
}

#[test]
fn by_default_packages_are_left_alone_however_squeezed_the_budget_is() {
    let bench = packages();
    let agent = bench.agent(&[SQUEEZED]);
    eventually("boards are at their floors", || bench.boards() == [200.0; 8]);
    let beats = || agent.metric("wattkeeper_agent_beats_total", &[]).unwrap();
    let begun = beats();
    eventually("five more seconds pass", || beats() > begun + 25.0);
    assert_eq!(limits(&bench), WHOLE);
}

const IDS: [&str; 2] = ["0123456789abcdef", "fedcba9876543210"];

fn group(number: usize) -> String {
    match number {
        2 => "system.slice/other.service".to_owned(),
        _ => format!("docker/{}", IDS[number].repeat(4)),
    }
}

/// Two containers and a service of a host with control groups of version 1 and no RAPL, each of which uses eight cores.
fn containers() -> Bench {
    let mut bench = Bench::new();
    for group in (0..3).map(group) {
        let cpu = format!("sys/fs/cgroup/cpu/{group}");
        bench.write(&format!("{cpu}/cpu.stat"), "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n");
        bench.write(&format!("{cpu}/cpu.cfs_quota_us"), "-1\n");
        bench.write(&format!("{cpu}/cpu.cfs_period_us"), "100000\n");
        bench.write(&format!("sys/fs/cgroup/cpuacct/{group}/cpuacct.usage"), "0\n");
    }
    let mut seconds = 0.0;
    bench.live(move |home, passed_s| {
        seconds += 8.0 * passed_s;
        for group in (0..3).map(group) {
            count(&home.join("sys/fs/cgroup/cpuacct").join(group).join("cpuacct.usage"), seconds * 1e9);
        }
    });
    bench
}

fn quotas(bench: &Bench) -> Vec<String> {
    (0..3)
        .map(|number| bench.read(&format!("sys/fs/cgroup/cpu/{}/cpu.cfs_quota_us", group(number))))
        .collect()
}

/// Boards at their lowest limits and clocks, the rest and the packages, which count as configured, are 2900 W and more.
const TIGHT: &str = "power.budget=2800 W";

/// Its name and that of the service, which has no class.
const LOW: &str = "power.priority.low=[\"0123456789ab\", \"other.service\"]";

#[test]
fn without_rapl_a_container_of_low_priority_is_held_to_a_core_and_a_clean_stop_gives_its_quota_back() {
    let bench = containers();
    let mut agent = bench.agent(&[TIGHT, "power.host=limit", LOW]);
    eventually("boards are at their floors", || bench.boards() == [200.0; 8]);
    eventually("the container has one core", || quotas(&bench)[0] == "100000");
    assert_eq!(quotas(&bench)[1..], ["-1", "-1"], "no other container, and no service");
    agent.signal(libc::SIGTERM);
    assert_eq!(agent.wait(Duration::from_secs(5)).code(), Some(0));
    assert_eq!((quotas(&bench), bench.boards()), (vec!["-1".to_owned(); 3], vec![700.0; 8]));
}

#[test]
fn a_container_that_ends_while_it_is_held_leaves_nothing_in_the_journal() {
    let bench = containers();
    let agent = bench.agent(&[TIGHT, "power.host=limit", LOW]);
    eventually("the container has one core", || quotas(&bench)[0] == "100000");
    let journal = || bench.read("state/limits.journal");
    assert!(journal().contains(IDS[0]));
    for tree in ["cpu", "cpuacct"] {
        let folder = bench.home.path().join("sys/fs/cgroup").join(tree).join(group(0));
        eventually("the group is gone", || std::fs::remove_dir_all(&folder).is_ok() || !folder.exists());
    }
    eventually("its entry is dropped", || !journal().contains(IDS[0]));
    assert!(journal().contains("GPU-"), "the others stay");
    assert!(agent.metric("wattkeeper_power_node_watts", &[]).is_some());
}
