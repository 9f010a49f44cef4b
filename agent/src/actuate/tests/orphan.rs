//! Tests of a keeper whose agent is gone: it tightens to the fallback, never loosens, gives back what only tuned.
use super::fake::{Node, ORIGINALS, at, key};
use crate::actuate::{Keeper, Report};
use crate::clock::MachineClock;
use model::{Action, Clock as _, DeviceInfo, DeviceKind, DeviceTable, Keep, Verdict, Why};
use std::sync::Arc;
use std::time::Duration;

/// 1000 W of the rest, and four boards at 1.2 times their limits.
fn may_draw(node: &Node) -> f64 {
    1000.0 + 1.2 * node.limits().iter().sum::<f64>()
}

fn orphan(keeper: &mut Keeper, seconds: f64) {
    keeper.orphan(0, at(seconds), Duration::ZERO);
}

#[test]
fn a_dead_agents_node_fits_in_its_fallback_at_once_and_no_limit_rises() {
    let node = Node { budget: Some(3500.0), fallback: Some(3000.0), ..Node::new() };
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![node.limit(0, 250.0)], at(1.0));
    let before = node.limits();
    orphan(&mut keeper, 2.0);
    assert!(may_draw(&node) <= 3000.0, "{}", may_draw(&node));
    assert!(may_draw(&node) > 2990.0, "no tighter than needed");
    assert!(node.limits().iter().zip(&before).all(|(now, then)| now <= then));
    assert!(node.limits()[0] > 200.0 && node.limits()[0] < 250.0);
    let settled = node.limits();
    (0..600).for_each(|tick| keeper.tick(at(2.0 + f64::from(tick) * 0.1)));
    assert_eq!(node.limits(), settled);
}

#[test]
fn without_a_fallback_of_its_own_it_is_the_budget_and_never_more() {
    for fallback in [None, Some(9000.0)] {
        let node = Node { budget: Some(3500.0), fallback, ..Node::new() };
        let mut keeper = node.keeper();
        node.act(&mut keeper, vec![], at(1.0));
        orphan(&mut keeper, 2.0);
        assert!(may_draw(&node) <= 3500.0 && may_draw(&node) > 3490.0, "{}", may_draw(&node));
    }
}

#[test]
fn what_one_board_refuses_the_others_pay_for() {
    let node = Node { budget: Some(3500.0), ..Node::new() };
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![], at(1.0));
    node.world.lock().unwrap().broken.push(key(0));
    orphan(&mut keeper, 2.0);
    assert_eq!(node.limits()[0], ORIGINALS[0]);
    assert!(may_draw(&node) <= 3500.0, "{}", may_draw(&node));
}

#[test]
fn a_fallback_below_the_floors_is_the_floors() {
    let node = Node { budget: Some(3500.0), fallback: Some(1000.0), ..Node::new() };
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![], at(1.0));
    orphan(&mut keeper, 2.0);
    assert_eq!(node.limits(), [200.0; 4]);
}

#[test]
fn a_cap_that_expires_is_not_lifted_while_nobody_could_renew_it() {
    let node = Node::new();
    let mut keeper = node.keeper();
    let until = model::Decision { expires: Some(at(5.0)), ..node.limit(0, 300.0) };
    node.act(&mut keeper, vec![until], at(1.0));
    orphan(&mut keeper, 2.0);
    (0..100).for_each(|tick| keeper.tick(at(2.0 + f64::from(tick))));
    assert_eq!(node.limits()[0], 300.0);
}

#[test]
fn what_only_tuned_is_given_back_as_far_as_the_budget_allows() {
    for (budget, whole) in [(20_000.0, true), (3500.0, false)] {
        let node = Node { budget: Some(budget), ..Node::new() };
        let mut keeper = node.keeper();
        let tuned = model::Decision { keep: Keep::Tuning, ..node.limit(0, 210.0) };
        node.act(&mut keeper, vec![tuned, node.limit(1, 300.0)], at(1.0));
        orphan(&mut keeper, 2.0);
        assert!(may_draw(&node) <= budget, "{}", may_draw(&node));
        assert_eq!(node.limits()[0] == ORIGINALS[0], whole);
        assert!(node.limits()[0] > 210.0 && node.limits()[1] <= 300.0, "{:?}", node.limits());
    }
}

#[test]
fn somebody_who_raises_limits_again_and_again_is_not_fought_for_ever() {
    let node = Node { budget: Some(3500.0), ..Node::new() };
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![], at(1.0));
    orphan(&mut keeper, 2.0);
    let writes = |node: &Node| node.world.lock().unwrap().writes.len();
    let first = writes(&node);
    for tick in 0..6000 {
        node.world.lock().unwrap().limits.insert(key(3), 700.0);
        keeper.tick(at(2.0 + f64::from(tick) * 0.1));
    }
    let again = writes(&node) - first;
    assert!(again > 3 && again < 100, "{again} writes in ten minutes");
}

#[test]
fn the_reflex_of_an_orphan_goes_by_the_fallback_once_boards_have_had_time_to_follow() {
    let node = Node { budget: Some(4000.0), fallback: Some(3000.0), ..Node::new() };
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![], at(1.0));
    for board in 0..4 {
        node.world.lock().unwrap().powers.insert(key(board), 600.0);
    }
    orphan(&mut keeper, 2.0);
    keeper.tick(at(2.1));
    assert!(node.limits().iter().all(|limit| *limit > 200.0), "power has not had time to fall");
    (1..=40).for_each(|tick| keeper.tick(at(2.1 + f64::from(tick) * 0.1)));
    assert_eq!(node.limits(), [200.0; 4]);
}

