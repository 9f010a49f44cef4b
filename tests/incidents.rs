//! Incidents as an operator meets them: one story a fault in the demo, over HTTP, in metrics, in `diagnose`, after a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use fake_nvml::Control;
use std::path::Path;
use tests::{Agent, eventually, fake_library, run};

fn library() -> String {
    format!("collectors.libraries=[\"nvml={}\"]", fake_library().display())
}

/// An agent on eight boards of the fake library that keeps its state in `home`.
fn agent(home: &Path, file: &Path) -> Agent {
    let state = format!("state.directory={}", home.join("state").display());
    Agent::start(&["--set", &library(), "--set", &state], &[("WATTKEEPER_FAKE_NVML", file)])
}

fn incidents(agent: &Agent) -> Vec<serde_json::Value> {
    agent.get("/incidents").json()["incidents"].as_array().unwrap().clone()
}

/// An incident that an XID error leads.
fn of_xid(agent: &Agent) -> Option<serde_json::Value> {
    incidents(agent).into_iter().find(|incident| incident["cause"]["fault"] == "xid")
}

#[test]
fn the_demo_tells_an_xid_the_loss_and_the_return_as_one_incident_and_the_heat_as_another() {
    let address = tests::free_address().to_string();
    let (code, text, error) = run(&["demo", "--plain", "--speed", "20", "--listen", &address], &[]);
    assert_eq!(code, 0, "{text}{error}");
    let begun =
        |what: &str| text.lines().filter(|line| line.contains("incident  ") && line.contains(what)).count();
    assert_eq!(
        begun("critical: XID error 79: The GPU no longer answers on the PCIe bus on gpu5"),
        1,
        "{text}"
    );
    assert_eq!(begun("warning: Thermal slowdown on gpu2"), 1, "{text}");
    assert_eq!(begun("gpu5"), 1, "nothing else is told of gpu5:\n{text}");
    assert!(text.contains("Device lost on gpu5"), "{text}");
    assert!(text.contains("action: ") && text.contains("(reboot_node)"), "{text}");
}

#[test]
fn an_xid_and_a_loss_are_one_incident_on_every_face_of_the_agent() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    let agent = agent(home.path(), &file);
    control.xid(3, 79).unwrap();
    control.lose(3).unwrap();
    let complete =
        |incident: &serde_json::Value| incident["timeline"].as_array().is_some_and(|t| t.len() >= 2);
    eventually("the loss is told with the XID", || {
        of_xid(&agent).is_some_and(|incident| complete(&incident))
    });
    let all = incidents(&agent);
    let on_it: Vec<_> = all.iter().filter(|incident| incident["devices"][0]["name"] == "gpu3").collect();
    assert_eq!(on_it.len(), 1, "{all:?}");
    let incident = on_it[0];
    for (part, value) in [
        ("state", "active"),
        ("severity", "critical"),
        ("confidence", "stated"),
        ("remedy", "reboot_node"),
        ("nvsentinel", "RESTART_BM"),
        ("gpud", "REBOOT_SYSTEM"),
        ("title", "XID error 79: The GPU no longer answers on the PCIe bus on gpu3"),
    ] {
        assert_eq!(incident[part], value, "{part} in {incident:#}");
    }
    assert_eq!(incident["evidence"][0]["name"], "gpu3");
    assert_eq!(agent.metric("wattkeeper_incidents", &["severity=\"critical\""]), Some(1.0));
    let labels = ["cause=\"xid\"", "severity=\"critical\"", "remedy=\"reboot_node\""];
    assert_eq!(agent.metric("wattkeeper_incident_active", &labels), Some(1.0));
    let url = format!("http://{}", agent.address);
    let (code, text, _) = run(&["diagnose", "--attach", &url], &[]);
    assert_eq!(code, 2);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "wider than a terminal:\n{text}");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "The GPU no longer answers on the PCIe bus",
        "first sign",
        "cause",
        "NVSentinel RESTART_BM",
        "gpud REBOOT_SYSTEM",
        "confirm",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    let (_, json, _) = run(&["diagnose", "--attach", &url, "--json"], &[]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["incidents"][0]["title"],
        "XID error 79: The GPU no longer answers on the PCIe bus on gpu3"
    );
    assert!(json["since"].is_null());
}

#[test]
fn diagnose_looks_back_over_an_incident_that_is_over_and_over_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    let first = agent(home.path(), &file);
    control.lose(2).unwrap();
    let known =
        |agent: &Agent, state: &str| incidents(agent).iter().any(|incident| incident["state"] == state);
    eventually("the loss is an incident", || known(&first, "active"));
    control.give_back(2).unwrap();
    eventually("it is over", || known(&first, "cleared"));
    let look = |agent: &Agent| {
        run(&["diagnose", "--attach", &format!("http://{}", agent.address), "--since", "2h"], &[])
    };
    let (_, text, _) = look(&first);
    assert!(
        text.contains("Device lost on gpu2") && text.contains("only: nothing is known of the time before"),
        "{text}"
    );
    eventually("it is on disk", || {
        let text = std::fs::read_to_string(home.path().join("state/incidents.jsonl"));
        text.is_ok_and(|text| text.contains("\"cleared\":{"))
    });
    drop(first);
    let second = agent(home.path(), &file);
    let (_, text, _) = look(&second);
    assert!(text.contains("Device lost on gpu2"), "{text}");
    assert!(text.contains("before that only while an agent ran"), "{text}");
    let url = format!("http://{}", second.address);
    let (_, json, _) = run(&["diagnose", "--attach", &url, "--since", "1d", "--json"], &[]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["since"]["incidents"][0]["title"], "Device lost on gpu2");
}

#[test]
fn a_time_that_is_none_is_refused_with_an_example() {
    for nonsense in ["soon", "2", "-1h", "2w", "0m"] {
        let (code, _, error) = run(&["diagnose", &format!("--since={nonsense}")], &[]);
        assert!(code == 2 && error.contains("90m"), "{nonsense}: {code} {error}");
    }
}
