//! Tests of attribution: the parts add up for any input, and each sentence of the rule.
use super::*;
use proptest::prelude::*;

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..1.0_f64,
        2 => 0.0..2e12_f64,
        1 => Just(0.0),
        1 => prop::sample::select(vec![-1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e300, -0.0]),
    ]
}

fn maybe() -> impl Strategy<Value = Option<f64>> {
    prop::option::of(number())
}

fn claim() -> impl Strategy<Value = Claim> {
    (maybe(), maybe(), maybe()).prop_map(|(activity, memory_bytes, slice)| Claim {
        activity,
        memory_bytes,
        slice,
    })
}

proptest! {
    #[test]
    fn the_parts_add_up_to_the_whole_and_none_is_negative(
        power_w in maybe(), energy_j in maybe(), beat_s in number(), idle_w in number(), utilization in maybe(),
        claims in prop::collection::vec(claim(), 0..40),
    ) {
        let whole = Whole { power_w, energy_j, beat_s, idle_w, utilization };
        let mut parts = Vec::new();
        Splitter::default().split(&whole, &claims, &mut parts);
        prop_assert_eq!(parts.len(), claims.len() + 1);
        let close = |sum: f64, whole: f64| (sum - whole).abs() <= 1e-9 * whole.abs();
        let energy: f64 = parts.iter().map(|part| part.energy_j).sum();
        prop_assert!(close(energy, known(energy_j).unwrap_or(0.0)), "{energy} of {energy_j:?}");
        match known(power_w) {
            Some(power) => {
                let sum: f64 = parts.iter().map(|part| part.power_w.unwrap()).sum();
                prop_assert!(close(sum, power), "{sum} of {power}");
                prop_assert!(parts.iter().all(|part| part.power_w.unwrap() >= 0.0), "{parts:?}");
            }
            None => prop_assert!(parts.iter().all(|part| part.power_w.is_none())),
        }
        prop_assert!(parts.iter().all(|part| part.energy_j >= 0.0), "{parts:?}");
    }

    #[test]
    fn with_somebody_undivided_nothing_is_left_over(
        power in 1.0..1000.0_f64, idle_w in 0.0..300.0_f64, activities in prop::collection::vec(0.0..1.0_f64, 1..10),
    ) {
        let claims: Vec<Claim> =
            activities.iter().map(|a| Claim { activity: Some(*a), ..Claim::default() }).collect();
        let parts = split(&whole(power, idle_w), &claims);
        prop_assert!(parts.last().unwrap() <= &(1e-9 * power), "{parts:?}");
    }
}

fn split(whole: &Whole, claims: &[Claim]) -> Vec<f64> {
    let mut parts = Vec::new();
    Splitter::default().split(whole, claims, &mut parts);
    parts.iter().map(|part| part.power_w.unwrap()).collect()
}

fn whole(power: f64, idle_w: f64) -> Whole {
    Whole { power_w: Some(power), idle_w, ..Whole::default() }
}

fn near(parts: &[f64], expected: &[f64]) {
    let close =
        parts.len() == expected.len() && parts.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(close, "{parts:?} is not {expected:?}");
}

fn active(activity: f64) -> Claim {
    Claim { activity: Some(activity), ..Claim::default() }
}

fn holding(bytes: f64) -> Claim {
    Claim { memory_bytes: Some(bytes), ..Claim::default() }
}

#[test]
fn dynamic_power_goes_by_activity_and_idle_power_equally() {
    near(
        &split(&whole(500.0, 100.0), &[active(0.6), active(0.2), active(0.0)]),
        &[300.0 + 100.0 / 3.0, 100.0 + 100.0 / 3.0, 100.0 / 3.0, 0.0],
    );
}

#[test]
fn without_measured_activity_dynamic_power_goes_by_memory_and_else_equally() {
    near(&split(&whole(500.0, 100.0), &[holding(3e9), holding(1e9)]), &[350.0, 150.0, 0.0]);
    near(&split(&whole(500.0, 100.0), &[holding(3e9), Claim::default()]), &[250.0, 250.0, 0.0]);
    near(&split(&whole(500.0, 100.0), &[holding(0.0), holding(0.0)]), &[250.0, 250.0, 0.0]);
}

#[test]
fn activity_that_is_over_is_split_by_memory() {
    let quiet = |bytes: f64| Claim { activity: Some(0.0), ..holding(bytes) };
    near(&split(&whole(500.0, 100.0), &[quiet(3e9), quiet(1e9)]), &[350.0, 150.0, 0.0]);
}

#[test]
fn who_is_not_measured_has_what_is_left_of_the_utilization() {
    let half = Whole { utilization: Some(0.8), ..whole(500.0, 100.0) };
    near(
        &split(&half, &[active(0.6), holding(1.0), holding(1.0)]),
        &[300.0 + 100.0 / 3.0, 50.0 + 100.0 / 3.0, 50.0 + 100.0 / 3.0, 0.0],
    );
    near(&split(&whole(500.0, 0.0), &[active(0.6), holding(1.0)]), &[250.0, 250.0, 0.0]);
}

#[test]
fn a_partition_carries_its_part_of_idle_power_and_an_empty_one_leaves_it_open() {
    let part = |activity: f64, slice: f64| Claim { slice: Some(slice), ..active(activity) };
    near(&split(&whole(500.0, 100.0), &[part(0.3, 0.5), part(0.1, 0.25)]), &[350.0, 125.0, 25.0]);
}

#[test]
fn without_claims_all_is_open() {
    near(&split(&whole(500.0, 100.0), &[]), &[500.0]);
}

#[test]
fn a_power_below_the_idle_level_is_all_idle_power() {
    near(&split(&whole(80.0, 100.0), &[active(1.0), active(0.0)]), &[40.0, 40.0, 0.0]);
}

#[test]
fn energy_goes_by_the_mean_power_of_its_beat_even_where_power_is_not_known() {
    let whole = Whole { energy_j: Some(1000.0), beat_s: 2.0, idle_w: 100.0, ..Whole::default() };
    let mut parts = Vec::new();
    Splitter::default().split(&whole, &[active(1.0), active(0.0)], &mut parts);
    assert!(parts.iter().all(|part| part.power_w.is_none()));
    near(&parts.iter().map(|part| part.energy_j).collect::<Vec<_>>(), &[900.0, 100.0, 0.0]);
}

#[test]
fn idle_power_is_the_lowest_seen_while_idle_else_a_share_of_the_limit() {
    let mut idle = Idle::default();
    assert_eq!((idle.level_w(Some(700.0)), idle.level_w(None)), (105.0, 0.0));
    for (power, utilization) in [
        (Some(400.0), Some(0.9)),
        (Some(30.0), None),
        (None, Some(0.0)),
        (Some(90.0), Some(0.0)),
        (Some(75.0), Some(0.01)),
        (Some(80.0), Some(0.0)),
    ] {
        idle.observe(power, utilization);
    }
    assert_eq!(idle.level_w(Some(700.0)), 75.0);
}
