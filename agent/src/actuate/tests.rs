//! Tests of the keeper over the simulator: journal first, read back, restore after every kind of end.
use super::journal::Journal;
mod fake;
mod host;
mod late;
mod orphan;

use super::*;
use fake::{Node, ORIGINALS, at, key};
use journal::Original;
use model::{Action, Batch, Collector as _, Keep, Knob, Verdict};
use sim::rig::{SharedNode, SimActuator, SimReflex};
use std::time::Duration;

/// What a board's limit was.
const ORIGINAL: Original = Original { value: 700.0, keep: Keep::Safety, incarnation: None };

struct Bench {
    home: tempfile::TempDir,
    node: SharedNode,
    frame: Frame,
    now: Timestamp,
}

fn hands(node: &SharedNode) -> Hands {
    Hands::direct(
        vec![Box::new(SimActuator::new(node.clone()))],
        vec![Box::new(SimReflex::new(node.clone()))],
    )
}

impl Bench {
    fn new() -> Self {
        let node = SharedNode::new(sim::Node::new(&sim::profile::H100, 8, 1, 0));
        for board in 0..8 {
            node.lock().set_workload(board, sim::Workload::Training);
        }
        let mut frame = Frame::default();
        let now = Timestamp::default().after(Duration::from_secs(2));
        let (mut batch, mut map) = (Batch::default(), model::source::SourceMap::default());
        let boards = node.lock().boards().len();
        for index in 0..boards {
            sim::rig::SimBoard::new(node.clone(), index).0.collect(now, &mut batch).unwrap();
        }
        frame.begin(now);
        frame.merge(&batch, &mut map, false);
        Self { home: tempfile::tempdir().unwrap(), node, frame, now }
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(hands(&self.node), Journal::open_if_needed(self.home.path(), true), self.now)
    }

    fn brief(&self, decisions: Vec<Decision>, mode: Mode, budget: Option<f64>) -> Brief {
        let mut brief = Brief { decisions, mode, ..Brief::default() };
        known_devices(&self.frame, &mut brief.devices);
        let devices = brief.devices.iter().map(|known| (known.device, Watts(700.0))).collect();
        brief.footing =
            Footing { budget: budget.map(Watts), rest: Watts(1000.0), gain_margin: 0.05, devices };
        brief
    }

    fn device(&self, board: usize) -> DeviceId {
        self.frame.devices.find(DeviceKind::Gpu, &self.node.lock().uuid(board)).unwrap()
    }

    fn limit(&self, board: usize, watts: f64, mode: Mode) -> Decision {
        let (device, action) = (self.device(board), Action::Limit(Watts(watts)));
        Decision {
            id: 1,
            at: self.now,
            device,
            action,
            why: Why::OverHigh,
            event: None,
            expires: None,
            keep: Keep::Safety,
            mode,
        }
    }

    fn limits(&self) -> Vec<f64> {
        self.node.lock().boards().iter().map(|board| board.requested_w).collect()
    }
}

fn outcomes(keeper: &mut Keeper) -> Vec<(Verdict, Option<Reason>)> {
    let mut report = Report::default();
    keeper.report(&mut report);
    report.outcomes.iter().map(|outcome| (outcome.verdict, outcome.reason)).collect()
}

#[test]
fn an_enforced_decision_is_journalled_written_and_read_back_and_a_stop_gives_it_back() {
    let bench = Bench::new();
    let mut keeper = bench.keeper();
    keeper.brief(&mut bench.brief(vec![bench.limit(3, 350.0, Mode::Enforce)], Mode::Enforce, Some(20_000.0)));
    keeper.tick(bench.now);
    assert_eq!(outcomes(&mut keeper), [(Verdict::Applied, None)]);
    assert_eq!(bench.limits()[3], 350.0);
    let journal = std::fs::read_to_string(bench.home.path().join("limits.journal")).unwrap();
    assert!(journal.contains("700.0") && journal.contains(&bench.node.lock().uuid(3)), "{journal}");
    assert!(keeper.stop(bench.now));
    assert_eq!(bench.limits(), [700.0; 8]);
}

