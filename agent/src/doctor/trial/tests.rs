//! Trials of simulated boards, in time that only the trial moves, and of an actuator that fails where it is told to.
use super::*;
use crate::doctor::knobs::Outcome::{NoEffect, None as Lacking, Refused, Stuck, Unconfirmed, Untried, Works};
use model::Timestamp;
use sim::rig::{SharedNode, SimActuator, SimNode, SimReflex};
use sim::{Node, Workload};
use std::cell::Cell;
use std::sync::{Arc, Mutex};

/// Time that moves when somebody waits.
struct Stepped {
    now: Cell<Timestamp>,
    /// Nanoseconds at which the operator wants to stop.
    stop_ns: Cell<u64>,
}

impl Stepped {
    fn new() -> Self {
        let now = Timestamp::default().after(Duration::from_secs(20));
        Self { now: Cell::new(now), stop_ns: Cell::new(u64::MAX) }
    }
}

impl Pace for Stepped {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn wait(&self, time: Duration) {
        self.now.set(self.now.get().after(time));
    }

    fn stopped(&self) -> bool {
        self.now.get().mono_ns >= self.stop_ns.get()
    }
}

/// What an actuator does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing.
    None,
    /// It takes the write without an error and does nothing.
    Ignores,
    /// It says that it did it, and did not.
    Lies,
    /// It refuses writes.
    Denies,
    /// It writes, and then says that it failed.
    FailsAfter,
    /// It does not go back up.
    Sticks,
}

/// The simulator's hands with a fault, and a note of every write.
struct Hands {
    inner: SimActuator,
    fault: Fault,
    told: f64,
    writes: Arc<Mutex<Vec<f64>>>,
}

impl Actuator for Hands {
    fn name(&self) -> &'static str {
        "hands"
    }

    fn span(&mut self, key: &str, knob: Knob) -> Result<Span, ActuateError> {
        self.inner.span(key, knob)
    }

    fn enforced(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        self.inner.enforced(key, knob)
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        self.writes.lock().unwrap().push(order.value());
        let failed = |reason| Err(ActuateError::new("turn it", reason));
        let up = order.value() >= 700.0;
        match self.fault {
            Fault::Denies => failed(Reason::Denied),
            Fault::Ignores => self.inner.enforced(order.key(), order.knob()),
            Fault::Lies => {
                self.told = order.value();
                Ok(self.told)
            }
            Fault::FailsAfter if !up => {
                self.inner.apply(order)?;
                failed(Reason::Late)
            }
            Fault::Sticks if up => failed(Reason::Io),
            _ => self.inner.apply(order),
        }
    }
}

struct Rig {
    _home: tempfile::TempDir,
    node: SharedNode,
    bench: Bench,
    journal: Journal,
    pace: Stepped,
    writes: Arc<Mutex<Vec<f64>>>,
}

impl Rig {
    fn new(workload: Workload, fault: Fault) -> Self {
        let home = tempfile::tempdir().unwrap();
        let node = SharedNode::new(Node::new(&sim::profile::H100, 2, 1, 0));
        (0..2).for_each(|board| node.lock().set_workload(board, workload));
        let (pace, writes) = (Stepped::new(), Arc::new(Mutex::new(Vec::new())));
        node.lock().step_to(pace.now().mono_ns);
        let inner = SimActuator::new(node.clone());
        let hands = Hands { inner, fault, told: 0.0, writes: Arc::clone(&writes) };
        let source = SimNode::new(node.clone());
        let reflex = |_: &str| Some(Box::new(SimReflex::new(node.clone())) as Box<dyn model::Collector>);
        let bench = Bench::of(Box::new(source), reflex, Some(Box::new(hands)), pace.now());
        let journal = Journal::open(home.path()).unwrap();
        Self { _home: home, node, bench, journal, pace, writes }
    }

    fn attempt(&mut self, knob: Knob) -> Line {
        let subject = self.bench.subjects().into_iter().find(|subject| subject.info.name == "gpu0").unwrap();
        attempt(&subject, knob, &mut self.bench, (&mut self.journal, &self.pace))
    }

    /// Nothing is left: the limit and the clock are what they were, and the journal is empty.
    fn clean(&self) -> bool {
        let node = self.node.lock();
        let board = &node.boards()[0];
        board.requested_w == 700.0 && board.locked_hz == 0.0 && self.journal.originals().count() == 0
    }

