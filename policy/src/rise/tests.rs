//! Tests of learnt thresholds.
use super::*;
use proptest::prelude::*;

fn settings() -> Settings {
    Settings { rise_beats: 100.0, rise_quantile: 1.0, rise_most: 0.375, ..Settings::default() }
}

fn flat(rises: &mut Rises, beats: usize) {
    (0..beats).for_each(|_| rises.see(Some(0.7), 1.0, &settings()));
}

#[test]
fn the_configured_thresholds_stay_until_enough_was_seen() {
    let mut rises = Rises::default();
    rises.see(Some(0.7), 1.0, &settings());
    rises.see(Some(0.91), 1.0, &settings());
    assert_eq!(rises.worst(&settings()), None);
    assert_eq!(rises.thresholds(&settings()), Thresholds { low: 0.80, high: 0.89 });
    flat(&mut rises, 200);
    let Thresholds { low, high } = rises.thresholds(&settings());
    assert!((high - 1.0 / 1.3).abs() < 0.01 && (low - (high - 0.09)).abs() < 1e-9, "{low} {high}");
}

#[test]
fn a_calm_node_never_gets_more_than_the_configured_thresholds() {
    let mut rises = Rises::default();
    flat(&mut rises, 500);
    assert_eq!(rises.worst(&settings()), Some(0.0));
    assert_eq!(rises.thresholds(&settings()), Thresholds { low: 0.80, high: 0.89 });
}

#[test]
fn a_rise_over_several_beats_of_the_delay_counts_whole_and_a_slower_one_does_not() {
    for (step, expected) in [(0.10, 0.36), (0.01, 0.05)] {
        let mut rises = Rises::default();
        flat(&mut rises, 200);
        let mut share = 0.7;
        (0..3).for_each(|_| {
            share += 0.7 * step;
            rises.see(Some(share), 1.0, &settings());
        });
        let worst = rises.worst(&settings()).unwrap();
        assert!((worst - 3.0 * step).abs() < 0.011 && worst <= expected, "{worst}");
    }
}

#[test]
fn rises_from_far_below_the_budget_and_over_a_loosening_do_not_count() {
    let mut rises = Rises::default();
    flat(&mut rises, 200);
    rises.forget();
    rises.see(Some(0.98), 1.0, &settings());
    rises.forget();
    rises.see(Some(0.2), 1.0, &settings());
    rises.see(Some(0.9), 1.0, &settings());
    assert_eq!(rises.worst(&settings()), Some(0.0));
}

#[test]
fn a_brake_of_the_reflex_is_a_rise_to_the_budget() {
    let mut rises = Rises::default();
    flat(&mut rises, 200);
    rises.see(Some(0.8), 1.0, &settings());
    rises.braked(&settings());
    let Thresholds { high, .. } = rises.thresholds(&settings());
    assert!((high - 0.8).abs() < 0.01, "{high}");
}

#[test]
fn a_rise_of_long_ago_is_forgotten() {
    let mut rises = Rises::default();
    flat(&mut rises, 200);
    rises.see(Some(0.98), 1.0, &settings());
    for _ in 0..8 {
        rises.see(None, 86_400.0, &settings());
        flat(&mut rises, 200);
    }
    assert_eq!(rises.worst(&settings()), Some(0.0));
}

#[test]
fn bytes_that_make_no_sense_are_refused_and_change_nothing() {
    let mut rises = Rises::default();
    flat(&mut rises, 200);
    let good = rises.learnt();
    let mut negative = good.clone();
    negative[4..12].copy_from_slice(&(-1.0_f64).to_le_bytes());
    for bytes in [&[][..], b"WKR0", &good[..good.len() - 1], &negative] {
        assert!(rises.recall(bytes).is_err());
    }
    assert_eq!(rises.learnt(), good);
    let mut other = Rises::default();
    other.recall(&good).unwrap();
    assert_eq!(other.worst(&settings()), rises.worst(&settings()));
}

proptest! {
    #[test]
    fn thresholds_never_pass_the_configured_ones_and_stay_in_order(
        shares in prop::collection::vec(prop_oneof![Just(f64::NAN), -1.0..3.0_f64], 0..400), gap_s in 0.0..1e6_f64,
    ) {
        let mut rises = Rises::default();
        for share in shares {
            rises.see(Some(share), 1.0, &settings());
        }
        rises.see(None, gap_s, &settings());
        let Thresholds { low, high } = rises.thresholds(&settings());
        prop_assert!(low <= 0.80 && high <= 0.89 && low <= high && low >= 0.25, "{low} {high}");
    }
}
