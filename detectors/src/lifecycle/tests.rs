//! Tests of the life cycle: hysteresis, deduplication, bounds.
use super::*;
use model::{DeviceId, DeviceInfo, DeviceKind};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn table() -> (DeviceTable, DeviceId) {
    let mut table = DeviceTable::default();
    let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
    (table, device)
}

/// A statistic that needs eight of ten beats, the others as they are.
fn thresholds() -> Thresholds {
    let residual_pace = crate::Pace { raise_beats: 8, within_beats: 10, quiet_s: 30.0 };
    Thresholds { residual_pace, ..Thresholds::default() }
}

fn finding(device: DeviceId, fault: FaultKind, score: f64) -> Finding {
    Finding {
        detector: "test",
        device,
        fault,
        code: 0,
        detail: "",
        severity: Severity::Warning,
        remedy: fault.remedy(),
        score,
        evidence: [None; 4],
    }
}

fn second(n: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(n))
}

#[test]
fn a_fault_is_one_event_from_its_first_beat_to_its_quiet_end() {
    let (table, device) = table();
    let mut life = Lifecycle::new(&thresholds());
    for n in 0..5 {
        life.step(second(n), &table, &[finding(device, FaultKind::ThermalSlowdown, n as f64)]);
    }
    assert_eq!((life.active().len(), life.active()[0].count, life.active()[0].score), (1, 5, 4.0));
    for n in 5..13 {
        life.step(second(n), &table, &[]);
        assert_eq!(life.active().len(), 1, "hysteresis at second {n}");
    }
    life.step(second(14), &table, &[]);
    assert!(life.active().is_empty());
    assert_eq!(life.recent()[0].cleared, Some(second(14)));
}

#[test]
fn a_statistical_finding_needs_eight_of_ten_beats() {
    let (table, device) = table();
    let mut life = Lifecycle::new(&thresholds());
    for n in 0..40 {
        let findings = [finding(device, FaultKind::Residual, 2.0)];
        life.step(second(n), &table, if n % 2 == 0 { &findings } else { &[] });
    }
    assert!(life.active().is_empty());
    for n in 40..56 {
        life.step(second(n), &table, &[finding(device, FaultKind::Residual, 2.0)]);
    }
    assert_eq!(life.active().len(), 1);
}

#[test]
fn a_lost_device_stays_lost_until_it_is_back() {
    let (mut table, device) = table();
    table.retire(device);
    let mut life = Lifecycle::new(&thresholds());
    life.step(second(0), &table, &[finding(device, FaultKind::DeviceLost, 1.0)]);
    life.step(second(1000), &table, &[]);
    assert_eq!(life.active().len(), 1);
    let info = Arc::clone(&table.get(device).info);
    table.register(&info).unwrap();
    life.step(second(1001), &table, &[]);
    assert!(life.active().is_empty());
}

#[test]
fn identical_xids_within_five_seconds_are_one_sign() {
    let (table, device) = table();
    let mut life = Lifecycle::new(&thresholds());
    for n in [0, 1, 2, 20] {
        life.step(second(n), &table, &[finding(device, FaultKind::Xid, 1.0)]);
    }
    assert_eq!(life.active()[0].count, 2);
}

#[test]
fn the_first_sign_is_the_oldest_of_the_beats_that_raised_it() {
    let (table, device) = table();
    let mut life = Lifecycle::new(&thresholds());
    // One lone sign long before, then eight in a row: only the eight speak.
    for n in 0..40 {
        let findings = [finding(device, FaultKind::Residual, 2.0)];
        life.step(second(n), &table, if n == 2 || n >= 30 { &findings } else { &[] });
        assert_eq!(life.active().len(), usize::from(n >= 37), "second {n}");
    }
    assert_eq!(life.active()[0].since, second(30));
}

#[test]
fn two_findings_of_one_fault_on_one_beat_are_one_sign() {
    let (table, device) = table();
    let mut life = Lifecycle::new(&thresholds());
    let twice = [finding(device, FaultKind::Residual, 2.0); 2];
    for n in 0..7 {
        life.step(second(n), &table, &twice);
    }
    assert!(life.active().is_empty(), "seven beats are not eight");
    life.step(second(7), &table, &[finding(device, FaultKind::PcieNarrow, 1.0); 2]);
    assert_eq!(life.active()[0].count, 1);
}

