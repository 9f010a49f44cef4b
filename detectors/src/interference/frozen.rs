//! The frozen model: what a lab's data set taught, with the feature set and the version that it belongs to.
use super::features::{COUNT, Seen, is_nature, names, signs};
use super::forest::{Forest, Training};
use super::span::{Pair, Regime, Span};
use model::interference::Abstention;
use serde::{Deserialize, Serialize};

/// The version of the format and of what features mean.
pub const VERSION: u32 = 2;
/// The share of a feature's range by which a window may lie outside it.
const RANGE_SLACK: f32 = 0.5;
/// The least performance that is ever told.
const Y_MIN: f64 = 0.01;
/// Logarithms of ratios beyond which a target is an outlier of measuring: 20 times.
const TARGET_MAX: f64 = 3.0;

/// A frozen model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    version: u32,
    /// What it was trained on, in words.
    pub trained_on: String,
    features: Vec<String>,
    /// The lowest and the highest value of each feature in training; `None` where it was never known.
    ranges: Vec<Option<(f32, f32)>>,
    forest: Forest,
    span: Span,
}

/// A frozen model cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrozenError {
    /// It is of another version.
    #[error(
        "it is of version {0}, this wattkeeper has version {VERSION}: train it anew with `wattkeeper lab --train`"
    )]
    Version(u32),
    /// It was trained on other features.
    #[error("it was trained on other features ({0}): train it anew with `wattkeeper lab --train`")]
    Features(String),
}

/// What a model tells of a window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Told {
    /// Performance over performance alone.
    pub y: f64,
    /// Lower end of its 90 % interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

/// An end of an interval is not taken for nearer than this.
const END_MIN: f64 = 0.01;

impl Told {
    /// Half the width of the interval.
    pub fn half(&self) -> f64 {
        f64::midpoint((self.y - self.low).max(END_MIN), (self.high - self.y).max(END_MIN))
    }
}

/// One window to train on: what was seen, and the truth.
#[derive(Debug, Clone, Copy)]
pub struct Lesson {
    /// What was seen.
    pub seen: Seen,
    /// Performance over performance alone.
    pub y: f64,
    /// Whether somebody was beside it. What intervals are calibrated on: alone, estimates are off by next to nothing.
    pub met: bool,
    /// Which lessons belong together, to be kept out together when widths are calibrated: a kind of work, since whatever an
    /// operator runs is of a kind that no lab has.
    pub group: usize,
}

fn forest(lessons: &[&Lesson], training: Training) -> Forest {
    let rows: Vec<Vec<f32>> = lessons.iter().map(|lesson| lesson.seen.features.to_vec()).collect();
    // The answer is how much slower it is than waiting explains, as a logarithm.
    let slower =
        |lesson: &&Lesson| (lesson.seen.physics / lesson.y.max(Y_MIN)).ln().clamp(-TARGET_MAX, TARGET_MAX);
    let targets: Vec<f64> = lessons.iter().map(slower).collect();
    Forest::train(&rows, &targets, &signs(), training)
}

fn estimate(forest: &Forest, seen: &Seen) -> f64 {
    (seen.physics * (-forest.answer(&seen.features)).exp()).clamp(Y_MIN, 1.0)
}

impl Frozen {
    /// Trains a model. Widths are calibrated on groups that a second set of forests, one a group, has not seen.
    pub fn train(lessons: &[Lesson], training: Training, trained_on: String) -> Self {
        let all: Vec<&Lesson> = lessons.iter().collect();
        let groups = lessons.iter().map(|lesson| lesson.group + 1).max().unwrap_or(0);
        let mut pairs = Vec::new();
        for group in 0..groups {
            let (held, kept): (Vec<&Lesson>, Vec<&Lesson>) =
                lessons.iter().partition(|lesson| lesson.group == group);
            if held.is_empty() || kept.is_empty() {
                continue;
            }
            let forest = forest(&kept, training);
            pairs.extend(held.iter().filter(|lesson| lesson.met).map(|lesson| Pair {
                regime: Regime::of(&lesson.seen),
                estimate: estimate(&forest, &lesson.seen),
                truth: lesson.y,
            }));
        }
        let range = |feature: usize| {
            let values =
                lessons.iter().map(|lesson| lesson.seen.features[feature]).filter(|value| !value.is_nan());
            values.fold(None, |range: Option<(f32, f32)>, value| {
                Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
            })
        };
        Self {
            version: VERSION,
            trained_on,
            features: names(),
            ranges: (0..COUNT).map(range).collect(),
            forest: forest(&all, training),
            span: Span::calibrate(&pairs),
        }
    }

    /// Makes sure that it is of this version and of this feature set.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(self) -> Result<Self, FrozenError> {
        if self.version != VERSION {
            return Err(FrozenError::Version(self.version));
        }
        let wanted = names();
        if self.features != wanted || self.ranges.len() != wanted.len() {
            let odd = self.features.iter().find(|name| !wanted.contains(name));
            let what = odd.map_or_else(|| format!("{} features", self.features.len()), Clone::clone);
            return Err(FrozenError::Features(what));
        }
        Ok(self)
    }

    /// Performance over performance alone with its 90 % interval.
    ///
    /// # Errors
    /// `Unfamiliar` when a feature of the neighbours is far outside what the model was trained on.
    pub fn judge(&self, seen: &Seen) -> Result<Told, Abstention> {
        if !self.is_familiar(seen) {
            return Err(Abstention::Unfamiliar);
        }
        let y = estimate(&self.forest, seen);
        let (low, high) = self.around(seen, y, 1.0);
        Ok(Told { y, low, high })
    }

    /// The 90 % interval around an estimate of a window that was made in another way, at a stretch.
    pub(super) fn around(&self, seen: &Seen, y: f64, stretch: f64) -> (f64, f64) {
        self.span.around(Regime::of(seen), y, stretch)
    }

    /// Whether every feature of its neighbours is near the range that it had in training. That the work is of another nature than
    /// all of the lab is the rule, and what intervals are calibrated for.
    fn is_familiar(&self, seen: &Seen) -> bool {
        seen.features.iter().zip(&self.ranges).enumerate().all(|(feature, (value, range))| match range {
            // One that never varied is not looked at by any tree, no more than one that training never had.
            Some((low, high)) if !value.is_nan() && low < high && !is_nature(feature) => {
                let slack = (high - low) * RANGE_SLACK + f32::EPSILON;
                (low - slack..=high + slack).contains(value)
            }
            _ => true,
        })
    }
}