#[test]
fn a_brief_ends_it_and_another_agents_handles_are_taken_over() {
    let mut node = Node { budget: Some(3500.0), ..Node::new() };
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![node.limit(1, 300.0)], at(1.0));
    orphan(&mut keeper, 2.0);
    assert!(keeper.is_orphan());
    let mut table = DeviceTable::default();
    for (n, known) in node.devices.iter_mut().enumerate().rev() {
        known.device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, key(n)))).unwrap();
    }
    let gone = node.devices.remove(3);
    let mut brief = node.brief(vec![]);
    brief.attached = 1;
    keeper.brief(&mut brief);
    keeper.tick(at(3.0));
    assert!(!keeper.is_orphan());
    let mut report = Report::default();
    keeper.report(&mut report);
    let devices: Vec<_> = report.caps.power.iter().map(|cap| cap.device).collect();
    assert_eq!(devices, node.devices.iter().map(|known| known.device).collect::<Vec<_>>());
    assert!(!devices.contains(&gone.device));
    assert_eq!((report.attached, report.outcomes, report.brakes), (1, vec![], 0));
    keeper.orphan(0, at(4.0), Duration::ZERO);
    assert!(!keeper.is_orphan(), "the death of the one before is no news");
}

#[test]
fn an_agent_that_enforces_nothing_leaves_no_orphan() {
    let node = Node { mode: model::Mode::Advise, ..Node::new() };
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![], at(1.0));
    orphan(&mut keeper, 2.0);
    assert!(!keeper.is_orphan());
    assert_eq!(node.limits(), ORIGINALS);
}

#[test]
fn a_release_gives_everything_back_and_the_orphan_does_not_take_it_again() {
    let node = Node { budget: Some(3500.0), ..Node::new() };
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![node.limit(1, 300.0)], at(1.0));
    orphan(&mut keeper, 2.0);
    node.world.lock().unwrap().broken.push(key(2));
    let given = keeper.release(at(3.0));
    assert_eq!(given.iter().filter(|given| given.read_back.is_err()).count(), 1);
    node.world.lock().unwrap().broken.clear();
    (0..200).for_each(|tick| keeper.tick(at(3.0 + f64::from(tick) * 0.1)));
    assert_eq!(node.limits(), ORIGINALS);
    assert!(keeper.is_clear());
}

#[test]
fn without_any_brief_everything_is_given_back_from_the_journal_alone() {
    let node = Node::new();
    let mut first = node.keeper();
    node.act(&mut first, vec![node.limit(0, 300.0), node.limit(2, 250.0)], at(1.0));
    drop(first);
    let given = node.keeper().release(at(2.0));
    assert!(given.iter().all(|given| given.read_back.is_ok()));
    assert_eq!((given.len(), node.limits()), (2, ORIGINALS.to_vec()));
    assert_eq!(node.journalled(), []);
}

#[test]
fn rows_say_what_is_in_force_and_why() {
    let node = Node::new();
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![node.limit(0, 300.0)], at(1.0));
    node.world.lock().unwrap().out_of_band.insert(key(0), 260.0);
    let rows = keeper.rows(at(2.0));
    assert_eq!((rows[0].original, rows[0].set, rows[0].enforced), (700.0, Some(300.0), Some(260.0)));
    assert_eq!((rows[0].why, rows[0].keep), (Some(Why::OverHigh), Some(Keep::Safety)));
}

#[test]
fn every_order_and_every_return_is_in_the_audit_log() {
    let node = Node { budget: Some(3500.0), ..Node::new() };
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![node.limit(0, 300.0)], at(1.0));
    orphan(&mut keeper, 2.0);
    keeper.release(at(3.0));
    let lines = crate::actuate::audit::read(node.home.path());
    assert_eq!(
        (lines[0].device.as_str(), lines[0].before, lines[0].ordered),
        ("GPU-0", Some(700.0), Some(300.0))
    );
    assert!(lines.iter().any(|line| line.why == Why::Fallback.as_str()));
    let releases =
        lines.iter().filter(|line| line.action == Action::Release(model::Knob::PowerLimit).as_str());
    assert_eq!(releases.count(), 4);
    assert!(lines.iter().all(|line| line.verdict == Verdict::Applied));
    assert_eq!(keeper.audit_lost(), 0);
}

#[test]
#[ignore = "measures; run it alone: cargo test -p agent --lib reaction -- --ignored --nocapture"]
fn measure_the_reaction_from_a_reading_over_the_budget_to_the_last_write() {
    for (hands, apart) in [("called directly", false), ("a thread a board", true)] {
        reaction(hands, apart);
    }
}

fn reaction(hands: &str, apart: bool) {
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let node = Node { budget: Some(3000.0), ..Node::of(8) };
        let mut keeper = if apart { node.keeper_apart() } else { node.keeper() };
        node.act(&mut keeper, vec![], at(1.0));
        for board in 0..8 {
            node.world.lock().unwrap().powers.insert(key(board), 600.0);
        }
        let mut brake = |seconds: f64, list: &mut Vec<f64>| {
            let begun = MachineClock.now();
            keeper.tick(at(seconds));
            list.push(MachineClock.now().seconds_since(begun) * 1e3);
            assert_eq!(node.limits(), [200.0; 8]);
        };
        brake(1.1, &mut first);
        (0..9).for_each(|tick| brake(1.2 + f64::from(tick) * 0.1, &mut Vec::new()));
        node.world.lock().unwrap().limits.values_mut().for_each(|limit| *limit = 700.0);
        brake(2.1, &mut later);
    }
    for (what, mut list) in [("journal synced first", first), ("originals known", later)] {
        list.sort_by(f64::total_cmp);
        println!(
            "reading to last write, 8 boards, {hands}, {what}: median {:.2} ms, highest {:.2} ms",
            list[25], list[49]
        );
    }
}
