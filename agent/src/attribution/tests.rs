//! Tests of attribution on frames made by hand: parts that add up, partitions, gaps of counters, those that leave.
use super::*;
use crate::config::load;
use model::{DeviceInfo, FaultKind, ProcessUse, Remedy};
use std::time::Duration;

/// A node of two boards, the second in two partitions.
struct Bench {
    attribution: Attribution,
    frame: Frame,
    boards: [DeviceId; 2],
    parts: [DeviceId; 2],
    now: Timestamp,
}

fn unit(name: &str) -> Arc<Workload> {
    Arc::new(Workload::new(WorkloadKind::Unit, name))
}

impl Bench {
    fn new() -> Self {
        let mut config = load(None, &[]).unwrap();
        config.rig.kind = Rig::Sim;
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let mut add = |kind, key: &str, parent: &str| {
            let info = DeviceInfo { parent: parent.into(), ..DeviceInfo::new(kind, key) };
            table.register(&Arc::new(info)).unwrap()
        };
        let boards = ["GPU-a", "GPU-b"].map(|key| add(DeviceKind::Gpu, key, ""));
        let parts = ["MIG-1", "MIG-2"].map(|key| add(DeviceKind::Partition, key, "GPU-b"));
        let now = Timestamp { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 };
        Self { attribution: Attribution::new(&config), frame, boards, parts, now }
    }

    /// Runs one beat a second after the last.
    fn beat(
        &mut self,
        values: &[(DeviceId, Metric, f64)],
        processes: &[(DeviceId, u32, &Arc<Workload>, Option<f64>)],
    ) {
        self.now = self.now.after(Duration::from_secs(1));
        self.frame.begin(self.now);
        for (device, metric, value) in values {
            self.frame.put(*device, *metric, Reading::Value(*value));
        }
        self.frame.processes.extend(processes.iter().map(|(device, pid, workload, utilization)| {
            ProcessUse {
                device: *device,
                pid: *pid,
                name: Arc::from("p"),
                memory_bytes: Some(1 << 30),
                utilization: *utilization,
                workload: Some(Arc::clone(workload)),
            }
        }));
        self.attribution.attribute(&mut self.frame);
    }

    fn of(&self, device: DeviceId, name: Option<&str>) -> &Share {
        let named = |share: &&Share| {
            share.device == device && share.workload.as_ref().map(|workload| workload.key.as_str()) == name
        };
        self.attribution.shares().iter().find(named).unwrap()
    }

    fn power(&self, device: DeviceId, name: Option<&str>) -> f64 {
        self.of(device, name).power.unwrap().0
    }
}

#[test]
fn an_idle_boards_power_is_nobodys_and_teaches_its_idle_power() {
    let mut bench = Bench::new();
    let board = bench.boards[0];
    bench.beat(&[(board, Metric::PowerInstant, 70.0), (board, Metric::Utilization, 0.0)], &[]);
    assert_eq!(bench.power(board, None), 70.0);
    let (a, b) = (unit("a"), unit("b"));
    bench.beat(
        &[(board, Metric::PowerInstant, 470.0), (board, Metric::Utilization, 0.8)],
        &[(board, 1, &a, Some(0.5)), (board, 2, &a, Some(0.1)), (board, 3, &b, Some(0.2))],
    );
    let near = |name, watts: f64| (bench.power(board, Some(name)) - watts).abs() < 1e-9;
    assert!(near("a", 300.0 + 35.0) && near("b", 100.0 + 35.0), "{:?}", bench.attribution.shares());
    assert!(bench.power(board, None) < 1e-9);
    let share = bench.of(board, Some("a"));
    assert_eq!((share.processes, share.memory_bytes, share.utilization), (2, Some(2 << 30), Some(0.6)));
}

