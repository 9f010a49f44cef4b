//! Tests of the tally: sums that never fall, restarts, damage, a second writer, a full disk, limits.
use super::*;
use model::WorkloadKind;
use std::fs;

fn at(second: u64) -> Timestamp {
    Timestamp { mono_ns: second * 1_000_000_000, wall_ms: 1_700_000_000_000 + second.cast_signed() * 1000 }
}

fn unit(name: &str) -> Arc<Workload> {
    Arc::new(Workload::new(WorkloadKind::Unit, name))
}

fn add(tally: &mut Tally, device: &str, name: &str, energy_j: f64, now: Timestamp) -> f64 {
    tally.account(device, now.wall_ms).add(&unit(name), energy_j, now.wall_ms)
}

fn energy(tally: &Tally, device: &str, name: &str) -> Option<f64> {
    let account = tally.accounts.iter().find(|(key, _)| key == device).map(|(_, account)| account)?;
    account.entries().iter().find(|entry| entry.workload.key == name).map(|entry| entry.energy_j)
}

fn damaged(directory: &Path) -> usize {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs::read_dir(directory).unwrap().map(name).filter(|name| name.starts_with("energy.damaged")).count()
}

#[test]
fn counts_go_on_after_a_restart_and_what_was_not_written_is_forgotten_not_doubled() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("new");
    let mut tally = Tally::default();
    tally.keep_in(&directory, at(0));
    add(&mut tally, "GPU-a", "x.service", 100.0, at(1));
    tally.account("GPU-a", at(1).wall_ms).idle.observe(Some(60.0), Some(0.0));
    tally.account("GPU-a", at(1).wall_ms).open_j = 7.0;
    drop(tally);
    for _ in 0..3 {
        let mut tally = Tally::default();
        tally.keep_in(&directory, at(2));
        assert_eq!(energy(&tally, "GPU-a", "x.service"), Some(100.0));
        assert_eq!(tally.account("GPU-a", at(2).wall_ms).total_j(), 107.0);
        assert_eq!(tally.account("GPU-a", at(2).wall_ms).idle.lowest_w, Some(60.0));
        add(&mut tally, "GPU-a", "x.service", 5.0, at(3));
        // Killed: nothing is written at the end, and the lock is given up.
        let writer = tally.writer.take().unwrap();
        drop(writer.queue);
        writer.ended.recv().unwrap();
    }
}

#[test]
fn a_workload_long_gone_goes_into_the_remainder_and_the_sum_stays() {
    let mut tally = Tally::default();
    add(&mut tally, "GPU-a", "old", 40.0, at(0));
    add(&mut tally, "GPU-a", "new", 2.0, at(3000));
    tally.turn(at(3600));
    assert_eq!(energy(&tally, "GPU-a", "old"), Some(40.0), "an hour after");
    tally.turn(at(3601));
    assert_eq!(energy(&tally, "GPU-a", "old"), None);
    let account = tally.account("GPU-a", at(3601).wall_ms);
    assert_eq!((account.departed_j, account.total_j()), (40.0, 42.0));
}

#[test]
fn past_the_limit_those_longest_unseen_go_and_the_sum_stays() {
    let mut tally = Tally::default();
    for number in 0..ENTRIES_MAX as u64 + 20 {
        add(
            &mut tally,
            if number % 2 == 0 { "GPU-a" } else { "GPU-b" },
            &number.to_string(),
            1.0,
            at(number),
        );
    }
    let now = at(ENTRIES_MAX as u64 + 20);
    tally.turn(now);
    let count: usize = tally.accounts.iter().map(|(_, account)| account.entries().len()).sum();
    assert_eq!(count, ENTRIES_MAX);
    assert_eq!((energy(&tally, "GPU-b", "19"), energy(&tally, "GPU-a", "20")), (None, Some(1.0)));
    let total: f64 = tally.accounts.iter().map(|(_, account)| account.total_j()).sum();
    assert_eq!(total, ENTRIES_MAX as f64 + 20.0);
}

#[test]
fn accounts_are_bounded() {
    let mut tally = Tally::default();
    for number in 0..ACCOUNTS_MAX as u64 + 5 {
        add(&mut tally, &number.to_string(), "x", 1.0, at(number));
    }
    assert_eq!(tally.accounts.len(), ACCOUNTS_MAX);
    assert!(energy(&tally, "4", "x").is_none() && energy(&tally, "5", "x").is_some());
}

#[test]
fn a_better_name_takes_the_counts_along() {
    let mut tally = Tally::default();
    add(&mut tally, "GPU-a", "id", 3.0, at(1));
    add(&mut tally, "GPU-a", "name", 4.0, at(2));
    tally.rename(&unit("id"), &unit("name"));
    assert_eq!((energy(&tally, "GPU-a", "id"), energy(&tally, "GPU-a", "name")), (None, Some(7.0)));
}

#[test]
fn a_damaged_file_is_kept_aside_and_counting_goes_on() {
    for text in [
        "",
        "{",
        "[]",
        r#"{"version":3,"devices":[]}"#,
        r#"{"version":1,"devices":[{"device":"a","idle_w":null,"open_j":-1,"departed_j":0,"last_ms":0,"workloads":[]}]}"#,
        "\u{0}\u{0}\u{0}",
    ] {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("energy.json"), text).unwrap();
        let mut tally = Tally::default();
        tally.keep_in(home.path(), at(0));
        assert!(tally.accounts.is_empty(), "{text:?}");
        assert_eq!(damaged(home.path()), 1, "{text:?}");
        add(&mut tally, "GPU-a", "x", 1.0, at(1));
        drop(tally);
        assert!(home.path().join("energy.json").exists(), "{text:?}");
    }
}

#[test]
fn a_second_agent_counts_in_memory_only() {
    let home = tempfile::tempdir().unwrap();
    let (mut one, mut two) = (Tally::default(), Tally::default());
    one.keep_in(home.path(), at(0));
    two.keep_in(home.path(), at(0));
    assert!(one.writer.is_some() && two.writer.is_none());
    add(&mut one, "GPU-a", "x", 1.0, at(1));
    add(&mut two, "GPU-a", "x", 2.0, at(1));
    drop(two);
    drop(one);
    let mut next = Tally::default();
    next.keep_in(home.path(), at(2));
    assert_eq!(energy(&next, "GPU-a", "x"), Some(1.0));
}

#[test]
fn a_full_disk_leaves_the_last_good_counts_and_no_draft() {
    let home = tempfile::tempdir().unwrap();
    let mut tally = Tally::default();
    add(&mut tally, "GPU-a", "x", 1.0, at(1));
    let (mut disk, _) = Home::open(home.path(), at(0)).unwrap();
    disk.save(&tally.saved()).unwrap();
    // A draft that every write fails on, as on a full disk.
    std::os::unix::fs::symlink("/dev/full", home.path().join("energy.json.draft")).unwrap();
    add(&mut tally, "GPU-a", "x", 1.0, at(2));
    assert!(disk.save(&tally.saved()).is_err());
    assert!(!home.path().join("energy.json.draft").exists());
    disk.save(&tally.saved()).unwrap();
    drop(disk);
    let (_, (saved, _)) = Home::open(home.path(), at(3)).unwrap();
    assert_eq!(saved.devices[0].workloads[0].energy_j, 2.0);
}
