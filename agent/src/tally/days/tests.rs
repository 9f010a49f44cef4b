//! Tests of days: midnights, clocks that are stepped, limits, restarts and crashes between two files.
use super::*;
use crate::tally::Tally;
use model::{Timestamp, WorkloadKind};
use std::fs;
use std::path::Path;

/// 2023-11-14.
const DAY: i64 = 19_675;

fn at(day: i64, second: i64) -> Timestamp {
    let wall_ms = day * DAY_MS + second * 1000;
    Timestamp { mono_ns: 1_000_000_000, wall_ms }
}

fn unit(name: &str) -> Arc<Workload> {
    Arc::new(Workload::new(WorkloadKind::Unit, name))
}

fn count(days: &mut Days, at: Timestamp, energy_j: f64) {
    days.turn(at.wall_ms);
    days.today().add_device("GPU-a", "gpu0", Use { energy_j, covered_s: 1.0 });
    days.today().add_workload(&unit("a"), energy_j);
}

/// Day and energy of the accelerator on every day.
fn energy(days: &[Arc<Day>]) -> Vec<(i64, f64)> {
    days.iter().map(|day| (day.day - DAY, day.devices.iter().map(|d| d.energy_j).sum())).collect()
}

#[test]
fn a_day_ends_at_midnight_of_utc() {
    let mut days = Days::default();
    count(&mut days, at(DAY, 86_399), 1.0);
    count(&mut days, at(DAY + 1, 0), 2.0);
    count(&mut days, at(DAY + 3, 5), 4.0);
    assert_eq!(energy(&days.all()), [(0, 1.0), (1, 2.0), (3, 4.0)]);
}

#[test]
fn a_clock_that_is_stepped_to_and_fro_makes_no_day_twice_and_loses_none() {
    let mut days = Days::default();
    for day in [0, 1, 0, 1, 0, -19_675, 90_000, 1] {
        count(&mut days, at(DAY + day, 0), 1.0);
    }
    assert_eq!(energy(&days.all()), [(-19_675, 1.0), (0, 3.0), (1, 3.0), (90_000, 1.0)]);
}

#[test]
fn days_and_their_workloads_are_bounded_and_sums_stay() {
    let mut days = Days::default();
    for day in 0..DAYS_MAX.cast_signed() as i64 + 7 {
        count(&mut days, at(DAY + day, 0), 1.0);
    }
    let all = days.all();
    assert_eq!((all.len(), all[0].day - DAY), (DAYS_MAX + 1, 6), "the past and today");
    let mut days = Days::default();
    days.turn(at(DAY, 0).wall_ms);
    for number in 0..WORKLOADS_MAX + 10 {
        days.today().add_workload(&unit(&format!("{number:05}")), 1.0 + number as f64);
    }
    assert_eq!(days.current().workloads.len(), WORKLOADS_MAX);
    let sum = |day: &Day| day.others_j + day.workloads.iter().map(|w| w.energy_j).sum::<f64>();
    let before = sum(days.current());
    days.turn(at(DAY + 1, 0).wall_ms);
    let day = &days.all()[0];
    assert_eq!((day.workloads.len(), sum(day)), (WORKLOADS_KEPT, before));
    assert_eq!(day.workloads[0].workload.key, "00960", "those that used most are named");
    assert!(day.sound());
    for number in 0..DEVICES_MAX + 3 {
        days.today().add_device(&number.to_string(), "x", Use::default());
        let engine = days.today().engine(&number.to_string());
        assert_eq!(engine.is_some(), number < DEVICES_MAX);
    }
    assert_eq!(days.current().devices.len(), DEVICES_MAX);
}

fn keep(home: &Path, now: Timestamp, then: impl FnOnce(&mut Tally)) {
    let mut tally = Tally::default();
    tally.keep_in(home, now);
    then(&mut tally);
}

fn add(tally: &mut Tally, now: Timestamp, energy_j: f64) {
    tally.account("GPU-a", now.wall_ms);
    tally.day(now.wall_ms).add_device("GPU-a", "gpu0", Use { energy_j, covered_s: 1.0 });
}