    fn writes(&self) -> Vec<f64> {
        self.writes.lock().unwrap().clone()
    }
}

#[test]
fn an_idle_board_takes_a_small_step_that_nothing_confirms_and_has_its_limit_back() {
    let mut rig = Rig::new(Workload::Idle, Fault::None);
    let line = rig.attempt(Knob::PowerLimit);
    assert_eq!((line.outcome, line.why.as_str(), line.restored), (Unconfirmed, "idle", Some(true)));
    assert_eq!((line.tried, line.read_back), (Some(675.0), Some(675.0)), "5 % of 200 to 700 W");
    assert_eq!(rig.writes(), [675.0, 700.0]);
    assert!(rig.clean());
}

#[test]
fn a_board_at_its_limit_confirms_it_by_power() {
    let mut rig = Rig::new(Workload::Prefill, Fault::None);
    let line = rig.attempt(Knob::PowerLimit);
    assert_eq!(line.outcome, Works, "{line:?}");
    let (before, after) = (line.power_before_w.unwrap(), line.power_after_w.unwrap());
    assert!(before > 685.0 && after < before - 10.0, "{before} W, then {after} W");
    assert_eq!(line.tried, Some(675.0), "5 % of 200 to 700 W");
    assert!(rig.clean());
}

#[test]
fn a_step_is_small_and_not_far_below_what_is_drawn() {
    let span = Span::new(100.0, 2100.0).unwrap();
    assert_eq!(target(Knob::PowerLimit, 2000.0, span, Some(90.0)), 1900.0);
    assert_eq!(target(Knob::PowerLimit, 400.0, span, Some(390.0)), 371.0);
    assert_eq!(target(Knob::PowerLimit, 150.0, span, None), 100.0);
    let span = Span::new(345e6, 1980e6).unwrap();
    assert_eq!(target(Knob::ClockMax, 1980e6, span, Some(700.0)), 1898e6);
    let span = Span::new(0.32, 32.0).unwrap();
    assert_eq!(target(Knob::CpuQuota, 32.0, span, None), 32.0 - 0.05 * (32.0 - 0.32));
}

#[test]
fn a_locked_clock_is_confirmed_by_the_clock() {
    let mut rig = Rig::new(Workload::Decode, Fault::None);
    let line = rig.attempt(Knob::ClockMax);
    assert_eq!(line.outcome, Works, "{line:?}");
    let [before, after, tried] = [line.clock_before_hz, line.clock_after_hz, line.tried].map(Option::unwrap);
    assert!(before > 1.9e9 && after <= tried + Knob::ClockMax.slack(), "{before} {after} {tried}");
    assert!(rig.clean());
}

#[test]
fn what_is_taken_without_an_error_and_changes_nothing_is_told_from_what_works() {
    let mut rig = Rig::new(Workload::Idle, Fault::Ignores);
    let line = rig.attempt(Knob::PowerLimit);
    assert_eq!((line.outcome, line.read_back, line.restored), (NoEffect, Some(700.0), Some(true)));
    assert!(rig.clean());
    // It reads back as asked: only power tells.
    let mut rig = Rig::new(Workload::Prefill, Fault::Lies);
    let line = rig.attempt(Knob::PowerLimit);
    assert_eq!((line.outcome, line.read_back), (NoEffect, line.tried));
    assert!(line.power_after_w > line.tried && rig.clean());
    assert!(line.check().found.contains("no effect was seen"), "{}", line.check().found);
}

#[test]
fn a_knob_that_may_not_be_turned_is_refused_with_its_reason() {
    let mut rig = Rig::new(Workload::Idle, Fault::Denies);
    let line = rig.attempt(Knob::PowerLimit);
    assert_eq!((line.outcome, line.reason, line.restored), (Refused, Some(Reason::Denied), Some(true)));
    assert!(rig.clean());
}

#[test]
fn a_write_that_fails_half_way_is_undone_all_the_same() {
    let mut rig = Rig::new(Workload::Idle, Fault::FailsAfter);
    let line = rig.attempt(Knob::PowerLimit);
    assert_eq!((line.outcome, line.reason, line.restored), (Refused, Some(Reason::Late), Some(true)));
    assert!(rig.clean());
}