#[test]
fn partitions_split_by_their_activity_and_size_and_one_workload_on_two_is_one_share() {
    let mut bench = Bench::new();
    let (board, [one, two]) = (bench.boards[1], bench.parts);
    let (a, b) = (unit("a"), unit("b"));
    let values = [
        (board, Metric::PowerInstant, 400.0),
        (board, Metric::MemorySize, 80e9),
        (one, Metric::MemorySize, 40e9),
        (two, Metric::MemorySize, 20e9),
        (one, Metric::SmActive, 0.8),
        (two, Metric::SmActive, 0.8),
    ];
    bench.attribution.tally.account("GPU-b", 0).idle.lowest_w = Some(100.0);
    bench.beat(&values, &[(one, 1, &a, None), (two, 2, &b, None)]);
    assert!((bench.power(board, Some("a")) - 250.0).abs() < 1e-9);
    assert!((bench.power(board, Some("b")) - 125.0).abs() < 1e-9);
    assert!((bench.power(board, None) - 25.0).abs() < 1e-9, "a quarter of the board is nobody's");
    bench.beat(&values, &[(one, 1, &a, None), (two, 2, &a, None)]);
    assert!((bench.power(board, Some("a")) - 375.0).abs() < 1e-9);
    let share = bench.of(board, Some("a"));
    assert_eq!(share.processes, 2);
    assert!((share.utilization.unwrap() - 0.6).abs() < 1e-9);
    bench.beat(&values, &[(one, 1, &a, None)]);
    assert!((bench.power(board, None) - 150.0).abs() < 1e-9, "what an empty partition does is nobody's");
}

#[test]
fn energy_follows_the_devices_counter_and_a_gap_is_nobodys() {
    let mut bench = Bench::new();
    let (board, a) = (bench.boards[0], unit("a"));
    let values = |energy: f64| [(board, Metric::PowerInstant, 300.0), (board, Metric::Energy, energy)];
    let process = [(board, 1, &a, None)];
    bench.beat(&values(1000.0), &process);
    assert_eq!(bench.of(board, Some("a")).energy_j, 0.0, "the counter's past is not ours");
    bench.beat(&values(1310.0), &process);
    assert!((bench.of(board, Some("a")).energy_j - 310.0).abs() < 1e-9);
    // The driver is silent for two beats, and the counter goes on.
    bench.beat(&[], &[]);
    bench.beat(&[], &[]);
    assert_eq!(bench.of(board, None).power, None);
    assert!((bench.of(board, Some("a")).energy_j - 310.0).abs() < 1e-9, "it stays in sight");
    bench.beat(&values(2210.0), &process);
    assert!((bench.of(board, Some("a")).energy_j - 610.0).abs() < 1e-9, "the present beat by its power");
    assert!((bench.of(board, None).energy_j - 600.0).abs() < 1e-9);
    // The driver was loaded anew: the counter began at 0.
    bench.beat(&values(5.0), &process);
    assert!((bench.of(board, Some("a")).energy_j - 910.0).abs() < 1e-9, "power times time");
}

#[test]
fn who_has_left_keeps_its_energy_in_sight_and_then_departs() {
    let mut bench = Bench::new();
    let (board, a) = (bench.boards[0], unit("a"));
    bench.beat(&[(board, Metric::PowerInstant, 300.0)], &[(board, 1, &a, None)]);
    bench.beat(&[(board, Metric::PowerInstant, 300.0)], &[(board, 1, &a, None)]);
    bench.beat(&[(board, Metric::PowerInstant, 70.0)], &[]);
    let share = bench.of(board, Some("a"));
    assert_eq!((share.power, share.energy_j, share.processes), (None, 300.0, 0));
    bench.now = bench.now.after(Duration::from_secs(3700));
    (0..2).for_each(|_| bench.beat(&[(board, Metric::PowerInstant, 0.0)], &[]));
    let departed = bench.of(board, Some(""));
    assert_eq!(
        (departed.workload.as_ref().unwrap().kind, departed.energy_j),
        (WorkloadKind::Departed, 300.0)
    );
}

#[test]
fn without_power_and_counter_shares_have_no_power_and_no_energy_is_made_up() {
    let mut bench = Bench::new();
    let (board, a) = (bench.boards[0], unit("a"));
    for _ in 0..3 {
        bench.beat(&[], &[(board, 1, &a, Some(1.0))]);
        bench.frame.put(board, Metric::PowerInstant, Reading::Absent(Absence::Denied));
    }
    let share = bench.of(board, Some("a"));
    assert_eq!((share.power, share.energy_j), (None, 0.0));
    assert_eq!(bench.of(board, None).energy_j, 0.0);
}

#[test]
fn what_the_source_knows_of_a_process_stays() {
    let mut bench = Bench::new();
    let (board, pod) = (bench.boards[0], Arc::new(Workload::new(WorkloadKind::Pod, "uid/main")));
    bench.beat(&[], &[(board, 1, &pod, None)]);
    assert!(Arc::ptr_eq(bench.frame.processes[0].workload.as_ref().unwrap(), &pod));
}

