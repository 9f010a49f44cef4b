//! Energy through the program: an engine's page becomes joules a token, and `wattkeeper energy` tells it with and without an agent.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use agent::config::{Override, load};
use agent::rig::Pace;
use fake_nvml::Control;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::{Agent, PATIENCE, eventually, fake_library, run};

/// An engine that generates 100 tokens from one asking to the next, and 300 of prompts; its thread ends with the test.
fn engine(hangs: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, hangs) = (listener.local_addr().unwrap(), Arc::clone(hangs));
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for (turn, stream) in (1_u32..).zip(listener.incoming()) {
            let mut stream = stream.unwrap();
            if hangs.load(Ordering::Relaxed) {
                kept.push(stream);
                continue;
            }
            let asked = BufReader::new(&stream).lines().map_while(Result::ok);
            assert!(asked.take_while(|line| !line.is_empty()).count() > 1);
            let body = format!(
                "# TYPE vllm:generation_tokens counter\n\
                 vllm:generation_tokens_total{{engine=\"0\",model_name=\"a/b\"}} {}\n\
                 vllm:prompt_tokens_total{{engine=\"0\",model_name=\"a/b\"}} {}\n\
                 vllm:num_requests_running{{engine=\"0\",model_name=\"a/b\"}} 7\n",
                turn * 100,
                turn * 300
            );
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    address
}

#[test]
fn an_engines_tokens_become_joules_a_token_on_the_page_and_in_the_report() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node");
    let state = home.path().join("state");
    let _control = Control::open(&file).unwrap();
    let hangs = Arc::new(AtomicBool::new(false));
    let engine = engine(&hangs);
    let sets = [
        format!("collectors.libraries=[\"nvml={}\"]", fake_library().display()),
        format!("collectors.engine.urls=[\"http://{engine}/metrics=gpu0,gpu1\"]"),
        "collectors.engine.interval=1s".to_owned(),
        format!("state.directory={}", state.display()),
    ];
    let arguments: Vec<&str> = sets.iter().flat_map(|set| ["--set", set.as_str()]).collect();
    let mut agent = Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", &file)]);
    let metric = |agent: &Agent, name: &str, labels: &[&str]| {
        agent.metric(&format!("wattkeeper_engine_{name}"), labels)
    };
    eventually("joules a token", || metric(&agent, "energy_per_token_joules", &[]).is_some());
    let per_token = metric(&agent, "energy_per_token_joules", &[]).unwrap();
    let power = |name: &str| agent.metric("wattkeeper_accelerator_power_watts", &[name]).unwrap();
    assert!(per_token > 0.1 && per_token < 2.0 * power("reading=\"average\""), "{per_token}");
    assert_eq!(metric(&agent, "requests", &["state=\"running\""]), Some(7.0));
    assert_eq!(metric(&agent, "requests", &["state=\"waiting\""]), None, "what is not said is absent");
    let info =
        agent.metric("wattkeeper_device_info", &["kind=\"engine\"", "model=\"a/b\"", "name=\"engine0\""]);
    assert_eq!(info, Some(1.0));

    hangs.store(true, Ordering::Relaxed);
    eventually("a hanging engine has no figure", || metric(&agent, "energy_per_token_joules", &[]).is_none());
    let late = agent.metric("wattkeeper_agent_beats_missed_total", &[]).unwrap();
    assert!(metric(&agent, "tokens_total", &[]).is_none() && late < 3.0, "{late} beats missed");
    hangs.store(false, Ordering::Relaxed);

    let url = format!("http://{}", agent.address);
    let mut told = String::new();
    eventually("the report has tokens", || {
        let (code, text, error) = run(&["energy", "--attach", &url, "--by", "day"], &[]);
        assert_eq!(code, 0, "{error}");
        told = text;
        told.contains("engine0 127.0.0.1") && told.contains("J/token") && told.contains("today,")
    });
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    agent.signal(libc::SIGTERM);
    assert!(agent.wait(PATIENCE).success());

    let set = format!("state.directory={}", state.display());
    let alone = |by: &str, json: bool| {
        let mut line = vec!["energy", "--by", by, "--set", &set, "--listen", "127.0.0.1:1"];
        line.extend(json.then_some("--json"));
        run(&line, &[])
    };
    let (code, text, error) = alone("device", false);
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("since no agent answers") && text.contains("\ngpu7 "), "{text}");
    let (_, json, _) = alone("day", true);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["total"]["energy_j"].as_f64().unwrap() > 0.0, "{json}");
    assert_eq!(json["total"]["saved_j"], serde_json::Value::Null);
    assert!(json["engines"][0]["generated_tokens"].as_f64().unwrap() >= 100.0, "{json}");
    assert_eq!(json["days"][0]["partial"], true);
}

