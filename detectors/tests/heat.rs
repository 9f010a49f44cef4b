//! Heat against siblings at long beats: sound simulated boards are quiet though the work's rhythm divides the beat, and a badly
//! seated cooler is still found.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
use detectors::peer;
use detectors::{Phases, Thresholds};
use model::source::SourceMap;
use model::{
    Absence, Batch, Collector, Detector, EventSink, FaultKind, Frame, History, Metric, Reading, Timestamp,
};
use sim::rig::{SharedNode, SimNode};
use sim::{Fault, Node, Workload, profile};
use std::time::Duration;

const BEAT_S: u64 = 10;

/// Eight boards that are met once in a long beat.
struct World {
    shared: SharedNode,
    sources: Vec<(Box<dyn Collector>, Batch, SourceMap)>,
    frame: Frame,
    phases: Phases,
    detector: Box<dyn Detector>,
    second: u64,
    /// Whether the boards count their energy.
    counts: bool,
}

impl World {
    fn new(seed: u64, counts: bool) -> Self {
        let shared = SharedNode::new(Node::of(&[&profile::H100; 8], seed, 0));
        let mut node = SimNode::new(shared.clone());
        let arrivals = node.arrivals().into_iter().map(|arrival| arrival.collector);
        let mut sources: Vec<Box<dyn Collector>> = arrivals.collect();
        sources.push(Box::new(node));
        let empty = |source| (source, Batch::default(), SourceMap::default());
        Self {
            shared,
            sources: sources.into_iter().map(empty).collect(),
            frame: Frame::default(),
            phases: Phases::default(),
            detector: peer::open(&Thresholds::default()),
            second: 0,
            counts,
        }
    }

    /// Lets both halves of the boards do their work for some minutes; gives who was found badly cooled.
    fn live(&mut self, works: [Workload; 2], minutes: u64) -> Vec<String> {
        for board in 0..8 {
            self.shared.lock().set_workload(board, works[board / 4]);
        }
        let mut found = Vec::new();
        for _ in 0..60 * minutes / BEAT_S {
            found.append(&mut self.beat());
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn beat(&mut self) -> Vec<String> {
        self.second += BEAT_S;
        let now = Timestamp::default().after(Duration::from_secs(self.second));
        let Self { sources, frame, .. } = self;
        frame.begin(now);
        for (source, batch, map) in sources {
            batch.begin();
            source.collect(now, batch).unwrap();
            frame.merge(batch, map, false);
        }
        if !self.counts {
            let boards: Vec<_> = frame.devices.accelerators().map(|board| board.id).collect();
            boards.iter().for_each(|board| {
                frame.put(*board, Metric::Energy, Reading::Absent(Absence::Unsupported));
            });
        }
        self.phases.judge(frame);
        let mut sink = EventSink::default();
        sink.begin();
        self.detector.observe(frame, &History::new(1), &mut sink);
        let cooled = sink.findings().iter().filter(|finding| finding.fault == FaultKind::CoolingPoor);
        cooled.map(|finding| frame.devices.get(finding.device).info.name.clone()).collect()
    }
}

/// Half an hour in which all work through prompts, then ten minutes in which the second half trains. Iterations of 2.5 s then end
/// with their dip whenever the beat reads them; a reading alone calls a board of each of these nodes too hot at its power.
fn change_of_work(seed: u64, counts: bool) -> Vec<String> {
    let mut world = World::new(seed, counts);
    let mut found = world.live([Workload::Prefill; 2], 30);
    found.extend(world.live([Workload::Prefill, Workload::Training], 10));
    found
}

#[test]
fn boards_whose_iterations_divide_the_beat_are_not_taken_for_badly_cooled_ones() {
    for seed in [1, 4, 5] {
        assert_eq!(change_of_work(seed, true), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn without_an_energy_counter_they_are_not_either() {
    for seed in [1, 4, 5] {
        assert_eq!(change_of_work(seed, false), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn a_badly_seated_cooler_is_found_with_a_counter_and_without_one() {
    for counts in [true, false] {
        let mut world = World::new(4, counts);
        assert_eq!(world.live([Workload::Training; 2], 40), Vec::<String>::new());
        world.shared.lock().boards[5].inject(Fault::BadSeat);
        assert_eq!(world.live([Workload::Training; 2], 10), ["gpu5"], "counts: {counts}");
    }
}