#[test]
fn advice_is_settled_without_a_write() {
    let bench = Bench::new();
    let mut keeper = bench.keeper();
    keeper.brief(&mut bench.brief(vec![bench.limit(3, 350.0, Mode::Advise)], Mode::Advise, Some(5000.0)));
    keeper.tick(bench.now);
    assert_eq!(outcomes(&mut keeper), [(Verdict::Advised, None)]);
    assert_eq!(bench.limits(), [700.0; 8]);
}

#[test]
fn an_original_survives_a_keeper_that_dies_at_any_point_and_is_given_back_by_the_next() {
    // The two points that matter: after the journal and before the write, and after the write.
    for written in [false, true] {
        let bench = Bench::new();
        let key = bench.node.lock().uuid(3);
        Journal::open(bench.home.path()).unwrap().keep([(&*key, Knob::PowerLimit, ORIGINAL)]).unwrap();
        if written {
            bench.node.lock().boards[3].requested_w = 350.0;
        }
        let mut next = bench.keeper();
        next.brief(&mut bench.brief(vec![], Mode::Advise, None));
        next.tick(bench.now);
        assert_eq!(bench.limits(), [700.0; 8]);
        drop(next);
        assert_eq!(Journal::open(bench.home.path()).unwrap().originals().count(), 0);
    }
}

#[test]
fn under_enforcement_a_predecessors_caps_are_adopted_and_not_lifted() {
    let bench = Bench::new();
    let key = bench.node.lock().uuid(3);
    Journal::open(bench.home.path()).unwrap().keep([(&*key, Knob::PowerLimit, ORIGINAL)]).unwrap();
    bench.node.lock().boards[3].requested_w = 350.0;
    let mut next = bench.keeper();
    next.brief(&mut bench.brief(vec![], Mode::Enforce, Some(20_000.0)));
    next.tick(bench.now);
    let mut report = Report::default();
    next.report(&mut report);
    assert_eq!(
        report.caps.power.iter().map(|cap| (cap.limit, cap.original)).collect::<Vec<_>>(),
        [(Watts(350.0), Watts(700.0))]
    );
    assert_eq!(bench.limits()[3], 350.0);
}

#[test]
fn a_reading_over_the_budget_is_a_lower_limit_within_one_tick() {
    let bench = Bench::new();
    let mut keeper = bench.keeper();
    keeper.brief(&mut bench.brief(vec![], Mode::Enforce, Some(4000.0)));
    assert_eq!(bench.limits(), [700.0; 8]);
    keeper.tick(bench.now.after(crate::engine::TICK));
    assert_eq!(bench.limits(), [200.0; 8]);
    let mut report = Report::default();
    keeper.report(&mut report);
    assert_eq!((report.brakes, report.caps.power.len()), (1, 8));
}

#[test]
fn without_a_journal_nothing_is_written() {
    let bench = Bench::new();
    let blocked = bench.home.path().join("file");
    std::fs::write(&blocked, "x").unwrap();
    let mut keeper = Keeper::new(hands(&bench.node), Journal::open_if_needed(&blocked, true), bench.now);
    keeper.brief(&mut bench.brief(vec![bench.limit(3, 350.0, Mode::Enforce)], Mode::Enforce, Some(4000.0)));
    keeper.tick(bench.now);
    assert_eq!(outcomes(&mut keeper)[0].0, Verdict::Refused);
    assert_eq!(bench.limits(), [700.0; 8]);
}

#[test]
fn one_device_that_cannot_be_restored_does_not_keep_the_others() {
    let bench = Bench::new();
    let mut keeper = bench.keeper();
    let decisions = vec![bench.limit(2, 350.0, Mode::Enforce), bench.limit(5, 350.0, Mode::Enforce)];
    keeper.brief(&mut bench.brief(decisions, Mode::Enforce, Some(20_000.0)));
    keeper.tick(bench.now);
    bench.node.lock().boards[2].inject(sim::Fault::Lost);
    assert!(!keeper.stop(bench.now));
    assert_eq!(bench.limits()[5], 700.0);
    drop(keeper);
    let journal = Journal::open(bench.home.path()).unwrap();
    assert_eq!(
        journal.originals().map(|(key, ..)| key.to_owned()).collect::<Vec<_>>(),
        [bench.node.lock().uuid(2)]
    );
}

