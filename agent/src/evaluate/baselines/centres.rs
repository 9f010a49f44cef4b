//! KMeansAD: the distance of a window to the nearest of ten centres of the training windows.
use super::scaled::{Scaled, f32s};
use crate::evaluate::machine::Machine;
use crate::evaluate::scorer::{Run, Scorer, Unable};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans;
use ndarray::{Array2, ArrayView1};

/// Rows of a window.
const WIDTH: usize = 40;
/// Number of centres.
const CENTRES: usize = 10;
/// Windows overlap but for one row: every so many of them are enough to place centres.
const STRIDE: usize = 8;
/// The most rounds in which centres are moved.
const ROUNDS: u64 = 50;

/// The distance to the nearest centre; a channel is to blame for its squares.
pub(super) struct Centres;

impl Scorer for Centres {
    fn name(&self) -> &'static str {
        "kmeans_ad"
    }

    fn run(&self, machine: &Machine) -> Result<Run, Unable> {
        let scaled = Scaled::of(machine);
        let ends: Vec<usize> = (WIDTH - 1..scaled.learnt).step_by(STRIDE).collect();
        if ends.len() < CENTRES {
            return Err(Unable::FewRows { least: WIDTH + CENTRES * STRIDE });
        }
        let channels = scaled.channels();
        let mut windows = Array2::zeros((ends.len(), WIDTH * channels));
        for (mut row, end) in windows.rows_mut().into_iter().zip(&ends) {
            row.assign(&scaled.window(*end, WIDTH));
        }
        // The generator behind it begins from a fixed seed.
        let model = KMeans::params(CENTRES)
            .n_runs(1)
            .max_n_iterations(ROUNDS)
            .fit(&DatasetBase::from(windows))
            .map_err(|_| Unable::Unfit)?;
        let centres = model.centroids();
        let sizes: Vec<f32> = centres.rows().into_iter().map(|centre| centre.dot(&centre)).collect();
        let mut scores = Vec::with_capacity(scaled.rows.nrows());
        let mut blame = Array2::zeros(machine.test.dim());
        for row in 0..scaled.rows.nrows() {
            let window = scaled.window(row, WIDTH);
            let nearest = nearest(&window, centres, &sizes);
            let squares = || window.iter().zip(centres.row(nearest)).map(|(a, b)| (a - b) * (a - b));
            scores.push(squares().sum::<f32>().sqrt());
            if let Some(tested) = row.checked_sub(scaled.learnt) {
                squares().enumerate().for_each(|(at, square)| blame[(tested, at % channels)] += square);
            }
        }
        Ok(scaled.run(scores, Some(blame), f32s((CENTRES + 1) * WIDTH * channels)))
    }
}

fn nearest(window: &ArrayView1<'_, f32>, centres: &Array2<f32>, sizes: &[f32]) -> usize {
    let distance = |centre: usize| sizes[centre] - 2.0 * centres.row(centre).dot(window);
    (0..sizes.len()).min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(0)
}
