//! Allocations of the detectors, the life cycle and the correlator: none in the steady state, quiet or with every fault held.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the cost of a beat is measured and told"
)]
use detectors::{BUILT_IN, Correlator, Kin, Lifecycle, Thresholds};
use model::source::SourceMap;
use model::{
    Batch, Detector, DeviceInfo, DeviceKind, EventSink, FaultKind, Frame, History, Metric, NoticeKind, Slot,
    Timestamp,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts allocations of the whole process.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: by the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: by the contract of this function.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What there is beside the boards.
struct Host {
    node: Slot,
    packages: Vec<Slot>,
    ports: Vec<Slot>,
    fans: Vec<Slot>,
    supply: Slot,
    memory: Slot,
    links: Vec<Slot>,
}

impl Host {
    fn new(batch: &mut Batch) -> Self {
        let mut add = |kind, key: String| batch.device(DeviceInfo::new(kind, key));
        Self {
            node: add(DeviceKind::Node, "node".to_owned()),
            packages: (0..2).map(|n| add(DeviceKind::Package, n.to_string())).collect(),
            ports: (0..8).map(|n| add(DeviceKind::Port, format!("mlx5_{n}/1"))).collect(),
            fans: (0..8).map(|n| add(DeviceKind::Sensor, format!("nct/fan{n}"))).collect(),
            supply: add(DeviceKind::Sensor, "pmbus/PSU1".to_owned()),
            memory: add(DeviceKind::MemoryController, "mc0".to_owned()),
            links: (0..8).map(|n| add(DeviceKind::Link, format!("GPU-0/{n}"))).collect(),
        }
    }

    /// One beat. Faulty ports are down for 30 of 40 beats, so that they flap.
    fn fill(&self, batch: &mut Batch, beat: u64, faulty: bool, now: Timestamp) {
        let grows = if faulty { beat as f64 } else { 3.0 };
        let mut set = |slots: &[Slot], metric, value| slots.iter().for_each(|s| batch.set(*s, metric, value));
        set(&[self.node], Metric::Uptime, 9000.0 + beat as f64);
        set(&[self.node], Metric::OomKills, grows);
        set(&self.packages, Metric::PackageThrottles, grows);
        set(&self.ports, Metric::PortUp, f64::from(u8::from(!faulty || beat % 40 >= 30)));
        set(&self.fans, Metric::SensorFan, if faulty { 0.0 } else { 4000.0 });
        set(&[self.supply], Metric::SensorPower, if faulty { 0.0 } else { 600.0 });
        set(&[self.memory], Metric::EdacUncorrected, grows);
        set(&self.links, Metric::LinkDowned, grows);
        if faulty {
            let told = [
                NoticeKind::Sxid,
                NoticeKind::MachineCheck,
                NoticeKind::PcieAer,
                NoticeKind::OutOfMemory,
                NoticeKind::HungTask,
            ];
            told.iter().for_each(|kind| batch.notice(self.node, *kind, 0, now));
        }
    }
}

/// Eight boards, a source, a host, and every detector.
struct Bench {
    batch: Batch,
    boards: Vec<Slot>,
    source: Slot,
    host: Host,
    map: SourceMap,
    frame: Frame,
    history: History,
    detectors: Vec<Box<dyn Detector>>,
    sink: EventSink,
    life: Lifecycle,
    correlator: Correlator,
    kin: Kin,
    beat: u64,
    /// Fits that were made.
    fits: u64,
    /// Time that the rules took, in seconds.
    rules_s: f64,
}

impl Bench {
    fn new() -> Self {
        let thresholds = Thresholds::default();
        let mut batch = Batch::default();
        let board = |n: u32| DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}"));
        let boards = (0..8).map(|n| batch.device(board(n))).collect();
        let source = batch.device(DeviceInfo::new(DeviceKind::Source, "nvml"));
        let host = Host::new(&mut batch);
        Self {
            batch,
            boards,
            source,
            host,
            map: SourceMap::default(),
            frame: Frame::default(),
            history: History::new(1000),
            detectors: BUILT_IN.iter().map(|entry| (entry.open)(&thresholds)).collect(),
            sink: EventSink::default(),
            life: Lifecycle::new(&thresholds),
            correlator: Correlator::default(),
            kin: Kin::default(),
            beat: 0,
            fits: 0,
            rules_s: 0.0,
        }
    }

    /// One beat, with or without every fault at once. Gives the allocations of observing it and stepping the life cycle
    /// and the correlator.
    fn beat(&mut self, faulty: bool) -> u64 {
        self.beat += 1;
        self.fill(faulty);
        self.frame.begin(Timestamp::default().after(Duration::from_secs(self.beat)));
        self.frame.merge(&self.batch, &mut self.map, false);
        self.history.append(&self.frame);
        let before = COUNT.load(Ordering::Relaxed);
        self.sink.begin();
        let begun = Instant::now();
        let rules = self.detectors.len() - 1;
        for detector in &mut self.detectors[..rules] {
            detector.observe(&self.frame, &self.history, &mut self.sink);
        }
        self.rules_s += begun.elapsed().as_secs_f64();
        for detector in &mut self.detectors[rules..] {
            detector.observe(&self.frame, &self.history, &mut self.sink);
        }
        self.life.step(self.frame.at, &self.frame.devices, self.sink.findings());
        self.correlator.step(self.frame.at, &self.frame.devices, &self.kin, &self.life);
        let changed = self.life.changes().count() + self.life.active().len();
        let count = COUNT.load(Ordering::Relaxed) - before;
        assert!(changed < 1000);
        for detector in &mut self.detectors {
            if let Some(fit) = detector.fit(&self.frame, &self.history) {
                detector.fitted(fit());
                self.fits += 1;
            }
        }
        count
    }

    /// What the rules for wear, links and health look at.
    fn wear(batch: &mut Batch, board: Slot, beat: u64, faulty: bool) {
        let (grows, set) = (if faulty { beat as f64 } else { 3.0 }, f64::from(u8::from(faulty)));
        let values = [
            (Metric::EccUncorrectedSram, 9.0 * set),
            (Metric::RowRemapFailed, set),
            (Metric::RowRemapPending, set),
            (Metric::PagesRetiredDouble, 70.0 * set),
            (Metric::PagesRetiredSingle, 0.0),
            (Metric::RowsRemappedUncorrectable, 600.0 * set),
            (Metric::PcieReplays, 3.0 * grows),
            (Metric::PcieGeneration, 5.0),
            (Metric::LinkErrorsReplay, grows),
            (Metric::LinkErrorsRecovery, grows),
            (Metric::LinkErrorsCrc, 200.0 * grows),
            (Metric::Links, 18.0),
            (Metric::LinksUp, 18.0 - 4.0 * set),
            (Metric::FabricState, 3.0 - 2.0 * set),
            (Metric::FabricStatus, 0.0),
            (Metric::ProcessBlocked, 400.0 * set),
            (Metric::FanRpm, 0.0),
            (Metric::FanSpeed, set),
            (Metric::HealthCode, 2.0 * set),
            (Metric::RecoveryAction, set),
            (Metric::ErrorCodes, set),
            (Metric::ErrorLastCode, 9.0),
            (Metric::ViolationThermal, grows),
            (Metric::TemperatureMemory, 60.0 + 60.0 * set),
            (Metric::TemperatureMemoryMax, 95.0),
        ];
        values.iter().for_each(|(metric, value)| batch.set(board, *metric, *value));
    }

    fn fill(&mut self, faulty: bool) {
        let now = Timestamp::default().after(Duration::from_secs(self.beat));
        self.batch.begin();
        self.batch.set(self.source, Metric::SourceLate, if faulty { 9.0 } else { 0.0 });
        self.host.fill(&mut self.batch, self.beat, faulty, now);
        for (n, board) in self.boards.iter().enumerate() {
            Self::wear(&mut self.batch, *board, self.beat, faulty);
            let load = 0.6 + 0.3 * ((self.beat as f64 + 5.0 * n as f64) / 17.0).sin();
            let jitter = 1.0 + 0.02 * ((self.beat * 7919 + n as u64 * 104_729) % 101) as f64 / 101.0;
            let clock = if faulty { 0.9e9 } else { 1.9e9 - 2e8 * load };
            let values = [
                (Metric::Up, if faulty && n == 0 { 0.0 } else { 1.0 }),
                (Metric::Utilization, load),
                (Metric::PowerInstant, (100.0 + 500.0 * load) * jitter),
                (Metric::ClockSm, clock * jitter),
                (Metric::Temperature, (35.0 + 30.0 * load) * jitter),
                (Metric::PowerLimitEnforced, 700.0),
                (Metric::EventHwSlowdown, f64::from(u8::from(faulty))),
                (Metric::EventHwThermal, f64::from(u8::from(faulty))),
                (Metric::EventSwThermal, 0.0),
                (Metric::EventPowerBrake, f64::from(u8::from(faulty))),
                (Metric::EccUncorrectedVolatile, f64::from(u8::from(faulty))),
                (Metric::PcieWidth, if faulty { 4.0 } else { 16.0 }),
                (Metric::PcieWidthMax, 16.0),
            ];
            values.iter().for_each(|(metric, value)| self.batch.set(*board, *metric, *value));
            if faulty {
                self.batch.notice(*board, NoticeKind::Xid, 31, now);
            }
        }
    }
}

