//! The subspace in which a device's counters normally move: fitted with linfa's PCA, scored without allocating.
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_reduction::Pca;
use ndarray::{Array1, Array2, ArrayView1};

/// Lags in beats that stand beside each other in one row; the first half of a recipe tried on SMD and ASD.
pub const LAGS: [usize; 6] = [0, 1, 2, 3, 5, 8];
/// The largest lag.
pub const REACH: usize = 8;
/// Share of the variance that the subspace keeps.
const VARIANCE: f64 = 0.9;
/// The most dimensions it may have.
const DIMENSIONS_MAX: usize = 12;
/// The least spread a channel is scaled with, as a share of its mean's size: a nearly constant channel must not shout.
const SPREAD_FLOOR: f64 = 0.02;
/// The least usual residual of a channel, in squashed units.
const USUAL_FLOOR: f64 = 0.08;
/// The quantile of the training scores that a score is measured in.
const QUANTILE: f64 = 0.99;

/// A fitted subspace over `channels` series. A row holds, channel by channel, the values at [`LAGS`].
#[derive(Debug, Clone)]
pub struct Subspace {
    channels: usize,
    mean: Array1<f64>,
    spread: Array1<f64>,
    /// One row a dimension.
    axes: Array2<f64>,
    centre: Array1<f64>,
    usual: Vec<f64>,
    scale: f64,
}

/// Room for scoring, kept by the caller so that scoring does not allocate.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    row: Vec<f64>,
    /// What the subspace makes of the row.
    rebuilt: Vec<f64>,
    /// Squared residual of each channel in its usual units: who is to blame.
    pub blame: Vec<f64>,
}

/// Grows like a square root beyond one standard deviation, so that one wild value does not rule the fit.
fn squash(z: f64) -> f64 {
    if z.abs() < 1.0 { z } else { z.signum() * (2.0 * z.abs().sqrt() - 1.0) }
}

fn unsquash(y: f64) -> f64 {
    if y.abs() < 1.0 { y } else { y.signum() * ((y.abs() + 1.0) / 2.0).powi(2) }
}

impl Subspace {
    /// Fits to rows in time's order. `None` when there is too little to learn from.
    ///
    /// Shape: `rows` is n by channels·lags.
    pub fn fit(rows: &Array2<f64>) -> Option<Self> {
        let (count, width) = rows.dim();
        let channels = width / LAGS.len();
        if channels < 2 || count < 4 * width.min(40) {
            return None;
        }
        let mean = rows.mean_axis(ndarray::Axis(0))?;
        let mut spread = rows.std_axis(ndarray::Axis(0), 0.0);
        spread.zip_mut_with(&mean, |spread, mean| *spread = spread.max(SPREAD_FLOOR * mean.abs()).max(1e-9));
        let mut data = rows.clone();
        for mut row in data.rows_mut() {
            for column in 0..width {
                row[column] = squash((row[column] - mean[column]) / spread[column]);
            }
        }
        let dimensions = DIMENSIONS_MAX.min(width - 1);
        let pca = Pca::params(dimensions).fit(&DatasetBase::from(data.clone())).ok()?;
        // linfa gives the share among the kept dimensions only, so the whole variance is taken from the data.
        let centred = &data - &data.mean_axis(ndarray::Axis(0))?;
        let whole = centred.mapv(|value| value * value).sum() / count.saturating_sub(1).max(1) as f64;
        let mut kept = 0;
        let mut sum = 0.0;
        for variance in pca.explained_variance() {
            if sum >= VARIANCE * whole {
                break;
            }
            sum += variance;
            kept += 1;
        }
        let axes = pca.components().slice_axis(ndarray::Axis(0), (..kept.max(1)).into()).to_owned();
        let centre = pca.mean().clone();
        if axes.iter().chain(&centre).any(|value| !value.is_finite()) {
            return None;
        }
        let blank = Self { channels, mean, spread, axes, centre, usual: vec![1.0; channels], scale: 1.0 };
        Some(blank.calibrated(rows))
    }

    /// Sets what is usual from the training rows: the RMS residual of each channel, then the quantile of scores.
    fn calibrated(mut self, rows: &Array2<f64>) -> Self {
        let mut scratch = Scratch::default();
        let mut sums = vec![0.0; self.channels];
        for row in rows.rows() {
            self.score_row(row, &mut scratch);
            sums.iter_mut().zip(&scratch.blame).for_each(|(sum, blame)| *sum += blame);
        }
        let count = rows.nrows() as f64;
        self.usual = sums.iter().map(|sum| (sum / count).sqrt().max(USUAL_FLOOR)).collect();
        let mut scores: Vec<f64> =
            rows.rows().into_iter().map(|row| self.score_row(row, &mut scratch)).collect();
        scores.sort_by(f64::total_cmp);
        let place = ((scores.len() - 1) as f64 * QUANTILE) as usize;
        self.scale = scores[place].max(1e-6);
        self
    }

    fn score_row(&self, row: ArrayView1<'_, f64>, scratch: &mut Scratch) -> f64 {
        self.score(row.iter().copied(), scratch)
    }

    /// The residual of a row in multiples of its training quantile. Allocates nothing once the scratch has its size.
    pub fn score(&self, row: impl Iterator<Item = f64>, scratch: &mut Scratch) -> f64 {
        let Scratch { row: values, rebuilt, blame } = scratch;
        values.clear();
        values.extend(
            row.enumerate()
                .map(|(n, value)| squash((value - self.mean[n]) / self.spread[n]) - self.centre[n]),
        );
        rebuilt.clear();
        rebuilt.resize(values.len(), 0.0);
        for axis in self.axes.rows() {
            let along: f64 = axis.iter().zip(values.iter()).map(|(a, v)| a * v).sum();
            rebuilt.iter_mut().zip(axis).for_each(|(sum, a)| *sum += along * a);
        }
        blame.clear();
        for channel in 0..self.channels {
            let span = channel * LAGS.len()..(channel + 1) * LAGS.len();
            let squares: f64 = span.map(|n| (values[n] - rebuilt[n]).powi(2)).sum();
            blame.push(squares / LAGS.len() as f64 / self.usual[channel].powi(2));
        }
        (blame.iter().sum::<f64>() / self.channels as f64).sqrt() / self.scale
    }

    /// What the subspace expected of a channel on the newest beat of the row scored last, in the channel's own unit.
    pub fn expected(&self, channel: usize, scratch: &Scratch) -> f64 {
        let n = channel * LAGS.len();
        unsquash(scratch.rebuilt[n] + self.centre[n]) * self.spread[n] + self.mean[n]
    }

    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        (self.axes.len() + 3 * self.mean.len() + self.usual.len()) * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squashing_can_be_undone() {
        for z in [-9.0, -1.0, -0.3, 0.0, 0.9, 1.0, 25.0] {
            assert!((unsquash(squash(z)) - z).abs() < 1e-12, "{z}");
        }
    }
}
