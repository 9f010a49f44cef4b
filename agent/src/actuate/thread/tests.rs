//! Tests of the keeper on its thread: a hung or dead keeper holds nobody up.
use super::*;
use crate::actuate::Known;
use crate::hands::Hands;
use model::{
    Action, ActuateError, Actuator, Decision, DeviceInfo, DeviceKind, DeviceTable, Keep, Knob, Mode, Order,
    Range, Watts, Why,
};
use policy::reflex::Footing;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Tells that it was called and then waits for an answer that may never come.
struct Hung {
    called: Sender<()>,
    go_on: Receiver<()>,
    panics: bool,
}

impl Actuator for Hung {
    fn name(&self) -> &'static str {
        "hung"
    }

    fn enforced(&mut self, _key: &str, _knob: Knob) -> Result<f64, ActuateError> {
        self.called.send(()).unwrap();
        let _ = self.go_on.recv();
        assert!(!self.panics, "the driver's library has lost its mind");
        Ok(700.0)
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        Ok(order.value())
    }
}

struct Bench {
    keeper: KeeperThread,
    called: Receiver<()>,
    go_on: Sender<()>,
    _home: tempfile::TempDir,
}

fn bench(panics: bool) -> Bench {
    let home = tempfile::tempdir().unwrap();
    let ((called_in, called), (go_on, go_on_in)) = (channel(), channel());
    let hung = Hung { called: called_in, go_on: go_on_in, panics };
    let hands = move || Hands::direct(vec![Box::new(hung)], Vec::new());
    let keeper = KeeperThread::spawn(Box::new(hands), home.path().to_owned(), true).unwrap();
    Bench { keeper, called, go_on, _home: home }
}

fn brief() -> Brief {
    let mut table = DeviceTable::default();
    let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
    let range = Range::new(Watts(200.0), Watts(700.0), Watts(700.0));
    let (at, action) = (Timestamp::default(), Action::Limit(Watts(300.0)));
    let (why, mode) = (Why::OverHigh, Mode::Enforce);
    Brief {
        decisions: vec![Decision {
            id: 1,
            at,
            device,
            action,
            why,
            event: None,
            expires: None,
            keep: Keep::Safety,
            mode,
        }],
        devices: vec![Known { device, key: "GPU-a".into(), range }],
        footing: Footing { budget: Some(Watts(5000.0)), ..Footing::default() },
        mode,
        ..Brief::default()
    }
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_hung_actuator_holds_up_neither_briefs_nor_reports_nor_the_end() {
    let mut bench = bench(false);
    bench.keeper.brief(&mut brief());
    bench.called.recv_timeout(SOON).unwrap();
    let mut report = Report::default();
    for _ in 0..1000 {
        bench.keeper.brief(&mut brief());
        bench.keeper.report(&mut report);
    }
    assert!(report.outcomes.is_empty());
    assert_eq!(bench.keeper.shared.lock().brief.decisions.len(), PENDING_MAX, "decisions do not pile up");
    let begun = MachineClock.now();
    bench.keeper.stop(true, begun, Duration::from_millis(50));
    assert!(MachineClock.now().since(begun) < Duration::from_secs(2));
    drop(bench.go_on);
}

#[test]
fn a_brief_is_carried_out_at_once_and_told_and_a_stop_waits_for_the_end() {
    let mut bench = bench(false);
    drop(bench.go_on);
    bench.keeper.brief(&mut brief());
    bench.called.recv_timeout(SOON).unwrap();
    let mut report = Report::default();
    let deadline = MachineClock.now().after(SOON);
    while report.outcomes.is_empty() && MachineClock.now() < deadline {
        bench.keeper.report(&mut report);
        std::thread::yield_now();
    }
    assert_eq!((report.outcomes.len(), report.caps.power.len(), report.refused), (1, 1, None));
    bench.keeper.stop(true, MachineClock.now(), SOON);
    assert!(bench.keeper.thread.is_none());
}

#[test]
fn a_keeper_that_died_says_that_nothing_is_enforced() {
    let bench = bench(true);
    drop(bench.go_on);
    bench.keeper.brief(&mut brief());
    let deadline = MachineClock.now().after(SOON);
    let mut report = Report::default();
    while report.refused.is_none() && MachineClock.now() < deadline {
        bench.keeper.report(&mut report);
        std::thread::yield_now();
    }
    assert_eq!(report.refused, Some(Reason::Lost));
}
