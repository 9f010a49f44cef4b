//! How far channels are from their training means: the norm of a row, and the smoothed mean (Reveal's first detector).
use super::scaled::{Scaled, f32s};
use crate::evaluate::machine::Machine;
use crate::evaluate::scorer::{Run, Scorer, Unable};
use ndarray::{Array2, s};

/// The weight of the newest row in the smoothed mean: a window of about three to five rows, as Reveal's 3 s at 1 s strides.
const WEIGHT: f32 = 1.0 / 3.0;

/// The root mean square of z.
pub(super) struct L2;

impl Scorer for L2 {
    fn name(&self) -> &'static str {
        "l2_norm"
    }

    fn run(&self, machine: &Machine) -> Result<Run, Unable> {
        let scaled = Scaled::of(machine);
        let squares = scaled.rows.mapv(|z| z * z);
        let scores = squares.rows().into_iter().map(|row| (row.sum() / row.len() as f32).sqrt()).collect();
        let blame = squares.slice(s![scaled.learnt.., ..]).to_owned();
        Ok(scaled.run(scores, Some(blame), f32s(2 * scaled.channels())))
    }
}

/// The mean of |z|, smoothed.
pub(super) struct MeanAbs;

impl Scorer for MeanAbs {
    fn name(&self) -> &'static str {
        "mean_abs_z"
    }

    fn run(&self, machine: &Machine) -> Result<Run, Unable> {
        let scaled = Scaled::of(machine);
        let smoothed = smooth(scaled.rows.mapv(f32::abs));
        let scores = smoothed.rows().into_iter().map(|row| row.sum() / row.len() as f32).collect();
        let blame = smoothed.slice(s![scaled.learnt.., ..]).to_owned();
        Ok(scaled.run(scores, Some(blame), f32s(3 * scaled.channels())))
    }
}

/// Exponentially weighted means of the columns, each from its first value on.
pub(super) fn smooth(mut rows: Array2<f32>) -> Array2<f32> {
    for row in 1..rows.nrows() {
        for column in 0..rows.ncols() {
            let before = rows[(row - 1, column)];
            let value = &mut rows[(row, column)];
            *value = before + WEIGHT * (*value - before);
        }
    }
    rows
}
