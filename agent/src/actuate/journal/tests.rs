//! Tests of the journal: durable before use, never overwritten, one writer, and every damage noticed.
use super::*;
use crate::durable::{Fault, Step, with};

fn originals(journal: &Journal) -> Vec<(String, f64)> {
    journal.originals().map(|(key, _, original)| (key.to_owned(), original.value)).collect()
}

/// A power limit that is held.
fn row(key: &str, value: f64) -> (&str, Knob, Original) {
    (key, Knob::PowerLimit, Original { value, keep: Keep::Safety, incarnation: None })
}

fn gpu_a() -> Vec<(String, f64)> {
    vec![("GPU-a".to_owned(), 700.0)]
}

#[test]
fn an_original_survives_and_is_never_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(home.path()).unwrap();
    journal.keep([row("GPU-a", 700.0)]).unwrap();
    journal.keep([row("GPU-a", 350.0)]).unwrap();
    drop(journal);
    assert_eq!(originals(&Journal::open(home.path()).unwrap()), gpu_a());
}

#[test]
fn an_original_that_was_given_back_is_gone_and_the_others_stay() {
    let home = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(home.path()).unwrap();
    journal.keep([row("GPU-a", 700.0), row("GPU-b", 400.0)]).unwrap();
    journal.forget("GPU-b", Knob::PowerLimit).unwrap();
    journal.forget("GPU-c", Knob::PowerLimit).unwrap();
    drop(journal);
    assert_eq!(originals(&Journal::open(home.path()).unwrap()), gpu_a());
}

#[test]
fn what_could_not_be_made_durable_is_not_kept() {
    let home = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(home.path()).unwrap();
    fs::create_dir(home.path().join(format!("{FILE}.draft"))).unwrap();
    assert!(matches!(journal.keep([row("GPU-a", 700.0)]), Err(JournalError::Io { .. })));
    assert_eq!(originals(&journal), []);
}

#[test]
fn a_draft_that_was_cut_off_is_no_journal() {
    let home = tempfile::tempdir().unwrap();
    Journal::open(home.path()).unwrap().keep([row("GPU-a", 700.0)]).unwrap();
    fs::write(home.path().join(format!("{FILE}.draft")), "{\"version\":1,\"dev").unwrap();
    let mut journal = Journal::open(home.path()).unwrap();
    assert_eq!(originals(&journal), gpu_a());
    journal.keep([row("GPU-b", 400.0)]).unwrap();
}

#[test]
fn every_single_flipped_bit_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    Journal::open(home.path()).unwrap().keep([row("GPU-a", 700.0)]).unwrap();
    let sound = fs::read(&path).unwrap();
    let mut noticed = 0;
    for bit in 0..sound.len() * 8 {
        let mut bad = sound.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bad).unwrap();
        match Journal::open(home.path()) {
            // A flip may leave the meaning as it was: a line end or a space of another kind.
            Ok(journal) => assert_eq!(originals(&journal), gpu_a(), "bit {bit}"),
            Err(error) => {
                assert_eq!(error.reason(), Reason::Malformed, "bit {bit}");
                noticed += 1;
            }
        }
    }
    assert!(noticed > sound.len() * 7, "{noticed} of {}", sound.len() * 8);
}

#[test]
fn a_line_of_another_format_is_not_guessed_at() {
    let home = tempfile::tempdir().unwrap();
    Journal::open(home.path()).unwrap();
    let (key, knob, original) = row("GPU-a", 700.0);
    let mut line = Line { version: VERSION + 1, ..Line::new(key, knob, original, "") };
    line.crc32 = line.checksum();
    fs::write(home.path().join(FILE), serde_json::to_string(&line).unwrap()).unwrap();
    assert_eq!(Journal::open(home.path()).unwrap_err().reason(), Reason::Malformed);
}

