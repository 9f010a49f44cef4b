//! Tests of a keeper one of whose boards hangs: the others are held as ever, nothing is loosened, and what it comes to is taken.
use super::fake::{Node, ORIGINALS, at, key};
use crate::actuate::{Keeper, Report};
use crate::clock::MachineClock;
use model::{Action, Clock as _, Reason, Verdict, Watts, Why};
use std::time::Duration;

/// Ticks until something holds, and gives the moment and what was told meanwhile.
fn tick_until(keeper: &mut Keeper, from: f64, holds: impl Fn(&Keeper) -> bool) -> (f64, Report) {
    let (mut report, mut now) = (Report::default(), from);
    let deadline = MachineClock.now().after(Duration::from_secs(20));
    while !holds(keeper) {
        assert!(MachineClock.now() < deadline, "it never holds");
        keeper.tick(at(now));
        let mut told = Report::default();
        keeper.report(&mut told);
        report.absorb(&mut told);
        // The thread that was let go on needs a moment of the machine's.
        std::thread::yield_now();
        now += 0.1;
    }
    (now, report)
}

/// A node whose boards have answered once, and its keeper.
fn met(node: &Node) -> Keeper {
    let mut keeper = node.keeper_apart();
    for board in 0..4 {
        node.world.lock().unwrap().powers.insert(key(board), 100.0);
    }
    node.act(&mut keeper, vec![], at(0.5));
    keeper
}

fn verdicts(report: &Report) -> Vec<(Verdict, Option<Reason>)> {
    report.outcomes.iter().map(|outcome| (outcome.verdict, outcome.reason)).collect()
}

const LATE: (Verdict, Option<Reason>) = (Verdict::Failed, Some(Reason::Late));
const APPLIED: (Verdict, Option<Reason>) = (Verdict::Applied, None);

#[test]
fn with_a_thread_a_board_originals_are_on_disk_before_the_first_write_as_well() {
    let node = Node::new();
    let mut keeper = met(&node);
    let report = node.act(&mut keeper, (0..4).map(|board| node.limit(board, 300.0)).collect(), at(1.0));
    // A write before its journal takes the board's thread down, and is no longer applied.
    assert_eq!(verdicts(&report), [APPLIED; 4]);
    assert_eq!(node.journalled_by_others(), (0..4).map(|n| (key(n), ORIGINALS[n])).collect::<Vec<_>>());
    assert!(keeper.stop(at(2.0)));
    assert_eq!(node.limits(), ORIGINALS);
}

#[test]
fn a_board_that_hangs_holds_up_no_others_cap_and_is_told_late_and_capped_when_it_answers() {
    let node = Node::new();
    let mut keeper = met(&node);
    node.gate.hang(&key(1));
    let report = node.act(&mut keeper, (0..4).map(|board| node.limit(board, 300.0)).collect(), at(1.0));
    assert_eq!(verdicts(&report), [APPLIED, LATE, APPLIED, APPLIED]);
    assert_eq!(node.limits(), [300.0, ORIGINALS[1], 300.0, 300.0]);
    let report = node.act(&mut keeper, vec![node.limit(1, 250.0), node.limit(0, 280.0)], at(2.0));
    assert_eq!(verdicts(&report), [LATE, APPLIED]);
    node.gate.free();
    let (_, report) = tick_until(&mut keeper, 2.1, |_| node.limits()[1] < ORIGINALS[1]);
    assert_eq!(node.limits()[1], 250.0, "the newest decision is the one that is owed");
    assert_eq!(verdicts(&report), [APPLIED]);
    assert_eq!(node.world.lock().unwrap().writes.iter().filter(|(board, _)| *board == key(1)).count(), 1);
}

