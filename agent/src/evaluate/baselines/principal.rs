//! Principal axes of windows over the training rows, by linfa's symmetric eigen-decomposition.
use super::scaled::{Scaled, f32s};
use crate::evaluate::scorer::Unable;
use linfa_linalg::eigh::EighInto;
use ndarray::{Array1, Array2, Axis};

/// Share of the variance that the kept axes hold.
const VARIANCE: f64 = 0.9;

/// The axes that hold 90 % of the variance.
pub(super) struct Principal {
    pub(super) mean: Array1<f32>,
    /// Width by kept axes.
    pub(super) axes: Array2<f32>,
    /// Variance along each kept axis.
    pub(super) variances: Vec<f32>,
}

impl Principal {
    /// Fits to every window of `width` rows of the training part.
    pub(super) fn fit(scaled: &Scaled, width: usize) -> Result<Self, Unable> {
        let size = width * scaled.channels();
        let ends = width - 1..scaled.learnt;
        if ends.len() < 2 {
            return Err(Unable::FewRows { least: width + 1 });
        }
        let mut sum = Array1::<f64>::zeros(size);
        for (_, block) in scaled.windows(ends.clone(), width) {
            sum += &block.mapv(f64::from).sum_axis(Axis(0));
        }
        let mean = sum / ends.len() as f64;
        let mut covariance = Array2::<f64>::zeros((size, size));
        for (_, block) in scaled.windows(ends.clone(), width) {
            let centred = block.mapv(f64::from) - &mean;
            covariance += &centred.t().dot(&centred);
        }
        covariance /= (ends.len() - 1) as f64;
        let whole: f64 = covariance.diag().sum();
        let (values, vectors) = covariance.eigh_into().map_err(|_| Unable::Unfit)?;
        if values.iter().chain(&vectors).any(|value| !value.is_finite()) {
            return Err(Unable::Unfit);
        }
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        let mut held = 0.0;
        let short = |axis: &usize| {
            let before = held;
            held += values[*axis];
            before < VARIANCE * whole
        };
        let mut kept: Vec<usize> = order.iter().copied().take_while(short).collect();
        if kept.is_empty() {
            // A training part that never moves: any axis does.
            kept.push(order[0]);
        }
        let axes = vectors.select(Axis(1), &kept).mapv(|value| value as f32);
        let variances = kept.iter().map(|axis| values[*axis] as f32).collect();
        Ok(Self { mean: mean.mapv(|value| value as f32), axes, variances })
    }

    pub(super) fn bytes(&self) -> usize {
        f32s(self.mean.len() + self.axes.len() + self.variances.len())
    }
}