#[test]
fn a_journal_of_version_1_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    Journal::open(home.path()).unwrap();
    let (key, knob, original) = row("GPU-a", 700.0);
    let mut line = Line { version: 1, ..Line::new(key, knob, original, "") };
    line.crc32 = line.checksum();
    let text = format!(
        "{{\"version\":1,\"device\":\"GPU-a\",\"original_w\":700.0,\"boot\":\"\",\"crc32\":{}}}",
        line.crc32
    );
    fs::write(home.path().join(FILE), text).unwrap();
    assert_eq!(Journal::open(home.path()).unwrap().originals().collect::<Vec<_>>(), [row("GPU-a", 700.0)]);
}

#[test]
fn each_knob_has_its_own_original_and_a_cap_that_came_to_be_held_stays_one() {
    let home = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(home.path()).unwrap();
    let clock = |keep| ("GPU-a", Knob::ClockMax, Original { value: 1980e6, keep, incarnation: None });
    journal.keep([row("GPU-a", 700.0), clock(Keep::Tuning)]).unwrap();
    journal.keep([clock(Keep::Safety)]).unwrap();
    journal.keep([clock(Keep::Tuning)]).unwrap();
    journal.forget("GPU-a", Knob::PowerLimit).unwrap();
    drop(journal);
    let journal = Journal::open(home.path()).unwrap();
    assert_eq!(journal.originals().collect::<Vec<_>>(), [clock(Keep::Safety)]);
}

#[test]
fn an_original_from_before_the_last_boot_is_left_out() {
    let home = tempfile::tempdir().unwrap();
    let open = |boot: &str| Journal::open_in(home.path(), boot.to_owned()).unwrap();
    open("one").keep([row("GPU-a", 700.0)]).unwrap();
    assert_eq!(originals(&open("one")), gpu_a());
    assert_eq!(originals(&open("")), gpu_a(), "an unknown boot proves nothing");
    assert_eq!(originals(&open("two")), []);
}

#[test]
fn a_second_writer_is_kept_out_until_the_first_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let first = Journal::open(home.path()).unwrap();
    let error = Journal::open(home.path()).unwrap_err();
    assert_eq!((error.reason(), error.refusal()), (Reason::Busy, Reason::Busy));
    drop(first);
    assert!(Journal::open(home.path()).is_ok());
}

#[test]
fn a_journal_is_tried_again_every_ten_seconds_and_one_that_is_off_when_it_is_needed() {
    let at = |seconds| Timestamp::default().after(Duration::from_secs(seconds));
    let home = tempfile::tempdir().unwrap();
    let first = Journal::open(home.path()).unwrap();
    let mut second = Journal::open_if_needed(home.path(), true);
    assert!(!second.reopen(true, at(1)));
    drop(first);
    assert!(!second.reopen(true, at(10)));
    assert!(second.reopen(true, at(11)));
    drop(second);
    let mut off = Journal::open_if_needed(home.path(), false);
    assert!(!off.reopen(false, at(100)));
    assert!(off.reopen(true, at(100)));
}

#[test]
fn the_checksum_is_the_standard_one() {
    assert_eq!(crc32(b"123456789".iter().copied()), 0xcbf4_3926);
}

/// Opens what a death left behind.
fn found(home: &tempfile::TempDir) -> Vec<(String, f64)> {
    originals(&Journal::open(home.path()).unwrap())
}

#[test]
fn a_death_or_a_full_disk_at_any_step_of_keeping_leaves_every_earlier_original() {
    let steps = [Step::Create, Step::Write, Step::Sync, Step::Rename, Step::Folder];
    let faults = steps.into_iter().flat_map(|step| {
        let bytes = if step == Step::Write { 0..400 } else { 0..1 };
        bytes.flat_map(move |bytes| [true, false].map(|dies| Fault { step, bytes, dies }))
    });
    for fault in faults {
        let home = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(home.path()).unwrap();
        journal.keep([row("GPU-a", 700.0)]).unwrap();
        with(fault, || journal.keep([row("GPU-a", 111.0), row("GPU-b", 400.0)])).unwrap_err();
        assert_eq!(originals(&journal), gpu_a(), "{fault:?}: what is not known to be durable is not used");
        if !fault.dies {
            journal.keep([row("GPU-b", 400.0)]).unwrap();
        }
        drop(journal);
        let both = [gpu_a(), vec![("GPU-b".to_owned(), 400.0)]].concat();
        let left = found(&home);
        let allowed = if fault.dies { left == gpu_a() || left == both } else { left == both };
        assert!(allowed, "{fault:?}: {left:?}");
    }
}

