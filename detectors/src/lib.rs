//! Detectors: rules that act, a statistic that ranks and explains, and the one life cycle that makes events of findings.
//!
//! Deterministic functions of what they have seen: no I/O, no threads, no clock. `DESIGN.md` says which method and why.
#![forbid(unsafe_code)]

pub mod alarm;
#[cfg(test)]
mod bench;
mod bytes;
pub mod calm;
pub mod catalogue;
pub mod extreme;
pub mod incident;
pub mod interference;
mod keep;
pub mod level;
pub mod lifecycle;
mod mean;
pub mod peer;
pub mod phase;
pub mod residual;
pub mod rules;
pub mod starved;
pub mod structure;
pub mod thresholds;
pub mod trend;

pub use catalogue::Catalogue;
pub use incident::{Correlator, Kin};
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
    Entry { name: "health", open: rules::health::open },
    Entry { name: "throttle", open: rules::throttle::open },
    Entry { name: "clock", open: rules::clock::open },
    Entry { name: "ecc", open: rules::ecc::open },
    Entry { name: "spares", open: rules::spares::open },
    Entry { name: "pcie", open: rules::pcie::open },
    Entry { name: "links", open: rules::links::open },
    Entry { name: "fabric", open: rules::fabric::open },
    Entry { name: "stuck", open: rules::stuck::open },
    Entry { name: "fans", open: rules::fans::open },
    Entry { name: "supply", open: rules::supply::open },
    Entry { name: "ports", open: rules::ports::open },
    Entry { name: "kernel", open: rules::kernel::open },
    Entry { name: "peer", open: peer::open },
    Entry { name: "starved", open: starved::open },
    Entry { name: "trend", open: trend::open },
    Entry { name: "structure", open: structure::open },
    Entry { name: "residual", open: residual::open },
    Entry { name: "repeats", open: rules::repeats::open },
];
