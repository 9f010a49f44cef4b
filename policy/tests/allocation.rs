//! Allocations of the policy and of the reflex: none once every device is known, whether caps are in force or not.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
use model::stages::{Cap, Caps, Reach};
use model::work::{Work, WorkState};
use model::{
    DeviceId, DeviceInfo, DeviceKind, Frame, Hertz, History, Keep, Knob, Metric, Mode, Policy as _, Priority,
    ProposalSink, Reading, Span, Timestamp, View, Watts,
};
use policy::reflex::{Footing, Reflex};
use policy::{PowerCap, Settings};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// Counts allocations of each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator unchanged; the counter itself never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
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

fn counted(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

struct Node {
    frame: Frame,
    history: History,
    boards: Vec<DeviceId>,
    zone: DeviceId,
    reaches: Vec<Reach>,
    now: Timestamp,
}

impl Node {
    fn new() -> Self {
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let mut add = |kind, key: String| table.register(&Arc::new(DeviceInfo::new(kind, key))).unwrap();
        let boards: Vec<_> = (0..8).map(|n| add(DeviceKind::Gpu, format!("GPU-{n}"))).collect();
        let span = Span::new(345e6, 1980e6).unwrap();
        let reach = |device: &DeviceId| Reach { device: *device, knob: Knob::ClockMax, span };
        let reaches = boards.iter().map(reach).collect();
        let zone = add(DeviceKind::Zone, "package-0".to_owned());
        Self { frame, history: History::new(60), boards, zone, reaches, now: Timestamp::default() }
    }

    fn sense(&mut self, power: f64, limit: f64) {
        self.now = self.now.after(Duration::from_secs(1));
        self.frame.begin(self.now);
        for board in &self.boards {
            let values = [
                (Metric::PowerInstant, power),
                (Metric::PowerLimitEnforced, limit),
                (Metric::PowerLimitMin, 200.0),
                (Metric::PowerLimitMax, 700.0),
                (Metric::PowerLimitDefault, 700.0),
            ];
            values.iter().for_each(|(metric, value)| self.frame.put(*board, *metric, Reading::Value(*value)));
        }
        for board in &self.boards {
            let (device, work, since) = (*board, Work::Decode, Timestamp::default());
            self.frame.works.push(WorkState { device, work, confidence: 0.9, since });
            self.frame.put(device, Metric::ClockSm, Reading::Value(1500e6));
            self.frame.put(device, Metric::ClockSmMax, Reading::Value(1980e6));
        }
        let joules = 400.0 * self.now.mono_ns as f64 / 1e9;
        self.frame.put(self.zone, Metric::ZoneEnergy, Reading::Value(joules));
        self.history.append(&self.frame);
    }

    fn view<'a>(&'a self, caps: &'a Caps, priorities: &'a [Priority]) -> View<'a> {
        let (frame, history) = (&self.frame, &self.history);
        let (events, outcomes, reaches) = (&[][..], &[][..], &self.reaches[..]);
        let (now, mode) = (self.now, Mode::Enforce);
        View { now, frame, history, events, caps, reaches, priorities, outcomes, mode }
    }
}

/// Runs beats at a constant power and gives the allocations of `decide` in the second half.
fn allocations(power: f64, cap: Option<f64>) -> u64 {
    let mut node = Node::new();
    let mut policy = PowerCap::new(Settings { budget: Some(Watts(6000.0)), ..Settings::default() });
    let mut sink = ProposalSink::default();
    let (since, original) = (Timestamp::default(), Watts(700.0));
    let of = |device: &DeviceId| {
        Some(Cap { device: *device, limit: Watts(cap?), original, since, keep: Keep::Safety })
    };
    let locked = |device: &DeviceId| {
        let (limit, original) = (Hertz(1500e6), Hertz(1980e6));
        cap.map(|_| Cap { device: *device, limit, original, since, keep: Keep::Safety })
    };
    let power_caps = node.boards.iter().filter_map(of).collect();
    let caps = Caps {
        power: power_caps,
        clocks: node.boards.iter().take(4).filter_map(locked).collect(),
        ..Caps::default()
    };
    let priorities = [Priority::High, Priority::Low, Priority::Normal];
    let mut proposals = 0;
    let allocations = (0..200).map(|beat| {
        node.sense(power, cap.unwrap_or(700.0));
        sink.begin();
        let count = counted(|| policy.decide(&node.view(&caps, &priorities), &mut sink));
        proposals += sink.proposals.len();
        if beat < 100 { 0 } else { count }
    });
    let sum = allocations.sum();
    assert_eq!(proposals > 0, power > 500.0 || cap.is_some(), "the case is not the one that is meant");
    sum
}

#[test]
fn decide_allocates_nothing_in_the_steady_state() {
    for (power, cap) in [(300.0, None), (600.0, None), (680.0, None), (350.0, Some(400.0))] {
        assert_eq!(allocations(power, cap), 0, "at {power} W under {cap:?} W");
    }
}

#[test]
fn a_reflex_tick_allocates_nothing() {
    let node = Node::new();
    let devices = node.boards.iter().map(|board| (*board, Watts(840.0))).collect();
    let footing = Footing { budget: Some(Watts(6000.0)), rest: Watts(1200.0), gain_margin: 0.05, devices };
    let mut reflex = Reflex::default();
    reflex.tick(&footing, |_| Some(Watts(500.0)));
    let missing = |device: DeviceId| (device.index() != 3).then_some(Watts(650.0));
    let mut braked = false;
    assert_eq!(counted(|| (0..50).for_each(|_| braked |= reflex.tick(&footing, missing))), 0);
    assert!(braked);
}
