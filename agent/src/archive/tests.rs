//! Tests of the archive: what is written is read back, and no damage on disk costs more than the damaged lines.
use super::file::FILE;
use super::*;
use model::incident::{Cause, Confidence, End, Subject};
use model::{DeviceKind, EventId, FaultKind, Remedy, Severity};
use std::fs;
use tempfile::TempDir;

fn at(wall_ms: i64) -> Timestamp {
    Timestamp { mono_ns: wall_ms.unsigned_abs() * 1_000_000, wall_ms }
}

fn incident(id: u64, cleared_ms: Option<i64>) -> Arc<Incident> {
    let subject = Subject { kind: DeviceKind::Gpu, key: "GPU-5".into(), name: "gpu5".into() };
    Arc::new(Incident {
        id: IncidentId(id),
        severity: Severity::Critical,
        devices: vec![subject],
        cause: Cause {
            fault: FaultKind::Xid,
            code: 79,
            event: EventId(id),
            device: Some(0),
            title: "XID error 79".into(),
            sentence: "It fell off the bus.".into(),
            confirm: "Look for it.".into(),
        },
        confidence: Confidence::Stated,
        remedy: Remedy::RebootNode,
        driver_asks: false,
        advice: "Reboot.".into(),
        since: at(1000 + id.cast_signed()),
        last: at(2000),
        cleared: cleared_ms.map(at),
        end: cleared_ms.map(|_| End::Cleared),
        returns: 0,
        timeline: Vec::new(),
        untold: 0,
        evidence: Vec::new(),
        events: vec![EventId(id)],
    })
}

/// A clerk of a directory, on this thread.
fn clerk(home: &TempDir) -> Clerk {
    let (home, past) = Home::open(home.path(), at(500)).unwrap();
    let kept = past.incidents.into_iter().map(|incident| (incident.id, Arc::new(incident)));
    Clerk { home, from_ms: past.from_ms, kept: kept.collect(), failing: false }
}

fn numbers(home: &TempDir) -> Vec<(u64, bool)> {
    let past = read(home.path()).unwrap().unwrap();
    past.incidents.iter().map(|incident| (incident.id.0, incident.active())).collect()
}

#[test]
fn the_last_line_of_an_incident_counts_and_the_beginning_is_kept() {
    let home = TempDir::new().unwrap();
    assert_eq!(read(home.path()).unwrap(), None);
    let mut first = clerk(&home);
    first.write(&[incident(1, None)]);
    first.write(&[incident(2, None), incident(1, Some(3000))]);
    assert_eq!(fs::read_to_string(home.path().join(FILE)).unwrap().lines().count(), 4);
    drop(first);
    assert_eq!(numbers(&home), [(2, true), (1, false)], "in the order in which they ended");
    assert_eq!(read(home.path()).unwrap().unwrap().from_ms, 500);
    clerk(&home).write(&[incident(3, None)]);
    assert_eq!(numbers(&home).len(), 3, "a second run adds to the first");
}

#[test]
fn a_torn_line_junk_and_another_version_cost_their_own_lines_only() {
    let home = TempDir::new().unwrap();
    clerk(&home).write(&[incident(1, Some(3000)), incident(2, Some(3001))]);
    let path = home.path().join(FILE);
    let whole = fs::read_to_string(&path).unwrap();
    let other = whole.lines().nth(1).unwrap().replace("\"version\":1", "\"version\":9");
    let damaged = format!("\u{0}junk\n{}\n{{}}\n[]\n{}", other, &whole[..whole.len() - 40]);
    fs::write(&path, damaged).unwrap();
    let past = read(home.path()).unwrap().unwrap();
    assert_eq!((past.incidents.len(), past.skipped, past.from_ms), (1, 5, 500));
    clerk(&home).write(&[incident(3, None)]);
    assert_eq!(numbers(&home), [(3, true), (1, false)], "the next line does not run into the torn one");
    assert_eq!(read(home.path()).unwrap().unwrap().skipped, 0);
}

#[test]
fn nothing_but_junk_is_nothing() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join(FILE), [0xff_u8; 5000]).unwrap();
    let past = read(home.path()).unwrap().unwrap();
    assert_eq!((past.incidents.len(), past.skipped, past.from_ms), (0, 1, i64::MAX));
}

#[test]
fn what_a_full_disk_refused_is_written_once_it_takes_data_again() {
    let home = TempDir::new().unwrap();
    let mut clerk = clerk(&home);
    // A directory in the draft's place refuses it as a full disk would.
    let draft = home.path().join(format!("{FILE}.draft"));
    fs::create_dir(&draft).unwrap();
    clerk.write(&[incident(1, None)]);
    assert!(clerk.failing && read(home.path()).unwrap().is_none());
    fs::remove_dir(&draft).unwrap();
    clerk.write(&[incident(2, None)]);
    assert!(!clerk.failing);
    assert_eq!(numbers(&home).len(), 2);
}

#[test]
fn the_file_is_bounded_and_says_from_when_on_it_is_whole() {
    let home = TempDir::new().unwrap();
    let mut clerk = clerk(&home);
    for id in 0..3 * KEPT_MAX as u64 {
        clerk.kept.insert(IncidentId(id), incident(id, Some(10_000 + id.cast_signed())));
    }
    clerk.write(&[incident(9999, None)]);
    let past = read(home.path()).unwrap().unwrap();
    assert_eq!(past.incidents.len(), KEPT_MAX);
    assert_eq!(past.from_ms, 10_000 + 2 * KEPT_MAX.cast_signed() as i64);
}

#[test]
fn a_long_file_is_written_anew() {
    let home = TempDir::new().unwrap();
    let mut clerk = clerk(&home);
    let mut long = Incident::clone(&incident(1, None));
    long.cause.title = "x".repeat(1 << 20);
    let long = Arc::new(long);
    (0..9).for_each(|_| clerk.write(&[Arc::clone(&long)]));
    assert!(fs::metadata(home.path().join(FILE)).unwrap().len() < 6 << 20);
    assert_eq!(numbers(&home), [(1, true)]);
}

#[test]
fn a_second_agent_writes_nowhere() {
    let home = TempDir::new().unwrap();
    let (first, _) = Archive::open(home.path(), at(500));
    assert!(first.is_some());
    let (second, past) = Archive::open(home.path(), at(700));
    assert!(second.is_none());
    assert_eq!(past.from_ms, 700);
}
