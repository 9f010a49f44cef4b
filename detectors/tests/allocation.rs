//! Allocations of the detectors, the life cycle and the correlator: none in the steady state, quiet or with every fault held.
use detectors::{BUILT_IN, Correlator, Kin, Lifecycle, Thresholds};
use model::source::SourceMap;
use model::{
    Batch, Detector, DeviceInfo, DeviceKind, EventSink, Frame, History, Metric, NoticeKind, Slot, Timestamp,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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

/// Eight boards, a source, and every detector.
struct Bench {
    batch: Batch,
    boards: Vec<Slot>,
    source: Slot,
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
}

impl Bench {
    fn new() -> Self {
        let thresholds = Thresholds::default();
        let mut batch = Batch::default();
        let board = |n: u32| DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}"));
        let boards = (0..8).map(|n| batch.device(board(n))).collect();
        let source = batch.device(DeviceInfo::new(DeviceKind::Source, "nvml"));
        Self {
            batch,
            boards,
            source,
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
        for detector in &mut self.detectors {
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

    fn fill(&mut self, faulty: bool) {
        let now = Timestamp::default().after(Duration::from_secs(self.beat));
        self.batch.begin();
        self.batch.set(self.source, Metric::SourceLate, if faulty { 9.0 } else { 0.0 });
        for (n, board) in self.boards.iter().enumerate() {
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

    (0..60).for_each(|_| _ = bench.beat(true));
    let faults = bench.life.active().len();
    assert!(faults > 8 * 6, "every fault on every board, {faults}");
    let held: u64 = (0..200).map(|_| bench.beat(true)).sum();
    assert_eq!(held, 0, "allocations of 200 beats with {faults} events held");
}