/// Runs a simulated node of two boards that generate tokens for so many seconds, with this slowdown allowed; gives the curves.
fn tuned(percent: &str, seconds: u32) -> serde_json::Value {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().display().to_string();
    let list = [
        ("rig.kind", "sim"),
        ("rig.sim.boards", "2"),
        ("history.span", "2min"),
        ("power.budget", "20 kW"),
        ("power.enforce", "true"),
        ("power.efficiency.slowdown_max", percent),
        ("state.directory", &state),
    ];
    let set = |(key, value): &(&str, &str)| Override {
        origin: "test".into(),
        key: (*key).into(),
        value: (*value).into(),
    };
    let config = load(None, &list.iter().map(set).collect::<Vec<_>>()).unwrap();
    let assembly = agent::rig::idle(&config);
    let (clock, node) = (assembly.clock.clone(), assembly.sim.clone().unwrap());
    let Pace::Stepped(steps) = assembly.pace.clone() else { panic!("the simulator has its own time") };
    (0..2).for_each(|board| node.lock().set_workload(board, sim::Workload::Decode));
    let mut beat = agent::engine::build(&config, assembly).unwrap();
    for _ in 0..seconds {
        let now = clock.now();
        beat.collect(now);
        beat.think();
        beat.govern().tick(now);
        steps.advance(Duration::from_secs(1));
    }
    let frame = beat.frame().clone();
    beat.govern().curves(&frame)
}

#[test]
fn on_the_simulated_node_lower_clocks_are_tried_through_the_keeper_and_the_best_is_known() {
    let off = tuned("0", 300);
    assert!(
        off.as_array().unwrap().iter().all(|setting| setting["share"] == 1.0 && setting["best"] == false)
    );
    let on = tuned("10", 1500);
    let best: Vec<_> = on.as_array().unwrap().iter().filter(|setting| setting["best"] == true).collect();
    assert_eq!(best.len(), 2, "one a board: {on:#}");
    for setting in best {
        assert_eq!((&setting["knob"], &setting["work"]), (&"clock_max".into(), &"decode".into()));
        let number = |name: &str| setting[name].as_f64().unwrap();
        assert!(number("slowdown") <= 0.10 && number("energy_per_work") < 0.97, "{setting:#}");
    }
}

#[test]
fn the_simulated_node_says_that_it_is_one_and_what_it_learnt() {
    let agent = Agent::start(&["--rig", "sim"], &[]);
    let (code, text, error) = run(&["energy", "--attach", &format!("http://{}", agent.address)], &[]);
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("RIG sim"), "{text}");
    let book = agent.get("/energy").json();
    assert!(book["curves"].is_array() && book["days"].is_array(), "{book}");
}

#[test]
fn without_an_agent_and_without_counts_the_report_says_so() {
    let home = tempfile::tempdir().unwrap();
    let set = format!("state.directory={}", home.path().display());
    let (code, _, error) = run(&["energy", "--set", &set, "--listen", "127.0.0.1:1"], &[]);
    assert_eq!(code, 1);
    assert!(error.contains("no agent answers") && error.contains("state.directory"), "{error}");
}