#[test]
fn of_several_decisions_for_a_device_the_last_counts() {
    let node = Node::new();
    let mut keeper = node.keeper();
    let report = node.act(
        &mut keeper,
        vec![node.limit(0, 500.0), node.limit(1, 400.0), node.limit(0, 300.0)],
        at(1.0),
    );
    let verdicts: Vec<_> = report.outcomes.iter().map(|outcome| (outcome.verdict, outcome.reason)).collect();
    let applied = (Verdict::Applied, None);
    assert_eq!(verdicts, [(Verdict::Refused, Some(Reason::Late)), applied, applied]);
    assert_eq!(node.world.lock().unwrap().writes, [(key(1), 400.0), (key(0), 300.0)]);
}

#[test]
fn what_is_read_back_above_the_order_has_failed_and_below_it_is_accepted() {
    let node = Node::new();
    let mut keeper = node.keeper();
    node.world.lock().unwrap().excess = 30.0;
    let outcome = node.act(&mut keeper, vec![node.limit(0, 400.0)], at(1.0)).outcomes[0];
    assert_eq!((outcome.verdict, outcome.reason), (Verdict::Failed, Some(Reason::Mismatch)));
    assert_eq!((outcome.ordered, outcome.read_back), (Some(400.0), Some(430.0)));
    node.world.lock().unwrap().excess = 0.0;
    node.world.lock().unwrap().out_of_band.insert(key(1), 250.0);
    let report = node.act(&mut keeper, vec![node.limit(1, 240.0)], at(2.0));
    assert_eq!(report.outcomes[0].verdict, Verdict::Applied);
    node.world.lock().unwrap().out_of_band.insert(key(1), 210.0);
    let report = node.act(&mut keeper, vec![node.limit(1, 205.0), node.limit(2, 500.0)], at(3.0));
    assert!(report.outcomes.iter().all(|outcome| outcome.verdict == Verdict::Applied));
    let caps: Vec<_> = report.caps.power.iter().map(|cap| cap.limit.0).collect();
    assert_eq!(caps, [400.0, 205.0, 500.0], "the limit in doubt is taken as it is found");
}

#[test]
fn no_increase_is_carried_out_after_a_decrease_has_failed() {
    let node = Node::new();
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![node.limit(0, 300.0)], at(1.0));
    node.world.lock().unwrap().broken.push(key(1));
    let raise = node.decision(0, Action::Limit(Watts(400.0)), Why::Headroom);
    let report = node.act(&mut keeper, vec![node.limit(1, 300.0), raise], at(5.0));
    let verdicts: Vec<_> = report.outcomes.iter().map(|outcome| outcome.verdict).collect();
    assert_eq!(verdicts, [Verdict::Failed, Verdict::Refused]);
    assert_eq!(node.limits()[0], 300.0);
}

#[test]
fn the_reflex_brakes_within_one_tick_and_tells_what_it_did() {
    let node = Node { budget: Some(3000.0), ..Node::new() };
    let mut keeper = node.keeper();
    for board in 0..4 {
        node.world.lock().unwrap().powers.insert(key(board), 450.0);
    }
    let report = node.act(&mut keeper, vec![], at(1.0));
    assert_eq!((report.brakes, node.limits()), (0, ORIGINALS.to_vec()), "2890 W are counted");
    node.world.lock().unwrap().powers.insert(key(2), 600.0);
    keeper.tick(at(1.1));
    assert_eq!(node.limits(), [200.0; 4]);
    let mut report = Report::default();
    keeper.report(&mut report);
    let taken: Vec<_> =
        report.taken.iter().map(|s| (s.decision.action, s.outcome.unwrap().verdict)).collect();
    assert_eq!((report.brakes, taken), (1, vec![(Action::Brake, Verdict::Applied); 4]));
    keeper.report(&mut report);
    assert_eq!(report.taken, [], "told once");
}

