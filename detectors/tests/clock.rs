//! Time that misbehaves: clocks that step by an hour, beats that come ten times too early or too late, a node that is rebooted
//! in the middle of a window. Whatever happens to time alone, no detector panics and none finds a fault in it; those that learn
//! say that they wait, and watch again.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
use detectors::{BUILT_IN, Correlator, Kin, Lifecycle, Phases, Thresholds};
use model::source::SourceMap;
use model::standing::{Mask, Stand};
use model::{
    Batch, Detector, DeviceInfo, DeviceKind, EventSink, FaultKind, Finding, Frame, History, Metric, Slot,
    Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// Beats before and after time misbehaves: enough for the slowest to have learnt, and to watch again.
const BEFORE: u64 = 2000;
const AFTER: u64 = 1300;
const BOARDS: usize = 4;
/// Beats at the jump on which several things hold that are no fault for so short a time.
const MOMENT: std::ops::Range<u64> = BEFORE - 1..BEFORE + 1;
const HOUR_S: f64 = 3600.0;
/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

/// What happens to time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Jump {
    /// Nothing.
    None,
    /// The wall clock steps, in seconds.
    Wall(f64),
    /// No beat for so many seconds, or the monotonic clock runs back; counters go on meanwhile.
    Gap(f64),
    /// From here on beats are a tenth of a second to ten seconds apart.
    Jitter,
    /// The node was rebooted: all counters begin anew, and so does the agent, with what it had learnt.
    Reboot,
}

const JUMPS: [Jump; 7] = [
    Jump::None,
    Jump::Wall(HOUR_S),
    Jump::Wall(-HOUR_S),
    Jump::Gap(HOUR_S),
    Jump::Gap(-HOUR_S),
    Jump::Jitter,
    Jump::Reboot,
];

/// A healthy node with one of everything that detectors look at.
struct Node {
    boards: Vec<Slot>,
    node: Slot,
    cores: Vec<Slot>,
    source: Slot,
    port: Slot,
    fan: Slot,
    supply: Slot,
    memory: Slot,
    package: Slot,
    link: Slot,
    group: Slot,
}

