//! Truths: what a workload's own metric said of past windows, and the frozen model put right by those that are most alike.
//!
//! Windowed nearest neighbours, which beat recursive least squares on the lab's data (DESIGN.md has both): it can be no further
//! off than the model was before, forgets what was replaced, and has no matrix to blow up.
use super::adaptive::Adaptive;
use super::features::Seen;
use super::frozen::Told;
use super::profile::Quotient;

/// Coordinates of a window among truths: what the model said, what waiting says, and those ratios that tell kinds of
/// contention apart.
const DIMENSIONS: usize = 8;
/// Truths that are kept of one workload.
const KEPT: usize = 48;
/// Of these, how many nearest ones put a window right.
const NEAREST: usize = 4;
/// The squared distance, in squared logarithms, at which a truth weighs half as much as one of the very same window.
const NEAR: f64 = 0.02;
/// The weight of the model as it is. Ours: a twentieth of a truth of the very same window.
const MODEL: f64 = 0.05;
/// The furthest that the model is put right, as a logarithm: 2.7 times.
const FURTHEST: f64 = 1.0;
/// Ratios are taken for no further off than this.
const RATIO_MAX: f32 = 3.0;
/// Performance below which logarithms mean nothing.
const Y_MIN: f64 = 0.01;

/// Where a window is among truths.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point([f32; DIMENSIONS]);

impl Point {
    /// The place of a window of which the frozen model tells `y`.
    pub fn of(seen: &Seen, y: f64) -> Self {
        let ratio = |quotient: Quotient| (seen.ratio(quotient) as f32).clamp(-RATIO_MAX, RATIO_MAX);
        Self([
            y.max(Y_MIN).ln() as f32,
            seen.physics.max(Y_MIN).ln() as f32,
            ratio(Quotient::WaitPerRun),
            ratio(Quotient::SlicesPerRun),
            ratio(Quotient::CallsPerRun),
            ratio(Quotient::SystemShare),
            ratio(Quotient::DiskLatency),
            seen.around("others_busy").unwrap_or(0.0) as f32,
        ])
    }

    /// The coordinates, logarithms but for the last.
    pub fn coordinates(&self) -> &[f32] {
        &self.0
    }

    /// Adds another place, to take the mean of several windows.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, value)| *sum += value);
    }

    pub(super) fn over(mut self, windows: f64) -> Self {
        self.0.iter_mut().for_each(|value| *value /= windows as f32);
        self
    }

    fn distance(&self, other: &Self) -> f64 {
        self.0.iter().zip(other.0).map(|(a, b)| f64::from(a - b).powi(2)).sum()
    }
}

/// Puts a model right for one workload. About 2.2 KiB.
#[derive(Debug, Clone, Default)]
pub struct Truths {
    /// Places, and the logarithm of what was true over what the model told.
    kept: Vec<(Point, f32)>,
    adaptive: Adaptive,
}

impl Truths {
    /// Bytes behind it at most.
    #[cfg(test)]
    pub(super) const MOST: usize = KEPT * size_of::<(Point, f32)>();

    /// What is told of a window after all that was heard.
    pub fn correct(&self, point: &Point, told: Told) -> Told {
        let y = (told.y * self.correction(point).exp()).clamp(Y_MIN, 1.0);
        let (below, above) = match self.adaptive.stretch() {
            Some(stretch) => (told.half() * stretch, told.half() * stretch),
            None => (told.y - told.low, told.high - told.y),
        };
        Told { y, low: (y - below).clamp(0.0, 1.0), high: (y + above).clamp(0.0, 1.0) }
    }

    /// Hears the truth of a window, and what the model alone had told of it.
    pub fn hear(&mut self, point: &Point, told: Told, truth: f64) {
        let answer = self.correct(point, told);
        let held = (answer.low..=answer.high).contains(&truth);
        self.adaptive.hear((answer.y - truth).abs() / told.half(), held);
        let off = (truth.max(Y_MIN) / told.y.max(Y_MIN)).ln() as f32;
        if self.kept.len() < KEPT {
            self.kept.reserve_exact(KEPT - self.kept.len());
            self.kept.push((*point, off));
            return;
        }
        // The most alike goes, so that a long quiet does not wash away what contention was like.
        let nearest =
            self.kept.iter_mut().min_by(|(a, _), (b, _)| point.distance(a).total_cmp(&point.distance(b)));
        if let Some(nearest) = nearest {
            *nearest = (*point, off);
        }
    }

    /// Whether enough was heard for the interval to be the metric's.
    pub fn stands(&self) -> bool {
        self.adaptive.stretch().is_some()
    }

    fn correction(&self, point: &Point) -> f64 {
        let mut nearest = [(f64::INFINITY, 0.0); NEAREST];
        for (place, off) in &self.kept {
            let distance = point.distance(place);
            if distance < nearest[NEAREST - 1].0 {
                nearest[NEAREST - 1] = (distance, f64::from(*off));
                nearest.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            }
        }
        let (mut sum, mut weights) = (0.0, MODEL);
        for (distance, off) in nearest.iter().filter(|(distance, _)| distance.is_finite()) {
            let weight = NEAR / (NEAR + distance);
            sum += weight * off;
            weights += weight;
        }
        (sum / weights).clamp(-FURTHEST, FURTHEST)
    }

    /// Bytes of memory behind it.
    pub(super) fn bytes(&self) -> usize {
        self.kept.capacity() * size_of::<(Point, f32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(y: f64, busy: f32) -> Point {
        let mut point = Point::default();
        (point.0[0], point.0[7]) = (y.ln() as f32, busy);
        point
    }

    fn told(y: f64) -> Told {
        Told { y, low: y - 0.05, high: (y + 0.05).min(1.0) }
    }

    #[test]
    fn a_model_that_is_too_hopeful_beside_others_is_put_right_there_and_nowhere_else() {
        let mut truths = Truths::default();
        assert_eq!(truths.correct(&point(0.9, 0.8), told(0.9)).y, 0.9, "nothing was heard");
        for _ in 0..12 {
            truths.hear(&point(0.9, 0.8), told(0.9), 0.6);
            truths.hear(&point(0.99, 0.0), told(0.99), 1.0);
        }
        let beside = truths.correct(&point(0.9, 0.8), told(0.9));
        assert!((beside.y - 0.6).abs() < 0.02 && (beside.low..=beside.high).contains(&0.6), "{beside:?}");
        assert!(truths.correct(&point(0.99, 0.0), told(0.99)).y > 0.98);
        assert!(truths.stands());
    }

    #[test]
    fn a_long_quiet_does_not_wash_away_what_contention_was_like() {
        let mut truths = Truths::default();
        (0..20).for_each(|_| truths.hear(&point(0.9, 0.8), told(0.9), 0.6));
        (0..5000).for_each(|_| truths.hear(&point(0.99, 0.0), told(0.99), 1.0));
        assert!((truths.correct(&point(0.9, 0.8), told(0.9)).y - 0.6).abs() < 0.02);
        assert!(truths.bytes() + size_of::<Truths>() < 2400, "{}", truths.bytes());
    }

    #[test]
    fn absurd_truths_move_an_estimate_by_no_more_than_a_bound_and_stay_numbers() {
        let mut truths = Truths::default();
        (0..100).for_each(|_| truths.hear(&point(0.9, 0.5), told(0.9), 1e-9));
        let answer = truths.correct(&point(0.9, 0.5), told(0.9));
        assert!(
            answer.y >= 0.9 * (-FURTHEST).exp() - 1e-9 && answer.low <= answer.y && answer.y <= answer.high
        );
    }
}
