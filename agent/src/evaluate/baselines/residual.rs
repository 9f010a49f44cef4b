//! The plain windowed PCA residual: what ten rows hold beside the axes along which the training windows moved.
use super::principal::Principal;
use super::scaled::{Scaled, f32s};
use crate::evaluate::machine::Machine;
use crate::evaluate::scorer::{Run, Scorer, Unable};
use ndarray::Array2;

/// Rows of a window.
const WIDTH: usize = 10;

/// The root mean square residual of the window; a channel is to blame for its squares.
pub(super) struct Residual;

impl Scorer for Residual {
    fn name(&self) -> &'static str {
        "pca_residual"
    }

    fn run(&self, machine: &Machine) -> Result<Run, Unable> {
        let scaled = Scaled::of(machine);
        let principal = Principal::fit(&scaled, WIDTH)?;
        let channels = scaled.channels();
        let mut scores = Vec::with_capacity(scaled.rows.nrows());
        let mut blame = Array2::zeros(machine.test.dim());
        for (first, block) in scaled.windows(0..scaled.rows.nrows(), WIDTH) {
            let centred = block - &principal.mean;
            let rebuilt = centred.dot(&principal.axes).dot(&principal.axes.t());
            let squares = (centred - rebuilt).mapv_into(|residual| residual * residual);
            for (n, row) in squares.rows().into_iter().enumerate() {
                scores.push((row.sum() / row.len() as f32).sqrt());
                if let Some(tested) = (first + n).checked_sub(scaled.learnt) {
                    row.iter().enumerate().for_each(|(at, square)| blame[(tested, at % channels)] += square);
                }
            }
        }
        let bytes = principal.bytes() + f32s(WIDTH * channels);
        Ok(scaled.run(scores, Some(blame), bytes))
    }
}
