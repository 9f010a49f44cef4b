//! Tests of `inject`: it says what it did, ends in time, refuses too much, and leaves nothing behind however it ends.
use std::path::Path;
use std::process::{Command, Output, Stdio};

const KINDS: [&str; 6] = ["cpu", "cache", "bandwidth", "leak", "disk", "network"];

fn inject(kind: &str, seconds: &str, intensity: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inject"));
    command.args([kind, "--seconds", seconds, "--intensity", intensity, "--folder"]).arg(folder);
    command.stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_kind_ends_in_time_and_prints_its_label() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let output = inject(kind, "1", "0.02", folder.path()).output().unwrap();
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        let label: serde_json::Value = serde_json::from_str(text(&output).trim()).unwrap();
        assert_eq!((&label["kind"], &label["intensity"]), (&kind.into(), &0.02.into()));
        let took = label["end_ms"].as_i64().unwrap() - label["start_ms"].as_i64().unwrap();
        assert!((900..4000).contains(&took), "{kind}: {took} ms");
        let counted = matches!(kind, "leak" | "disk" | "network");
        assert_eq!(label["bytes"].as_u64().is_some_and(|bytes| bytes > 0), counted, "{label}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays on disk");
}

#[test]
fn what_is_above_the_bounds_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, seconds, intensity) in [
        ("cpu", "121", "0.5"),
        ("cpu", "0", "0.5"),
        ("leak", "1", "1.01"),
        ("leak", "1", "0"),
        ("disk", "1", "-1"),
        ("network", "1", "NaN"),
        ("cpu", "1", "inf"),
        ("fan", "1", "0.5"),
    ] {
        let output = inject(kind, seconds, intensity, folder.path()).output().unwrap();
        assert!(!output.status.success() && text(&output).is_empty(), "{kind} {seconds} {intensity}");
    }
}

#[test]
fn a_killed_run_leaves_no_file_and_prints_no_label() {
    for signal in ["TERM", "KILL"] {
        let folder = tempfile::tempdir().unwrap();
        let child = inject("disk", "60", "0.02", folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        // Whether it has begun to write or not, there is never a name for the file.
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success() && text(&output).is_empty(), "{signal}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{signal}");
    }
}
