//! Thresholds from extreme values: how high a score must be to be passed only so often, judged from past scores alone.
//!
//! Scores that follow each other closely are one event, so the past is first thinned to the maxima of its clusters. A budget of
//! `b` episodes a day over `d` days is then the `b·d`-th largest maximum, interpolated on the logarithm of the rank, because the
//! tail of maxima is close to straight there (exponential tail; a generalised Pareto fit made no consistent difference on SMD and
//! ASD).

/// Scores at most so many samples apart belong to one cluster: the gap that also merges flagged samples to one episode.
pub const GAP: usize = 10;
/// Only scores above this quantile of the past can be maxima of a cluster.
const TAIL: f64 = 0.98;
/// How many of the largest maxima give the slope beyond the very largest.
const SLOPE_RANKS: usize = 10;

/// The maxima of clusters of scores above the 98 % quantile, largest first. Clusters end after more than [`GAP`] samples below it.
pub fn maxima(scores: &[f32]) -> Vec<f32> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    let Some(&tail) = sorted.get(((sorted.len().saturating_sub(1)) as f64 * TAIL) as usize) else {
        return Vec::new();
    };
    let mut found: Vec<f32> = Vec::new();
    let mut last: Option<usize> = None;
    for (row, &score) in scores.iter().enumerate().filter(|(_, score)| **score > tail) {
        match found.last_mut().filter(|_| last.is_some_and(|last| row - last <= GAP)) {
            Some(maximum) => *maximum = maximum.max(score),
            None => found.push(score),
        }
        last = Some(row);
    }
    found.sort_by(|a, b| b.total_cmp(a));
    found
}

/// The height that `rank` of the maxima (largest first) reach; a rank below 1 lies beyond the largest.
///
/// `None` without maxima. Past the smallest maximum it is the smallest.
pub fn at_rank(maxima: &[f32], rank: f64) -> Option<f32> {
    let (&largest, &smallest) = (maxima.first()?, maxima.last()?);
    if rank >= maxima.len() as f64 {
        return Some(smallest);
    }
    if rank < 1.0 {
        let count = SLOPE_RANKS.min(maxima.len());
        let slope =
            if count < 2 { 0.0 } else { f64::from(largest - maxima[count - 1]) / (count as f64).ln() };
        return Some((f64::from(largest) - slope * rank.max(f64::MIN_POSITIVE).ln()) as f32);
    }
    let place = rank.floor();
    let (above, below) = (f64::from(maxima[place as usize - 1]), f64::from(maxima[place as usize]));
    let share = (rank / place).ln() / ((place + 1.0) / place).ln();
    Some((above + (below - above) * share) as f32)
}

/// The threshold that scores like those of the past `days` pass `budget_per_day` times a day; to be passed, not merely reached.
///
/// Scores that never rise above their own 98 % quantile give that quantile. `None` without scores.
pub fn threshold(past: &[f32], days: f64, budget_per_day: f64) -> Option<f32> {
    at_rank(&maxima(past), budget_per_day * days).or_else(|| past.iter().copied().max_by(f32::total_cmp))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quiet scores with peaks of the given height at the given rows.
    fn scores(peaks: &[(usize, f32)]) -> Vec<f32> {
        let mut scores = vec![0.0; 1000];
        peaks.iter().for_each(|(row, height)| scores[*row] = *height);
        scores
    }

    #[test]
    fn peaks_within_the_gap_are_one_maximum() {
        let found = maxima(&scores(&[(100, 3.0), (110, 5.0), (121, 4.0), (400, 2.0)]));
        assert_eq!(found, [5.0, 4.0, 2.0]);
    }

    #[test]
    fn a_rank_between_two_maxima_is_interpolated_on_its_logarithm() {
        let maxima = [8.0, 4.0, 2.0];
        assert_eq!(at_rank(&maxima, 1.0), Some(8.0));
        assert_eq!(at_rank(&maxima, 2.0), Some(4.0));
        // Halfway between 1 and 2 on the logarithm is the square root of 2.
        assert!((at_rank(&maxima, 2.0_f64.sqrt()).unwrap() - 6.0).abs() < 1e-6);
        assert_eq!(at_rank(&maxima, 9.0), Some(2.0));
    }

    #[test]
    fn a_rank_below_one_lies_beyond_the_largest_by_the_slope_of_the_tail() {
        // Two maxima: a slope of 3 for each factor of two in rank.
        assert!((at_rank(&[7.0, 4.0], 0.5).unwrap() - 10.0).abs() < 1e-6);
        assert_eq!(at_rank(&[7.0], 0.5), Some(7.0));
        assert_eq!(at_rank(&[], 0.5), None);
    }

    #[test]
    fn a_smaller_budget_never_lowers_the_threshold() {
        let past: Vec<f32> = (0_u16..5000).map(|n| f32::from(n.wrapping_mul(40503) % 997)).collect();
        let at = |budget| threshold(&past, 10.0, budget).unwrap();
        assert!(at(1.0) <= at(0.2) && at(0.2) <= at(0.05));
        assert!(at(1.0) < at(0.05));
    }

    #[test]
    fn a_constant_past_gives_a_threshold_that_the_constant_does_not_pass() {
        assert_eq!(threshold(&[2.5; 100], 10.0, 0.2), Some(2.5));
        assert_eq!(threshold(&[], 10.0, 0.2), None);
    }
}
