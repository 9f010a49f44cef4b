//! Tests of limits as a bound: what they keep inside the budget needs no threshold.
use super::plant::Plant;
use super::*;

const RISE: f64 = 1.0 / 0.89 - 1.0;

/// The largest power, counted, that limits allow, with what the host may rise by.
fn bound(plant: &Plant) -> f64 {
    most(plant) + REST * RISE
}

/// Eight hungry boards, held for five minutes.
fn held(bounded: bool, budget: f64) -> Plant {
    let mut plant = Plant::new(&[690.0; 8], &MIXED, budget);
    if bounded {
        plant = plant.bounded();
    }
    plant.beats(300);
    plant
}

#[test]
fn where_limits_add_up_to_the_budget_no_more_is_kept_free_than_what_the_host_may_rise_by() {
    let (by_limits, by_thresholds) = (held(true, 5500.0), held(false, 5500.0));
    assert!(bound(&by_limits) <= 5500.0 && by_limits.total() <= 5500.0, "{}", bound(&by_limits));
    assert!(by_limits.total() > by_thresholds.total() + 200.0, "{}", by_limits.total());
}

#[test]
fn nothing_is_trimmed_above_a_threshold_where_limits_already_bound_the_load() {
    // Somebody else holds the boards at 400 W: 8 x 400 W x 1.05 and the host are 4560 W, 0.96 of the budget with the host's rise.
    let mut plant = Plant::new(&[690.0; 8], &MIXED, 4900.0).bounded();
    plant.boards.iter_mut().for_each(|board| board.out_of_band = 400.0);
    for _ in 0..30 {
        assert_eq!(plant.beat(), []);
    }
    plant.boards[7].out_of_band = f64::INFINITY;
    plant.beats(30);
    assert!(plant.limits()[7] < 700.0 && bound(&plant) <= 4900.0, "{:?}", plant.limits());
}

#[test]
fn a_board_that_no_limit_bounds_brings_the_thresholds_back() {
    let budget = 6200.0;
    let by_thresholds = |change: &dyn Fn(&mut Plant)| {
        let mut plant = held(true, budget);
        assert!(plant.state().counted.0 > budget * 0.89, "{}", plant.state().counted);
        change(&mut plant);
        plant.beats(30);
        plant.state().counted.0
    };
    let lost = by_thresholds(&|plant| plant.boards[0].range = None);
    assert!(lost > budget * 0.89, "a range is remembered: {lost}");
    let excess = by_thresholds(&|plant| plant.boards[7].overdraw = 1.2);
    assert!(excess <= budget * 0.89, "{excess}");
    let mut plant = Plant::new(&[690.0; 8], &MIXED, budget).bounded();
    plant.boards[0].range = None;
    plant.beats(300);
    assert!(plant.state().counted.0 <= budget * 0.89, "{}", plant.state().counted);
}

#[test]
fn an_unread_board_is_bounded_by_its_limit_and_nothing_is_given_meanwhile() {
    let mut plant = held(true, 5500.0);
    plant.want(&[100.0; 8]);
    plant.boards[3].readable = false;
    let before = plant.limits();
    for _ in 0..100 {
        assert!(plant.beat().iter().all(|p| p.why != Why::Headroom));
    }
    assert!(plant.limits().iter().zip(&before).all(|(now, before)| now <= before));
}

proptest! {
    #[test]
    fn whatever_the_load_does_inside_its_limits_it_stays_inside_the_budget_once_they_bound_it(
        loads in prop::collection::vec(prop::collection::vec(60.0..700.0_f64, 8), 1..12),
        budget in 3600.0..7000.0_f64,
    ) {
        let mut plant = Plant::new(&loads[0], &MIXED, budget).bounded();
        for wants in &loads {
            plant.want(wants);
            for beat in 0..30 {
                let proposals = plant.beat();
                prop_assert!(plant.limits().iter().all(|limit| (200.0..=700.0).contains(limit)));
                prop_assert!(beat == 0 || plant.total() <= budget, "{} W of {budget}", plant.total());
                let given = proposals.iter().any(|p| p.why == Why::Headroom);
                let by_threshold = plant.state().counted.0 < budget * 0.84;
                // What was given above the thresholds is inside what limits allow.
                prop_assert!(!given || by_threshold || bound(&plant) <= budget + 1e-6, "{}", bound(&plant));
                let trimmed = proposals.iter().any(|p| p.why == Why::OverHigh);
                let slack = 8.0 * 5.0 * 1.05;
                let floors = plant.limits().iter().all(|limit| *limit <= 205.0);
                prop_assert!(!trimmed || floors || bound(&plant) <= budget + slack, "{}", bound(&plant));
            }
        }
    }
}
