//! Tests of the structure: what is gone, what stands still, what takes longer.
use super::open;
use crate::bench::{Bench, Say, nothing};
use model::{Absence, FaultKind, Metric};

fn sound(_: usize, _: u64) -> Say {
    Say::SOUND
}

#[test]
fn a_metric_that_was_there_for_long_is_missed_on_the_second_beat() {
    let mut bench = Bench::new(open, 2);
    assert_eq!(bench.beats(400, 1.0, sound, nothing), []);
    let gone = |batch: &mut model::Batch, boards: &[model::Slot], _, _| {
        batch.absent(boards[1], Metric::TensorActive, Absence::Unsupported);
    };
    assert_eq!(bench.beats(1, 1.0, sound, gone), []);
    assert_eq!(bench.beats(1, 1.0, sound, gone), [(FaultKind::MetricVanished, 1)]);
}

#[test]
fn what_is_late_or_lost_has_not_vanished() {
    let mut bench = Bench::new(open, 2);
    bench.beats(400, 1.0, sound, nothing);
    for absence in [Absence::Late, Absence::Lost, Absence::Disabled] {
        let late = |batch: &mut model::Batch, boards: &[model::Slot], _, _| {
            batch.absent(boards[1], Metric::TensorActive, absence);
        };
        assert_eq!(bench.beats(20, 1.0, sound, late), []);
    }
}

#[test]
fn a_power_sensor_that_repeats_itself_under_load_is_frozen() {
    let mut bench = Bench::new(open, 2);
    assert_eq!(bench.beats(900, 1.0, sound, nothing), []);
    let found = bench.beats(40, 1.0, sound, |batch, boards, _, beat| {
        batch.set(boards[0], Metric::PowerInstant, 612.5);
        batch.set(boards[0], Metric::Utilization, 0.9 + 0.01 * (beat % 5) as f64);
    });
    assert_eq!(found, [(FaultKind::SensorFrozen, 0)]);
}

#[test]
fn a_thermometer_in_whole_degrees_may_repeat_itself_for_as_long_as_power_allows() {
    let mut bench = Bench::new(open, 2);
    // Temperatures are whole, and power moves between two levels.
    assert_eq!(bench.beats(2000, 1.0, sound, nothing), []);
    let stuck = |batch: &mut model::Batch, boards: &[model::Slot], _, beat: u64| {
        batch.set(boards[0], Metric::Temperature, 60.0);
        batch.set(
            boards[0],
            Metric::PowerInstant,
            if (beat / 100).is_multiple_of(2) { 150.0 } else { 600.0 } + (beat % 7) as f64,
        );
    };
    assert_eq!(bench.beats(300, 1.0, sound, stuck), [(FaultKind::SensorFrozen, 0)]);
}

#[test]
fn on_long_beats_a_thermometer_is_held_against_what_the_energy_counter_counted_and_not_against_samples() {
    // What the counter counted in so many beats of ten seconds: 500 W throughout, or now 150 and now 600.
    let even = |beats: u64| 5000.0 * beats as f64;
    let uneven = |beats: u64| (0..beats).map(|n| if (n / 10) % 2 == 0 { 1500.0 } else { 6000.0 }).sum();
    let found = |energy_j: Option<&dyn Fn(u64) -> f64>| {
        let mut bench = Bench::new(open, 2);
        bench.beats(300, 10.0, sound, |batch, boards, _, beat| {
            batch.set(boards[0], Metric::Temperature, 60.0);
            // Samples that meet the dips of an iteration for minutes, and then miss them for minutes.
            let sample = if (beat / 20).is_multiple_of(2) { 150.0 } else { 600.0 } + (beat % 7) as f64;
            batch.set(boards[0], Metric::PowerInstant, sample);
            if let Some(energy_j) = energy_j {
                batch.set(boards[0], Metric::Energy, energy_j(beat));
            }
        })
    };
    assert_eq!(found(Some(&even)), []);
    assert_eq!(found(Some(&uneven)), [(FaultKind::SensorFrozen, 0)]);
    assert_eq!(found(None), [], "nobody knows what the die felt");
}

#[test]
fn a_driver_that_takes_ever_longer_is_told_and_one_slow_answer_is_not() {
    let mut bench = Bench::new(open, 2);
    bench.beats(700, 1.0, sound, nothing);
    let once = |batch: &mut model::Batch, _: &[model::Slot], source, beat: u64| {
        let took = if beat.is_multiple_of(20) { 0.4 } else { 0.003 };
        batch.set(source, Metric::SourceDuration, took);
    };
    assert_eq!(bench.beats(300, 1.0, sound, once), []);
    let slow = |batch: &mut model::Batch, _: &[model::Slot], source, _: u64| {
        batch.set(source, Metric::SourceDuration, 0.08);
    };
    let found = bench.beats(60, 1.0, sound, slow);
    assert_eq!(found.iter().map(|(fault, _)| *fault).collect::<Vec<_>>(), [FaultKind::AnswersSlowly]);
}
