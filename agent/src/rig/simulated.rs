//! The sim rig: a node that does not exist, in the simulator's own time.
use super::stepped::SteppedClock;
use super::{Assembly, Pace, node};
use crate::config::Config;
use crate::engine::beginning;
use crate::feed::Feed;
use crate::hands::Hands;
use crate::line::Place;
use crate::source::Opened;
use model::{Clock, Timestamp};
use sim::rig::{SharedNode, SimActuator, SimNode, SimReflex};
use sim::{Node, Profile, Workload};
use std::sync::Arc;
use std::time::Duration;

/// Assembles a simulated node whose boards already have some work, all from the configured seed.
pub fn simulated(config: &Config) -> Assembly {
    let assembly = idle(config);
    if let Some(shared) = &assembly.sim {
        let mut node = shared.lock();
        for board in 0..node.boards().len() {
            node.set_workload(board, Workload::MIX[board % Workload::MIX.len()]);
        }
    }
    assembly
}

/// Assembles a simulated node with nothing to do.
pub fn idle(config: &Config) -> Assembly {
    // The configuration admits known names only.
    let boards = match Profile::named(&config.rig.sim_board) {
        Some(profile) => vec![profile; config.rig.sim_boards],
        None => sim::story::MIXED.to_vec(),
    };
    let start = beginning(false);
    let clock = Arc::new(SteppedClock::new(start));
    let shared = SharedNode::new(Node::of(&boards, config.rig.sim_seed, start.mono_ns));
    let hands = Hands::direct(
        vec![Box::new(SimActuator::new(shared.clone()))],
        vec![Box::new(SimReflex::new(shared.clone()))],
    );
    let any: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let stopwatch: Arc<dyn Clock> = Arc::new(Stopwatch { clock: Arc::clone(&clock), node: shared.clone() });
    let source = Opened::given(Box::new(SimNode::new(shared.clone())), Arc::clone(&stopwatch));
    let note = note(&boards, config.rig.sim_seed);
    Assembly {
        feed: Feed::new(vec![Place::Inline(Box::new(source))], config.beat.deadline(), stopwatch),
        hands: Box::new(move || hands),
        clock: any,
        pace: Pace::Stepped(clock),
        node: node(config, "simulated-node".to_owned(), note),
        energy: false,
        sim: Some(shared),
    }
}

/// Measures how long calls take: the node's time stands still while it is read, so the simulated calls say it themselves.
struct Stopwatch {
    clock: Arc<SteppedClock>,
    node: SharedNode,
}

impl Clock for Stopwatch {
    fn now(&self) -> Timestamp {
        self.clock.now().after(Duration::from_nanos(self.node.answering_ns()))
    }
}

/// What is on the node, in words.
fn note(boards: &[&Profile], seed: u64) -> String {
    let same = |group: &[&Profile]| format!("{} x {}", group.len(), group[0].model);
    let groups: Vec<_> = boards.chunk_by(|one, other| one.short == other.short).map(same).collect();
    format!("{}, simulated, seed {seed}", groups.join(", "))
}
