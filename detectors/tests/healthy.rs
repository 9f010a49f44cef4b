//! Healthy simulated nodes: no rule says anything, whatever the boards and whatever the work.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
use detectors::{BUILT_IN, Lifecycle, Thresholds};
use model::source::SourceMap;
use model::{Batch, Collector, EventSink, Frame, History, Timestamp};
use sim::profile::PROFILES;
use sim::rig::{SharedNode, SimNode};
use sim::{Node, Profile, Workload};
use std::time::Duration;

/// Detectors that are no rules.
const STATISTICS: [&str; 5] = ["peer", "starved", "trend", "structure", "residual"];

/// Runs the rules over a node whose boards change their work every ten minutes, each to another. Gives what was raised.
fn raised(profiles: &[&Profile], seed: u64, minutes: u64) -> Vec<String> {
    let thresholds = Thresholds::default();
    let shared = SharedNode::new(Node::of(profiles, seed, 0));
    let mut node = SimNode::new(shared.clone());
    let boards = node.arrivals().into_iter().map(|arrival| arrival.collector);
    let mut sources: Vec<Box<dyn Collector>> = boards.collect();
    sources.push(Box::new(node));
    let mut places: Vec<_> = sources.iter().map(|_| (Batch::default(), SourceMap::default())).collect();
    let rules = BUILT_IN.iter().filter(|entry| !STATISTICS.contains(&entry.name));
    let mut rules: Vec<_> = rules.map(|entry| (entry.open)(&thresholds)).collect();
    let (mut frame, history) = (Frame::default(), History::new(10));
    let (mut sink, mut life) = (EventSink::default(), Lifecycle::new(&thresholds));
    let mut all = Vec::new();
    for second in 0..60 * minutes {
        if second % 600 == 0 {
            for index in 0..profiles.len() {
                let work = (second / 600) as usize + index;
                shared.lock().set_workload(index, Workload::ALL[work % Workload::ALL.len()]);
            }
        }
        let now = Timestamp::default().after(Duration::from_secs(second));
        frame.begin(now);
        for (source, (batch, map)) in sources.iter_mut().zip(&mut places) {
            batch.begin();
            source.collect(now, batch).unwrap();
            frame.merge(batch, map, false);
        }
        sink.begin();
        rules.iter_mut().for_each(|rule| rule.observe(&frame, &history, &mut sink));
        life.step(now, &frame.devices, sink.findings());
        all.extend(life.active().iter().map(|event| {
            format!("{second} s: {} on {}", event.fault.as_str(), frame.devices.get(event.device).info.name)
        }));
        all.truncate(20);
    }
    assert!(frame.devices.accelerators().count() == profiles.len(), "the boards were read");
    all
}

#[test]
fn two_hours_of_mixed_boards_and_every_work_raise_nothing() {
    let mut profiles = PROFILES.to_vec();
    profiles.extend([PROFILES[0], PROFILES[0]]);
    assert_eq!(raised(&profiles, 1, 120), Vec::<String>::new());
}

#[test]
fn an_hour_of_four_boards_of_each_product_raises_nothing() {
    for (seed, profile) in (2..).zip(PROFILES) {
        assert_eq!(raised(&[profile; 4], seed, 60), Vec::<String>::new(), "{}", profile.short);
    }
}