impl Node {
    fn new(batch: &mut Batch) -> Self {
        let board = |n: usize| DeviceInfo {
            model: "A".into(),
            ..DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}"))
        };
        let boards = (0..BOARDS).map(|n| batch.device(board(n))).collect();
        let mut add = |kind, key: &str| batch.device(DeviceInfo::new(kind, key));
        Self {
            boards,
            node: add(DeviceKind::Node, "node"),
            cores: ["0", "1"].map(|n| add(DeviceKind::Core, n)).to_vec(),
            source: add(DeviceKind::Source, "nvml"),
            port: add(DeviceKind::Port, "mlx5_0/1"),
            fan: add(DeviceKind::Sensor, "nct/fan1"),
            supply: add(DeviceKind::Sensor, "pmbus/PSU1"),
            memory: add(DeviceKind::MemoryController, "mc0"),
            package: add(DeviceKind::Package, "0"),
            link: add(DeviceKind::Link, "GPU-0/0"),
            group: add(DeviceKind::Cgroup, "/job"),
        }
    }

    /// One beat. `lived_s`: how long counters have counted. `moment`: whether what is no fault for a moment holds.
    fn fill(&self, batch: &mut Batch, beat: u64, lived_s: f64, moment: bool) {
        let noise = |stream: u64| ((beat * 7919 + stream * 104_729) % 101) as f64 / 101.0 - 0.5;
        let flag = |holds: bool| f64::from(u8::from(holds));
        for (n, slot) in self.boards.iter().enumerate() {
            let own = moment && n == 1;
            let level = if (beat / 400).is_multiple_of(2) { 0.85 } else { 0.65 };
            let watts = 70.0 + 620.0 * level * (1.0 + 0.02 * noise(n as u64));
            let grows = |seconds: f64| (lived_s / seconds).floor();
            let values = [
                (Metric::Up, 1.0),
                (Metric::Utilization, 0.97),
                (Metric::SmActive, 0.9),
                (Metric::TensorActive, 0.5 * level * (1.0 + 0.02 * noise(n as u64 + 10))),
                (Metric::DramActive, 0.5 * level * (1.0 + 0.02 * noise(n as u64 + 20))),
                (Metric::LinkReceive, 1e11),
                (Metric::PowerInstant, watts),
                (Metric::PowerLimitDefault, 700.0),
                (Metric::PowerLimitEnforced, 700.0),
                (Metric::Energy, 500.0 * lived_s),
                (Metric::ClockSm, if own { 0.8e9 } else { 1.9e9 + 1e6 * noise(n as u64 + 30) }),
                (Metric::ClockSmMax, 1.98e9),
                (Metric::PerformanceState, if own { 4.0 } else { 0.0 }),
                (Metric::EventIdle, 0.0),
                (Metric::EventAppClocks, 0.0),
                (Metric::EventSwPowerCap, 0.0),
                (Metric::EventHwSlowdown, flag(moment && n == 2)),
                (Metric::EventSyncBoost, 0.0),
                (Metric::EventSwThermal, 0.0),
                (Metric::EventHwThermal, flag(moment && n == 2)),
                (Metric::EventPowerBrake, 0.0),
                (Metric::Temperature, (30.0 + 0.055 * watts).round()),
                (Metric::TemperatureMemory, 60.0),
                (Metric::TemperatureMemoryMax, 95.0),
                (Metric::MemoryUsed, 0.8 * 8e10),
                (Metric::MemorySize, 8e10),
                (Metric::Processes, 1.0),
                (Metric::PcieWidth, if own { 4.0 } else { 16.0 }),
                (Metric::PcieWidthMax, 16.0),
                (Metric::PcieGeneration, 5.0),
                (Metric::PcieGenerationMax, 5.0),
                (Metric::PcieReplays, grows(20.0)),
                (Metric::EccCorrectedVolatile, grows(60.0)),
                (Metric::EccUncorrectedVolatile, 0.0),
                (Metric::LinkErrorsCrc, 0.0),
                (Metric::LinkErrorsReplay, 0.0),
                (Metric::LinkErrorsRecovery, 0.0),
                (Metric::Links, 18.0),
                (Metric::LinksUp, 18.0),
                (Metric::ViolationThermal, 0.0),
                (Metric::FabricState, 3.0),
                (Metric::FabricStatus, 0.0),
                (Metric::FanSpeed, 0.4),
                (Metric::RowRemapFailed, 0.0),
            ];
            values.iter().for_each(|(metric, value)| batch.set(*slot, *metric, *value));
        }
        self.host(batch, lived_s, moment, noise(99));
    }

    fn host(&self, batch: &mut Batch, lived_s: f64, moment: bool, noise: f64) {
        let values = [
            (self.node, Metric::Uptime, lived_s),
            (self.node, Metric::Load1, 2.0 + 0.1 * noise),
            (self.node, Metric::TasksRunning, 3.0),
            (self.node, Metric::ContextSwitches, 5000.0 * lived_s),
            (self.node, Metric::OomKills, 0.0),
            (self.node, Metric::NodeMemorySize, 1e12),
            (self.node, Metric::NodeMemoryAvailable, 8e11 + 1e8 * noise),
            (self.node, Metric::PressureCpuSome, 0.01 * lived_s),
            (self.node, Metric::PressureCpuSome10, if moment { 0.9 } else { 0.01 }),
            (self.source, Metric::SourceDuration, 0.003 * (1.0 + 0.2 * noise)),
            (self.source, Metric::SourceLate, 0.0),
            (self.port, Metric::PortUp, f64::from(u8::from(!moment))),
            (self.fan, Metric::SensorFan, if moment { 0.0 } else { 4000.0 }),
            (self.supply, Metric::SensorPower, 600.0),
            (self.memory, Metric::EdacCorrected, (lived_s / 100.0).floor()),
            (self.memory, Metric::EdacUncorrected, 0.0),
            (self.package, Metric::PackageThrottles, 3.0),
            (self.link, Metric::LinkDowned, 0.0),
            (self.group, Metric::CgroupMemory, 2e11 + 1e8 * noise),
        ];
        values.iter().for_each(|(slot, metric, value)| batch.set(*slot, *metric, *value));
        self.cores.iter().for_each(|core| batch.set(*core, Metric::CoreIdle, 0.9 * lived_s));
    }
}

