//! What the baselines see: training and test rows one after the other, scaled by the training part, and windows over them.
use crate::evaluate::machine::Machine;
use crate::evaluate::scorer::Run;
use ndarray::{Array2, ArrayView1, Axis, s};
use std::ops::Range;

/// The least standard deviation to scale with, in units of a channel's own range: a nearly constant channel must not shout.
const SPREAD_FLOOR: f32 = 0.01;
/// The farthest from its mean that a value counts, in standard deviations.
const CLIP: f32 = 10.0;
/// How many windows are gathered at once.
const BLOCK: usize = 1024;

/// All rows of a machine in standard deviations from the training mean, with `learnt` of them for training.
pub(super) struct Scaled {
    pub(super) rows: Array2<f32>,
    pub(super) learnt: usize,
}

impl Scaled {
    pub(super) fn of(machine: &Machine) -> Self {
        let learnt = machine.train.nrows();
        let mean = machine.train.mapv(f64::from).mean_axis(Axis(0)).unwrap_or_default().mapv(|m| m as f32);
        let spread = machine.train.mapv(f64::from).std_axis(Axis(0), 0.0);
        let spread = spread.mapv(|spread| (spread as f32).max(SPREAD_FLOOR));
        let mut rows = Array2::zeros((learnt + machine.test.nrows(), machine.channels()));
        rows.slice_mut(s![..learnt, ..]).assign(&machine.train);
        rows.slice_mut(s![learnt.., ..]).assign(&machine.test);
        rows -= &mean;
        rows /= &spread;
        rows.mapv_inplace(|z| z.clamp(-CLIP, CLIP));
        Self { rows, learnt }
    }

    pub(super) fn channels(&self) -> usize {
        self.rows.ncols()
    }

    /// The last `width` rows up to `row`, as one; the first rows of all stand for those before them.
    pub(super) fn window(&self, row: usize, width: usize) -> ArrayView1<'_, f32> {
        let end = (row + 1).max(width);
        self.rows
            .slice(s![end - width..end, ..])
            .into_shape_with_order(width * self.channels())
            .unwrap_or_else(|_| self.rows.row(row))
    }

    /// Windows of `width` rows that end on each of `ends`, a block at a time.
    pub(super) fn windows(
        &self,
        ends: Range<usize>,
        width: usize,
    ) -> impl Iterator<Item = (usize, Array2<f32>)> + '_ {
        ends.clone().step_by(BLOCK).map(move |first| {
            let count = BLOCK.min(ends.end - first);
            let mut block = Array2::zeros((count, width * self.channels()));
            block
                .rows_mut()
                .into_iter()
                .enumerate()
                .for_each(|(n, mut row)| row.assign(&self.window(first + n, width)));
            (first, block)
        })
    }

    /// A run out of the scores of all rows.
    pub(super) fn run(&self, mut scores: Vec<f32>, blame: Option<Array2<f32>>, bytes: usize) -> Run {
        let score = scores.split_off(self.learnt);
        Run { past: scores, score, ranking: None, flags: None, blame, bytes }
    }
}

/// The size of so many `f32`.
pub(super) const fn f32s(count: usize) -> usize {
    count * size_of::<f32>()
}
