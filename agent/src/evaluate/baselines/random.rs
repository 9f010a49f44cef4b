//! A score that knows nothing: what it finds, a metric gives away.
use super::scaled::f32s;
use crate::evaluate::machine::Machine;
use crate::evaluate::scorer::{Run, Scorer, Unable};
use ndarray::Array2;

/// A uniform random score and random blame, the same on every run.
pub(super) struct Random;

impl Scorer for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn run(&self, machine: &Machine) -> Result<Run, Unable> {
        let seed = machine.name.bytes().fold(0, |seed, byte| sim::noise::word(seed, 0, u64::from(byte)));
        let draw =
            |stream: u64, row: usize| sim::noise::signed(seed, stream, row as u64).midpoint(1.0) as f32;
        Ok(Run {
            past: (0..machine.train.nrows()).map(|row| draw(0, row)).collect(),
            score: (0..machine.test.nrows()).map(|row| draw(1, row)).collect(),
            blame: Some(Array2::from_shape_fn(machine.test.dim(), |(row, channel)| {
                draw(2 + channel as u64, row)
            })),
            bytes: f32s(1),
            ..Run::default()
        })
    }
}