#[test]
fn days_outlive_the_agent_and_the_day_that_lasts_goes_on() {
    let home = tempfile::tempdir().unwrap();
    keep(home.path(), at(DAY, 0), |tally| {
        add(tally, at(DAY, 0), 1.0);
        add(tally, at(DAY + 1, 0), 2.0);
        add(tally, at(DAY + 2, 0), 3.0);
    });
    keep(home.path(), at(DAY + 2, 9), |tally| add(tally, at(DAY + 2, 9), 4.0));
    let kept = crate::tally::read_days(home.path()).unwrap().unwrap();
    assert_eq!(energy(&kept), [(0, 1.0), (1, 2.0), (2, 7.0)]);
    keep(home.path(), at(DAY + 4, 0), |tally| assert_eq!(energy(&tally.days()), energy(&kept)));
    assert!(crate::tally::read_days(&home.path().join("nowhere")).unwrap().is_none());
}

#[test]
fn a_crash_between_the_two_files_neither_loses_nor_doubles_a_day() {
    let home = tempfile::tempdir().unwrap();
    let counts = home.path().join("energy.json");
    keep(home.path(), at(DAY, 0), |tally| add(tally, at(DAY, 0), 1.0));
    let before = fs::read(&counts).unwrap();
    keep(home.path(), at(DAY, 1), |tally| {
        add(tally, at(DAY, 1), 1.0);
        add(tally, at(DAY + 1, 0), 5.0);
    });
    // The days that are over are on disk, the counts are those of before.
    fs::write(&counts, before).unwrap();
    keep(home.path(), at(DAY + 1, 1), |tally| {
        assert_eq!(energy(&tally.days()), [(0, 2.0)]);
        // The clock is stepped back, and forth again.
        add(tally, at(DAY, 2), 1.0);
        assert_eq!(energy(&tally.days()), [(0, 3.0)]);
        add(tally, at(DAY + 1, 2), 7.0);
    });
    let kept = crate::tally::read_days(home.path()).unwrap().unwrap();
    assert_eq!(energy(&kept), [(0, 3.0), (1, 7.0)]);
}

#[test]
fn counts_of_the_version_before_are_taken_over_and_days_begin() {
    let home = tempfile::tempdir().unwrap();
    let old = r#"{"version":1,"devices":[{"device":"GPU-a","idle_w":61.0,"open_j":7,"departed_j":0,"last_ms":0,"workloads":[]}]}"#;
    fs::write(home.path().join("energy.json"), old).unwrap();
    keep(home.path(), at(DAY, 0), |tally| {
        assert_eq!(tally.account("GPU-a", 0).total_j(), 7.0);
        assert!(tally.days().is_empty());
        add(tally, at(DAY, 0), 1.0);
    });
    assert_eq!(energy(&crate::tally::read_days(home.path()).unwrap().unwrap()), [(0, 1.0)]);
}

#[test]
fn damaged_days_are_put_aside_and_the_counts_stay() {
    for text in [
        "",
        "{",
        r#"{"version":2,"days":[]}"#,
        r#"{"version":1,"days":[{"day":1,"devices":[],"workloads":[],"others_j":-1}]}"#,
    ] {
        let home = tempfile::tempdir().unwrap();
        keep(home.path(), at(DAY, 0), |tally| add(tally, at(DAY, 0), 1.0));
        fs::write(home.path().join("energy-days.json"), text).unwrap();
        assert!(
            crate::tally::read_days(home.path()).unwrap_err().contains("energy-days.json is damaged"),
            "{text}"
        );
        keep(home.path(), at(DAY, 1), |tally| assert_eq!(energy(&tally.days()), [(0, 1.0)], "{text}"));
        let names =
            fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with("energy-days.damaged")).count(), 1, "{text}");
    }
}

#[test]
fn what_caps_saved_is_unknown_until_somebody_says_it() {
    let mut days = Days::default();
    count(&mut days, at(DAY, 0), 1.0);
    assert_eq!(days.current().devices[0].saved_j, None);
    days.today().add_saved("GPU-a", 3.0);
    days.today().add_saved("GPU-a", 4.0);
    assert_eq!(days.current().devices[0].saved_j, Some(7.0));
}
