//! Truth that streams back: the frozen model put right, window by window, by what a metric of the application says one window late.
use super::lessons::Case;
use super::{Split, methods};
use crate::lab::table::Kind;
use detectors::interference::{Adaptive, Frozen, Point, Told, Training, Truths};
use serde::Serialize;
use std::collections::BTreeMap;

/// The splits that it is measured on: what the frozen model has not seen is where hearing the truth matters.
pub(super) const SPLITS: [Split; 2] = [Split::Antagonist, Split::Victim];
/// How fast recursive least squares forgets. Of 1, 0.98 and 0.95 the best on these data; signals.md 1.5 has 0.98 of those it tried.
const FORGETTING: f64 = 0.95;
/// How little its weights are held to zero at first; they are never less sure than that.
const SPREAD: f64 = 1.0;
/// The furthest that it puts the model right, as the built-in learner.
const FURTHEST: f64 = 1.0;
/// The least performance that is told.
const Y_MIN: f64 = 0.01;

/// What learns from the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Learner {
    /// Nothing: the frozen model.
    Alone,
    /// Recursive least squares with forgetting.
    Squares,
    /// Windowed nearest neighbours, which the agent has.
    Nearest,
}

impl Learner {
    /// Every learner.
    pub const ALL: [Self; 3] = [Self::Alone, Self::Squares, Self::Nearest];

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "frozen model alone",
            Self::Squares => "with recursive least squares",
            Self::Nearest => "wattkeeper: nearest neighbours",
        }
    }
}

/// Figures of one learner.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Streamed {
    /// Mean absolute error of y.
    pub mae: Option<f64>,
    /// How often the nominal 90 % interval held the truth.
    pub coverage: Option<f64>,
    /// The mean width of the interval.
    pub width: Option<f64>,
    /// Windows.
    pub windows: usize,
}

/// Sums of figures.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    error: f64,
    held: f64,
    width: f64,
    windows: usize,
}

impl Sums {
    fn add(&mut self, told: &Told, truth: f64) {
        self.error += (told.y - truth).abs();
        self.held += f64::from(u8::from((told.low..=told.high).contains(&truth)));
        self.width += told.high - told.low;
        self.windows += 1;
    }

    fn figures(&self) -> Streamed {
        let mean = |sum: f64| (self.windows > 0).then(|| sum / self.windows as f64);
        Streamed {
            mae: mean(self.error),
            coverage: mean(self.held),
            width: mean(self.width),
            windows: self.windows,
        }
    }
}

/// Every learner over every fold of a split.
pub(super) fn measure(split: Split, cases: &[Case]) -> Vec<(Learner, Streamed)> {
    let mut folds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        if let Some(fold) = split.fold(number, case) {
            folds.entry(fold).or_default().push(number);
        }
    }
    let mut sums = [Sums::default(); Learner::ALL.len()];
    for held in folds.values().filter(|_| folds.len() > 1) {
        let kept = (0..cases.len()).filter(|number| held.binary_search(number).is_err());
        let train: Vec<&Case> = kept.map(|number| &cases[number]).filter(|case| case.trains()).collect();
        let frozen = methods::taught(&train, Training::default());
        let mut lives: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
        (0..cases.len()).for_each(|number| {
            lives.entry((cases[number].campaign, cases[number].encounter.0)).or_default().push(number)
        });
        let asked = |number: &usize| cases[*number].kind == Kind::Met && held.binary_search(number).is_ok();
        for life in lives.values().filter(|life| life.iter().any(&asked)) {
            for (learner, sums) in Learner::ALL.into_iter().zip(&mut sums) {
                let windows = life.iter().map(|number| (&cases[*number], asked(number)));
                live(&frozen, learner, windows, sums);
            }
        }
    }
    Learner::ALL.into_iter().zip(sums.iter().map(Sums::figures)).collect()
}

/// One life of a victim: each window is judged by what was heard of those before it.
fn live<'a>(
    frozen: &Frozen,
    learner: Learner,
    windows: impl Iterator<Item = (&'a Case, bool)>,
    sums: &mut Sums,
) {
    let (mut squares, mut nearest) = (Squares::default(), Truths::default());
    for (case, asked) in windows {
        let Ok(alone) = frozen.judge(&case.seen) else { continue };
        let point = Point::of(&case.seen, alone.y);
        let told = match learner {
            Learner::Alone => alone,
            Learner::Squares => squares.correct(&point, alone),
            Learner::Nearest => nearest.correct(&point, alone),
        };
        if asked {
            sums.add(&told, case.y);
        }
        match learner {
            Learner::Alone => {}
            Learner::Squares => squares.hear(&point, alone, case.y),
            Learner::Nearest => nearest.hear(&point, alone, case.y),
        }
    }
}

/// A constant and the coordinates of a window.
const TERMS: usize = 9;

/// Recursive least squares with exponential forgetting (Haykin, Adaptive Filter Theory), on the logarithm of truth over model.
struct Squares {
    weights: [f64; TERMS],
    spread: [[f64; TERMS]; TERMS],
    adaptive: Adaptive,
}

impl Default for Squares {
    fn default() -> Self {
        let spread =
            std::array::from_fn(|row| std::array::from_fn(|column| if row == column { SPREAD } else { 0.0 }));
        Self { weights: [0.0; TERMS], spread, adaptive: Adaptive::default() }
    }
}

fn terms(point: &Point) -> [f64; TERMS] {
    let mut terms = [1.0; TERMS];
    terms[1..].iter_mut().zip(point.coordinates()).for_each(|(term, value)| *term = f64::from(*value));
    terms
}

fn dot(a: &[f64; TERMS], b: &[f64; TERMS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Squares {
    fn correct(&self, point: &Point, alone: Told) -> Told {
        let correction = dot(&self.weights, &terms(point)).clamp(-FURTHEST, FURTHEST);
        let y = (alone.y * correction.exp()).clamp(Y_MIN, 1.0);
        let (below, above) = match self.adaptive.stretch() {
            Some(stretch) => (alone.half() * stretch, alone.half() * stretch),
            None => (alone.y - alone.low, alone.high - alone.y),
        };
        Told { y, low: (y - below).clamp(0.0, 1.0), high: (y + above).clamp(0.0, 1.0) }
    }

    fn hear(&mut self, point: &Point, alone: Told, truth: f64) {
        let told = self.correct(point, alone);
        let held = (told.low..=told.high).contains(&truth);
        self.adaptive.hear((told.y - truth).abs() / alone.half(), held);
        let terms = terms(point);
        let off = (truth.max(Y_MIN) / alone.y).ln() - dot(&self.weights, &terms);
        let pulled = self.spread.map(|row| dot(&row, &terms));
        let gain = pulled.map(|pull| pull / (FORGETTING + dot(&pulled, &terms)));
        self.weights.iter_mut().zip(gain).for_each(|(weight, gain)| *weight += gain * off);
        for (row, gain) in self.spread.iter_mut().zip(gain) {
            row.iter_mut().zip(pulled).for_each(|(cell, pull)| *cell = (*cell - gain * pull) / FORGETTING);
        }
        // What is not moved for long must not become ever less sure.
        let shrink: [f64; TERMS] =
            std::array::from_fn(|place| (SPREAD / self.spread[place][place].max(SPREAD)).sqrt());
        for (row, own) in self.spread.iter_mut().zip(shrink) {
            row.iter_mut().zip(shrink).for_each(|(cell, other)| *cell *= own * other);
        }
    }
}
