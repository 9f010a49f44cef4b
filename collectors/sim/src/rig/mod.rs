//! The simulator as a rig: the stages' own traits over a shared node, with no vendor library between.
mod board;
mod face;
mod host;
mod knob;
mod memory;
mod work;

pub use board::SimBoard;
pub use knob::{SimActuator, SimReflex};
pub use work::PID_FIRST;

use crate::fault::Fault;
use crate::node::Node;
use host::Host;
use model::{Arrival, Batch, CollectError, Collector, Timestamp};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A node that several faces look at.
#[derive(Debug, Clone)]
pub struct SharedNode(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    node: Mutex<Node>,
    /// Boards that have a source of their own.
    met: Mutex<BTreeSet<usize>>,
    /// XID errors of each board that were told.
    told: Mutex<[u64; crate::BOARDS_MAX]>,
    /// Time that simulated calls have taken in all, in nanoseconds.
    answering_ns: AtomicU64,
}

impl SharedNode {
    /// Shares a node.
    pub fn new(node: Node) -> Self {
        let told = Mutex::new([0; crate::BOARDS_MAX]);
        let answering_ns = AtomicU64::new(0);
        Self(Arc::new(Shared { node: Mutex::new(node), met: Mutex::default(), told, answering_ns }))
    }

    /// Time that simulated calls have taken in all, in nanoseconds: what a clock beside the node's own has to add, since
    /// the node's time stands still while it is read.
    pub fn answering_ns(&self) -> u64 {
        self.0.answering_ns.load(Ordering::Relaxed)
    }

    fn answer(&self, seconds: f64) {
        // Well below a second.
        self.0.answering_ns.fetch_add((seconds * 1e9) as u64, Ordering::Relaxed);
    }

    /// The node, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Node> {
        self.0.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn met(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.0.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The codes of the XID errors that were not told yet; they are told with this.
    fn untold(&self, index: usize, xids: u64) -> impl Iterator<Item = u64> + use<> {
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let first = told[index].max(xids.saturating_sub(16));
        told[index] = xids;
        first..xids
    }
}

/// Reads the host, and hands over the boards to be read apart, like the sources of hardware together.
#[derive(Debug)]
pub struct SimNode {
    node: SharedNode,
    host: Option<Host>,
}

impl SimNode {
    /// A source over the node.
    pub fn new(node: SharedNode) -> Self {
        Self { node, host: None }
    }
}

impl Collector for SimNode {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let mut node = self.node.lock();
        node.step_to(now.mono_ns);
        self.host.get_or_insert_with(|| Host::register(batch)).read(&node, batch);
        Ok(())
    }

    fn arrivals(&mut self) -> Vec<Arrival> {
        let (node, mut met) = (self.node.lock(), self.node.met());
        let sound = (0..node.boards().len()).filter(|index| !node.boards()[*index].has(Fault::Lost));
        let new: Vec<usize> = sound.filter(|index| !met.contains(index)).collect();
        met.extend(&new);
        drop(met);
        let arrive = |index: usize| {
            let (board, calls) = SimBoard::new(self.node.clone(), index);
            let name = format!("sim/{}", board::name(&node, index));
            Arrival { key: node.uuid(index), name, collector: Box::new(board), calls }
        };
        new.into_iter().map(arrive).collect()
    }
}

#[cfg(test)]
mod tests;
