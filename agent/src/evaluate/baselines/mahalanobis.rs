//! Reveal's second detector: the Mahalanobis distance in the space of the principal axes, row by row.
use super::principal::Principal;
use super::scaled::Scaled;
use crate::evaluate::machine::Machine;
use crate::evaluate::scorer::{Run, Scorer, Unable};

/// The least variance to divide by.
const VARIANCE_FLOOR: f32 = 1e-6;

/// The distance along the kept axes, each in its own standard deviations. It blames no channel.
pub(super) struct Mahalanobis;

impl Scorer for Mahalanobis {
    fn name(&self) -> &'static str {
        "pca_mahalanobis"
    }

    fn run(&self, machine: &Machine) -> Result<Run, Unable> {
        let scaled = Scaled::of(machine);
        let principal = Principal::fit(&scaled, 1)?;
        let along = (&scaled.rows - &principal.mean).dot(&principal.axes);
        let scores = along.rows().into_iter().map(|row| {
            let parts = row.iter().zip(&principal.variances);
            parts.map(|(a, variance)| a * a / variance.max(VARIANCE_FLOOR)).sum::<f32>().sqrt()
        });
        Ok(scaled.run(scores.collect(), None, principal.bytes()))
    }
}
