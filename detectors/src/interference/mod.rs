//! Interference: how much slower each workload is because of its neighbours, from counters alone.
//!
//! `sampler` makes windows of frames → `profile` knows the workload alone → `features` are ratios to that → `frozen` judges,
//! with the interval of `span` → `hardware` puts what counters say in
//! its place, where the host has them → `blame` names resource and culprit. `estimator` does it for every workload, beat by beat.
mod alarm;
mod blame;
mod boards;
mod counter;
mod estimator;
mod features;
mod forest;
mod frozen;
mod hardware;
mod kept;
pub mod placement;
mod profile;
mod sampler;
pub mod sharers;
mod span;

pub use blame::Blame;
pub use counter::{Node, Own, Sample};
pub use estimator::Estimator;
pub use features::{COUNT, QuietLimits, Seen, is_quiet, names, signs};
pub use forest::{Forest, Training};
pub use frozen::{Frozen, FrozenError, Lesson, VERSION};
pub use profile::{Profile, Quotient};
pub use sampler::Sampler;
pub use span::{Adaptive, COVERAGE, Pair, Regime, Span};
