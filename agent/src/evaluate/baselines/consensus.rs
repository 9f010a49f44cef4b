//! Netdata's node anomaly rate: the share of channels that all of a channel's last 18 models call anomalous.
use super::norm::smooth;
use super::scaled::f32s;
use crate::evaluate::machine::Machine;
use crate::evaluate::scorer::{Run, Scorer, Unable};
use ndarray::{Array2, concatenate, s};
use std::collections::VecDeque;

/// Smoothed differences in a feature vector.
const LAGS: usize = 6;
/// Differences a smoothed one is the mean of.
const SMOOTHED: usize = 3;
/// Rows that a feature vector looks back on, besides its own.
const REACH: usize = LAGS - 1 + SMOOTHED;
/// Models that must agree.
const MODELS: usize = 18;
/// The share of the training range that a distance must reach.
const SCORE: f32 = 0.99;
/// The most rounds of a fit.
const ROUNDS: usize = 1000;

type Feature = [f32; LAGS];

/// The share of channels whose bit is set, smoothed; a channel is to blame by its own bit, smoothed likewise.
///
/// It goes on learning from test rows that lie behind it, as Netdata does. Its silencing of a channel that is anomalous for long
/// never sets in here: it asks for more rows since the last training than lie between two.
pub(super) struct Consensus;

impl Scorer for Consensus {
    fn name(&self) -> &'static str {
        "netdata_rate"
    }

    fn run(&self, machine: &Machine) -> Result<Run, Unable> {
        let Some(rows) = concatenate(ndarray::Axis(0), &[machine.train.view(), machine.test.view()]).ok()
        else {
            return Err(Unable::Unfit);
        };
        let learnt = machine.train.nrows();
        let pace = Pace::of(machine);
        if learnt <= pace.window {
            return Err(Unable::FewRows { least: pace.window + 1 });
        }
        let mut bits = Array2::zeros(rows.dim());
        for (channel, mut column) in bits.columns_mut().into_iter().enumerate() {
            let features = features(&rows.column(channel).to_vec());
            for row in anomalous(&features, pace) {
                column[row] = 1.0;
            }
        }
        let smoothed = smooth(bits);
        let rate = |row: ndarray::ArrayView1<'_, f32>| row.sum() / row.len() as f32;
        let scores: Vec<f32> = smoothed.rows().into_iter().map(rate).collect();
        let bytes = machine.channels() * f32s(MODELS * (2 * LAGS + 2) + pace.window);
        Ok(Run {
            past: scores[pace.window..learnt].to_vec(),
            score: scores[learnt..].to_vec(),
            blame: Some(smoothed.slice(s![learnt.., ..]).to_owned()),
            bytes,
            ..Run::default()
        })
    }
}

/// Rows learnt from, and rows between two trainings.
#[derive(Clone, Copy)]
struct Pace {
    window: usize,
    every: usize,
}

impl Pace {
    /// Six and three hours as Netdata has it; at five minutes a row that is too few rows, so a day and eight hours.
    fn of(machine: &Machine) -> Self {
        if machine.step_s < 300.0 {
            Self { window: 360, every: 180 }
        } else {
            Self { window: 288, every: 96 }
        }
    }
}

/// By row from [`REACH`] on: the last six means of three successive differences.
fn features(values: &[f32]) -> Vec<Feature> {
    let smoothed = |row: usize| (values[row] - values[row - SMOOTHED]) / SMOOTHED as f32;
    (REACH..values.len()).map(|row| std::array::from_fn(|lag| smoothed(row - lag))).collect()
}

/// The rows on which all models agree.
fn anomalous(features: &[Feature], pace: Pace) -> Vec<usize> {
    let mut models: VecDeque<TwoMeans> = VecDeque::new();
    let mut found = Vec::new();
    for (place, feature) in features.iter().enumerate() {
        let row = place + REACH;
        if row >= pace.window && (row - pace.window).is_multiple_of(pace.every) {
            let newest = &features[(row - pace.window).saturating_sub(REACH)..place];
            // A constant channel teaches nothing: its older models stay.
            if let Some(model) = TwoMeans::fit(newest) {
                models.truncate(MODELS - 1);
                models.push_front(model);
            }
        }
        if !models.is_empty() && models.iter().all(|model| model.calls_anomalous(feature)) {
            found.push(row);
        }
    }
    found
}

/// Two centres, and the range of the mean distance to both over what they were fitted to.
struct TwoMeans {
    centres: [Feature; 2],
    least: f32,
    most: f32,
}

fn square(a: &Feature, b: &Feature) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

impl TwoMeans {
    /// `None` where all features are alike.
    fn fit(features: &[Feature]) -> Option<Self> {
        let farthest = |from: &Feature| {
            features.iter().max_by(|a, b| square(a, from).total_cmp(&square(b, from))).copied()
        };
        let first = farthest(features.first()?)?;
        let mut centres = [first, farthest(&first)?];
        if centres[0] == centres[1] {
            return None;
        }
        for _ in 0..ROUNDS {
            let moved = means(features, &centres);
            if moved == centres {
                break;
            }
            centres = moved;
        }
        let blank = Self { centres, least: 0.0, most: 0.0 };
        let distances = || features.iter().map(|feature| blank.distance(feature));
        let (least, most) = (distances().fold(f32::MAX, f32::min), distances().fold(0.0, f32::max));
        Some(Self { least, most, ..blank })
    }

    fn distance(&self, feature: &Feature) -> f32 {
        self.centres.iter().map(|centre| square(feature, centre).sqrt()).sum::<f32>() / 2.0
    }

    /// Whether the distance is at least 99 % of the training range away from the least one.
    fn calls_anomalous(&self, feature: &Feature) -> bool {
        let range = self.most - self.least;
        range > 0.0 && (self.distance(feature) - self.least).abs() >= SCORE * range
    }
}

/// The mean of the features nearest to each centre; a centre with none stays.
fn means(features: &[Feature], centres: &[Feature; 2]) -> [Feature; 2] {
    let mut sums = [[0.0_f64; LAGS]; 2];
    let mut counts = [0.0_f64; 2];
    for feature in features {
        let side = usize::from(square(feature, &centres[1]) < square(feature, &centres[0]));
        sums[side].iter_mut().zip(feature).for_each(|(sum, value)| *sum += f64::from(*value));
        counts[side] += 1.0;
    }
    std::array::from_fn(|side| {
        if counts[side] > 0.0 { sums[side].map(|sum| (sum / counts[side]) as f32) } else { centres[side] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_six_means_of_three_differences() {
        let values: Vec<f32> = (0_u8..10).map(|n| f32::from(n) * f32::from(n)).collect();
        // (81 - 36) / 3, (64 - 25) / 3, ...
        assert_eq!(features(&values)[1], [15.0, 13.0, 11.0, 9.0, 7.0, 5.0]);
        assert_eq!(features(&values).len(), 10 - REACH);
    }

    #[test]
    fn a_jump_beyond_all_that_was_seen_is_anomalous_and_a_constant_series_never_is() {
        let pace = Pace { window: 100, every: 50 };
        let mut values: Vec<f32> = (0..400).map(|row| sim::noise::signed(3, 0, row) as f32).collect();
        values[350] += 50.0;
        let rows = anomalous(&features(&values), pace);
        assert!(rows.contains(&350) && rows.iter().filter(|row| **row < 350).count() < 20, "{rows:?}");
        assert!(anomalous(&features(&[4.0; 400]), pace).is_empty());
    }
}
