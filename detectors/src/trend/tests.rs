//! Tests of the trends: growth without pause, and growth that ends.
use super::open;
use crate::bench::{Bench, Say, nothing};
use model::{FaultKind, Metric};

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
