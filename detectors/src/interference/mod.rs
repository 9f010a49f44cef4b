//! Interference: how much slower each workload is because of its neighbours, from counters alone.
//!
//! `sampler` makes windows of frames → `profile` knows the workload alone → `features` are ratios to that → `frozen` judges,
//! with the interval of `span` → `hardware` puts what counters say in its place, where the host has them → `truth` puts that right where
//! an application's metric streams back (`pace`, `stream`) → `blame` names resource and culprit. `estimator` does it for every workload,
//! beat by beat.
mod adaptive;
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
mod pace;
pub mod placement;
mod profile;
mod sampler;
pub mod sharers;
mod span;
mod stream;
mod truth;

/// The name by which the estimator can be switched off, and of what it writes.
pub const NAME: &str = "interference";

pub use adaptive::Adaptive;
pub use blame::Blame;
pub use counter::{Node, Own, Sample};
pub use estimator::Estimator;
pub use features::{COUNT, QuietLimits, Seen, is_quiet, names, signs};
pub use forest::{Forest, Training};
pub use frozen::{Frozen, FrozenError, Lesson, Told, VERSION};
pub use profile::{Profile, Quotient};
pub use sampler::Sampler;
pub use span::{COVERAGE, Pair, Regime, Span};
pub use truth::{Point, Truths};