#[test]
fn the_reflex_only_ever_tightens() {
    let node = Node { budget: Some(3000.0), ..Node::new() };
    let mut keeper = node.keeper();
    let mut state = 1_u64;
    keeper.brief(&mut node.brief(vec![]));
    let mut before = node.limits();
    for tick in 0..200 {
        for board in 0..4 {
            // Marsaglia's xorshift is random enough for loads.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            node.world.lock().unwrap().powers.insert(key(board), 50.0 + (state % 700) as f64);
        }
        keeper.tick(at(f64::from(tick) * 0.1));
        assert!(node.limits().iter().zip(&before).all(|(now, then)| now <= then));
        before = node.limits();
    }
    assert_eq!(before, [200.0; 4], "it did act");
}

#[test]
fn without_enforcement_the_reflex_feels_nothing_and_writes_nothing() {
    let node = Node { budget: Some(1500.0), mode: Mode::Advise, ..Node::new() };
    let mut keeper = node.keeper();
    node.world.lock().unwrap().powers.insert(key(0), 690.0);
    let report = node.act(&mut keeper, vec![node.limit(0, 300.0)], at(1.0));
    assert_eq!((report.brakes, report.outcomes[0].verdict), (0, Verdict::Advised));
    assert!(node.world.lock().unwrap().writes.is_empty());
}

#[test]
fn switching_enforcement_off_gives_every_original_back() {
    let mut node = Node::new();
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![node.limit(0, 300.0), node.limit(3, 250.0)], at(1.0));
    node.mode = Mode::Advise;
    let report = node.act(&mut keeper, vec![], at(2.0));
    assert_eq!((node.limits(), report.caps), (ORIGINALS.to_vec(), Caps::default()));
}

#[test]
fn switching_enforcement_on_opens_the_journal() {
    let mut node = Node { mode: Mode::Advise, ..Node::new() };
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![], at(1.0));
    node.mode = Mode::Enforce;
    assert_eq!(
        node.act(&mut keeper, vec![node.limit(0, 300.0)], at(2.0)).outcomes[0].verdict,
        Verdict::Applied
    );
}

#[test]
fn a_cap_that_expires_is_given_back_unless_it_is_renewed() {
    let node = Node::new();
    let mut keeper = node.keeper();
    let until = |seconds, board| Decision { expires: Some(at(seconds)), ..node.limit(board, 300.0) };
    node.act(&mut keeper, vec![until(5.0, 0), until(5.0, 1)], at(1.0));
    node.act(&mut keeper, vec![until(9.0, 1)], at(4.0));
    keeper.tick(at(5.0));
    assert_eq!(node.limits()[..2], [700.0, 300.0]);
    keeper.tick(at(9.0));
    assert_eq!(node.limits()[..2], [700.0, 650.0]);
}

#[test]
fn a_second_writer_is_refused_as_busy_and_gets_its_turn_when_the_first_is_gone() {
    let node = Node::new();
    let (mut first, mut second) = (node.keeper(), node.keeper());
    node.act(&mut first, vec![node.limit(0, 300.0)], at(1.0));
    let report = node.act(&mut second, vec![node.limit(1, 300.0)], at(1.0));
    assert_eq!(
        (report.outcomes[0].verdict, report.outcomes[0].reason),
        (Verdict::Refused, Some(Reason::Busy))
    );
    assert_eq!((report.refused, node.limits()[1]), (Some(Reason::Busy), 650.0));
    drop(first);
    let report = node.act(&mut second, vec![node.limit(1, 300.0)], at(12.0));
    assert_eq!((report.outcomes[0].verdict, report.refused), (Verdict::Applied, None));
    assert_eq!(report.caps.power.len(), 2, "the first one's cap is taken over");
}

