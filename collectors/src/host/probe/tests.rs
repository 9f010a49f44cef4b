//! Tests of the probe: domains of fixture trees, a machine with scripted clocks, and the machine itself.
use super::domain::{Domain, domains};
use super::*;
use crate::Roots;
use model::source::SourceMap;
use model::{DeviceKind, Frame, Reading};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};

mod measure;

/// What a scripted machine does, and what was done to it.
#[derive(Default)]
pub(super) struct Script {
    now_ns: u64,
    /// Time from one look at the clock to the next.
    pub(super) step_ns: u64,
    /// Time that is not the thread's, before a look at the clock: the number of the look, and how much.
    steals: Option<(u64, u64)>,
    stolen_ns: u64,
    looks: u64,
    barred: Vec<usize>,
    refuses: bool,
    pinned: Vec<usize>,
    at: Option<usize>,
}

/// A machine whose clocks go on when they are looked at.
#[derive(Clone, Default)]
pub(super) struct Scripted(pub(super) Arc<Mutex<Script>>);

impl Machine for Scripted {
    fn begin(&mut self) {
        assert_eq!(self.0.lock().unwrap().at, None, "where the thread may run is asked when it is at home");
    }
    fn is_allowed(&self, cpu: usize) -> bool {
        !self.0.lock().unwrap().barred.contains(&cpu)
    }
    fn pin(&mut self, cpu: usize) -> io::Result<()> {
        let mut script = self.0.lock().unwrap();
        if script.refuses {
            return Err(ErrorKind::InvalidInput.into());
        }
        script.pinned.push(cpu);
        script.at = Some(cpu);
        Ok(())
    }
    fn unpin(&mut self) {
        self.0.lock().unwrap().at = None;
    }
    fn wall_ns(&mut self) -> u64 {
        let mut script = self.0.lock().unwrap();
        script.looks += 1;
        let looks = script.looks;
        let stolen = script.steals.filter(|(look, _)| *look == looks).map_or(0, |(_, much)| much);
        script.stolen_ns += stolen;
        script.now_ns += script.step_ns + stolen;
        script.now_ns
    }
    fn cpu_ns(&mut self) -> u64 {
        let script = self.0.lock().unwrap();
        script.now_ns - script.stolen_ns
    }
}

/// Writes the processors of a tree, each with the list of those that share its third level.
fn cpus(tree: &Path, lists: &[Option<&str>]) {
    for (number, list) in lists.iter().enumerate() {
        let folder = tree.join(format!("sys/devices/system/cpu/cpu{number}"));
        fs::create_dir_all(&folder).unwrap();
        if let Some(list) = list {
            fs::create_dir_all(folder.join("cache/index3")).unwrap();
            fs::write(folder.join("cache/index3/shared_cpu_list"), format!("{list}\n")).unwrap();
        }
    }
}

fn found(lists: &[Option<&str>]) -> Vec<Vec<usize>> {
    let tree = tempfile::tempdir().unwrap();
    cpus(tree.path(), lists);
    domains(&tree.path().join("sys")).into_iter().map(|Domain { cpus }| cpus).collect()
}

#[test]
fn processors_that_share_a_third_level_are_one_domain_and_those_without_one_are_together() {
    let (a, b) = (Some("0-1,4"), Some("2-3"));
    assert_eq!(found(&[a, a, b, b, a]), [vec![0, 1, 4], vec![2, 3]]);
    assert_eq!(found(&[None, None, None]), [[0, 1, 2]]);
    assert_eq!(found(&[None, Some("1"), None]), [vec![0, 2], vec![1]]);
    assert_eq!(found(&[Some("nonsense"), Some("7")]), [[0, 1]], "a list without the processor is none");
    assert!(found(&[]).is_empty());
}

