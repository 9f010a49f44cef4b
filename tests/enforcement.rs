//! Enforcement end to end: the fake NVML's limits are lowered, survive a kill, and come back.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use fake_nvml::Control;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::{Agent, eventually, fake_library, guardian};

struct Bench {
    _home: tempfile::TempDir,
    file: PathBuf,
    state: PathBuf,
    control: Control,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (file, state) = (home.path().join("node"), home.path().join("state"));
        std::fs::create_dir(&state).unwrap();
        let control = Control::open(&file).unwrap();
        for board in 0..8 {
            control.load(board, "training").unwrap();
        }
        Self { _home: home, file, state, control }
    }

    fn agent(&self, more: &[&str]) -> Agent {
        let library = format!("collectors.libraries=[\"nvml={}\"]", fake_library().display());
        let state = format!("state.directory={}", self.state.display());
        let mut arguments = vec![
            "--set",
            &library,
            "--set",
            &state,
            "--set",
            "beat.interval=200ms",
            "--set",
            "power.rest=1000W",
        ];
        arguments.extend(more);
        Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", self.file.as_path())])
    }

    fn limits(&self) -> Vec<f64> {
        (0..8).map(|board| self.control.power_limit(board).unwrap()).collect()
    }

    fn capped(&self) -> bool {
        self.limits().iter().any(|limit| *limit < 700.0)
    }
}

const ENFORCE: [&str; 4] = ["--set", "power.budget=4500 W", "--set", "power.enforce=true"];

#[test]
fn advice_writes_nothing() {
    let bench = Bench::new();
    let agent = bench.agent(&["--set", "power.budget=3000 W"]);
    eventually("advice is given", || {
        agent.metric("wattkeeper_orders_total", &["verdict=\"advised\""]).unwrap_or(0.0) > 0.0
    });
    assert!(!bench.capped(), "{:?}", bench.limits());
    assert_eq!(agent.metric("wattkeeper_power_enforcing", &[]), Some(0.0));
}

#[test]
fn a_budget_lowers_simulated_power_below_it_and_a_clean_stop_gives_limits_back() {
    let bench = Bench::new();
    let mut agent = bench.agent(&ENFORCE);
    eventually("limits are lowered", || bench.capped());
    let total = || (0..8).map(|board| bench.control.true_power(board).unwrap()).sum::<f64>() + 1000.0;
    eventually("power is below the budget", || total() < 4500.0);
    let applied = || agent.metric("wattkeeper_orders_total", &["verdict=\"applied\""]);
    eventually("orders are applied", || applied().unwrap_or(0.0) > 0.0);
    agent.signal(libc::SIGTERM);
    assert_eq!(agent.wait(Duration::from_secs(2)).code(), Some(0));
    assert_eq!(bench.limits(), [700.0; 8]);
}

#[test]
fn a_killed_agent_leaves_its_caps_and_the_next_one_gives_the_originals_back() {
    let bench = Bench::new();
    let mut agent = bench.agent(&ENFORCE);
    eventually("limits are lowered", || bench.capped());
    agent.signal(libc::SIGKILL);
    agent.wait(Duration::from_secs(2));
    assert!(bench.capped(), "a safety cap is held when its keeper dies");
    let mut second = bench.agent(&[]);
    eventually("the journal's originals are restored", || !bench.capped());
    second.signal(libc::SIGTERM);
    second.wait(Duration::from_secs(2));
    assert_eq!(bench.limits(), [700.0; 8]);
}

#[test]
fn without_a_journal_nothing_is_enforced_and_observing_goes_on() {
    let bench = Bench::new();
    let not_a_directory = bench.state.join("file");
    std::fs::write(&not_a_directory, "x").unwrap();
    let state = format!("state.directory={}", not_a_directory.display());
    let mut line: Vec<&str> = ENFORCE.to_vec();
    line.extend(["--set", &state]);
    let agent = bench.agent(&line);
    eventually("decisions are refused", || {
        agent.metric("wattkeeper_orders_total", &["verdict=\"refused\""]).unwrap_or(0.0) > 0.0
    });
    assert!(!bench.capped(), "{:?}", bench.limits());
    assert!(agent.metric("wattkeeper_accelerator_power_watts", &[]).is_some());
}

#[test]
fn a_corrupt_journal_is_kept_and_nothing_is_enforced() {
    let bench = Bench::new();
    let agent = bench.agent(&ENFORCE);
    eventually("limits are lowered", || bench.capped());
    agent.signal(libc::SIGKILL);
    eventually("the guardian is there", || guardian(&bench.state).is_some());
    drop(agent);
    eventually("the guardian is dead too", || guardian(&bench.state).is_none());
    let journal = journal_of(&bench.state);
    std::fs::write(&journal, "this is not a journal\n").unwrap();
    for board in 0..8 {
        bench.control.set_power_limit(board, 700.0).unwrap();
    }
    let second = bench.agent(&ENFORCE);
    eventually("decisions are refused", || {
        second.metric("wattkeeper_orders_total", &["verdict=\"refused\""]).unwrap_or(0.0) > 0.0
    });
    assert!(!bench.capped());
    assert_eq!(
        std::fs::read_to_string(&journal).unwrap(),
        "this is not a journal\n",
        "evidence is never overwritten"
    );
}

#[test]
fn what_caps_saved_is_counted_for_the_day_as_the_policy_estimates_it() {
    let bench = Bench::new();
    (0..8).for_each(|board| bench.control.load(board, "decode").unwrap());
    let agent = bench.agent(&["--set", "power.budget=2900 W", "--set", "power.enforce=true"]);
    let estimate = || {
        let text = agent.get("/metrics").text();
        let lines = text.lines().filter(|line| line.starts_with("wattkeeper_power_cap_saved_joules{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    eventually("something is estimated", || estimate().abs() > 1.0);
    let url = format!("http://{}", agent.address);
    let told = || {
        let (_, json, _) = tests::run(&["energy", "--attach", &url, "--json"], &[]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json["days"].as_array().unwrap().iter().filter_map(|day| day["saved_j"].as_f64()).sum::<f64>()
    };
    let mut before = 0.0;
    eventually("it is counted", || {
        before = estimate();
        told().abs() > 1.0
    });
    let (told, after) = (told(), estimate());
    println!("estimated {before:.1} to {after:.1} J, counted {told:.1} J");
    assert!(told.signum() == after.signum() && told.abs() <= after.abs() + 1.0, "{told} J of {after} J");
}

fn journal_of(state: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.extension().is_some_and(|e| e == "journal")).expect("a journal was written")
}
