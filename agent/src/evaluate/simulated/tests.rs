//! A short form of the evaluation.
use super::*;

fn flags(faults: &[&str], hours: f64) -> Evaluate {
    Evaluate {
        interference: false,
        gpu: false,
        data: None,
        detector: Vec::new(),
        machine: Vec::new(),
        simulated: true,
        seeds: 2,
        first_seed: 1,
        hours,
        beat: None,
        fault: faults.iter().map(|name| (*name).to_owned()).collect(),
        without: Vec::new(),
        power: false,
        days: 0,
        jobs: None,
        policy: Vec::new(),
        mishaps: 0.0,
        host: false,
        json: None,
    }
}

#[test]
fn rules_see_their_faults_within_two_beats_and_on_the_right_device() {
    let report = evaluate(&flags(&["lost", "xid", "uncorrectable", "vanished"], 0.0)).unwrap();
    assert_eq!(report.rows.len(), 4);
    for row in &report.rows {
        assert_eq!((row.detected, row.first), (2, 2), "{}", report.text());
        assert!(row.p95().unwrap() <= 2, "{}", report.text());
    }
}

#[test]
fn what_no_rule_sees_is_found_on_the_right_device_and_sound_hours_are_quiet() {
    let hidden = ["straggler", "down_clock", "memory_leak", "bad_seat", "neighbour"];
    let report = evaluate(&flags(&hidden, 2.0)).unwrap();
    for row in &report.rows {
        assert_eq!((row.trials, row.detected, row.first), (2, 2, 2), "{}", report.text());
    }
    assert!(report.healthy.episodes.is_empty() && report.lead.episodes.is_empty(), "{}", report.text());
    assert_eq!(report.json()["faults"]["straggler"]["found"], 2);
}

#[test]
fn an_unknown_fault_is_refused() {
    assert!(evaluate(&flags(&["gremlins"], 0.0)).is_err());
}