#[test]
fn the_brake_reaches_the_others_within_its_tick_while_one_hangs_that_counts_at_its_worst() {
    let node = Node { budget: Some(2400.0), ..Node::new() };
    let mut keeper = met(&node);
    node.gate.hang(&key(3));
    // 1000 W and 4 x 105 W; from the fourth tick without a reading on, board 3 counts 840 W.
    let braked = (1..=6).find(|tick| {
        keeper.tick(at(1.0 + 0.1 * f64::from(*tick)));
        node.limits()[0] == 200.0
    });
    assert_eq!(braked, None, "2155 W are within the budget");
    node.world.lock().unwrap().powers.insert(key(0), 500.0);
    keeper.tick(at(1.7));
    assert_eq!(node.limits(), [200.0, 200.0, 200.0, ORIGINALS[3]]);
    let mut report = Report::default();
    keeper.report(&mut report);
    let of: Vec<_> = report.taken.iter().map(|taken| taken.outcome.unwrap()).collect();
    assert_eq!(
        of.iter().map(|of| (of.verdict, of.reason)).collect::<Vec<_>>(),
        [APPLIED, APPLIED, APPLIED, LATE]
    );
    node.world.lock().unwrap().powers.insert(key(0), 100.0);
    node.gate.free();
    tick_until(&mut keeper, 1.8, |_| node.limits()[3] == 200.0);
}

#[test]
fn nothing_is_loosened_while_a_board_does_not_answer() {
    let node = Node::new();
    let mut keeper = met(&node);
    node.act(&mut keeper, vec![node.limit(0, 300.0), node.limit(1, 300.0)], at(1.0));
    let raise = node.decision(0, Action::Limit(Watts(400.0)), Why::Headroom);
    node.gate.hang(&key(1));
    // The decrease that is late comes first, whatever their order.
    let report = node.act(&mut keeper, vec![raise, node.limit(1, 250.0)], at(3.0));
    assert_eq!(verdicts(&report), [(Verdict::Refused, Some(Reason::Refused)), LATE]);
    let report = node.act(&mut keeper, vec![raise], at(5.0));
    assert_eq!(verdicts(&report), [(Verdict::Refused, Some(Reason::Late))]);
    assert_eq!(node.limits()[0], 300.0);
    node.gate.free();
    let (now, _) = tick_until(&mut keeper, 5.1, |_| node.limits()[1] == 250.0);
    let report = node.act(&mut keeper, vec![raise], at(now + 5.0));
    assert_eq!((verdicts(&report), node.limits()[0]), (vec![APPLIED], 400.0));
}

#[test]
fn a_write_that_was_late_is_a_cap_once_it_has_returned() {
    let node = Node::new();
    let mut keeper = met(&node);
    node.gate.hang("GPU-2 write");
    let report = node.act(&mut keeper, vec![node.limit(2, 300.0), node.limit(0, 300.0)], at(1.0));
    assert_eq!(verdicts(&report), [LATE, APPLIED]);
    assert_eq!(report.caps.power.len(), 1, "a write whose end is not known is no cap");
    node.gate.free();
    let (now, report) = tick_until(&mut keeper, 1.1, |keeper| !keeper.waits());
    assert_eq!((verdicts(&report), report.outcomes[0].decision), (vec![APPLIED], 1));
    assert_eq!((report.caps.power.len(), node.limits()[2]), (2, 300.0));
    assert_eq!(node.world.lock().unwrap().writes.len(), 2, "nothing is written twice");
    assert!(keeper.stop(at(now)));
    assert_eq!(node.limits(), ORIGINALS);
}

#[test]
fn a_loosening_that_comes_into_force_late_is_taken_back() {
    let node = Node::new();
    let mut keeper = met(&node);
    node.act(&mut keeper, vec![node.limit(0, 300.0)], at(1.0));
    node.gate.hang("GPU-0 write");
    let raise = node.decision(0, Action::Limit(Watts(500.0)), Why::Headroom);
    let report = node.act(&mut keeper, vec![raise], at(3.0));
    assert_eq!(verdicts(&report), [LATE]);
    node.gate.free();
    tick_until(&mut keeper, 3.1, |keeper| !keeper.waits() && node.world.lock().unwrap().writes.len() >= 3);
    let writes: Vec<f64> = node.world.lock().unwrap().writes.iter().map(|(_, watts)| *watts).collect();
    assert_eq!(writes, [300.0, 500.0, 300.0]);
}

