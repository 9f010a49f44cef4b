//! Alarms counted by hand.
#![expect(clippy::single_range_in_vec_init, reason = "a list of one segment is meant")]
use super::*;
use crate::evaluate::machine::Dataset;
use ndarray::Array2;

/// A day of minutes with the given segments.
fn machine(segments: &[Range<usize>]) -> Machine {
    let mut label = vec![false; 1440];
    segments.iter().for_each(|segment| label[segment.clone()].fill(true));
    let segments = segments.iter().map(|rows| Segment { rows: rows.clone(), channels: None }).collect();
    let (train, test) = (Array2::zeros((1, 1)), Array2::zeros((1440, 1)));
    Machine { dataset: Dataset::Smd, name: "m".into(), train, test, label, segments, step_s: 60.0 }
}

fn flags(rows: impl IntoIterator<Item = usize>) -> Vec<bool> {
    let mut flags = vec![false; 1440];
    rows.into_iter().for_each(|row| flags[row] = true);
    flags
}

#[test]
fn flags_close_around_a_segment_are_forgiven_and_no_others() {
    let machine = machine(&[100..110]);
    assert_eq!(strict_episodes(&machine, &flags([95, 100, 129])), 0);
    assert_eq!(strict_episodes(&machine, &flags([94])), 1);
    assert_eq!(strict_episodes(&machine, &flags([130])), 1);
}

#[test]
fn an_episode_that_touches_a_segment_still_counts_for_what_lies_beyond() {
    assert_eq!(strict_episodes(&machine(&[100..110]), &flags(90..140)), 2);
}

#[test]
fn flags_ten_rows_apart_are_one_episode_and_eleven_are_two() {
    assert_eq!(strict_episodes(&machine(&[]), &flags([500, 510])), 1);
    assert_eq!(strict_episodes(&machine(&[]), &flags([500, 511])), 2);
}

#[test]
fn every_full_hour_of_an_episode_counts_once_more() {
    assert_eq!(strict_episodes(&machine(&[]), &flags(500..559)), 1);
    assert_eq!(strict_episodes(&machine(&[]), &flags(500..560)), 2);
    assert_eq!(strict_episodes(&machine(&[]), &flags(0..1440)), 25);
}

#[test]
fn recall_counts_flags_inside_and_delay_counts_from_the_start() {
    let tally = tally(&machine(&[100..110, 200..210, 300..310]), &flags([103, 105, 210, 300]));
    assert_eq!(tally.delays, [Some(3), None, Some(0)]);
    assert!((tally.recall().unwrap() - 2.0 / 3.0).abs() < 1e-12);
    assert!(tally.false_per_day < 1e-12, "row 210 lies in the trail of its segment");
}

#[test]
fn the_oracle_finds_as_much_as_its_budget_allows() {
    let machine = machine(&[100..110, 200..210]);
    let mut score = vec![0.0_f32; 1440];
    (score[105], score[205], score[700]) = (3.0, 1.0, 2.0);
    // Both segments cost one episode on the day, the higher one costs none.
    assert_eq!(tally(&machine, &oracle(&machine, &score, 1.0)).recall(), Some(1.0));
    assert_eq!(tally(&machine, &oracle(&machine, &score, 0.2)).recall(), Some(0.5));
    score[701] = 9.0;
    score[800] = 9.0;
    assert_eq!(tally(&machine, &oracle(&machine, &score, 0.2)).recall(), Some(0.0));
}

#[test]
fn flags_moved_at_random_find_next_to_nothing_unless_they_are_everywhere() {
    let machine = machine(&[100..110, 200..210]);
    let few = shifted_recall(&machine, &flags([103, 203])).unwrap();
    assert!(few < 0.1, "{few}");
    assert_eq!(shifted_recall(&machine, &flags(0..1440)), Some(1.0));
}