/// Everything that an agent has of detectors.
struct Watch {
    map: SourceMap,
    frame: Frame,
    history: History,
    phases: Phases,
    detectors: Vec<Box<dyn Detector>>,
    sink: EventSink,
    life: Lifecycle,
    correlator: Correlator,
}

impl Watch {
    fn new(kept: &BTreeMap<&'static str, Vec<u8>>) -> Self {
        // Nothing warms up, so that the residual judges from its first model on.
        let thresholds = Thresholds { residual_warm_s: 0.0, ..Thresholds::default() };
        let mut detectors: Vec<_> = BUILT_IN.iter().map(|entry| (entry.open)(&thresholds)).collect();
        for detector in &mut detectors {
            if let Some(bytes) = kept.get(detector.name()) {
                detector.recall(bytes).unwrap();
            }
        }
        Self {
            map: SourceMap::default(),
            frame: Frame::default(),
            history: History::new(1000),
            phases: Phases::default(),
            detectors,
            sink: EventSink::default(),
            life: Lifecycle::new(&thresholds),
            correlator: Correlator::default(),
        }
    }

    fn beat(&mut self, now: Timestamp, batch: &Batch) -> &[Finding] {
        self.frame.begin(now);
        self.frame.merge(batch, &mut self.map, false);
        self.history.append(&self.frame);
        self.phases.judge(&mut self.frame);
        self.sink.begin();
        for detector in &mut self.detectors {
            detector.observe(&self.frame, &self.history, &mut self.sink);
            if let Some(fit) = detector.fit(&self.frame, &self.history) {
                detector.fitted(fit());
            }
        }
        self.life.step(now, &self.frame.devices, self.sink.findings());
        self.correlator.step(now, &self.frame.devices, &Kin::default(), &self.life);
        self.sink.findings()
    }

    fn learnt(&self) -> BTreeMap<&'static str, Vec<u8>> {
        let kept = self.detectors.iter().map(|detector| (detector.name(), detector.learnt(&self.frame)));
        kept.filter_map(|(name, bytes)| Some((name, bytes?))).collect()
    }

    /// Which detectors say so of any device.
    fn who(&self, says: impl Fn(&Stand) -> bool) -> BTreeSet<String> {
        let mut list = Vec::new();
        self.detectors.iter().for_each(|detector| detector.standings(&mut list));
        list.iter().filter(|one| says(&one.stand)).map(|one| one.detector.to_string()).collect()
    }
}

/// What came of a run.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// What each detector found, with the beat on which it first did.
    found: BTreeMap<(&'static str, FaultKind), u64>,
    /// Which detectors said at the jump that the clock keeps them.
    waited: BTreeSet<String>,
    /// Which learnt anew after it.
    relearnt: BTreeSet<String>,
    /// Which watched at the end.
    watches: BTreeSet<String>,
    incidents: usize,
}

