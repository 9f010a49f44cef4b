//! The story of the demonstration: what happens to a simulated node of eight boards, second by second.
use crate::fault::Fault;
use crate::load::Workload;
use crate::node::Node;

/// The budget that the node has room under, in watts.
pub const BUDGET_W: f64 = 7600.0;
/// The budget of the squeeze, in watts: well below what the node draws, well above the sum of its floors.
pub const SQUEEZE_W: f64 = 4800.0;
/// How long the story takes, in seconds.
pub const LENGTH_S: f64 = 60.0;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Boards from the first to the second number take up work.
    Load(usize, usize, Workload),
    /// A board gets a fault.
    Inject(usize, Fault),
    /// A board's fault is mended.
    Heal(usize, Fault),
    /// A board reports an XID error.
    Xid(usize, u32),
    /// The node's budget changes.
    Budget(f64),
}

/// A moment of the story: seconds since the start, what happens, and a caption ("" where the step needs none).
pub type Moment = (f64, Step, &'static str);

/// The story, in order.
pub const STORY: &[Moment] = &[
    (0.0, Step::Budget(BUDGET_W), "eight idle boards under a budget of 7600 W"),
    (3.0, Step::Load(0, 3, Workload::Training), "a training job takes gpu0 to gpu3, high priority"),
    (4.5, Step::Inject(2, Fault::Cooler), "gpu2's cooler is blocked and gpu2 heats up"),
    (6.0, Step::Load(4, 6, Workload::Decode), "inference arrives on gpu4 to gpu6"),
    (8.0, Step::Load(7, 7, Workload::Serving), "a batch job of low priority takes gpu7"),
    (13.0, Step::Xid(5, 79), "gpu5 falls off the bus: XID 79"),
    (13.0, Step::Inject(5, Fault::Lost), ""),
    (18.0, Step::Heal(5, Fault::Lost), "gpu5 was reset and returns"),
    (20.0, Step::Load(4, 6, Workload::Prefill), "long prompts: gpu4 to gpu6 burst to full power"),
    (24.0, Step::Budget(SQUEEZE_W), "the feed is short: the budget falls to 4800 W"),
    (36.0, Step::Heal(2, Fault::Cooler), "gpu2's cooler is free again"),
    (40.0, Step::Budget(BUDGET_W), "the feed recovers: the budget is 7600 W again"),
    (46.0, Step::Load(4, 7, Workload::Decode), "prompts are done"),
    (52.0, Step::Load(0, 3, Workload::Idle), "the training job ends"),
];

/// Plays the story on a node.
#[derive(Debug, Default)]
pub struct Player {
    next: usize,
}

impl Player {
    /// Carries out every moment that is due `elapsed_s` seconds after the start and gives it back.
    pub fn play(&mut self, elapsed_s: f64, node: &mut Node) -> &'static [Moment] {
        let first = self.next;
        while STORY.get(self.next).is_some_and(|(at, ..)| *at <= elapsed_s) {
            act(STORY[self.next].1, node);
            self.next += 1;
        }
        &STORY[first..self.next]
    }
}

fn act(step: Step, node: &mut Node) {
    match step {
        Step::Load(first, last, workload) => {
            (first..=last).for_each(|index| node.set_workload(index, workload))
        }
        Step::Inject(index, fault) => node.boards[index].inject(fault),
        Step::Heal(index, fault) => node.boards[index].heal(fault),
        Step::Xid(index, code) => node.boards[index].xid(code),
        Step::Budget(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::H100;

    #[test]
    fn the_squeeze_bites_and_can_be_met() {
        let mut node = Node::new(&H100, 8, 1, 0);
        let mut player = Player::default();
        let mut peak: f64 = 0.0;
        for tick in 0..240 {
            player.play(f64::from(tick) / 10.0, &mut node);
            node.step_to(tick as u64 * 100_000_000);
            peak = peak.max(node.boards_w() + node.rest_w());
        }
        assert!(peak > SQUEEZE_W * 1.05 && peak < BUDGET_W, "{peak} W before the squeeze");
        let floors = 8.0 * H100.limit_min.0 + node.rest_w();
        assert!(floors < SQUEEZE_W * 0.8, "{floors} W of floors");
    }

    /// The board at each second of the story, played without anybody who acts on it.
    fn played(index: usize) -> Vec<crate::Board> {
        let (mut node, mut player) = (Node::new(&H100, 8, 1, 0), Player::default());
        let second = |second: u32| {
            player.play(f64::from(second), &mut node);
            node.step_to(u64::from(second) * 1_000_000_000);
            node.boards[index]
        };
        (0..60).map(second).collect()
    }

    #[test]
    fn the_blocked_cooler_slows_its_board_before_the_squeeze_and_no_other() {
        let slowed = |board: &crate::Board| board.reasons & crate::board::reason::HW_THERMAL != 0;
        let hot = played(2);
        assert!(
            hot[15..24].iter().any(slowed),
            "{:?}",
            hot.iter().map(|b| b.temperature_c).collect::<Vec<_>>()
        );
        assert!(!hot[..15].iter().any(slowed) && !hot[50..].iter().any(slowed));
        assert!(!played(3).iter().any(slowed));
    }

    #[test]
    fn the_lost_board_reports_its_xid_first_and_comes_back() {
        let lost: Vec<_> = played(5).iter().map(|board| (board.xids, board.has(Fault::Lost))).collect();
        assert_eq!((lost[12], lost[13], lost[17], lost[18]), ((0, false), (1, true), (1, true), (1, false)));
    }

    #[test]
    fn the_story_is_in_order_and_ends_in_time() {
        assert!(STORY.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        assert!(STORY.iter().all(|(at, ..)| *at < LENGTH_S));
    }
}
