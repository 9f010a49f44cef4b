//! Tests of the keeper over the simulator: journal first, read back, restore after every kind of end.
use super::journal::Journal;
use super::*;
use model::Collector as _;
use model::DeviceKind;
use sim::rig::{SharedNode, SimActuator, SimReflex};
use std::time::Duration;

struct Bench {
    home: tempfile::TempDir,
    node: SharedNode,
    frame: Frame,
    now: Timestamp,
}

fn hands(node: &SharedNode) -> Hands {
    Hands {
        actuators: vec![Box::new(SimActuator::new(node.clone()))],
        fast: vec![Box::new(SimReflex::new(node.clone()))],
    }
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
        sim::rig::SimCollector::new(node.clone()).collect(now, &mut batch).unwrap();
        frame.begin(now);
        frame.merge(&batch, &mut map, false);
        Self { home: tempfile::tempdir().unwrap(), node, frame, now }
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(hands(&self.node), Journal::open(self.home.path()), self.now)
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
        Decision { id: 1, at: self.now, device, action, why: Why::OverHigh, event: None, expires: None, mode }
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
        Journal::open(bench.home.path()).unwrap().keep(&key, Watts(700.0)).unwrap();
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
    Journal::open(bench.home.path()).unwrap().keep(&key, Watts(700.0)).unwrap();
    bench.node.lock().boards[3].requested_w = 350.0;
    let mut next = bench.keeper();
    next.brief(&mut bench.brief(vec![], Mode::Enforce, Some(20_000.0)));
    next.tick(bench.now);
    let mut report = Report::default();
    next.report(&mut report);
    assert_eq!(
        report.caps.iter().map(|cap| (cap.limit, cap.original)).collect::<Vec<_>>(),
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
    assert_eq!((report.brakes, report.caps.len()), (1, 8));
}

#[test]
fn without_a_journal_nothing_is_written() {
    let bench = Bench::new();
    let blocked = bench.home.path().join("file");
    std::fs::write(&blocked, "x").unwrap();
    let mut keeper = Keeper::new(hands(&bench.node), Journal::open(&blocked), bench.now);
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
        journal.originals().map(|(key, _)| key.to_owned()).collect::<Vec<_>>(),
        [bench.node.lock().uuid(2)]
    );
}
