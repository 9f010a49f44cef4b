//! The evaluation on the data set in the repository, and on sets that are none.
use super::*;
use crate::lab::table::Kind;
use clap::Parser as _;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../detectors/data/interference")
}

fn recorded() -> Vec<Case> {
    cases(&table::read(&folder().join(TABLE)).unwrap()).0
}

fn of(figures: &[(Method, Figures)], method: Method) -> &Figures {
    &figures.iter().find(|(other, _)| *other == method).unwrap().1
}

#[test]
fn beside_an_antagonist_it_never_saw_the_estimator_beats_half_the_mean_and_physics() {
    let figures = run(Split::Antagonist, &recorded());
    let error = |method| of(&figures, method).mae.unwrap();
    let own = error(Method::Estimator);
    assert!(own <= 0.5 * error(Method::Mean), "{own}");
    assert!(own < error(Method::Physics), "{own}");
}

#[test]
fn of_a_victim_it_never_saw_the_estimator_beats_physics_and_its_interval_is_honest() {
    let figures = run(Split::Victim, &recorded());
    let own = of(&figures, Method::Estimator);
    for physics in [Method::Waiting, Method::Physics] {
        let physics = of(&figures, physics).mae.unwrap();
        assert!(own.mae.unwrap() < physics, "{:?} to {physics}", own.mae);
    }
    assert!(own.coverage.share.unwrap() >= 0.85, "{:?}", own.coverage);
    assert!(own.width.unwrap() <= 0.2 && own.abstained.share.unwrap() <= 0.05, "{own:?}");
}

#[test]
fn the_width_of_predictions_before_the_fact_is_what_the_windows_teach() {
    let placed = placed::measure(&table::read(&folder().join(TABLE)).unwrap());
    let built_in = detectors::interference::placement::Widths::default().extra;
    assert!((placed.extra - built_in).abs() < 0.01, "{placed:?}");
    assert!(placed.mae.unwrap() < 0.75 * placed.mae_of_mean.unwrap(), "{placed:?}");
    assert!(placed.coverage.unwrap() >= 0.85, "{placed:?}");
}

#[test]
fn control_windows_raise_next_to_no_alarm_and_are_never_trained_on() {
    let cases = recorded();
    let control = cases.iter().filter(|case| case.kind == Kind::Control).count();
    assert!(
        control >= 50 && cases.iter().filter(|case| case.kind == Kind::Control).all(|case| !case.trains())
    );
    let figures = run(Split::Antagonist, &cases);
    let alarms = of(&figures, Method::Estimator).false_alarms;
    assert!(alarms.share.unwrap() <= 0.01, "{alarms:?}");
}

#[test]
fn every_fold_keeps_back_what_it_is_called_after() {
    let cases = recorded();
    for (split, folds) in [(Split::Antagonist, 6), (Split::Victim, 7), (Split::Random, 5)] {
        let mut names: Vec<String> = (0..cases.len()).filter_map(|n| split.fold(n, &cases[n])).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), folds, "{}", split.as_str());
    }
}

#[test]
fn a_folder_without_a_table_is_told_with_the_remedy() {
    let empty = tempfile::tempdir().unwrap();
    let line = ["wattkeeper", "evaluate", "--interference", "--data", empty.path().to_str().unwrap()];
    let crate::cli::Command::Evaluate(flags) = crate::cli::Cli::try_parse_from(line).unwrap().command else {
        panic!("another command");
    };
    let told = evaluate(&flags).unwrap_err().to_string();
    assert!(told.contains("windows.csv.gz") && told.contains("wattkeeper lab"), "{told}");
}

#[test]
fn where_the_truth_streams_back_an_unseen_victim_is_judged_better_and_nine_in_ten_intervals_hold() {
    let streamed: std::collections::BTreeMap<_, _> =
        streamed::measure(Split::Victim, &recorded()).into_iter().collect();
    let (alone, heard) = (&streamed[&Learner::Alone], &streamed[&Learner::Nearest]);
    assert!(heard.mae.unwrap() <= 0.8 * alone.mae.unwrap(), "{heard:?} {alone:?}");
    assert!((heard.coverage.unwrap() - 0.9).abs() < 0.03, "{heard:?}");
    assert!(
        heard.mae.unwrap() < streamed[&Learner::Squares].mae.unwrap(),
        "the one that is built in is the better one"
    );
}
