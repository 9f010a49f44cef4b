//! A short form of the evaluation.
use super::*;

fn flags(faults: &[&str], hours: f64) -> Evaluate {
    Evaluate {
        simulated: true,
        seeds: 2,
        first_seed: 1,
        hours,
        fault: faults.iter().map(|name| (*name).to_owned()).collect(),
        without: vec!["residual".to_owned()],
        json: None,
    }
}

#[test]
fn rules_see_their_faults_within_two_beats_and_on_the_right_device() {
    let report = evaluate(&flags(&["lost", "xid", "hang", "uncorrectable", "vanished"], 0.0)).unwrap();
    assert_eq!(report.rows.len(), 5);
    for row in &report.rows {
        assert_eq!((row.detected, row.first), (2, 2), "{}", report.text());
        assert!(row.p95().unwrap() <= 2, "{}", report.text());
    }
}

#[test]
fn an_unknown_fault_is_refused() {
    assert!(evaluate(&flags(&["gremlins"], 0.0)).is_err());
}
