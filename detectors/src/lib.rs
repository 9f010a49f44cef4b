//! Detectors: rules that act, a statistic that ranks and explains, and the one life cycle that makes events of findings.
//!
//! Deterministic functions of what they have seen: no I/O, no threads, no clock. `DESIGN.md` says which method and why.
#![forbid(unsafe_code)]

#[cfg(test)]
mod bench;
pub mod calm;
mod keep;
pub mod lifecycle;
mod mean;
pub mod peer;
pub mod phase;
pub mod residual;
pub mod rules;
pub mod starved;
pub mod structure;
pub mod subspace;
pub mod thresholds;
pub mod trend;

pub use lifecycle::Lifecycle;
pub use phase::Phases;
pub use thresholds::{Pace, Thresholds};

use model::Detector;

/// One detector that wattkeeper knows how to open.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The detector's name.
    pub name: &'static str,
    /// Opens it.
    pub open: fn(&Thresholds) -> Box<dyn Detector>,
}

/// Every detector, in the order in which a beat asks them.
pub const BUILT_IN: &[Entry] = &[
    Entry { name: "xid", open: rules::xid::open },
    Entry { name: "lost", open: rules::lost::open },
    Entry { name: "hung", open: rules::hung::open },
    Entry { name: "notice", open: rules::notice::open },
    Entry { name: "throttle", open: rules::throttle::open },
    Entry { name: "ecc", open: rules::ecc::open },
    Entry { name: "pcie", open: rules::pcie::open },
    Entry { name: "peer", open: peer::open },
    Entry { name: "starved", open: starved::open },
    Entry { name: "trend", open: trend::open },
    Entry { name: "structure", open: structure::open },
    Entry { name: "residual", open: residual::open },
];
