//! The agent as its users meet it: real host data, the fake NVML's GPUs, the subcommands and their exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot be set up has failed"
)]
use fake_nvml::Control;
use std::path::Path;
use tests::{Agent, eventually, fake_library, run};

fn library() -> String {
    format!("collectors.libraries=[\"nvml={}\"]", fake_library().display())
}

#[test]
fn the_real_processors_memory_and_pressure_are_on_the_page() {
    let agent = Agent::start(&[], &[]);
    let busy = || agent.metric("wattkeeper_core_time_seconds_total", &["device=\"0\"", "mode=\"user\""]);
    assert!(busy().unwrap() > 0.0);
    let size = agent.metric("wattkeeper_node_memory_size_bytes", &[]).unwrap();
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kilobytes: f64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(size, kilobytes * 1024.0);
    if Path::new("/proc/pressure/cpu").exists() {
        assert!(
            agent.metric("wattkeeper_node_pressure_stall_seconds_total", &["resource=\"cpu\""]).is_some()
        );
    } else {
        eprintln!("NOTICE: this kernel has no pressure stall information");
    }
}

#[test]
fn eight_gpus_of_the_fake_library_are_read_with_their_own_values() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let _control = Control::open(&file).unwrap();
    let agent = Agent::start(&["--set", &library()], &[("WATTKEEPER_FAKE_NVML", &file)]);
    let page = agent.get("/metrics").text();
    let series = |name: &str| page.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(series("wattkeeper_accelerator_up{"), 8);
    assert_eq!(series("wattkeeper_accelerator_power_watts{"), 16, "instant and average are told apart");
    assert_eq!(series("wattkeeper_accelerator_energy_joules_total{"), 8);
}

#[test]
fn an_xid_79_shows_in_events_metrics_and_diagnose() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    let agent = Agent::start(&["--set", &library()], &[("WATTKEEPER_FAKE_NVML", &file)]);
    control.xid(3, 79).unwrap();
    let active = || {
        agent.metric("wattkeeper_event_active", &["fault=\"xid\"", "code=\"79\"", "severity=\"critical\""])
    };
    eventually("the XID is an event", || active() == Some(1.0));
    let state = agent.get("/state").json();
    let event =
        state["events"].as_array().unwrap().iter().find(|event| event["fault"] == "xid").unwrap().clone();
    assert!(!event["evidence"][0].is_null(), "an event without evidence: {event}");
    let url = format!("http://{}", agent.address);
    let (code, text, _) = run(&["diagnose", "--attach", &url], &[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("XID error 79"), "{text}");
    let (_, json, _) = run(&["diagnose", "--attach", &url, "--json"], &[]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["health"].as_str(), json["exit_code"].as_i64()), (Some("faulty"), Some(2)));
}

#[test]
fn diagnose_alone_calls_eight_idle_gpus_healthy_and_a_node_without_gpus_unknown() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let _control = Control::open(&file).unwrap();
    let (code, text, _) =
        run(&["diagnose", "--alone", "--set", &library()], &[("WATTKEEPER_FAKE_NVML", &file)]);
    assert_eq!(code, 0, "{text}");
    let (code, text, _) = run(&["diagnose", "--alone"], &[]);
    assert_eq!(code, 3, "{text}");
}

#[test]
fn the_demo_tells_its_story_in_plain_lines_and_ends_well() {
    let address = tests::free_address().to_string();
    let (code, text, error) = run(&["demo", "--plain", "--speed", "20", "--listen", &address], &[]);
    assert_eq!(code, 0, "{text}{error}");
    for expected in ["simulated", "XID error 79", "budget", "cleared", "Summary"] {
        assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
    }
}

#[test]
fn the_demo_shows_four_vendors_with_the_gaps_of_their_drivers() {
    let agent = Agent::start_as("demo", &["--plain", "--profile", "mixed", "--loop", "--speed", "5"], &[]);
    let loaded = || agent.get("/state").json();
    eventually("every vendor's devices are there", || {
        loaded()["frame"]["devices"].as_array().is_some_and(|all| {
            let names: Vec<_> = all.iter().filter_map(|device| device["name"].as_str()).collect();
            ["gpu3", "amd3", "gaudi1", "ascend1"].iter().all(|name| names.contains(name))
        })
    });
    let state = loaded();
    let devices = state["frame"]["devices"].as_array().unwrap();
    let of = |name: &str| devices.iter().find(|device| device["name"] == name).unwrap()["readings"].clone();
    // What HLML and DCMI cannot say is left out, and never 0.
    for (name, says, lacks) in [
        ("gpu0", "sm_occupancy", "health_code"),
        ("amd0", "energy", "sm_occupancy"),
        ("gaudi0", "energy", "power_limit_enforced"),
        ("ascend0", "health_code", "energy"),
    ] {
        let readings = of(name);
        assert!(readings[says].is_number() && readings["power_instant"].is_number(), "{name} {readings}");
        assert!(readings[lacks].is_null(), "{name} {readings}");
    }
}

#[test]
fn the_demo_of_a_hang_names_the_call_and_ends_when_it_returns() {
    let address = tests::free_address().to_string();
    let arguments = ["demo", "--plain", "--scenario", "hang", "--speed", "20", "--listen", &address];
    let (code, text, error) = run(&arguments, &[]);
    assert_eq!(code, 0, "{text}{error}");
    let hung = "Driver call does not return: nvmlDeviceGetFieldValues on gpu3 (critical)";
    for (word, count) in [("raised", 1), ("cleared", 1)] {
        let told = text.lines().filter(|line| line.contains(word) && line.contains(hung)).count();
        assert_eq!(told, count, "{word} in:\n{text}");
    }
    assert!(!text.contains("Device lost"), "a device that hangs is not lost:\n{text}");
}

#[test]
fn a_recording_replays_to_the_same_readings() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("beats.jsonl");
    let record = format!("record.path={}", path.display());
    let agent = Agent::start(&["--rig", "sim", "--set", &record, "--set", "beat.interval=100ms"], &[]);
    eventually("some beats are written", || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.lines().count() > 5)
    });
    drop(agent);
    let replay = format!("rig.replay.path={}", path.display());
    let (code, text, error) = run(&["diagnose", "--alone", "--rig", "replay", "--set", &replay], &[]);
    assert_eq!(code, 0, "{text}{error}");
    assert!(text.contains("replay data"), "{text}");
}

#[test]
fn every_metric_is_listed_by_the_catalogue() {
    let (code, text, _) = run(&["catalogue", "--json"], &[]);
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["metrics"].as_array().unwrap().len(), model::Metric::COUNT);
    let (_, table, _) = run(&["catalogue"], &[]);
    assert!(table.contains("wattkeeper_accelerator_power_watts{reading=\"instant\"}"));
}
