//! Tests of the trends: growth without pause, and growth that ends.
use super::open;
use crate::bench::{Bench, Say, nothing};
use model::{Batch, DeviceKind, FaultKind, Metric, Slot};

/// Beats of ten seconds, so that hours pass quickly.
const BEAT_S: f64 = 10.0;

#[test]
fn memory_that_grows_without_pause_is_a_leak_and_memory_that_levels_off_is_not() {
    let leak = |place: usize, beat: u64| {
        let grown = if place == 2 { 4e-4 * beat as f64 } else { 0.0 };
        Say { used: (0.5 + grown).min(0.98), ..Say::SOUND }
    };
    let mut bench = Bench::new(open, 4);
    assert_eq!(bench.beats(400, BEAT_S, leak, nothing), [(FaultKind::MemoryLeak, 2)]);
    let settles =
        |_: usize, beat: u64| Say { used: 0.5 + 0.3 * (1.0 - (-(beat as f64) / 60.0).exp()), ..Say::SOUND };
    let mut bench = Bench::new(open, 4);
    assert_eq!(bench.beats(800, BEAT_S, settles, nothing), []);
}

#[test]
fn memory_that_comes_and_goes_is_no_leak() {
    let breathes = |_: usize, beat: u64| Say { used: 0.5 + 0.002 * (beat % 90) as f64, ..Say::SOUND };
    let mut bench = Bench::new(open, 4);
    assert_eq!(bench.beats(2000, BEAT_S, breathes, nothing), []);
}

/// A node of 10^12 bytes of which so much is available.
fn node(batch: &mut Batch, node: Slot, available: f64) {
    batch.set(node, Metric::NodeMemorySize, 1e12);
    batch.set(node, Metric::NodeMemoryAvailable, available);
}

/// What is found of a node, beside two boards, of which so much is available on a beat and on whose boards so many processes run.
fn of_node(beats: u64, available: impl Fn(u64) -> f64, processes: impl Fn(u64) -> f64) -> usize {
    let mut bench = Bench::new(open, 2);
    let slot = bench.device(DeviceKind::Node, "node");
    let say = |_: usize, beat: u64| Say { processes: processes(beat), ..Say::SOUND };
    let found = bench.beats(beats, BEAT_S, say, |batch, _, _, beat| node(batch, slot, available(beat)));
    assert!(found.iter().all(|found| *found == (FaultKind::MemoryLeak, 3)), "{found:?}");
    found.len()
}

/// Jobs of 160 beats, too short for a leak to show in one of them, and 40 beats before each. While one is there it holds a twentieth of
/// the memory. Gives that and for how many beats it has been there.
fn job(beat: u64) -> (f64, u64) {
    let into = (beat + 160) % 200;
    if into < 160 { (5e10, into) } else { (0.0, 0) }
}

#[test]
fn a_leak_of_the_node_is_found_though_jobs_come_and_go_and_jobs_alone_are_none() {
    let processes = |beat: u64| if job(beat).0 > 0.0 { 2.0 } else { 1.0 };
    assert_eq!(of_node(1200, |beat| 8e11 - job(beat).0 - 2e8 * beat as f64, processes), 1);
    assert_eq!(of_node(1200, |beat| 8e11 - job(beat).0, processes), 0);
}

#[test]
fn what_each_job_takes_ever_more_of_and_gives_back_is_no_leak_of_the_node() {
    let processes = |beat: u64| if job(beat).0 > 0.0 { 2.0 } else { 1.0 };
    let available = |beat: u64| 8e11 - job(beat).0 - 2e8 * job(beat).1 as f64;
    assert_eq!(of_node(2400, available, processes), 0);
}

#[test]
fn a_page_cache_that_fills_is_no_leak_of_its_group_and_shared_memory_that_does_is_one_and_not_the_nodes() {
    let found = |metric: Metric| {
        let mut bench = Bench::new(open, 2);
        let slots = [(DeviceKind::Node, "node"), (DeviceKind::Cgroup, "a"), (DeviceKind::Cgroup, "a/b")]
            .map(|(kind, key)| bench.device(kind, key));
        bench.beats(
            200,
            BEAT_S,
            |_, _| Say::SOUND,
            move |batch, _, _, beat| {
                let grown = 2e8 * beat as f64;
                node(batch, slots[0], 8e11 - if metric == Metric::CgroupFile { 0.0 } else { grown });
                for slot in &slots[1..] {
                    let uses = [Metric::CgroupAnonymous, Metric::CgroupShared, Metric::CgroupFile];
                    uses.iter().for_each(|metric| batch.set(*slot, *metric, 1e10));
                    batch.set(*slot, metric, 1e10 + grown);
                    batch.set(*slot, Metric::CgroupMemory, 3e10 + grown);
                }
            },
        )
    };
    assert_eq!(found(Metric::CgroupFile), []);
    assert_eq!(found(Metric::CgroupShared), [(FaultKind::MemoryLeak, 4), (FaultKind::MemoryLeak, 5)]);
}

