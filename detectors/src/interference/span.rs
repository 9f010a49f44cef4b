//! The interval around an estimate: split-conformal.
use serde::{Deserialize, Serialize};

/// How much of the time the interval is to hold the truth.
pub const COVERAGE: f64 = 0.9;
/// Estimates that have widths of their own: below the first, between, above the last.
const EDGES: [f64; 3] = [0.4, 0.7, 0.93];

/// How far estimates were off where the model had not been trained, a quantile for each range of estimates.
///
/// Split-conformal prediction (Lei et al. 2018) with the ranges as groups, and the residuals signed: an estimate may be off
/// further to one side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// How far the truth was below the estimate.
    below: [f64; EDGES.len() + 1],
    /// How far it was above.
    above: [f64; EDGES.len() + 1],
}

impl Default for Span {
    /// Nothing is known, so the interval is everything.
    fn default() -> Self {
        Self { below: [1.0; EDGES.len() + 1], above: [1.0; EDGES.len() + 1] }
    }
}

fn range(estimate: f64) -> usize {
    EDGES.iter().filter(|edge| estimate >= **edge).count()
}

/// The value that so many of the sorted ones are at most, with the one more that a new value may be.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = ((sorted.len() + 1) as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).or(sorted.last()).copied().unwrap_or(1.0)
}

/// Pairs below which a range takes the widths of all.
const PAIRS_MIN: usize = 40;

impl Span {
    /// Widths from pairs of an estimate and the truth that the model was not trained on.
    pub fn calibrate(pairs: &[(f64, f64)]) -> Self {
        let mut span = Self::default();
        for place in 0..=EDGES.len() {
            let own: Vec<(f64, f64)> = pairs.iter().filter(|pair| range(pair.0) == place).copied().collect();
            let pairs = if own.len() < PAIRS_MIN { pairs } else { &own };
            let sorted = |off: fn(&(f64, f64)) -> f64| {
                let mut list: Vec<f64> = pairs.iter().map(off).collect();
                list.sort_by(f64::total_cmp);
                list
            };
            let tail = 1.0 - (1.0 - COVERAGE) / 2.0;
            span.below[place] = quantile(&sorted(|(estimate, truth)| estimate - truth), tail).max(0.0);
            span.above[place] = quantile(&sorted(|(estimate, truth)| truth - estimate), tail).max(0.0);
        }
        span
    }

    /// The interval around an estimate.
    pub fn around(&self, estimate: f64) -> (f64, f64) {
        let place = range(estimate);
        let low = (estimate - self.below[place]).clamp(0.0, 1.0);
        let high = (estimate + self.above[place]).clamp(low, 1.0);
        (low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs whose truth is off by up to `width`, evenly.
    fn pairs(width: f64) -> Vec<(f64, f64)> {
        (0..500)
            .map(|n| {
                let estimate = 0.3 + 0.6 * (f64::from(n) * 0.618_034).fract();
                (estimate, estimate + width * (2.0 * (f64::from(n) * 0.414_214).fract() - 1.0))
            })
            .collect()
    }

    #[test]
    fn nine_in_ten_lie_in_the_interval() {
        let span = Span::calibrate(&pairs(0.1));
        let pairs = pairs(0.1);
        let inside = pairs.iter().filter(|(estimate, truth)| {
            let (low, high) = span.around(*estimate);
            (low..=high).contains(truth)
        });
        let share = inside.count() as f64 / 500.0;
        assert!((share - COVERAGE).abs() < 0.04, "{share}");
    }

    #[test]
    fn without_calibration_the_interval_is_everything() {
        assert_eq!(Span::default().around(0.5), (0.0, 1.0));
        assert_eq!(Span::calibrate(&[]).around(0.5), (0.0, 1.0));
    }
}
