//! Attribution counted by hand.
use super::*;
use crate::evaluate::machine::Dataset;

/// Ten rows with one segment on rows 4 to 7, of whose five channels 1 and 3 are wrong.
fn machine() -> Machine {
    let segments = vec![Segment { rows: 4..8, channels: Some(vec![1, 3]) }];
    let label = (0..10).map(|row| (4..8).contains(&row)).collect();
    let (train, test) = (Array2::zeros((1, 5)), Array2::zeros((10, 5)));
    Machine { dataset: Dataset::Smd, name: "m".into(), train, test, label, segments, step_s: 60.0 }
}

/// Blames 1, 0, 3, 4, 2 in this order on row 5, and channel 2 alone on row 6.
fn blame() -> Array2<f32> {
    let mut blame = Array2::zeros((10, 5));
    blame.row_mut(5).assign(&ndarray::arr1(&[4.0, 5.0, 1.0, 3.0, 2.0]));
    blame[(6, 2)] = 100.0;
    blame
}

#[test]
fn true_channels_are_looked_for_among_as_many_and_half_as_many_again() {
    let flags: Vec<bool> = (0..10).map(|row| row == 5).collect();
    let judged = judge(&machine(), &blame(), &flags);
    assert_eq!(judged, [Blamed { hit: true, hit100: 0.5, hit150: 1.0, first: true }]);
}

#[test]
fn a_segment_without_a_flag_is_judged_on_all_its_rows_and_counts_among_all_only() {
    let judged = judge(&machine(), &blame(), &[false; 10]);
    assert_eq!(judged, [Blamed { hit: false, hit100: 0.5, hit150: 0.5, first: false }]);
    let attribution = Attribution::of(&judged);
    assert_eq!((attribution.first, attribution.first_all), (None, Some(0.0)));
    assert_eq!((attribution.hit_segments, attribution.all_segments), (0, 1));
}

#[test]
fn a_segment_whose_channels_are_unknown_is_not_judged() {
    let mut machine = machine();
    machine.segments[0].channels = None;
    assert!(judge(&machine, &blame(), &[true; 10]).is_empty());
}