#[test]
fn what_cannot_be_given_back_stays_in_the_journal_and_is_said() {
    let mut rig = Rig::new(Workload::Idle, Fault::Sticks);
    let line = rig.attempt(Knob::PowerLimit);
    assert_eq!((line.outcome, line.restored), (Stuck, Some(false)));
    assert_eq!(rig.writes(), [675.0, 700.0, 700.0, 700.0]);
    let kept: Vec<f64> = rig.journal.originals().map(|(_, _, original)| original.value).collect();
    assert_eq!(kept, [700.0]);
    assert!(line.check().found.contains("NOT GIVEN BACK"));
    let again = rig.attempt(Knob::PowerLimit);
    assert_eq!((again.outcome, rig.writes().len()), (Untried, 4), "nothing is tried on top of it");
}

#[test]
fn without_a_journal_nothing_is_written() {
    let mut rig = Rig::new(Workload::Idle, Fault::None);
    std::fs::remove_dir_all(rig._home.path()).unwrap();
    let line = rig.attempt(Knob::PowerLimit);
    assert_eq!((line.outcome, line.restored), (Refused, None));
    assert!(rig.writes().is_empty());
}

#[test]
fn a_limit_that_somebody_else_holds_lower_is_left_alone() {
    let mut rig = Rig::new(Workload::Idle, Fault::None);
    rig.node.lock().boards[0].out_of_band_w = 500.0;
    rig.bench.meter.clock("", rig.pace.now());
    let line = rig.attempt(Knob::PowerLimit);
    assert_eq!((line.outcome, rig.writes()), (Untried, vec![]), "its request could not be given back");
    rig.node.lock().boards[0].out_of_band_w = 700.0;
    rig.node.lock().boards[0].requested_w = 200.0;
    let line = rig.attempt(Knob::PowerLimit);
    assert_eq!((line.outcome, rig.writes()), (Untried, vec![]), "there is no room below the lowest");
}

#[test]
fn who_stops_before_the_step_has_none_and_who_stops_after_it_has_everything_back() {
    for (seconds, outcome, writes) in [(1, Untried, 0), (4, Unconfirmed, 2), (6, Unconfirmed, 2)] {
        let mut rig = Rig::new(Workload::Prefill, Fault::None);
        rig.pace.stop_ns.set(rig.pace.now().after(Duration::from_secs(seconds)).mono_ns);
        let line = rig.attempt(Knob::PowerLimit);
        assert_eq!((line.outcome, rig.writes().len()), (outcome, writes), "{seconds} s: {line:?}");
        assert!(rig.clean());
    }
}

#[test]
fn a_panic_between_step_and_return_gives_the_limit_back() {
    struct Dies(Cell<u32>, Stepped);
    impl Pace for Dies {
        fn now(&self) -> Timestamp {
            self.1.now()
        }
        fn wait(&self, time: Duration) {
            assert!(time != SETTLE, "dies while the device follows");
            self.0.set(self.0.get() + 1);
            self.1.wait(time);
        }
    }
    let mut rig = Rig::new(Workload::Prefill, Fault::None);
    let subject = rig.bench.subjects().remove(0);
    let dies = Dies(Cell::new(0), Stepped::new());
    let run = || attempt(&subject, Knob::PowerLimit, &mut rig.bench, (&mut rig.journal, &dies));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    assert_eq!(
        (dies.0.get(), rig.writes().len()),
        (30, 2),
        "three seconds of looks, a step, and the way back"
    );
    assert_eq!(rig.node.lock().boards()[0].requested_w, 700.0);
    assert_eq!(rig.journal.originals().count(), 1, "it stays in the journal and is given back once more");
}

#[test]
fn a_device_without_a_knob_says_so_and_a_look_writes_nothing() {
    let rig = Rig::new(Workload::Idle, Fault::None);
    let subject = rig.bench.subjects().remove(0);
    assert_eq!(look(&subject, Knob::PowerLimit, None).outcome, Lacking);
    let mut hands = SimActuator::new(rig.node.clone());
    let line = look(&subject, Knob::ClockMax, Some(&mut hands));
    assert_eq!((line.position, line.lowest, line.highest), (Some(1980e6), Some(345e6), Some(1980e6)));
    assert_eq!(look(&subject, Knob::CpuQuota, Some(&mut hands)).outcome, Lacking);
    assert!(rig.clean());
}
