//! What accelerators do, judged from counters, against what the simulator knows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed; accuracies are worth seeing"
)]
use detectors::Phases;
use model::source::SourceMap;
use model::{Absence, Batch, Collector as _, Frame, Metric, Reading, Timestamp, Work};
use sim::rig::{SharedNode, SimBoard, SimNode};
use sim::{Fault, Node, Workload, profile};
use std::time::Duration;

/// What the simulator's workloads are called here: mixed inference spends most of its time generating tokens.
const TRUTH: [(Workload, Work); 5] = [
    (Workload::Idle, Work::Idle),
    (Workload::Training, Work::Training),
    (Workload::Prefill, Work::Prefill),
    (Workload::Decode, Work::Decode),
    (Workload::Serving, Work::Decode),
];

struct Bench {
    shared: SharedNode,
    host: SimNode,
    boards: Vec<(SimBoard, Batch, SourceMap)>,
    own: (Batch, SourceMap),
    frame: Frame,
    phases: Phases,
    second: u64,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let shared = SharedNode::new(Node::new(&profile::H100, 8, seed, 0));
        let board = |n: usize| (SimBoard::new(shared.clone(), n).0, Batch::default(), SourceMap::default());
        Self {
            host: SimNode::new(shared.clone()),
            boards: (0..8).map(board).collect(),
            own: (Batch::default(), SourceMap::default()),
            frame: Frame::default(),
            phases: Phases::default(),
            second: 0,
            shared,
        }
    }

    fn give(&self, works: &[(Workload, Work)]) {
        let mut node = self.shared.lock();
        (0..8).for_each(|board| node.set_workload(board, works[board % works.len()].0));
    }

    /// One beat without these metrics; gives the works in the order of the boards.
    fn beat(&mut self, without: &[Metric]) -> Vec<Option<(Work, f64)>> {
        self.second += 1;
        let now = Timestamp::default().after(Duration::from_secs(self.second));
        self.frame.begin(now);
        self.own.0.begin();
        self.host.collect(now, &mut self.own.0).expect("the host answers");
        self.frame.merge(&self.own.0, &mut self.own.1, false);
        for (board, batch, map) in &mut self.boards {
            batch.begin();
            board.collect(now, batch).expect("the board answers");
            self.frame.merge(batch, map, false);
        }
        let devices: Vec<_> = self.frame.devices.accelerators().map(|device| device.id).collect();
        for device in &devices {
            without.iter().for_each(|metric| {
                self.frame.put(*device, *metric, Reading::Absent(Absence::Unsupported));
            });
        }
        self.phases.judge(&mut self.frame);
        let work = |device| self.frame.work(device).map(|state| (state.work, state.confidence));
        devices.into_iter().map(work).collect()
    }
}

/// Share of board-beats judged right after half a minute, and the mean confidence.
fn accuracy(without: &[Metric], seeds: std::ops::RangeInclusive<u64>) -> (f64, f64) {
    let (mut right, mut sure, mut all) = (0.0, 0.0, 0.0);
    for seed in seeds {
        let mut bench = Bench::new(seed);
        for turn in 0..5 {
            let works: Vec<_> = (0..5).map(|n| TRUTH[(n + turn) % 5]).collect();
            bench.give(&works);
            for beat in 0..120 {
                let judged = bench.beat(without);
                for (board, judged) in judged.into_iter().enumerate().filter(|_| beat >= 30) {
                    let (work, confidence) = judged.expect("a board with its counters has a work");
                    right += f64::from(u8::from(work == works[board % 5].1));
                    sure += confidence;
                    all += 1.0;
                }
            }
        }
    }
    (right / all, sure / all)
}

/// The profiling counters, which need rights or a driver that many nodes do not have.
const PROFILING: [Metric; 13] = [
    Metric::GraphicsActive,
    Metric::SmActive,
    Metric::SmOccupancy,
    Metric::TensorActive,
    Metric::Fp16Active,
    Metric::Fp32Active,
    Metric::Fp64Active,
    Metric::IntegerActive,
    Metric::DramActive,
    Metric::PcieReceive,
    Metric::PcieTransmit,
    Metric::LinkReceive,
    Metric::LinkTransmit,
];

#[test]
fn the_work_of_a_board_is_told_from_its_counters() {
    let (right, sure) = accuracy(&[], 1..=20);
    println!("all counters: {right:.4} right, confidence {sure:.3}");
    assert!(right >= 0.95, "{right}");
}

#[test]
fn without_profiling_counters_most_works_are_told_with_less_confidence() {
    let (right, sure) = accuracy(&PROFILING, 1..=20);
    let (_, all) = accuracy(&[], 1..=2);
    println!("no profiling counters: {right:.4} right, confidence {sure:.3}");
    assert!(right >= 0.9 && sure < all, "{right}, {sure} < {all}");
}

#[test]
fn a_board_without_power_and_use_has_no_work_at_all() {
    let mut bench = Bench::new(1);
    let without =
        [&PROFILING[..], &[Metric::Utilization, Metric::PowerInstant, Metric::PowerAverage]].concat();
    assert!((0..20).all(|_| bench.beat(&without).iter().all(Option::is_none)));
}

#[test]
fn loading_and_starving_are_told_apart_from_rest() {
    for seed in 1..=20 {
        let mut bench = Bench::new(seed);
        (0..20).for_each(|_| _ = bench.beat(&[]));
        bench.give(&[(Workload::Loading, Work::Load)]);
        (0..12).for_each(|_| _ = bench.beat(&[]));
        let judged = bench.beat(&[]);
        assert!(judged.iter().all(|work| work.unwrap().0 == Work::Load), "seed {seed}: {judged:?}");
        bench.give(&[(Workload::Training, Work::Training)]);
        (0..60).for_each(|_| _ = bench.beat(&[]));
        bench.shared.lock().boards[1].inject(Fault::Neighbour);
        (0..40).for_each(|_| _ = bench.beat(&[]));
        let judged = bench.beat(&[]);
        let starve = judged.iter().filter(|work| work.unwrap().0 == Work::HostBound).count();
        assert_eq!(starve, 4, "seed {seed}: {judged:?}");
    }
}
