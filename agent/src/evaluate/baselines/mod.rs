//! Baselines: what a product's detector has to beat, written anew from their descriptions.
mod centres;
mod consensus;
mod forest;
mod isolation;
mod mahalanobis;
mod norm;
mod principal;
mod random;
mod residual;
mod scaled;

use super::scorer::Scorer;

/// Every baseline, the random score first: the others are read against it.
pub fn all() -> Vec<Box<dyn Scorer>> {
    vec![
        Box::new(random::Random),
        Box::new(norm::L2),
        Box::new(norm::MeanAbs),
        Box::new(mahalanobis::Mahalanobis),
        Box::new(isolation::Isolation),
        Box::new(consensus::Consensus),
        Box::new(centres::Centres),
        Box::new(residual::Residual),
    ]
}

#[cfg(test)]
mod tests;