#[test]
fn a_job_that_starts_in_a_group_and_then_fills_a_pool_is_no_leak() {
    let mut bench = Bench::new(open, 2);
    let group = bench.device(DeviceKind::Cgroup, "a");
    let fills =
        |beat: u64, since: u64, beats: f64| 1.0 - (-(beat.saturating_sub(since) as f64) / beats).exp();
    let found = bench.beats(
        600,
        BEAT_S,
        |_, _| Say::SOUND,
        move |batch, _, _, beat| {
            let held = 1e10 + 3e10 * fills(beat, 60, 6.0) + 6e10 * fills(beat, 135, 60.0);
            batch.set(group, Metric::CgroupAnonymous, held);
            batch.set(group, Metric::CgroupMemory, held);
            batch.set(group, Metric::CgroupMemoryLimit, 1.4e11);
        },
    );
    assert_eq!(found, []);
}

#[test]
fn a_leak_says_which_memory_grew() {
    let mut bench = Bench::new(open, 2);
    let slot = bench.device(DeviceKind::Node, "node");
    bench.beats(
        200,
        BEAT_S,
        |_, _| Say::SOUND,
        |batch, _, _, beat| {
            node(batch, slot, 8e11 - 2e8 * beat as f64);
            batch.set(slot, Metric::NodeMemoryAnonymous, 1e11);
            batch.set(slot, Metric::NodeMemorySlabUnreclaimable, 1e10 + 2e8 * beat as f64);
        },
    );
    let told: Vec<_> = bench.findings().iter().flat_map(|found| found.evidence).flatten().collect();
    let shown: Vec<_> = told.iter().map(|evidence| evidence.metric).collect();
    let (available, slab) = (Metric::NodeMemoryAvailable, Metric::NodeMemorySlabUnreclaimable);
    assert_eq!(shown, [available, available, slab]);
    // Twenty lows are nineteen minutes.
    let grown = 2e8 * 6.0 * 19.0;
    assert!((told[0].expected - told[0].observed - grown).abs() < 0.1 * grown, "{told:?}");
    assert!((told[2].observed - told[2].expected - grown).abs() < 0.1 * grown, "{told:?}");
}

#[test]
fn a_power_cap_that_moves_does_not_hide_a_leak() {
    let leak = |place: usize, beat: u64| {
        let grown = if place == 1 { 4e-4 * beat as f64 } else { 0.0 };
        Say { used: 0.5 + grown, limit: 600.0 + (beat % 30) as f64, ..Say::SOUND }
    };
    let mut bench = Bench::new(open, 2);
    assert_eq!(bench.beats(400, BEAT_S, leak, nothing), [(FaultKind::MemoryLeak, 1)]);
}

#[test]
fn jobs_that_begin_again_and_again_are_no_leak() {
    let jobs = |_: usize, beat: u64| {
        let into = (beat % 100) as f64;
        Say { used: 0.3 + 0.005 * into, processes: 1.0 + (beat / 100 % 2) as f64, ..Say::SOUND }
    };
    let mut bench = Bench::new(open, 4);
    assert_eq!(bench.beats(2000, BEAT_S, jobs, nothing), []);
}

#[test]
fn corrected_errors_that_come_faster_are_told_and_a_reset_or_a_steady_rate_is_not() {
    let count = |rate: u64, since: u64, beat: u64| (beat.saturating_sub(since) * rate) as f64;
    let mut bench = Bench::new(open, 4);
    let found = bench.beats(
        600,
        BEAT_S,
        |_, _| Say::SOUND,
        move |batch, boards, _, beat| {
            batch.set(boards[1], Metric::EccCorrectedVolatile, count(2, 500, beat));
        },
    );
    assert_eq!(found, [(FaultKind::ErrorsRising, 1)]);
    let mut bench = Bench::new(open, 4);
    let found = bench.beats(
        1200,
        BEAT_S,
        |_, _| Say::SOUND,
        move |batch, boards, _, beat| {
            batch.set(boards[1], Metric::EccCorrectedVolatile, count(1, 0, beat % 700));
        },
    );
    assert_eq!(found, []);
}

#[test]
fn heat_that_creeps_up_over_days_is_told_of_the_board_that_it_is_on() {
    // A beat of half a minute; a block is twelve hours.
    let creeps = |place: usize, beat: u64| {
        let days = beat as f64 / 2880.0;
        let gain = if place == 3 { 1.0 + 0.04 * days } else { 1.0 };
        Say { heat: 0.055 * gain, ..Say::SOUND }
    };
    let mut bench = Bench::new(open, 5);
    assert_eq!(bench.beats(2880 * 10, 30.0, creeps, nothing), [(FaultKind::HeatCreep, 3)]);
    let kept = bench.detector.learnt(&bench.frame).unwrap();
    let mut again = Bench::new(open, 5);
    again.detector.recall(&kept).unwrap();
    assert!(again.detector.recall(&kept[..kept.len() - 1]).is_err());
    assert!(again.detector.recall(b"of another age").is_err());
}
