//! Tests of placement: laws by hand, bounds and monotony as properties, what is missing.
use super::*;
use proptest::prelude::*;

const WIDTHS: Widths = Widths { noise: 0.05, sharing: 0.2, queue: 0.5, missing: 0.1 };

fn vector(list: &[(Resource, f64)]) -> Vector {
    let mut vector = Vector::default();
    list.iter().for_each(|(resource, value)| vector.set(*resource, *value));
    vector
}

/// Sensitivity and pressure on processors, disks and network.
fn needs(sensitivity: [f64; 3], pressure: [f64; 3]) -> Needs {
    let named = |values: [f64; 3]| vector(&[0, 1, 2].map(|place| (EXPECTED[place], values[place])));
    Needs { sensitivity: named(sensitivity), pressure: named(pressure) }
}

fn first(list: &[Needs]) -> Prediction {
    predict(list, 1.0, &WIDTHS).swap_remove(0).unwrap()
}

#[test]
fn two_that_each_want_every_processor_have_half() {
    let hog = needs([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]);
    let told = first(&[hog, hog]);
    assert!((told.y - 0.5).abs() < 1e-9);
    // Half the time is additional, of which a fifth is uncertain, and the noise.
    assert!((told.low - 0.5 * (1.0 - 0.05 - 0.1)).abs() < 1e-9 && (told.high - 0.575).abs() < 1e-9);
    assert_eq!((told.resource, told.missing), (Some(Resource::RunQueue), Vec::new()));
}

#[test]
fn processors_that_suffice_for_all_hold_nobody_up() {
    let half = needs([1.0, 0.0, 0.0], [0.5, 0.0, 0.0]);
    assert_eq!(first(&[half, half]).y, 1.0);
    let on_half_the_processors = predict(&[half, half], 0.5, &WIDTHS)[0].clone().unwrap();
    assert!((on_half_the_processors.y - 0.5).abs() < 1e-9, "there they need twice what there is");
}

#[test]
fn a_disk_that_others_keep_busy_for_half_the_time_takes_twice_as_long() {
    let reader = needs([0.2, 0.8, 0.0], [0.1, 0.6, 0.0]);
    let writer = needs([0.0, 1.0, 0.0], [0.1, 0.5, 0.0]);
    let told = first(&[reader, writer]);
    assert!((told.y - 1.0 / 1.8).abs() < 1e-6, "{told:?}");
    assert_eq!(told.resource, Some(Resource::Io));
    let flood = needs([0.0, 1.0, 0.0], [0.1, 1.0, 0.0]);
    assert!((first(&[reader, flood]).y - 1.0 / (1.0 + 0.8 * 19.0)).abs() < 1e-6, "a full queue has a bound");
}

#[test]
fn a_missing_number_widens_and_is_named_and_is_not_taken_for_zero() {
    let whole = needs([0.5, 0.3, 0.1], [0.8, 0.2, 0.1]);
    let known = first(&[whole, whole]);
    let blind = Needs { pressure: vector(&[(Resource::RunQueue, 0.8), (Resource::Io, 0.2)]), ..whole };
    let told = first(&[whole, blind]);
    assert_eq!(told.missing, [Resource::Network]);
    assert!(told.high - told.low > known.high - known.low);
    // One of two neighbours is known: what it does counts, and the interval says that there is more.
    let part = first(&[whole, whole, blind]);
    assert_eq!(part.missing, [Resource::Network]);
    assert!(part.y < first(&[whole, blind, blind]).y);
    let mute = Needs::default();
    assert_eq!(predict(&[whole, mute], 1.0, &WIDTHS)[0], None, "nothing is known, so nothing is said");
    assert_eq!(predict(&[mute, whole], 1.0, &WIDTHS)[0], None);
}

#[test]
fn a_resource_without_a_law_is_left_out_and_named_unless_nobody_else_is_there() {
    let plain = needs([0.5, 0.0, 0.0], [0.8, 0.0, 0.0]);
    let mut cached = plain;
    cached.sensitivity.set(Resource::Cache, 0.3);
    assert_eq!(first(&[cached, plain]).missing, [Resource::Cache]);
    assert_eq!(first(&[plain, cached]).missing, []);
    let mut away = plain;
    away.pressure.set(Resource::Cache, 0.0);
    assert_eq!(first(&[cached, away]).missing, [], "nobody else is there");
}

fn share() -> impl Strategy<Value = f64> {
    0.0..=1.0_f64
}

fn anybody() -> impl Strategy<Value = Needs> {
    let vector = || {
        proptest::collection::vec(proptest::option::of(share()), Resource::ALL.len()).prop_map(|values| {
            let mut vector = Vector::default();
            for (resource, value) in Resource::ALL.into_iter().zip(values) {
                value.into_iter().for_each(|value| vector.set(resource, value));
            }
            vector
        })
    };
    (vector(), vector()).prop_map(|(sensitivity, pressure)| Needs { sensitivity, pressure })
}

proptest! {
    #[test]
    fn speed_and_interval_are_above_zero_and_at_most_one(
        list in proptest::collection::vec(anybody(), 1..6), processors in 0.05..4.0_f64,
    ) {
        for told in predict(&list, processors, &WIDTHS).into_iter().flatten() {
            prop_assert!(0.0 < told.low && told.low <= told.y && told.y <= told.high && told.high <= 1.0, "{told:?}");
        }
    }

    #[test]
    fn alone_it_is_as_fast_as_alone(needs in anybody(), processors in 0.05..4.0_f64) {
        let told = predict(&[needs], processors, &WIDTHS);
        prop_assert_eq!(told[0].as_ref().map(|told| (told.y, told.low, told.high)), Some((1.0, 1.0, 1.0)));
    }

    #[test]
    fn neighbours_that_use_nothing_hold_nobody_up(mine in anybody()) {
        let still = Needs {
            pressure: vector(&Resource::ALL.map(|resource| (resource, 0.0))),
            ..Needs::default()
        };
        prop_assert_eq!(first(&[mine, still]).y, 1.0);
    }

    #[test]
    fn more_pressure_of_a_neighbour_never_makes_faster(
        mine in anybody(), other in anybody(), place in 0..Resource::ALL.len(), more in share(),
        processors in 0.05..4.0_f64,
    ) {
        let resource = Resource::ALL[place];
        let Some(before) = other.pressure.get(resource) else { return Ok(()) };
        let mut pressing = other;
        pressing.pressure.set(resource, before + more);
        let y = |other| predict(&[mine, other], processors, &WIDTHS)[0].as_ref().map(|told| told.y);
        if let (Some(before), Some(after)) = (y(other), y(pressing)) {
            prop_assert!(after <= before + 1e-12, "{before} to {after}");
        }
    }

    #[test]
    fn one_more_neighbour_never_makes_faster(mine in anybody(), list in proptest::collection::vec(anybody(), 1..4), next in anybody()) {
        let y = |list: &[Needs]| {
            let list: Vec<_> = std::iter::once(mine).chain(list.iter().copied()).collect();
            predict(&list, 1.0, &WIDTHS)[0].as_ref().map(|told| told.y)
        };
        let longer = [&list[..], &[next]].concat();
        if let (Some(before), Some(after)) = (y(&list), y(&longer)) {
            prop_assert!(after <= before + 1e-12, "{before} to {after}");
        }
    }
}
