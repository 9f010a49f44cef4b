//! Noise: how far a mean over windows may be off, since the windows of one encounter are alike and encounters are few.
use std::collections::BTreeMap;

/// Sets of encounters that are drawn.
const DRAWS: usize = 1000;

/// The ends of the 95 % interval of the mean of all values, by drawing as many encounters as there are with replacement (the
/// bootstrap over clusters; Efron and Tibshirani 1993, chapter 8). `None` of no values.
pub(super) fn interval(values: impl Iterator<Item = ((u32, u32), f64)>) -> Option<(f64, f64)> {
    let mut sums: BTreeMap<(u32, u32), (f64, f64)> = BTreeMap::new();
    for (encounter, value) in values {
        let (sum, count) = sums.entry(encounter).or_default();
        (*sum, *count) = (*sum + value, *count + 1.0);
    }
    let sums: Vec<(f64, f64)> = sums.into_values().collect();
    if sums.is_empty() {
        return None;
    }
    let mut state = 1;
    let mut draw = || {
        let (mut sum, mut count) = (0.0, 0.0);
        for _ in 0..sums.len() {
            let one = sums[next(&mut state) % sums.len()];
            (sum, count) = (sum + one.0, count + one.1);
        }
        sum / count
    };
    let mut means: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
    means.sort_by(f64::total_cmp);
    Some((means[DRAWS / 40], means[DRAWS - 1 - DRAWS / 40]))
}

/// The next number of a linear congruential generator (Knuth, MMIX), its upper bits.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_one_encounter_that_are_all_alike_make_nothing_surer() {
        let width = |windows: u32| {
            let values = (0..40_u32).flat_map(|n| (0..windows).map(move |_| ((n, 0), f64::from(n % 2))));
            let (low, high) = interval(values).unwrap();
            assert!(low < 0.5 && high > 0.5);
            high - low
        };
        // The standard error of 40 draws of 0 and 1 is 0.079, four of which are the interval.
        assert!((width(1) - 0.31).abs() < 0.06, "{}", width(1));
        assert_eq!(width(1), width(6));
        assert_eq!(interval(std::iter::empty()), None);
    }
}