#[test]
fn changes_are_what_was_raised_or_ended_on_this_beat() {
    let (table, device) = table();
    let mut life = Lifecycle::new(&thresholds());
    let phases = |life: &Lifecycle| life.changes().map(|event| event.phase).collect::<Vec<_>>();
    life.step(second(0), &table, &[finding(device, FaultKind::SourceHung, 1.0)]);
    assert_eq!(phases(&life), [Phase::Raised]);
    life.step(second(1), &table, &[finding(device, FaultKind::SourceHung, 1.0)]);
    assert_eq!(phases(&life), []);
    life.step(second(9), &table, &[]);
    assert_eq!(phases(&life), [Phase::Cleared]);
    life.step(second(10), &table, &[]);
    assert_eq!(phases(&life), []);
}

#[test]
fn a_flood_of_mild_events_keeps_no_critical_one_out_and_drops_none() {
    let (table, device) = table();
    let mut life = Lifecycle::new(&thresholds());
    let coded = |code, severity| Finding { code, severity, ..finding(device, FaultKind::Xid, 1.0) };
    let flood: Vec<_> = (0..400).map(|code| coded(code, Severity::Warning)).collect();
    life.step(second(0), &table, &flood);
    assert_eq!((life.active().len(), life.dropped()), (ACTIVE_MAX, 208));
    let critical: Vec<_> = (1000..1005).map(|code| coded(code, Severity::Critical)).collect();
    life.step(second(1), &table, &critical);
    life.step(second(2), &table, &flood);
    let there = life.active().iter().filter(|event| event.severity == Severity::Critical).count();
    assert_eq!((there, life.active().len()), (5, ACTIVE_MAX));
}

#[test]
fn waiting_statistics_keep_no_rule_out() {
    let (table, device) = table();
    let mut life = Lifecycle::new(&thresholds());
    let mut findings: Vec<_> =
        (0..400).map(|code| Finding { code, ..finding(device, FaultKind::Residual, 1.0) }).collect();
    findings.push(finding(device, FaultKind::DeviceLost, 1.0));
    life.step(second(0), &table, &findings);
    assert_eq!(life.active().len(), 1);
}

#[test]
fn severity_and_evidence_are_those_of_the_worst_beat() {
    let (table, device) = table();
    let mut life = Lifecycle::new(&thresholds());
    let seen = |score, severity, observed| Finding {
        severity,
        evidence: Finding::evidence(&[model::Evidence {
            metric: model::Metric::Up,
            observed,
            expected: 1.0,
        }]),
        ..finding(device, FaultKind::ThermalSlowdown, score)
    };
    life.step(second(0), &table, &[seen(1.0, Severity::Warning, 1.0)]);
    life.step(second(1), &table, &[seen(3.0, Severity::Critical, 3.0)]);
    life.step(second(2), &table, &[seen(2.0, Severity::Info, 2.0)]);
    let event = &life.active()[0];
    assert_eq!((event.severity, event.score), (Severity::Critical, 3.0));
    assert_eq!(event.evidence[0].unwrap().observed, 3.0);
    assert_eq!(life.counts(), [(FaultKind::ThermalSlowdown, Severity::Warning, 1)]);
}

proptest! {
    #[test]
    fn no_sequence_of_findings_makes_two_events_of_one_fault_or_passes_the_bounds(
        seen in prop::collection::vec((0_usize..8, prop::bool::ANY), 1..400),
    ) {
        let (table, device) = table();
        let mut life = Lifecycle::new(&thresholds());
        for (n, (fault, there)) in seen.iter().enumerate() {
            let findings = [finding(device, FaultKind::ALL[*fault], 1.0)];
            life.step(second(n as u64), &table, if *there { &findings } else { &[] });
            let mut faults: Vec<_> = life.active().iter().map(|e| e.fault).collect();
            faults.sort();
            faults.dedup();
            prop_assert_eq!(faults.len(), life.active().len());
            prop_assert!(life.recent().len() <= EVENTS_MAX);
            prop_assert!(life.changes().count() <= 8);
        }
    }

    #[test]
    fn a_fault_that_comes_and_goes_faster_than_its_quiet_time_is_one_event(
        pauses in prop::collection::vec(1_u64..10, 1..60),
    ) {
        let (table, device) = table();
        let mut life = Lifecycle::new(&thresholds());
        let mut now = 0;
        for pause in &pauses {
            life.step(second(now), &table, &[finding(device, FaultKind::ThermalSlowdown, 1.0)]);
            (now + 1..now + pause).for_each(|n| life.step(second(n), &table, &[]));
            now += pause;
        }
        prop_assert_eq!(life.recent().len(), 1);
        prop_assert_eq!(life.active()[0].count, pauses.len() as u64);
        prop_assert_eq!(life.counts()[0].2, 1);
    }
}