#[test]
fn a_damaged_journal_refuses_orders_and_is_left_as_it_is() {
    let node = Node::new();
    let path = node.home.path().join("limits.journal");
    std::fs::write(&path, "no journal\n").unwrap();
    let mut keeper = node.keeper();
    let report = node.act(&mut keeper, vec![node.limit(0, 300.0)], at(1.0));
    assert_eq!(
        (report.outcomes[0].verdict, report.outcomes[0].reason),
        (Verdict::Refused, Some(Reason::Refused))
    );
    assert_eq!((report.refused, node.limits()), (Some(Reason::Malformed), ORIGINALS.to_vec()));
    keeper.stop(at(2.0));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "no journal\n");
}

#[test]
fn a_device_that_cannot_be_restored_is_tried_again_after_ten_seconds_and_not_on_every_beat() {
    let mut node = Node::new();
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![node.limit(0, 300.0), node.limit(1, 300.0)], at(1.0));
    node.mode = Mode::Advise;
    node.world.lock().unwrap().broken.push(key(0));
    node.act(&mut keeper, vec![], at(2.0));
    assert_eq!(node.limits()[..2], [300.0, 650.0]);
    node.world.lock().unwrap().broken.clear();
    keeper.tick(at(11.0));
    assert_eq!(node.limits()[0], 300.0);
    keeper.tick(at(12.0));
    assert_eq!(node.limits()[0], 700.0);
}

#[test]
fn nothing_is_restored_before_a_beat_has_said_what_is_to_be_done() {
    let node = Node::new();
    let mut first = node.keeper();
    node.act(&mut first, vec![node.limit(0, 300.0)], at(1.0));
    drop(first);
    let mut second = node.keeper();
    second.tick(at(2.0));
    assert_eq!(node.limits()[0], 300.0);
}

/// A day in the life of a keeper: caps, a brake, a raise, a release, the end of enforcement.
fn live(node: &mut Node, keeper: &mut Keeper) {
    let full = node.budget;
    node.act(keeper, vec![node.limit(0, 500.0), node.limit(1, 450.0)], at(1.0));
    node.world.lock().unwrap().powers = (0..4).map(|board| (key(board), 690.0)).collect();
    node.budget = Some(3000.0);
    node.act(keeper, vec![], at(2.0));
    node.world.lock().unwrap().powers.clear();
    node.budget = full;
    let raise = node.decision(2, Action::Limit(Watts(400.0)), Why::Headroom);
    node.act(keeper, vec![node.limit(0, 300.0), raise], at(3.0));
    node.act(keeper, vec![node.decision(1, Action::Release(Knob::PowerLimit), Why::Headroom)], at(5.0));
    keeper.stop(at(6.0));
}

#[test]
fn originals_survive_a_death_before_or_after_any_write_and_the_next_keeper_gives_them_back() {
    let mut whole = Node::new();
    let mut keeper = whole.keeper();
    live(&mut whole, &mut keeper);
    let writes = whole.world.lock().unwrap().writes.len();
    assert!(writes >= 10, "{writes} writes");
    assert_eq!(whole.limits(), ORIGINALS);
    for (call, after) in (0..writes).flat_map(|call| [(call, false), (call, true)]) {
        let mut node = Node::new();
        node.world.lock().unwrap().dies = Some((call, after));
        let mut keeper = node.keeper();
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(&mut node, &mut keeper)));
        assert!(died.is_err(), "call {call}");
        drop(keeper);
        node.world.lock().unwrap().dies = None;
        node.mode = Mode::Advise;
        let mut next = node.keeper();
        node.act(&mut next, vec![], at(20.0));
        assert_eq!(node.limits(), ORIGINALS, "died {} call {call}", if after { "after" } else { "before" });
        drop(next);
        assert_eq!(node.journalled(), []);
    }
}