/// A machine with one process on its board, in the state that a look finds, a look every ten seconds; what the rules say.
fn told(
    states: impl IntoIterator<Item = char>,
    pid: u32,
    name: &str,
) -> Vec<(FaultKind, DeviceKind, Remedy)> {
    let home = tempfile::tempdir().unwrap();
    let mut config = load(None, &[]).unwrap();
    config.collectors.proc = home.path().to_owned();
    let mut attribution = Attribution::new(&config);
    let mut frame = Frame::default();
    let table = Arc::make_mut(&mut frame.devices);
    let board = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
    table.register(&Arc::new(DeviceInfo::new(DeviceKind::Node, "node"))).unwrap();
    let thresholds = detectors::Thresholds::default();
    let mut rule = detectors::rules::stuck::open(&thresholds);
    let (history, mut sink) = (model::History::new(4), model::EventSink::default());
    let folder = home.path().join("4242");
    std::fs::create_dir_all(&folder).unwrap();
    let mut now = Timestamp { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 };
    for state in states {
        let zeros = "0 ".repeat(18);
        std::fs::write(folder.join("stat"), format!("4242 ({name}) {state} {zeros}77 0 0\n")).unwrap();
        now = now.after(Duration::from_secs(10));
        frame.begin(now);
        frame.put(board, Metric::Processes, Reading::Value(1.0));
        frame.processes.push(ProcessUse {
            device: board,
            pid,
            name: Arc::from(""),
            memory_bytes: None,
            utilization: None,
            workload: None,
        });
        attribution.attribute(&mut frame);
        sink.begin();
        rule.observe(&frame, &history, &mut sink);
    }
    let told = |finding: &model::Finding| {
        (finding.fault, frame.devices.get(finding.device).info.kind, finding.remedy)
    };
    sink.findings().iter().map(told).collect()
}

#[test]
fn a_process_that_is_blocked_at_every_look_for_five_minutes_is_told_on_its_board() {
    let stuck = (FaultKind::ProcessStuck, DeviceKind::Gpu, Remedy::RebootNode);
    assert_eq!(told(['D'; 31], 4242, "train"), [stuck]);
    assert_eq!(told(['D'; 30], 4242, "train"), [], "290 s are not five minutes");
    let moves = (0..90).map(|look| if look % 25 == 24 { 'R' } else { 'D' });
    assert_eq!(told(moves, 4242, "train"), [], "it moves on now and then");
    assert_eq!(told(['S'; 90], 4242, "train"), []);
    assert_eq!(told(['D'; 90], 4343, "train"), [], "the blocked process is not on the board");
}

#[test]
fn a_process_of_the_driver_is_told_on_the_node_where_it_is_on_no_board() {
    let stuck = |kind| (FaultKind::ProcessStuck, kind, Remedy::RebootNode);
    assert_eq!(told(['D'; 31], 4343, "nvidia-smi"), [stuck(DeviceKind::Node)]);
    assert_eq!(told(['D'; 31], 4242, "nvidia-smi"), [stuck(DeviceKind::Gpu), stuck(DeviceKind::Node)]);
    assert_eq!(told(['S'; 60], 4343, "nvidia-smi"), []);
}

#[test]
fn a_board_whose_process_cannot_be_seen_is_not_known_to_have_none_that_is_blocked() {
    let home = tempfile::tempdir().unwrap();
    let mut config = load(None, &[]).unwrap();
    config.collectors.proc = home.path().to_owned();
    let mut bench = Bench::new();
    bench.attribution = Attribution::new(&config);
    let [seen, unseen] = bench.boards;
    let work = unit("a");
    let values = [(seen, Metric::Processes, 0.0), (unseen, Metric::Processes, 1.0)];
    bench.beat(&values, &[(unseen, 7, &work, None)]);
    assert_eq!(bench.frame.get(seen, Metric::ProcessBlocked), Reading::Value(0.0));
    assert_eq!(bench.frame.get(unseen, Metric::ProcessBlocked), Reading::Absent(Absence::Denied));
    bench.beat(&[], &[]);
    assert_eq!(bench.frame.get(seen, Metric::ProcessBlocked), Reading::Absent(Absence::Unsupported));
}
