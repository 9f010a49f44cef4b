//! Reveal's third detector: an isolation forest over the rows.
use super::forest::Forest;
use super::scaled::Scaled;
use crate::evaluate::machine::Machine;
use crate::evaluate::scorer::{Run, Scorer, Unable};
use ndarray::s;

/// The forest's score, row by row. It blames no channel.
pub(super) struct Isolation;

impl Scorer for Isolation {
    fn name(&self) -> &'static str {
        "isolation_forest"
    }

    fn run(&self, machine: &Machine) -> Result<Run, Unable> {
        let scaled = Scaled::of(machine);
        let forest = Forest::grow(&scaled.rows.slice(s![..scaled.learnt, ..]).to_owned());
        let scores = scaled.rows.rows().into_iter().map(|row| forest.score(&row)).collect();
        Ok(scaled.run(scores, None, forest.bytes()))
    }
}