#[test]
fn a_death_or_a_full_disk_at_any_step_of_forgetting_loses_no_other_original() {
    for step in [Step::Create, Step::Write, Step::Sync, Step::Rename, Step::Folder] {
        for (dies, bytes) in (0..200).flat_map(|bytes| [(true, bytes), (false, bytes)]) {
            let home = tempfile::tempdir().unwrap();
            let mut journal = Journal::open(home.path()).unwrap();
            journal.keep([row("GPU-a", 700.0), row("GPU-b", 400.0)]).unwrap();
            with(Fault { step, bytes, dies }, || journal.forget("GPU-b", Knob::PowerLimit)).unwrap_err();
            drop(journal);
            assert!(found(&home).contains(&gpu_a()[0]), "{step:?} {bytes}");
            if step != Step::Write {
                break;
            }
        }
    }
}

#[test]
fn a_journal_that_was_cut_off_at_any_length_is_never_taken_for_a_shorter_one() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    let mut journal = Journal::open(home.path()).unwrap();
    journal.keep([row("GPU-a", 700.0), row("GPU-b", 400.0), row("GPU-c", 300.0)]).unwrap();
    drop(journal);
    let sound = fs::read(&path).unwrap();
    let whole = found(&home);
    for length in 0..sound.len() {
        fs::write(&path, &sound[..length]).unwrap();
        match Journal::open(home.path()) {
            // Without its last line end the last line is still whole.
            Ok(journal) => assert_eq!((originals(&journal), length), (whole.clone(), sound.len() - 1)),
            Err(error) => assert_eq!(error.reason(), Reason::Malformed, "{length}"),
        }
        assert_eq!(fs::read(&path).unwrap(), &sound[..length], "a damaged journal is left as it is");
    }
}

#[test]
fn a_line_that_is_missing_or_comes_from_another_journal_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    Journal::open(home.path()).unwrap().keep([row("GPU-a", 700.0), row("GPU-b", 400.0)]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let other = serde_json::to_string(&Line::new("GPU-b", Knob::PowerLimit, row("", 500.0).2, "")).unwrap();
    for bad in [
        vec![lines[0], lines[2]],
        vec![lines[1], lines[2]],
        vec![lines[2]],
        vec![lines[0], lines[1]],
        vec![lines[0], &other, lines[2]],
        vec![lines[0], lines[1], lines[2], lines[0]],
    ] {
        fs::write(&path, bad.join("\n")).unwrap();
        assert_eq!(Journal::open(home.path()).unwrap_err().reason(), Reason::Malformed, "{bad:?}");
    }
}

#[test]
fn a_journal_of_another_host_is_of_another_boot_and_left_out() {
    let home = tempfile::tempdir().unwrap();
    let open = |boot: &str| Journal::open_in(home.path(), boot.to_owned()).unwrap();
    open("a boot of that host").keep([row("GPU-a", 700.0)]).unwrap();
    let mut here = open("a boot of this host");
    assert_eq!(originals(&here), []);
    here.keep([row("GPU-a", 650.0)]).unwrap();
    assert_eq!(originals(&here), [("GPU-a".to_owned(), 650.0)]);
}

#[test]
fn who_only_looks_needs_no_lock_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    assert!(Journal::look(home.path()).unwrap().is_empty());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    let mut journal = Journal::open(home.path()).unwrap();
    journal.keep([row("GPU-a", 700.0)]).unwrap();
    assert_eq!(Journal::look(home.path()).unwrap().len(), 1);
}
