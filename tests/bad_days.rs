//! Bad input and bad days: each is an ordinary one for the agent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot be set up has failed"
)]
use fake_nvml::Control;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tests::{Agent, eventually, eventually_within, fake_library, get, run};

fn library() -> String {
    format!("collectors.libraries=[\"nvml={}\"]", fake_library().display())
}

#[test]
fn every_fault_of_a_configuration_is_in_one_report_and_nothing_is_started() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("bad.toml");
    std::fs::write(&file, "listen = 1\n[beat]\nintervall = \"1s\"\n[power]\nbudget = \"much\"\n").unwrap();
    let file = file.display().to_string();
    for command in [vec!["run"], vec!["config", "check"]] {
        let line: Vec<&str> = command.iter().copied().chain(["--config", &file]).collect();
        let (code, _, error) = run(&line, &[]);
        assert_eq!(code, 2, "{error}");
        for expected in
            ["3 faults", "listen = 1", "did you mean beat.interval?", "power.budget = \"much\"", "such as"]
        {
            assert!(error.contains(expected), "{expected:?} is missing in:\n{error}");
        }
    }
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, error) = run(&["run", "--listen", &address], &[]);
    assert_eq!(code, 1);
    assert!(error.contains(&address) && error.contains("listen"), "{error}");
}

#[test]
fn a_missing_library_is_an_absence_with_its_reason_and_everything_else_goes_on() {
    let agent =
        Agent::start(&["--set", "collectors.libraries=[\"nvml=/nonexistent/libnvidia-ml.so.1\"]"], &[]);
    let state = agent.get("/state").json();
    let nvml = state["sources"].as_array().unwrap().iter().find(|s| s["name"] == "nvml").unwrap().clone();
    assert_eq!((nvml["up"].as_bool(), nvml["reason"].as_str()), (Some(false), Some("missing")), "{nvml}");
    assert!(agent.metric("wattkeeper_node_load", &["window=\"1m\""]).is_some());
    assert_eq!(agent.metric("wattkeeper_accelerator_up", &[]), None);
}

#[test]
fn a_hung_driver_call_is_an_event_while_the_host_stays_fresh() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    let arguments = ["--set", &library(), "--set", "beat.interval=200ms"];
    let agent = Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", &file)]);
    control.hang(true).unwrap();
    let hung = || agent.metric("wattkeeper_event_active", &["fault=\"source_hung\"", "device=\"nvml\""]);
    eventually("the hang is an event", || hung() == Some(1.0));
    assert_eq!(agent.get("/healthz").status, 200);
    assert_eq!(
        agent.metric("wattkeeper_accelerator_power_watts", &[]),
        None,
        "no old value is shown as a new one"
    );
    let beats = || agent.metric("wattkeeper_agent_beats_total", &[]).unwrap();
    let before = beats();
    eventually("the beat goes on", || beats() > before + 3.0);
    control.hang(false).unwrap();
    eventually("the GPUs are back", || agent.metric("wattkeeper_accelerator_up", &[]) == Some(1.0));
    eventually("the event is cleared", || hung().is_none());
}

#[test]
fn a_lost_gpu_is_an_event_and_its_series_end_until_it_returns() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    let arguments = ["--set", &library(), "--set", "beat.interval=200ms"];
    let agent = Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", &file)]);
    let powers = || agent.get("/metrics").text().matches("wattkeeper_accelerator_power_watts{").count();
    eventually("all are there", || powers() == 16);
    control.lose(5).unwrap();
    eventually("its series have ended", || powers() == 14);
    eventually("it is an event", || {
        agent.metric("wattkeeper_event_active", &["fault=\"device_lost\""]) == Some(1.0)
    });
    control.give_back(5).unwrap();
    eventually("it is back", || powers() == 16);
}

#[test]
fn ten_scrapers_a_mute_client_and_a_huge_request_do_not_move_the_beat() {
    let agent = Agent::start(&["--set", "beat.interval=100ms"], &[]);
    let address = agent.address;
    let mut mute = TcpStream::connect(address).unwrap();
    mute.write_all(b"GET /state HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut huge = TcpStream::connect(address).unwrap();
    huge.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = huge.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: ");
    let _ = huge.write_all(&vec![b'a'; 1 << 20]);
    let mut answer = Vec::new();
    let _ = huge.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "a megabyte of header must not be served");
    let missed = || agent.metric("wattkeeper_agent_beats_missed_total", &[]).unwrap();
    let before = missed();
    let scrapers: Vec<_> = (0..10)
        .map(|_| {
            std::thread::spawn(move || {
                (0..30).filter(|_| get(address, "/metrics").is_ok_and(|r| r.status == 200)).count()
            })
        })
        .collect();
    let served: usize = scrapers.into_iter().map(|scraper| scraper.join().unwrap()).sum();
    assert_eq!(served, 300);
    // The bound is loose because these machines are shared; what it catches is a beat that waits for a client.
    assert!(missed() - before <= 5.0, "{} beats were missed", missed() - before);
    drop(mute);
}

