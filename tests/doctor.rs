//! `wattkeeper doctor` as an operator runs it: what it says of this host, of a hung driver, and that it changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use fake_nvml::Control;
use serde_json::Value;
use tests::{fake_library, run};

fn library() -> String {
    format!("collectors.libraries=[\"nvml={}\"]", fake_library().display())
}

fn check<'a>(report: &'a Value, part: &str, name: &str) -> &'a Value {
    report[part].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

#[test]
fn every_source_is_judged_and_the_exit_code_follows() {
    let home = tempfile::tempdir().unwrap();
    let state = format!("state.directory=\"{}\"", home.path().join("new").display());
    let (code, out, error) = run(
        &["doctor", "--json", "--set", &library(), "--set", &state],
        &[("WATTKEEPER_FAKE_NVML", &home.path().join("node"))],
    );
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}"));
    for entry in collectors::BUILT_IN {
        assert!(check(&report, "sources", entry.name)["verdict"].is_string());
    }
    assert_eq!(check(&report, "sources", "cpu")["verdict"], "ok");
    assert_eq!(check(&report, "sources", "nvml")["verdict"], "ok");
    assert_eq!(check(&report, "process", "state")["verdict"], "ok");
    assert!(!home.path().join("new").exists(), "it changes nothing");
    assert_eq!(code == 0, report["denied"] == 0, "{out}");
}

#[test]
fn a_hung_library_does_not_hang_the_doctor() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    control.hang(true).unwrap();
    let (_, out, _) =
        run(&["doctor", "--patience", "1", "--set", &library()], &[("WATTKEEPER_FAKE_NVML", &file)]);
    let line = out.lines().find(|line| line.contains(" nvml ")).unwrap();
    assert!(line.contains("FAILED"), "{out}");
    assert!(out.contains("has not returned"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
}

#[test]
fn a_library_that_is_not_there_is_said_and_is_no_right_to_grant() {
    let (_, out, _) = run(
        &["doctor", "--json", "--set", "collectors.libraries=[\"nvml=/nonexistent/libnvidia-ml.so.1\"]"],
        &[],
    );
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(check(&report, "sources", "nvml")["verdict"], "failed");
}
