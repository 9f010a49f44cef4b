//! Tests of the report: sums, partial days, unknown figures, 80 columns.
use super::*;
use crate::cli::By;
use crate::tally::days::Use;
use model::snapshot::Rig;

const DAY: i64 = 20_780;

/// A day of two boards that are known for so many hours, a pod that uses half of it, and perhaps an engine.
fn day(number: i64, hours: f64, engine: bool) -> Arc<Day> {
    let mut day = Day { day: number, ..Day::default() };
    let covered_s = hours * 3600.0;
    for (key, name, watts) in [("GPU-a", "gpu0", 300.0), ("GPU-b", "gpu10", 100.0)] {
        day.add_device(key, name, Use { energy_j: watts * covered_s, covered_s });
    }
    let pod = Workload {
        namespace: "default".into(),
        pod: "a-pod-with-a-very-long-name-of-its-own-6bdf9cbbd4-x7k2p".into(),
        container: "vllm".into(),
        ..Workload::new(WorkloadKind::Pod, format!("{number}/vllm"))
    };
    day.add_workload(&Arc::new(pod), 200.0 * covered_s);
    if engine {
        let engine = day.engine("127.0.0.1:8000").unwrap();
        (engine.name, engine.model) = ("engine0".into(), "meta-llama/Llama-3.1-70B-Instruct".into());
        engine.prompt_tokens = 1e7;
        engine.generated_tokens = 1e6;
        (engine.metered_tokens, engine.metered_j) = (9e5, 1.8e6);
    }
    Arc::new(day)
}

fn book(days: Vec<Arc<Day>>) -> Book {
    let at_ms = (DAY + 2) * DAY_MS + 43_200_000;
    Book { host: "node-1".into(), rig: Rig::Hardware, at_ms, days, curves: None }
}

fn over(days: Vec<Arc<Day>>, since_days: u64) -> Report {
    Report::of(
        book(days),
        Duration::from_secs(since_days * 86_400),
        "the agent at http://127.0.0.1:9477".into(),
    )
}

fn three() -> Report {
    over(
        vec![
            day(DAY - 9, 24.0, true),
            day(DAY, 24.0, true),
            day(DAY + 1, 13.2, false),
            day(DAY + 2, 12.0, true),
        ],
        3,
    )
}

#[test]
fn devices_workloads_and_days_add_up_to_the_same() {
    let report = three();
    let total = report.total().energy_j;
    assert!((total - 400.0 * 3600.0 * 49.2).abs() < 1e-3);
    for sums in [report.devices(), report.workloads()] {
        assert!((sums.iter().map(|sum| sum.energy_j).sum::<f64>() - total).abs() < 1e-3);
    }
    assert!((report.by_day().iter().map(|day| day.sum.energy_j).sum::<f64>() - total).abs() < 1e-3);
    let names: Vec<_> = report.devices().into_iter().map(|sum| sum.name).collect();
    assert_eq!(names, ["gpu0", "gpu10"]);
    assert_eq!(report.workloads().len(), 2, "containers of one pod are one line over restarts");
}

#[test]
fn what_is_not_known_is_a_dash_and_null_and_never_nothing() {
    let report = three();
    assert_eq!(report.total().saved_j, None);
    assert_eq!(report.json()["total"]["saved_j"], serde_json::Value::Null);
    let days = report.by_day();
    assert_eq!((days[1].tokens, days[1].per_token_j), (None, None));
    assert_eq!(days[0].per_token_j, Some(2.0));
    let text = report.text(By::Day);
    assert!(text.contains("      –        –        – *\n"), "{text}");
    assert_eq!(report.json()["engines"][0]["energy_per_token_j"], 2.0);
    let mut known = (*day(DAY, 24.0, false)).clone();
    known.add_saved("GPU-a", 7200.0);
    let saved = over(vec![Arc::new(known)], 3);
    for text in [saved.text(By::Device), saved.text(By::Day)] {
        assert!(text.contains("2.0 Wh") && text.contains("saved: an estimate"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    assert!(!text.contains("saved:"), "nothing is explained that is not there");
    let json = saved.json();
    assert!(json["days"][0]["saved_j"] == 7200.0 && json["saved_is"].as_str().unwrap().contains("estimate"));
}

#[test]
fn days_that_are_known_in_part_are_said_so() {
    let text = three().text(By::Day);
    for expected in [
        "2026-11-22 to 2026-11-25 (whole UTC days)",
        "2026-11-24: 13.2 h known of 24",
        "2026-11-25: today, 12.0 h known of 12.0 h so far",
        "Nothing is known of 2026-11-22.",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(!text.contains("2026-11-23:"), "{text}");
    let ahead = over(vec![day(DAY + 90, 1.0, false)], 1).text(By::Device);
    assert!(ahead.contains("the clock was ahead"), "{ahead}");
    assert!(over(Vec::new(), 7).text(By::Pod).contains("Nothing was counted"));
}

#[test]
fn every_line_fits_80_columns() {
    let report = three();
    for by in [By::Device, By::Pod, By::Day] {
        let text = report.text(by);
        let long: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:#?}");
    }
    let text = report.text(By::Pod);
    assert!(text.contains("default/a-pod-wi…") && text.contains("(nobody)"), "{text}");
}

#[test]
fn a_book_read_back_is_the_book_that_was_sent() {
    let book = book(vec![day(DAY, 24.0, true)]);
    let back: Book = serde_json::from_str(&serde_json::to_string(&book).unwrap()).unwrap();
    assert_eq!(back, book);
}