#[test]
fn sigterm_ends_within_two_seconds() {
    let mut agent = Agent::start(&[], &[]);
    agent.signal(libc::SIGTERM);
    assert_eq!(agent.wait(Duration::from_secs(2)).code(), Some(0));
}

#[test]
fn sighup_reloads_and_a_bad_file_leaves_the_old_configuration_in_force() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("wattkeeper.toml");
    std::fs::write(&file, "[power]\nbudget = \"6 kW\"\n").unwrap();
    let path = file.display().to_string();
    let agent = Agent::start(&["--rig", "sim", "--config", &path, "--set", "beat.interval=100ms"], &[]);
    let budget = || agent.metric("wattkeeper_power_budget_watts", &[]);
    eventually("the budget is in force", || budget() == Some(6000.0));
    std::fs::write(&file, "[power]\nbudget = \"5 kW\"\n").unwrap();
    agent.signal(libc::SIGHUP);
    eventually("the new budget is in force", || budget() == Some(5000.0));
    std::fs::write(&file, "[power]\nbudget = \"lots\"\n").unwrap();
    agent.signal(libc::SIGHUP);
    let beats = || agent.metric("wattkeeper_agent_beats_total", &[]).unwrap();
    let before = beats();
    eventually_within(Duration::from_secs(10), "some beats pass", || beats() > before + 5.0);
    assert_eq!(budget(), Some(5000.0));
}

#[test]
fn signals_are_plain_json_and_an_unknown_one_is_named() {
    let agent = Agent::start(&["--rig", "sim"], &[]);
    let reply = agent.get("/signal/gpu/capacity");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["value"].as_f64(), Some(8.0));
    let unknown = agent.get("/signal/gpu/nonsense");
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("headroom_ratio"), "{}", unknown.text());
}

#[test]
fn every_code_that_a_call_returns_is_an_absence_of_its_metric_alone() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    let arguments = ["--set", &library(), "--set", "beat.interval=50ms"];
    let agent = Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", &file)]);
    let temperature = || {
        let state = agent.get("/state").json();
        let devices = state["frame"]["devices"].as_array().unwrap().clone();
        let gpu = devices.into_iter().find(|device| device["kind"] == "gpu").unwrap();
        assert!(gpu["readings"]["power_instant"].is_number(), "the other metrics go on");
        gpu["readings"]["temperature"].clone()
    };
    eventually("the temperature is read", || temperature().is_number());
    // Codes of nvml.h; 15, 16 and 28 are the loss of the device, which has a test of its own, and 3 and 13 come last because
    // a call that a board does not support is not tried again.
    // What the board or the driver does not have is left out of the wire form.
    let unsupported = [2, 3, 12, 13, 22, 24, 25, 26, 30];
    let codes = (1..=30).chain([999]).filter(|code| ![3, 13, 15, 16, 28].contains(code)).chain([3]);
    for code in codes {
        control.fail("nvmlDeviceGetTemperature", code).unwrap();
        let expected = match code {
            4 => "denied",
            10 => "late",
            _ => "",
        };
        eventually(&format!("code {code} is an absence"), || match temperature() {
            serde_json::Value::String(absence) => expected.is_empty() || absence == expected,
            serde_json::Value::Null => unsupported.contains(&code),
            _ => false,
        });
        control.fail("nvmlDeviceGetTemperature", 0).unwrap();
        eventually("the temperature is back", || code == 3 || temperature().is_number());
    }
}

#[test]
fn a_library_that_is_no_nvml_is_named_as_lacking_its_symbols() {
    let agent = Agent::start(&["--set", "collectors.libraries=[\"nvml=libm.so.6\"]"], &[]);
    let state = agent.get("/state").json();
    let nvml = state["sources"].as_array().unwrap().iter().find(|s| s["name"] == "nvml").unwrap().clone();
    assert_eq!(
        (nvml["up"].as_bool(), nvml["reason"].as_str()),
        (Some(false), Some("symbol_missing")),
        "{nvml}"
    );
}
