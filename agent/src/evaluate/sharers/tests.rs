//! The evaluation on the simulated data set in the repository, and on folders that hold none.
use super::*;
use clap::Parser as _;
use std::path::PathBuf;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../detectors/data/interference")
}

fn report() -> Report {
    Report::of(&table::read(&folder().join(table::name(true))).unwrap())
}

#[test]
fn on_the_simulator_judgements_beat_utilisation_alone_and_the_clock_alone() {
    let report = report();
    let error = |part, method| report.figures(part, method).unwrap().mae_answered.unwrap();
    for (part, share) in [("turns", 0.5), ("mps", 0.7)] {
        let own = error(part, Method::Wattkeeper);
        assert!(own < share * error(part, Method::Utilisation), "{part}: {own}");
        assert!(own < share * error(part, Method::Clock), "{part}: {own}");
    }
}

#[test]
fn a_victim_alone_at_changing_load_raises_no_alarm_and_intervals_hold() {
    let report = report();
    let own = report.figures("all", Method::Wattkeeper).unwrap();
    assert_eq!(own.false_alarms, Some(0.0));
    assert!(own.coverage.unwrap() > 0.85 && own.abstained.unwrap() < 0.2, "{own:?}");
    assert!(own.resource.unwrap() > 0.9, "{own:?}");
}

#[test]
fn what_is_simulated_says_so_first_wherever_it_is_shown() {
    let report = report();
    assert!(report.text().starts_with("SIMULATED: "));
    assert_eq!(report.json()["simulated"], true);
}

#[test]
fn a_folder_without_a_table_is_told_with_the_remedy() {
    let empty = tempfile::tempdir().unwrap();
    let line =
        ["wattkeeper", "evaluate", "--interference", "--gpu", "--data", empty.path().to_str().unwrap()];
    let crate::cli::Command::Evaluate(flags) = crate::cli::Cli::try_parse_from(line).unwrap().command else {
        panic!("another command");
    };
    let told = evaluate(&flags).unwrap_err().to_string();
    assert!(told.contains("wattkeeper lab"), "{told}");
}