/// A probe over a tree of two domains of two processors.
struct Bench {
    tree: tempfile::TempDir,
    machine: Scripted,
    probe: Probe,
    batch: Batch,
    map: SourceMap,
    frame: Frame,
    /// Ticks of each processor: busy and idle.
    ticks: [[u64; 2]; 4],
}

impl Bench {
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        cpus(tree.path(), &[Some("0-1"), Some("0-1"), Some("2-3"), Some("2-3")]);
        fs::create_dir_all(tree.path().join("proc")).unwrap();
        let machine = Scripted::default();
        machine.0.lock().unwrap().step_ns = 1000;
        fs::write(tree.path().join("proc/stat"), "cpu 0 0 0 0\n").unwrap();
        let options = Options { roots: Roots::below(tree.path()), probe: true, ..Options::default() };
        let probe = start(&options, Box::new(machine.clone())).unwrap().unwrap();
        let (batch, map, frame) = (Batch::default(), SourceMap::default(), Frame::default());
        let mut bench = Self { tree, machine, probe, batch, map, frame, ticks: [[50, 50]; 4] };
        bench.beat([[0, 0]; 4]);
        bench
    }

    /// A beat after so many busy and idle ticks of each processor.
    fn beat(&mut self, passed: [[u64; 2]; 4]) {
        let mut text = String::from("cpu  1 2 3 4\n");
        for (number, (ticks, passed)) in self.ticks.iter_mut().zip(passed).enumerate() {
            *ticks = [ticks[0] + passed[0], ticks[1] + passed[1]];
            text.push_str(&format!("cpu{number} {} 0 0 {} 0 0 0 0 0 0\n", ticks[0], ticks[1]));
        }
        fs::write(self.tree.path().join("proc/stat"), text).unwrap();
        self.batch.begin();
        self.frame.begin(Timestamp::default());
        self.probe.collect(Timestamp::default(), &mut self.batch).unwrap();
        self.frame.merge(&self.batch, &mut self.map, false);
    }

    fn get(&self, first: &str, metric: Metric) -> Reading {
        self.frame.get(self.frame.devices.find(DeviceKind::Core, first).unwrap(), metric)
    }

    fn pinned(&self) -> Vec<usize> {
        std::mem::take(&mut self.machine.0.lock().unwrap().pinned)
    }
}

const IDLE: [u64; 2] = [5, 95];
const HALF: [u64; 2] = [50, 50];
const BUSY: [u64; 2] = [95, 5];

#[test]
fn each_domain_is_probed_on_its_idlest_processor_and_told_of_on_its_first_core() {
    let mut bench = Bench::new();
    assert_eq!(bench.pinned(), [0; 0], "before the second beat nothing is known to be idle");
    assert_eq!(bench.get("0", Metric::ProbeLatency), Reading::Absent(Absence::Late));
    bench.beat([HALF, IDLE, IDLE, HALF]);
    assert_eq!(bench.pinned(), [1, 2]);
    assert_eq!(bench.machine.0.lock().unwrap().at, None, "the thread is let go again");
    for first in ["0", "2"] {
        // A look at the clock is 1000 ns after the last: 64 loads take as long, and 16 KiB of the copy.
        let latency = bench.get(first, Metric::ProbeLatency).value().unwrap();
        let copy = bench.get(first, Metric::ProbeCopy).value().unwrap();
        assert!((latency / 15.625e-9 - 1.0).abs() < 1e-9 && (copy / 16.384e9 - 1.0).abs() < 1e-9);
    }
    assert_eq!(bench.frame.devices.of_kind(DeviceKind::Core).count(), 2);
}

