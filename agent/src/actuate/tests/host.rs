//! Tests of packages and containers: journalled first, given back like boards, and forgotten where a group is gone.
use super::fake::{HOST, Node, ORIGINALS, at, key};
use super::*;

/// A keeper that has asked the actuators about every device, one a tick.
fn asked(node: &Node) -> Keeper {
    let mut keeper = node.keeper();
    keeper.brief(&mut node.brief(vec![]));
    (0..10).for_each(|tick| keeper.tick(at(f64::from(tick) * 0.05)));
    keeper
}

fn originals() -> Vec<f64> {
    HOST.iter().map(|(_, position)| *position).collect()
}

/// A package and both containers are lowered.
fn lowered() -> (Node, Keeper) {
    let node = Node::new().with_host();
    let mut keeper = asked(&node);
    let decisions = vec![node.host(0, 4.0), node.host(1, 2.0), node.host(2, 210.0), node.limit(0, 300.0)];
    let report = node.act(&mut keeper, decisions, at(1.0));
    assert!(report.outcomes.iter().all(|outcome| outcome.verdict == Verdict::Applied), "{report:?}");
    (node, keeper)
}

#[test]
fn packages_and_containers_are_journalled_first_read_back_and_given_back_by_a_clean_stop() {
    // The fake actuator fails a write whose key is not in the journal.
    let (node, mut keeper) = lowered();
    assert_eq!(node.hosts(), [4.0, 2.0, 210.0, 340.0]);
    let mut report = Report::default();
    keeper.report(&mut report);
    let quotas: Vec<_> = report.caps.quotas.iter().map(|cap| (cap.limit.0, cap.original.0)).collect();
    assert_eq!(quotas, [(4.0, 64.0), (2.0, 8.0)]);
    assert_eq!(report.caps.power.len(), 2);
    assert!(keeper.stop(at(2.0)));
    assert_eq!((node.hosts(), node.limits()), (originals(), ORIGINALS.to_vec()));
    drop(keeper);
    assert_eq!(node.journalled(), []);
}

#[test]
fn an_order_for_the_host_stays_in_what_the_actuator_says_and_never_passes_the_original() {
    let node = Node::new().with_host();
    let mut keeper = asked(&node);
    node.act(&mut keeper, vec![node.host(2, 10.0), node.host(0, 0.01)], at(1.0));
    assert_eq!(node.hosts()[..3], [0.64, 8.0, 175.0]);
    let raise = |place, to| Decision { why: Why::Headroom, ..node.host(place, to) };
    node.act(&mut keeper, vec![raise(3, 349.0), raise(2, 400.0)], at(3.0));
    assert_eq!(node.hosts()[2..], [350.0, 340.0], "no further than it was");
}

#[test]
fn what_no_actuator_says_it_can_turn_is_not_turned() {
    let node = Node::new().with_host();
    let mut keeper = node.keeper();
    // The first tick asks about a board; nothing is known of the host yet.
    let report = node.act(&mut keeper, vec![node.host(2, 210.0)], at(0.0));
    let outcome = report.outcomes[0];
    assert_eq!((outcome.verdict, outcome.reason), (Verdict::Refused, Some(Reason::Unsupported)));
    assert_eq!(node.hosts(), originals());
}

#[test]
fn a_group_that_vanishes_takes_its_entry_with_it_and_the_others_go_on() {
    let (mut node, mut keeper) = lowered();
    node.world.lock().unwrap().host.remove("docker/a");
    node.hosts.remove(0);
    let report = node.act(&mut keeper, vec![node.host(0, 1.0)], at(2.0));
    assert_eq!(report.outcomes[0].verdict, Verdict::Applied);
    assert_eq!(report.caps.quotas.iter().map(|cap| cap.limit.0).collect::<Vec<_>>(), [1.0]);
    assert!(keeper.stop(at(3.0)), "what is gone is no failure");
    assert_eq!(node.hosts(), originals()[1..]);
    drop(keeper);
    assert_eq!(node.journalled(), []);
}

/// Starts a group again under its own name, with a quota of its own.
fn restart(node: &Node, key: &str, quota: f64) {
    let mut world = node.world.lock().unwrap();
    *world.restarts.entry(key.to_owned()).or_default() += 1;
    world.host.insert(key.to_owned(), quota);
}

#[test]
fn a_container_that_was_started_again_is_given_its_own_original_and_not_its_predecessors() {
    let (node, mut keeper) = lowered();
    restart(&node, "docker/b", 16.0);
    let report = node.act(&mut keeper, vec![], at(2.0));
    assert_eq!(report.caps.quotas.len(), 1, "what we knew of it is void: {:?}", report.caps);
    let left = Journal::look(node.home.path()).unwrap();
    assert_eq!(
        left.keys().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
        ["GPU-0", "docker/a", "package-0"]
    );
    node.act(&mut keeper, vec![node.host(1, 3.0)], at(3.0));
    assert_eq!(node.hosts()[1], 3.0);
    assert!(keeper.stop(at(4.0)));
    assert_eq!(node.hosts(), [64.0, 16.0, 350.0, 340.0]);
}

