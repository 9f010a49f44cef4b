//! The interval where the truth streams back: adaptive conformal prediction over the last errors.
use super::span::COVERAGE;

/// Errors that are remembered.
const WINDOW: usize = 64;
/// Errors below which the interval of the frozen model stands. Ours: with ten, the widest nine in ten is their largest.
const ERRORS_MIN: usize = 10;
/// How fast the level adapts. The authors take 0.005 for series of thousands; ours have hundreds.
const STEP: f64 = 0.02;
/// The level stays within these, so that neither luck nor a bad hour makes an interval nothing or everything for long.
const LEVELS: (f64, f64) = (0.001, 0.5);

/// Adaptive conformal inference (Gibbs and Candès 2021) over a sliding window: the width is a quantile of the last errors, each
/// in units of the width that the frozen model gave, and the level of that quantile moves so that the coverage is right
/// whatever happens to the workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptive {
    /// The share of intervals that may miss, as it stands.
    level: f64,
    errors: [f32; WINDOW],
    heard: usize,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { level: 1.0 - COVERAGE, errors: [0.0; WINDOW], heard: 0 }
    }
}

impl Adaptive {
    /// What half the frozen model's width is multiplied with; `None` until enough errors are known.
    pub fn stretch(&self) -> Option<f64> {
        let known = self.heard.min(WINDOW);
        if known < ERRORS_MIN {
            return None;
        }
        let mut sorted = self.errors;
        let sorted = &mut sorted[..known];
        sorted.sort_unstable_by(f32::total_cmp);
        // With the one more that a new error may be.
        let place = ((known + 1) as f64 * (1.0 - self.level)).ceil() as usize;
        sorted.get(place.saturating_sub(1)).or(sorted.last()).map(|error| f64::from(*error))
    }

    /// Hears how far the last estimate was off, in units of half the frozen model's width, and whether its interval held.
    pub fn hear(&mut self, error: f64, held: bool) {
        let miss = if held { 0.0 } else { 1.0 };
        self.level = (self.level + STEP * (1.0 - COVERAGE - miss)).clamp(LEVELS.0, LEVELS.1);
        self.errors[self.heard % WINDOW] = error as f32;
        self.heard += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence from 0 to 1 that fills it evenly.
    fn even(number: u32) -> f64 {
        (f64::from(number) * 0.618_034).fract()
    }

    /// The share of intervals of half-width 0.1 that hold, and their mean stretch, when errors are as large as said.
    fn follow(numbers: std::ops::Range<u32>, adaptive: &mut Adaptive, largest: f64) -> (f64, f64) {
        let (mut held, mut width, count) = (0, 0.0, f64::from(numbers.end - numbers.start));
        for number in numbers {
            let error = largest * even(number);
            let stretch = adaptive.stretch().unwrap_or(1.0);
            let holds = error <= 0.1 * stretch;
            adaptive.hear(error / 0.1, holds);
            held += u32::from(holds);
            width += stretch;
        }
        (f64::from(held) / count, width / count)
    }

    #[test]
    fn nine_in_ten_hold_whether_errors_are_twice_or_half_of_what_was_calibrated() {
        let mut adaptive = Adaptive::default();
        for (begin, largest) in [(0, 0.2), (1000, 0.05), (2000, 0.4)] {
            follow(begin..begin + 100, &mut adaptive, largest);
            let (held, width) = follow(begin + 100..begin + 1000, &mut adaptive, largest);
            assert!((held - COVERAGE).abs() < 0.03, "{largest}: {held}");
            assert!((width - 9.0 * largest).abs() < 2.0 * largest, "{largest}: {width}");
        }
    }

    #[test]
    fn a_few_errors_change_nothing() {
        let mut adaptive = Adaptive::default();
        for _ in 0..ERRORS_MIN - 1 {
            adaptive.hear(3.0, false);
            assert_eq!(adaptive.stretch(), None);
        }
        adaptive.hear(3.0, false);
        assert_eq!(adaptive.stretch(), Some(3.0));
    }
}