/// Plays a jump. `ill`: whether board 3 cannot replace a row, all the time.
fn play(jump: Jump, moment: bool, ill: bool) -> Told {
    let mut batch = Batch::default();
    let node = Node::new(&mut batch);
    let mut watch = Watch::new(&BTreeMap::new());
    let (mut now, mut lived_s) = (Timestamp { mono_ns: 7_200_000_000_000, wall_ms: START_MS }, 9000.0);
    let mut told = Told::default();
    for beat in 0..BEFORE + AFTER {
        let at = beat == BEFORE;
        let mut step_s =
            if jump == Jump::Jitter && beat >= BEFORE { [0.1, 10.0, 1.0][beat as usize % 3] } else { 1.0 };
        match jump {
            Jump::Wall(step) if at => now.wall_ms += (step * 1e3) as i64,
            Jump::Gap(gap) if at && gap > 0.0 => step_s = gap,
            Jump::Gap(gap) if at => now.mono_ns -= (-gap * 1e9) as u64,
            Jump::Reboot if at => {
                watch = Watch::new(&watch.learnt());
                (now.mono_ns, lived_s) = (1_000_000_000, 0.0);
                now.wall_ms += 300_000;
            }
            _ => {}
        }
        now = now.after(std::time::Duration::from_secs_f64(step_s));
        lived_s += step_s;
        batch.begin();
        if at && jump == Jump::Reboot {
            batch = Batch::default();
            batch.begin();
            Node::new(&mut batch);
        }
        node.fill(&mut batch, beat, lived_s, moment && MOMENT.contains(&beat));
        if ill {
            batch.set(node.boards[3], Metric::RowRemapFailed, 1.0);
        }
        let findings = watch.beat(now, &batch);
        findings.iter().for_each(|found| _ = told.found.entry((found.detector, found.fault)).or_insert(beat));
        if (BEFORE..BEFORE + 3).contains(&beat) {
            told.waited.extend(watch.who(|stand| matches!(stand, Stand::Masked { mask: Mask::Clock, .. })));
            told.relearnt.extend(watch.who(|stand| matches!(stand, Stand::Learning { .. })));
        }
    }
    told.watches = watch.who(|stand| *stand == Stand::Watching);
    told.incidents = watch.correlator.recent().len();
    told
}

fn learners() -> BTreeSet<String> {
    ["peer", "trend", "structure", "residual"].map(str::to_owned).into()
}

#[test]
fn no_detector_finds_a_fault_in_time_that_jumps_and_all_watch_again() {
    let mut wrong = Vec::new();
    for (jump, moment) in JUMPS.into_iter().flat_map(|jump| [(jump, false), (jump, true)]) {
        let told = play(jump, moment, false);
        for entry in BUILT_IN {
            let own = told.found.iter().filter(|((name, _), _)| *name == entry.name);
            wrong.extend(
                own.map(|((name, fault), beat)| format!("{jump:?}, {moment}: {name} {fault:?} at {beat}")),
            );
        }
        if (told.found.len(), told.incidents) != (0, 0) || told.watches != learners() {
            wrong.push(format!("{jump:?}, {moment}: {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_step_of_the_wall_clock_changes_nothing_at_all() {
    let plain = play(Jump::None, true, true);
    for step_s in [HOUR_S, -HOUR_S] {
        assert_eq!(play(Jump::Wall(step_s), true, true), plain);
    }
}

#[test]
fn what_a_gap_keeps_from_judging_says_so() {
    let told = play(Jump::Gap(HOUR_S), false, false);
    assert_eq!(told.waited, ["peer", "residual", "trend"].map(str::to_owned).into());
    let told = play(Jump::Jitter, false, false);
    assert!(told.waited.contains("residual"), "{told:?}");
    let told = play(Jump::Reboot, false, false);
    assert!(told.relearnt.contains("structure"), "{told:?}");
}

#[test]
fn a_fault_that_lasts_over_a_jump_is_one_incident() {
    for jump in JUMPS.into_iter().filter(|jump| *jump != Jump::Reboot) {
        let told = play(jump, false, true);
        assert_eq!(told.found, [(("spares", FaultKind::RowRemapFailed), 0)].into(), "{jump:?}");
        assert_eq!(told.incidents, 1, "{jump:?}");
    }
}
