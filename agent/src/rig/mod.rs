//! Rigs: the three places data can come from, assembled into one shape that the beat runs on.
mod hardware;
mod recorded;
mod simulated;
pub mod stepped;

use crate::config::Config;
use crate::feed::Feed;
use crate::hands::Hands;
use model::Clock;
use model::snapshot::{NodeInfo, Rig};
use std::sync::Arc;
use stepped::SteppedClock;

pub use simulated::{idle, simulated};

/// Gives the hands, on the keeper's own thread. What a vendor's library does for a device it does on a thread of that device.
pub type OpenHands = Box<dyn FnOnce() -> Hands + Send>;

/// How time passes.
#[derive(Debug, Clone)]
pub enum Pace {
    /// With the machine's clock; sources that can hang and the keeper have threads of their own.
    Machine,
    /// In steps of the reflex tick, everything on one thread, so that a run repeats byte for byte.
    Stepped(Arc<SteppedClock>),
}

/// A rig, assembled.
pub struct Assembly {
    /// The sources.
    pub feed: Feed,
    /// The hands.
    pub hands: OpenHands,
    /// The clock that stamps beats.
    pub clock: Arc<dyn Clock>,
    /// How time passes.
    pub pace: Pace,
    /// What the node is.
    pub node: NodeInfo,
    /// Whether energy counts and incidents are kept in the state directory: only those of real devices are worth it.
    pub energy: bool,
    /// The simulated node, to steer a story with.
    pub sim: Option<sim::rig::SharedNode>,
}

/// A rig cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// A worker's thread cannot be started.
    #[error("could not start a thread for the source {name}")]
    Thread {
        /// The source.
        name: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The recording cannot be read.
    #[error("could not open the recording (key rig.replay.path): {0}")]
    Recording(String),
}

/// Assembles the rig that the configuration names.
///
/// # Errors
/// When a thread cannot be started or the recording cannot be read. Missing devices and libraries are no errors here:
/// they are absences of their sources.
pub fn assemble(config: &Config) -> Result<Assembly, RigError> {
    match config.rig.kind {
        Rig::Hardware => hardware::assemble(config),
        Rig::Sim => Ok(simulated(config)),
        Rig::Replay => recorded::assemble(config),
    }
}

/// Opens the hands of the configured rig once more, for a process that has no sources: those of real devices only.
pub fn hands(config: &Config) -> OpenHands {
    match config.rig.kind {
        Rig::Hardware => hardware::hands(config),
        Rig::Sim | Rig::Replay => Box::new(Hands::default),
    }
}

fn node(config: &Config, host: String, note: String) -> NodeInfo {
    NodeInfo {
        host,
        rig: config.rig.kind,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        beat_s: config.beat.interval.as_secs_f64(),
        note,
    }
}