#[test]
fn a_keeper_that_takes_over_again_and_again_never_takes_a_cap_for_an_original() {
    let mut node = Node::new();
    for round in 0..5 {
        let mut keeper = node.keeper();
        node.act(&mut keeper, vec![node.limit(0, 400.0 - 30.0 * f64::from(round))], at(1.0));
        drop(keeper);
    }
    assert_eq!(node.journalled(), [(key(0), 700.0)]);
    node.mode = Mode::Advise;
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![], at(1.0));
    assert_eq!(node.limits(), ORIGINALS);
}

#[test]
fn after_a_death_a_cap_that_was_there_to_tune_is_given_back_and_one_that_keeps_a_budget_is_held() {
    let node = Node::new();
    let mut keeper = node.keeper();
    let tuning = |board, watts| Decision { keep: Keep::Tuning, ..node.limit(board, watts) };
    node.act(&mut keeper, vec![tuning(0, 500.0), tuning(1, 500.0), node.limit(2, 400.0)], at(1.0));
    node.act(&mut keeper, vec![node.limit(1, 300.0)], at(2.0));
    assert_eq!(node.limits(), [500.0, 300.0, 400.0, 555.5]);
    drop(keeper);
    let mut next = node.keeper();
    let report = node.act(&mut next, vec![], at(3.0));
    assert_eq!(node.limits(), [700.0, 300.0, 400.0, 555.5], "what came to be held stays held");
    assert_eq!(report.caps.power.len(), 2);
}

#[test]
fn a_limit_that_somebody_holds_down_for_a_while_is_not_taken_for_the_original() {
    let bench = Bench::new();
    bench.node.lock().boards[3].out_of_band_w = 500.0;
    let mut keeper = bench.keeper();
    let decisions = vec![bench.limit(3, 350.0, Mode::Enforce)];
    keeper.brief(&mut bench.brief(decisions, Mode::Enforce, Some(20_000.0)));
    keeper.tick(bench.now);
    assert_eq!(bench.limits()[3], 350.0);
    assert!(keeper.stop(bench.now));
    assert_eq!(bench.limits()[3], 700.0);
}

#[test]
fn an_original_that_a_device_does_not_take_now_is_given_back_once_it_does() {
    let mut node = Node::new();
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![node.limit(0, 300.0)], at(1.0));
    node.devices[0].range = Range::new(Watts(200.0), Watts(600.0), Watts(600.0));
    let release = node.decision(0, Action::Release(Knob::PowerLimit), Why::Headroom);
    let report = node.act(&mut keeper, vec![release], at(2.0));
    assert_eq!((node.limits()[0], report.caps.power[0].original), (600.0, Watts(700.0)));
    node.mode = Mode::Advise;
    node.act(&mut keeper, vec![], at(3.0));
    assert_eq!(node.limits()[0], 600.0);
    node.devices[0].range = Range::new(Watts(200.0), Watts(700.0), Watts(700.0));
    let report = node.act(&mut keeper, vec![], at(14.0));
    assert_eq!((node.limits()[0], report.caps), (700.0, Caps::default()));
}

#[test]
fn an_original_above_what_a_device_takes_is_tried_once_an_hour_and_at_once_when_it_is_taken_again() {
    let mut node = Node::new();
    let mut keeper = node.keeper();
    node.act(&mut keeper, vec![node.limit(0, 300.0)], at(1.0));
    node.devices[0].range = Range::new(Watts(200.0), Watts(600.0), Watts(600.0));
    node.mode = Mode::Advise;
    let tries = |node: &Node| node.world.lock().unwrap().writes.iter().filter(|(_, to)| *to == 600.0).count();
    for second in 2..3600 {
        node.act(&mut keeper, vec![], at(f64::from(second)));
    }
    assert_eq!(tries(&node), 1, "the first try only");
    node.act(&mut keeper, vec![], at(3603.0));
    assert_eq!(tries(&node), 2);
    node.devices[0].range = Range::new(Watts(200.0), Watts(700.0), Watts(700.0));
    node.act(&mut keeper, vec![], at(3604.0));
    assert_eq!(node.limits()[0], 700.0, "nobody waits for the hour to end");
}
