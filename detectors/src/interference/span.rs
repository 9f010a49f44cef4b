//! The interval around an estimate: split-conformal.
use super::features::Seen;
use serde::{Deserialize, Serialize};

/// How much of the time the interval is to hold the truth.
pub const COVERAGE: f64 = 0.9;

/// How far physics alone goes with a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regime {
    /// Work that idles or is blocked: what it waits is not all in the way of its operations.
    Pausing,
    /// Work that runs as long as it gets a processor, and gets one.
    Running,
    /// The same while it waits for one: what it waits is what it loses.
    Queueing,
}

/// Processors' time a second from which work runs all the time while it is alone. Ours: between loops at full rate (0.95 and more
/// in the lab's data) and those at three quarters of it.
const RUNS: f64 = 0.85;
/// Performance by physics below which there is a queue: waiting for a twentieth of the time.
const QUEUE: f64 = 0.95;

impl Regime {
    /// How many there are.
    const COUNT: usize = 3;

    /// The regime of a window.
    pub fn of(seen: &Seen) -> Self {
        match seen.around("quiet_run").is_some_and(|log| log.exp() >= RUNS) {
            false => Self::Pausing,
            true if seen.physics < QUEUE => Self::Queueing,
            true => Self::Running,
        }
    }
}

/// One estimate of a model that was not trained on the window, with the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The regime of the window.
    pub regime: Regime,
    /// The estimate.
    pub estimate: f64,
    /// The truth.
    pub truth: f64,
}

/// How far estimates were off where the model had not been trained, a quantile for each regime.
///
/// Split-conformal prediction (Lei et al. 2018) with regimes as groups (Mondrian; Vovk, Gammerman and Shafer 2005, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// How far the truth was from the estimate, to either side.
    off: [f64; Regime::COUNT],
}

impl Default for Span {
    /// Nothing is known, so the interval is everything.
    fn default() -> Self {
        Self { off: [1.0; Regime::COUNT] }
    }
}

/// The value that so many of the sorted ones are at most, with the one more that a new value may be.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = ((sorted.len() + 1) as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).or(sorted.last()).copied().unwrap_or(1.0)
}

/// Pairs below which a regime takes the width of all.
const PAIRS_MIN: usize = 40;

impl Span {
    /// Widths from pairs of an estimate and the truth that the model was not trained on.
    pub fn calibrate(pairs: &[Pair]) -> Self {
        let mut span = Self::default();
        for (regime, off) in span.off.iter_mut().enumerate() {
            let own = pairs.iter().filter(|pair| pair.regime as usize == regime);
            let enough = own.clone().count() >= PAIRS_MIN;
            let distance = |pair: &Pair| (pair.truth - pair.estimate).abs();
            let mut list: Vec<f64> =
                if enough { own.map(distance).collect() } else { pairs.iter().map(distance).collect() };
            list.sort_by(f64::total_cmp);
            *off = quantile(&list, COVERAGE);
        }
        span
    }

    /// The interval around an estimate, so many times as wide as calibrated.
    pub fn around(&self, regime: Regime, estimate: f64, stretch: f64) -> (f64, f64) {
        let off = self.off[regime as usize] * stretch;
        let low = (estimate - off).clamp(0.0, 1.0);
        (low, (estimate + off).clamp(low, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of a regime whose truth is off by up to `width`, evenly.
    fn pairs_of(regime: Regime, width: f64) -> Vec<Pair> {
        (0..500)
            .map(|n| {
                let estimate = 0.3 + 0.6 * (f64::from(n) * 0.618_034).fract();
                let truth = estimate + width * (2.0 * (f64::from(n) * 0.414_214).fract() - 1.0);
                Pair { regime, estimate, truth }
            })
            .collect()
    }

    fn pairs(width: f64) -> Vec<Pair> {
        pairs_of(Regime::Running, width)
    }

    fn holds(span: &Span, pair: &Pair, stretch: f64) -> bool {
        let (low, high) = span.around(pair.regime, pair.estimate, stretch);
        (low..=high).contains(&pair.truth)
    }

    #[test]
    fn nine_in_ten_lie_in_the_interval() {
        let span = Span::calibrate(&pairs(0.1));
        let share = pairs(0.1).iter().filter(|pair| holds(&span, pair, 1.0)).count() as f64 / 500.0;
        assert!((share - COVERAGE).abs() < 0.04, "{share}");
    }

    #[test]
    fn without_calibration_the_interval_is_everything() {
        assert_eq!(Span::default().around(Regime::Queueing, 0.5, 1.0), (0.0, 1.0));
        assert_eq!(Span::calibrate(&[]).around(Regime::Queueing, 0.5, 1.0), (0.0, 1.0));
    }

    #[test]
    fn a_regime_has_a_width_of_its_own_unless_too_little_is_known_of_it() {
        let mut all = [pairs_of(Regime::Pausing, 0.2), pairs_of(Regime::Queueing, 0.05)].concat();
        all.extend(&pairs_of(Regime::Running, 0.05)[..PAIRS_MIN / 2]);
        let span = Span::calibrate(&all);
        let width = |regime| {
            let (low, high) = span.around(regime, 0.5, 1.0);
            high - low
        };
        assert!(width(Regime::Queueing) < 0.1 && width(Regime::Pausing) > 0.3);
        assert!(width(Regime::Running) > 0.2, "it takes that of all, not the narrow one of its few");
    }
}