/// One test, since the count is of the whole process.
#[test]
fn observing_and_the_life_cycle_allocate_nothing_in_the_steady_state() {
    let mut bench = Bench::new();
    (0..700).for_each(|_| _ = bench.beat(false));
    assert!(bench.fits >= 8, "every board has its model, so that scoring is counted");
    let quiet: u64 = (0..200).map(|_| bench.beat(false)).sum();
    assert_eq!(quiet, 0, "allocations of 200 quiet beats");
    assert!(bench.life.active().is_empty());

    // Ports flap for the third time after 120 beats.
    (0..200).for_each(|_| _ = bench.beat(true));
    let faults = bench.life.active().len();
    assert!(faults > 8 * 14, "every fault on every board, {faults}");
    let flapping = bench.life.active().iter().filter(|event| event.fault == FaultKind::PortFlapping);
    assert_eq!(flapping.count(), 8, "every port flaps");
    let held: u64 = (0..200).map(|_| bench.beat(true)).sum();
    assert_eq!(held, 0, "allocations of 200 beats with {faults} events held");
}

/// `cargo test --release -p detectors --test allocation -- --ignored --nocapture` tells what the rules cost.
#[test]
#[ignore = "measures time, in a release build"]
fn rules_are_cheap() {
    let mut bench = Bench::new();
    for (name, faulty) in [("quiet", false), ("every fault", true)] {
        (0..200).for_each(|_| _ = bench.beat(faulty));
        bench.rules_s = 0.0;
        (0..2000).for_each(|_| _ = bench.beat(faulty));
        let cost_us = bench.rules_s / 2000.0 * 1e6;
        eprintln!("{name}: {cost_us:.1} µs a beat for all rules");
        assert!(cost_us < 1500.0, "{name}: {cost_us} µs");
    }
}