#[test]
fn a_domain_without_an_idle_processor_is_skipped_and_counted_and_the_other_is_not() {
    let mut bench = Bench::new();
    bench.beat([BUSY, BUSY, BUSY, HALF]);
    assert_eq!(bench.pinned(), [3]);
    assert_eq!(bench.get("0", Metric::ProbeLatency), Reading::Absent(Absence::Late));
    assert_eq!(bench.get("0", Metric::ProbeCopy), Reading::Absent(Absence::Late));
    // The first beat is one on which nothing was known.
    assert_eq!(bench.get("0", Metric::ProbeSkipsBusy), Reading::Value(2.0));
    assert_eq!(bench.get("2", Metric::ProbeSkipsBusy), Reading::Value(1.0));
    assert!(bench.get("2", Metric::ProbeLatency).value().is_some());
}

#[test]
fn a_sample_during_which_something_else_ran_is_dropped_and_counted() {
    let mut bench = Bench::new();
    // In the middle of the first domain's chase.
    bench.machine.0.lock().unwrap().steals = Some((5, 20_000));
    bench.beat([IDLE; 4]);
    assert_eq!(bench.get("0", Metric::ProbeLatency), Reading::Absent(Absence::Late));
    assert_eq!(bench.get("0", Metric::ProbeSkipsPreempted), Reading::Value(1.0));
    assert!(bench.get("2", Metric::ProbeLatency).value().is_some());
    assert_eq!(bench.get("2", Metric::ProbeSkipsPreempted), Reading::Value(0.0));
    // What was stolen is no cost, and after it fewer pieces were thought to fit.
    let cost = |first| bench.get(first, Metric::ProbeSeconds).value().unwrap();
    assert!(cost("0") > 0.0 && cost("0") < cost("2"), "{} {}", cost("0"), cost("2"));
}

#[test]
fn processors_that_the_agent_is_kept_off_are_left_alone() {
    let mut bench = Bench::new();
    bench.machine.0.lock().unwrap().barred = vec![1, 2, 3];
    bench.beat([HALF, IDLE, IDLE, IDLE]);
    assert_eq!(bench.pinned(), [0]);
    assert_eq!(bench.get("2", Metric::ProbeLatency), Reading::Absent(Absence::Denied));
    bench.machine.0.lock().unwrap().refuses = true;
    bench.beat([IDLE; 4]);
    assert_eq!(bench.get("0", Metric::ProbeCopy), Reading::Absent(Absence::Denied));
}

#[test]
fn a_processor_that_no_tick_was_counted_for_is_not_known_to_be_idle() {
    let mut bench = Bench::new();
    bench.beat([[0, 0], IDLE, [0, 0], [0, 0]]);
    assert_eq!(bench.pinned(), [1]);
    assert_eq!(bench.get("2", Metric::ProbeLatency), Reading::Absent(Absence::Late));
}

#[test]
fn without_the_key_there_is_no_probe() {
    assert!(open(&Options::default()).unwrap().is_none());
}

#[test]
fn this_machine_has_a_plausible_latency_or_says_why_not() {
    let Some(mut probe) = open(&Options { probe: true, ..Options::default() }).unwrap() else { return };
    let before = rustix::thread::sched_getaffinity(None).unwrap();
    let mut batch = Batch::default();
    let (mut samples, mut reasons) = (Vec::new(), Vec::new());
    // Until the kernel has counted a tick as idle; how many beats that takes depends on the machine.
    for _ in 0..20_000 {
        batch.begin();
        probe.collect(Timestamp::default(), &mut batch).unwrap();
        let latencies = batch.readings().iter().filter(|r| r.metric == Metric::ProbeLatency);
        for reading in latencies {
            match reading.reading {
                Reading::Value(latency) => samples.push(latency),
                Reading::Absent(why) => reasons.push(why),
            }
        }
        if !samples.is_empty() {
            break;
        }
    }
    assert!(samples.iter().all(|latency| (0.5e-9..1e-6).contains(latency)), "{samples:?}");
    assert!(reasons.iter().all(|why| matches!(why, Absence::Late | Absence::Denied)), "{reasons:?}");
    assert!(!samples.is_empty() || !reasons.is_empty());
    assert_eq!(rustix::thread::sched_getaffinity(None).unwrap(), before);
}