#[test]
fn one_that_was_started_again_while_nobody_looked_is_left_alone_by_stop_and_after_a_crash() {
    let (node, mut keeper) = lowered();
    restart(&node, "docker/a", 12.0);
    assert!(keeper.stop(at(2.0)), "no beat in between");
    assert_eq!(node.hosts(), [12.0, 8.0, 350.0, 340.0]);
    drop(keeper);
    let (node, keeper) = lowered();
    drop(keeper);
    restart(&node, "docker/a", 12.0);
    let mut next = node.keeper();
    let report = node.act(&mut next, vec![], at(5.0));
    assert_eq!(report.caps.quotas.iter().map(|cap| cap.original.0).collect::<Vec<_>>(), [8.0]);
    assert!(next.stop(at(6.0)));
    assert_eq!(node.hosts(), [12.0, 8.0, 350.0, 340.0], "the journal knew which one it was");
}

#[test]
fn a_quota_that_somebody_else_has_set_since_is_left_as_it_is_when_ours_is_let_go() {
    for foreign in [1.5, 20.0] {
        let (node, mut keeper) = lowered();
        node.world.lock().unwrap().host.insert("docker/a".to_owned(), foreign);
        let release = Action::Release(Knob::CpuQuota);
        let release = Decision { action: release, why: Why::Headroom, ..node.host(0, 0.0) };
        node.act(&mut keeper, vec![], at(2.0));
        if foreign > 4.0 {
            node.act(&mut keeper, vec![release], at(3.0));
        }
        assert!(keeper.stop(at(4.0)));
        assert_eq!(node.hosts(), [foreign, 8.0, 350.0, 340.0]);
        drop(keeper);
        assert_eq!(node.journalled(), []);
    }
}

#[test]
fn a_tighter_quota_of_somebody_else_is_not_raised_by_a_step() {
    let (node, mut keeper) = lowered();
    node.world.lock().unwrap().host.insert("docker/a".to_owned(), 1.5);
    let raise = Decision { why: Why::Headroom, ..node.host(0, 8.0) };
    let report = node.act(&mut keeper, vec![raise], at(2.0));
    assert_eq!(report.outcomes[0].verdict, Verdict::Refused);
    let drift = Decision { why: Why::Drift, ..node.host(0, 4.0) };
    let report = node.act(&mut keeper, vec![drift], at(4.0));
    assert_eq!(report.outcomes[0].verdict, Verdict::Refused);
    assert_eq!(node.hosts()[0], 1.5);
}

#[test]
fn a_group_that_is_only_not_followed_keeps_its_entry_and_gets_its_quota_back() {
    let (mut node, mut keeper) = lowered();
    let away = node.hosts.remove(0);
    for second in 2..30 {
        node.act(&mut keeper, vec![], at(f64::from(second)));
    }
    assert_eq!(node.hosts()[0], 4.0);
    node.hosts.insert(0, away);
    node.mode = Mode::Advise;
    node.act(&mut keeper, vec![], at(41.0));
    assert_eq!(node.hosts(), originals());
}

#[test]
fn a_group_that_is_gone_after_a_restart_is_forgotten_and_all_else_is_released() {
    let (mut node, keeper) = lowered();
    drop(keeper);
    node.world.lock().unwrap().host.remove("docker/b");
    node.hosts.remove(1);
    let mut next = node.keeper();
    let given = next.release(at(5.0));
    let knobs: Vec<_> = given.iter().map(|given| (given.device.as_str(), given.read_back.is_ok())).collect();
    assert_eq!(knobs, [("GPU-0", true), ("docker/a", true), ("package-0", true)]);
    drop(next);
    assert_eq!((node.journalled(), node.hosts()), (vec![], vec![64.0, 350.0, 340.0]));
}

#[test]
fn a_package_that_does_not_answer_is_not_forgotten() {
    let (node, mut keeper) = lowered();
    node.world.lock().unwrap().host.remove("package-0");
    assert!(!keeper.stop(at(2.0)));
    drop(keeper);
    assert_eq!(node.journalled(), [("package-0".to_owned(), 350.0)]);
}

#[test]
fn reflex_and_fallback_leave_the_host_as_it_is_held() {
    let (mut node, mut keeper) = lowered();
    node.fallback = Some(2000.0);
    node.world.lock().unwrap().powers = (0..4).map(|board| (key(board), 690.0)).collect();
    node.budget = Some(3000.0);
    node.act(&mut keeper, vec![], at(2.0));
    assert_eq!((node.limits(), node.hosts()), (vec![200.0; 4], vec![4.0, 2.0, 210.0, 340.0]));
    keeper.orphan(0, at(3.0), Duration::ZERO);
    (0..40).for_each(|tick| keeper.tick(at(3.0 + f64::from(tick) * 0.1)));
    assert!(keeper.is_orphan());
    assert_eq!(node.hosts(), [4.0, 2.0, 210.0, 340.0], "safety caps are held");
}