#[test]
fn what_was_decided_while_a_loosening_hung_takes_its_place() {
    let node = Node::new();
    let mut keeper = met(&node);
    node.act(&mut keeper, vec![node.limit(0, 300.0)], at(1.0));
    node.gate.hang("GPU-0 write");
    node.act(&mut keeper, vec![node.decision(0, Action::Limit(Watts(500.0)), Why::Headroom)], at(3.0));
    node.act(&mut keeper, vec![node.limit(0, 220.0)], at(4.0));
    node.gate.free();
    tick_until(&mut keeper, 4.1, |_| node.limits()[0] == 220.0);
}

/// 1000 W of the rest and four boards at 1.2 times their limits.
fn may_draw(node: &Node) -> f64 {
    1000.0 + 1.2 * node.limits().iter().sum::<f64>()
}

#[test]
fn the_fallback_of_the_others_does_not_wait_for_a_board_that_hangs_and_pays_for_it() {
    for hangs in ["GPU-2", "GPU-2 write"] {
        let node = Node { budget: Some(3500.0), fallback: Some(3000.0), ..Node::new() };
        let mut keeper = met(&node);
        node.gate.hang(hangs);
        let before = node.limits();
        keeper.orphan(0, at(2.0), Duration::ZERO);
        assert!(may_draw(&node) <= 3000.0, "{hangs}: {:?}", node.limits());
        assert_eq!(node.limits()[2], ORIGINALS[2]);
        assert!(node.limits().iter().zip(&before).all(|(now, then)| now <= then));
        let settled = node.limits();
        (0..50).for_each(|tick| keeper.tick(at(2.1 + 0.1 * f64::from(tick))));
        assert_eq!(node.limits(), settled);
        node.gate.free();
        tick_until(&mut keeper, 8.0, |keeper| !keeper.waits());
        assert!(
            node.limits().iter().zip(&settled).all(|(now, then)| now <= then),
            "{hangs}: {:?}",
            node.limits()
        );
    }
}

#[test]
fn a_board_that_hangs_keeps_its_original_in_the_journal_and_has_it_back_when_it_answers() {
    for hangs in ["GPU-1", "GPU-1 write"] {
        let node = Node::new();
        let mut keeper = met(&node);
        node.act(&mut keeper, (0..4).map(|board| node.limit(board, 300.0)).collect(), at(1.0));
        node.gate.hang(hangs);
        let given = keeper.release(at(2.0));
        let failed: Vec<_> = given.iter().filter(|given| given.read_back.is_err()).collect();
        assert_eq!(failed.len(), 1, "{hangs}");
        assert_eq!((failed[0].device.as_str(), failed[0].read_back), ("GPU-1", Err(Reason::Late)));
        assert_eq!(node.limits(), [ORIGINALS[0], 300.0, ORIGINALS[2], ORIGINALS[3]]);
        assert_eq!(node.journalled_by_others(), [(key(1), ORIGINALS[1])]);
        node.gate.free();
        tick_until(&mut keeper, 2.1, Keeper::is_clear);
        assert_eq!(node.limits(), ORIGINALS, "{hangs}");
    }
}

#[test]
fn another_agent_takes_over_while_a_board_hangs_and_the_knob_is_adopted_where_it_is() {
    let node = Node::new();
    let mut keeper = met(&node);
    node.gate.hang("GPU-0 write");
    node.act(&mut keeper, vec![node.limit(0, 300.0)], at(1.0));
    let mut brief = node.brief(vec![]);
    brief.attached = 7;
    keeper.brief(&mut brief);
    keeper.tick(at(2.0));
    node.gate.free();
    let (_, report) = tick_until(&mut keeper, 2.1, |keeper| !keeper.waits());
    assert!(report.outcomes.is_empty(), "it was not this agent's decision");
    assert_eq!(report.caps.power.iter().map(|cap| cap.limit.0).collect::<Vec<_>>(), [300.0]);
}
