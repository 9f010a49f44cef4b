//! What is exposed, checked by the parts that read it: promtool and a real Prometheus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot be set up has failed"
)]
use fake_nvml::Control;
use std::io::Write as _;
use std::process::{Command, Stdio};
use tests::{Agent, eventually, fake_library, free_address, get};

/// Whether promtool can be run; panics where CI requires it.
fn promtool() -> bool {
    let there = Command::new("promtool")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    assert!(
        there || std::env::var_os("WATTKEEPER_REQUIRE_PROMTOOL").is_none(),
        "promtool is required and missing"
    );
    if !there {
        eprintln!("NOTICE: skipped, because promtool is not installed (Debian package prometheus)");
    }
    there
}

fn fleet() -> (tempfile::TempDir, Agent) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let control = Control::open(&file).unwrap();
    control.load(0, "training").unwrap();
    let library = format!("collectors.libraries=[\"nvml={}\"]", fake_library().display());
    let arguments = ["--set", &library, "--set", "power.budget=6 kW"];
    let agent = Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", &file)]);
    (home, agent)
}

#[test]
fn promtool_has_no_remark_on_the_page() {
    if !promtool() {
        return;
    }
    let (_home, agent) = fleet();
    let page = agent.get("/metrics").body;
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&page).unwrap();
    let output = child.wait_with_output().unwrap();
    let remarks = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && remarks.is_empty(), "{remarks}");
}

#[test]
fn every_alert_and_recording_rule_passes_its_tests() {
    if !promtool() {
        return;
    }
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/rules");
    let list = |dir: &str| -> Vec<_> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "yml")).collect()
    };
    for (verb, files) in [("check", list(rules)), ("test", list(&format!("{rules}/tests")))] {
        assert!(!files.is_empty());
        let output = Command::new("promtool").args([verb, "rules"]).args(files).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
    }
}

#[test]
fn a_real_prometheus_scrapes_the_agent() {
    if !promtool() {
        return;
    }
    let (home, agent) = fleet();
    let address = free_address();
    let file = home.path().join("prometheus.yml");
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: wattkeeper\n    static_configs:\n      - targets: ['{}']\n",
        agent.address
    );
    std::fs::write(&file, config).unwrap();
    let mut prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", home.path().join("tsdb").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let count = || {
        let reply = get(address, "/api/v1/query?query=count(wattkeeper_accelerator_power_watts)").ok()?;
        // Prometheus answers 503 in plain text until it is ready.
        if reply.status != 200 {
            return None;
        }
        reply.json()["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("Prometheus has the powers of eight GPUs", || count().as_deref() == Some("16"));
    }));
    prometheus.kill().unwrap();
    prometheus.wait().unwrap();
    assert!(outcome.is_ok());
}

#[test]
fn openmetrics_is_served_to_who_asks_for_it() {
    let agent = Agent::start(&["--rig", "sim"], &[]);
    let reply =
        tests::request(agent.address, "/metrics", &["Accept: application/openmetrics-text;version=1.0.0"])
            .unwrap();
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    let text = reply.text();
    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains("# TYPE wattkeeper_accelerator_energy_joules counter"));
    assert!(text.contains("\nwattkeeper_accelerator_energy_joules_total{"));
    let plain = agent.get("/metrics");
    assert!(plain.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let zipped = tests::request(agent.address, "/metrics", &["Accept-Encoding: gzip"]).unwrap();
    assert_eq!(zipped.header("content-encoding").as_deref(), Some("gzip"));
    assert!(zipped.body.starts_with(&[0x1f, 0x8b]));
}
