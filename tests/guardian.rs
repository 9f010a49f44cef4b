//! The guardian as a process: agent, guardian and both are killed in every order over the fake NVML, and what was promised holds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use agent::clock::MachineClock;
use agent::guardian::wire::{Answer, Ask, Lines, Status, send, socket};
use fake_nvml::Control;
use model::{Clock as _, Reason};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::{Agent, binary, eventually, eventually_within, fake_library, kill};

/// What the issue promises for the fallback after a death that the kernel tells of.
const FALLBACK_WITHIN: Duration = Duration::from_secs(1);
/// What everything but accelerators counts at, in watts: the configured rest and packages, or more where RAPL is read.
const REST: f64 = 1000.0;
/// What a board may draw over its limit (`Settings::blind_margin`).
const MARGIN: f64 = 1.2;

struct Bench {
    _home: tempfile::TempDir,
    file: PathBuf,
    state: PathBuf,
    control: Control,
}

impl Bench {
    /// Eight boards that all do this.
    fn new(workload: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (file, state) = (home.path().join("node"), home.path().join("state"));
        std::fs::create_dir(&state).unwrap();
        let control = Control::open(&file).unwrap();
        for board in 0..8 {
            control.load(board, workload).unwrap();
        }
        Self { _home: home, file, state, control }
    }

    fn settings(&self) -> Vec<String> {
        [
            format!("collectors.libraries=[\"nvml={}\"]", fake_library().display()),
            format!("state.directory={}", self.state.display()),
            "beat.interval=200ms".to_owned(),
            "power.rest=1000W".to_owned(),
            "power.packages=0W".to_owned(),
            "collectors.disabled=[\"rapl\"]".to_owned(),
        ]
        .into_iter()
        .flat_map(|setting| ["--set".to_owned(), setting])
        .collect()
    }

    fn agent(&self, more: &[&str]) -> Agent {
        let settings = self.settings();
        let mut arguments: Vec<&str> = settings.iter().map(String::as_str).collect();
        more.iter().for_each(|setting| arguments.extend(["--set", setting]));
        Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", self.file.as_path())])
    }

    /// Runs a subcommand to its end.
    fn command(&self, words: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(words).args(self.settings()).env("WATTKEEPER_FAKE_NVML", &self.file);
        command.output().unwrap()
    }

    fn limits(&self) -> Vec<f64> {
        (0..8).map(|board| self.control.power_limit(board).unwrap()).collect()
    }

    fn capped(&self) -> bool {
        self.limits().iter().any(|limit| *limit < 700.0)
    }

    /// What the node may draw at the limits in force.
    fn may_draw(&self) -> f64 {
        self.limits().iter().sum::<f64>() * MARGIN + REST
    }

    fn status(&self) -> Option<Box<Status>> {
        tests::guardian(&self.state)
    }

    /// The guardian's process while it has an agent of this process number.
    fn guardian_of(&self, agent: &Agent) -> u32 {
        let mut pid = 0;
        eventually("the agent is attached to a guardian", || {
            let status = self.status();
            let of = |status: &Status| status.agent.as_ref().is_some_and(|hello| hello.pid == agent.pid());
            pid = status.filter(|status| of(status)).map_or(0, |status| status.guardian.pid);
            pid != 0
        });
        pid
    }

    /// Seconds until the node is within this budget by its limits.
    fn seconds_until_within(&self, budget: f64) -> f64 {
        let begun = MachineClock.now();
        eventually_within(Duration::from_secs(10), "the fallback is in force", || self.may_draw() <= budget);
        MachineClock.now().seconds_since(begun)
    }

    fn released(&self) -> bool {
        !self.capped() && self.status().is_none()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(status) = self.status() {
            kill(status.guardian.pid);
        }
    }
}

fn kill_agent(agent: &mut Agent) {
    agent.signal(libc::SIGKILL);
    agent.wait(Duration::from_secs(2));
}

/// A budget that training boards exceed, so that they are capped.
const TIGHT: [&str; 2] = ["power.budget=4500 W", "power.enforce=true"];
/// A budget that leaves everything free, with a fallback that does not.
const CALM: [&str; 3] = ["power.budget=9000 W", "power.fallback=5000 W", "power.enforce=true"];

#[test]
fn in_calm_the_death_of_the_agent_brings_the_node_within_its_fallback_in_a_second() {
    let bench = Bench::new("idle");
    let mut agent = bench.agent(&CALM);
    let guardian = bench.guardian_of(&agent);
    eventually("the first brief has come", || bench.status().is_some_and(|status| status.refused.is_none()));
    eventually("a beat is over", || agent.metric("wattkeeper_agent_beats_total", &[]).unwrap_or(0.0) >= 3.0);
    assert!(!bench.capped(), "{:?}", bench.limits());
    kill_agent(&mut agent);
    let seconds = bench.seconds_until_within(5000.0);
    println!("fallback in force {seconds:.3} s after the kill");
    assert!(seconds <= FALLBACK_WITHIN.as_secs_f64(), "{seconds} s");
    let status = bench.status().unwrap();
    assert_eq!((status.guardian.pid, status.orphaned, status.agent), (guardian, true, None));

    let next = bench.agent(&CALM);
    assert_eq!(bench.guardian_of(&next), guardian, "the new agent finds the old guardian");
    eventually("what is not needed is loosened", || bench.may_draw() > 5000.0);
    next.signal(libc::SIGTERM);
    eventually("everything is given back and the guardian ends", || bench.released());
}

#[test]
fn during_a_squeeze_a_dead_agents_caps_stay_and_none_is_raised() {
    let bench = Bench::new("training");
    let mut agent = bench.agent(&TIGHT);
    bench.guardian_of(&agent);
    eventually("limits are lowered", || bench.capped());
    let before = bench.limits();
    kill_agent(&mut agent);
    let seconds = bench.seconds_until_within(4500.0);
    println!("fallback in force {seconds:.3} s after the kill");
    let after = bench.limits();
    assert!(after.iter().zip(&before).all(|(after, before)| after <= before), "{before:?} {after:?}");
    let advising = bench.agent(&[]);
    eventually("an agent that enforces nothing has it all given back", || bench.released());
    drop(advising);
}

#[test]
fn a_dead_guardian_is_replaced_and_the_caps_never_leave() {
    let bench = Bench::new("training");
    let mut agent = bench.agent(&TIGHT);
    let first = bench.guardian_of(&agent);
    eventually("limits are lowered", || bench.capped());
    kill(first);
    assert!(bench.capped());
    let second = bench.guardian_of(&agent);
    assert_ne!(first, second);
    assert!(bench.capped());
    eventually("its predecessor's caps are adopted", || {
        bench
            .status()
            .is_some_and(|status| status.rows.iter().all(|row| row.original == 700.0 && row.set.is_some()))
    });
    agent.signal(libc::SIGTERM);
    assert_eq!(agent.wait(Duration::from_secs(3)).code(), Some(0));
    eventually("everything is given back and the guardian ends", || bench.released());
}

#[test]
fn both_dead_in_either_order_leave_caps_that_release_gives_back() {
    for agent_first in [true, false] {
        let bench = Bench::new("training");
        let mut agent = bench.agent(&TIGHT);
        let guardian = bench.guardian_of(&agent);
        eventually("limits are lowered", || bench.capped());
        if agent_first {
            kill_agent(&mut agent);
            kill(guardian);
        } else {
            kill(guardian);
            kill_agent(&mut agent);
        }
        eventually("nobody is left", || bench.status().is_none());
        assert!(bench.capped(), "a safety cap outlives everybody");
        let output = bench.command(&["release"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.lines().count() >= 1 && text.lines().all(|line| line.ends_with("is back")), "{text}");
        assert_eq!(bench.limits(), [700.0; 8], "agent first: {agent_first}");
        assert!(bench.command(&["release"]).stdout.starts_with(b"nothing"));
    }
}

#[test]
fn both_dead_the_next_agent_adopts_and_its_stop_gives_back() {
    let bench = Bench::new("training");
    let mut agent = bench.agent(&TIGHT);
    let guardian = bench.guardian_of(&agent);
    eventually("limits are lowered", || bench.capped());
    kill(guardian);
    kill_agent(&mut agent);
    let mut next = bench.agent(&TIGHT);
    bench.guardian_of(&next);
    eventually("caps are adopted", || {
        bench.status().is_some_and(|status| {
            !status.rows.is_empty()
                && status.rows.iter().all(|row| row.set.is_some() && row.original == 700.0)
        })
    });
    next.signal(libc::SIGTERM);
    assert_eq!(next.wait(Duration::from_secs(3)).code(), Some(0));
    eventually("everything is given back and the guardian ends", || bench.released());
}

#[test]
fn a_second_agent_is_refused_and_only_advises_until_its_turn() {
    let bench = Bench::new("training");
    let mut first = bench.agent(&TIGHT);
    let guardian = bench.guardian_of(&first);
    let second = bench.agent(&["power.budget=2500 W", "power.enforce=true"]);
    eventually("its orders are refused as busy", || {
        second.metric("wattkeeper_orders_total", &["verdict=\"refused\""]).unwrap_or(0.0) > 0.0
            && second.get("/state").text().contains("other_agent")
    });
    assert_eq!(second.metric("wattkeeper_orders_total", &["verdict=\"applied\""]).unwrap_or(0.0), 0.0);
    let output = bench.command(&["release"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("an agent is attached"));
    kill_agent(&mut first);
    assert_eq!(bench.guardian_of(&second), guardian);
    second.signal(libc::SIGTERM);
    eventually("everything is given back and the guardian ends", || bench.released());
}

#[test]
fn a_stop_that_holds_leaves_caps_to_the_guardian_and_power_shows_them() {
    let bench = Bench::new("training");
    let hold = ["power.budget=4500 W", "power.enforce=true", "power.on_stop=hold"];
    let mut agent = bench.agent(&hold);
    let guardian = bench.guardian_of(&agent);
    eventually("limits are lowered", || bench.capped());
    agent.signal(libc::SIGTERM);
    assert_eq!(agent.wait(Duration::from_secs(3)).code(), Some(0));
    assert!(bench.capped());
    bench.seconds_until_within(4500.0);
    let text = String::from_utf8(bench.command(&["power"]).stdout).unwrap();
    println!("{text}");
    assert!(text.contains(&format!("process {guardian}, no agent attached")), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80 || line.contains('/')), "{text}");
    let json: serde_json::Value =
        serde_json::from_slice(&bench.command(&["power", "--json"]).stdout).unwrap();
    assert_eq!(json["guardian"]["pid"], guardian);
    assert_eq!(json["caps"].as_array().unwrap().len(), json["journal"].as_array().unwrap().len());
    assert_eq!(bench.command(&["release"]).status.code(), Some(0));
    eventually("everything is given back and the guardian ends", || bench.released());
}

#[test]
fn rights_that_are_taken_away_are_said_and_caps_stay_until_they_are_back() {
    let bench = Bench::new("training");
    let agent = bench.agent(&TIGHT);
    bench.guardian_of(&agent);
    eventually("limits are lowered", || bench.capped());
    bench.control.read_only(true).unwrap();
    let before = bench.limits();
    for board in 0..8 {
        bench.control.set_power_limit(board, 700.0).unwrap();
    }
    eventually("orders fail", || {
        agent.metric("wattkeeper_orders_total", &["verdict=\"failed\""]).unwrap_or(0.0) > 0.0
    });
    bench.control.read_only(false).unwrap();
    eventually("limits are lowered again", || {
        bench.may_draw() <= before.iter().sum::<f64>() * MARGIN + REST + 1.0
    });
    agent.signal(libc::SIGTERM);
    eventually("everything is given back and the guardian ends", || bench.released());
}

#[test]
fn without_enforcement_there_is_no_second_process() {
    let bench = Bench::new("training");
    let agent = bench.agent(&["power.budget=3000 W"]);
    eventually("advice is given", || {
        agent.metric("wattkeeper_orders_total", &["verdict=\"advised\""]).unwrap_or(0.0) > 0.0
    });
    assert!(bench.status().is_none());
    assert!(!bench.state.join("guardian.sock").exists());
}

#[test]
fn an_agent_that_is_frozen_counts_as_dead_and_is_taken_back_when_it_thaws() {
    let bench = Bench::new("idle");
    let agent = bench.agent(&CALM);
    let guardian = bench.guardian_of(&agent);
    eventually("a beat is over", || agent.metric("wattkeeper_agent_beats_total", &[]).unwrap_or(0.0) >= 3.0);
    agent.signal(libc::SIGSTOP);
    let seconds = bench.seconds_until_within(5000.0);
    println!("fallback in force {seconds:.3} s after the agent froze, of which 1.0 s are missed beats");
    agent.signal(libc::SIGCONT);
    assert_eq!(bench.guardian_of(&agent), guardian);
    agent.signal(libc::SIGTERM);
    eventually("everything is given back and the guardian ends", || bench.released());
}

#[test]
fn reloads_with_another_budget_and_with_enforcement_off_and_on_are_followed_while_caps_are_in_force() {
    let bench = Bench::new("training");
    let file = bench.state.join("wattkeeper.toml");
    let write = |budget: &str, enforce: bool| {
        std::fs::write(&file, format!("[power]\nbudget = \"{budget}\"\nenforce = {enforce}\n")).unwrap();
    };
    write("5500 W", true);
    let settings = bench.settings();
    let path = file.display().to_string();
    let mut arguments = vec!["--config", path.as_str()];
    arguments.extend(settings.iter().map(String::as_str));
    let agent = Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", bench.file.as_path())]);
    let guardian = bench.guardian_of(&agent);
    let sum = || bench.limits().iter().sum::<f64>();
    eventually("limits are lowered, and leave more than the next budget does", || {
        bench.capped() && sum() + REST > 3500.0
    });
    write("3500 W", true);
    agent.signal(libc::SIGHUP);
    let within = || sum() + REST <= 3500.0;
    eventually("limits fit in the smaller budget", within);
    assert_eq!(bench.guardian_of(&agent), guardian, "it is the same guardian");

    write("3500 W", false);
    agent.signal(libc::SIGHUP);
    eventually("everything is given back and the guardian ends", || bench.released());
    eventually("it is advice from now on", || {
        agent.metric("wattkeeper_power_enforcing", &[]) == Some(0.0)
            && agent.metric("wattkeeper_orders_total", &["verdict=\"advised\""]).unwrap_or(0.0) > 0.0
    });
    assert!(!bench.capped(), "{:?}", bench.limits());

    write("3500 W", true);
    agent.signal(libc::SIGHUP);
    eventually("another guardian lowers limits again", within);
    assert_ne!(bench.guardian_of(&agent), guardian);

    write("9000 W", true);
    agent.signal(libc::SIGHUP);
    eventually("a wide budget loosens them", || sum() + REST > 3500.0);
    agent.signal(libc::SIGTERM);
    eventually("everything is given back and the guardian ends", || bench.released());
}

/// Answers like a guardian of another protocol that makes no room, until told to end.
fn strange_guardian(listener: &UnixListener, garbled: bool, ends: &AtomicBool) {
    for stream in listener.incoming() {
        if ends.load(Ordering::Relaxed) {
            return;
        }
        let stream = stream.unwrap();
        let refuse = |reason, why: &str| Answer::Refused { reason, why: why.to_owned() };
        let Ok(Some(ask)) = Lines::of(&stream).unwrap().receive::<Ask>() else { continue };
        let _ = match ask {
            Ask::Hello(_) if garbled => send(&stream, &serde_json::json!({"willkommen": {"protocol": 2}})),
            Ask::Hello(_) => send(&stream, &refuse(Reason::TooOld, "this guardian speaks protocol 2")),
            _ => send(&stream, &refuse(Reason::Refused, "somebody else has started this guardian")),
        };
    }
}

#[test]
fn a_guardian_of_another_protocol_is_told_as_trouble_and_caps_stay_until_it_is_gone() {
    for garbled in [false, true] {
        let bench = Bench::new("training");
        let mut agent = bench.agent(&TIGHT);
        let guardian = bench.guardian_of(&agent);
        eventually("limits are lowered", || bench.capped());
        kill(guardian);
        kill_agent(&mut agent);
        eventually("nobody is left", || bench.status().is_none());
        let before = bench.limits();

        std::fs::remove_file(socket(&bench.state)).unwrap();
        let listener = UnixListener::bind(socket(&bench.state)).unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let strange = std::thread::spawn(move || strange_guardian(&listener, garbled, &told));
        let next = bench.agent(&TIGHT);
        eventually("the trouble is told", || next.get("/state").text().contains("no_guardian"));
        eventually("many beats are over", || {
            next.metric("wattkeeper_agent_beats_total", &[]).unwrap_or(0.0) >= 15.0
        });
        assert_eq!(bench.limits(), before, "caps stay");

        ends.store(true, Ordering::Relaxed);
        let _ = std::os::unix::net::UnixStream::connect(socket(&bench.state));
        strange.join().unwrap();
        bench.guardian_of(&next);
        eventually("no trouble is left", || !next.get("/state").text().contains("no_guardian"));
        next.signal(libc::SIGTERM);
        eventually("everything is given back and the guardian ends", || bench.released());
    }
}

#[test]
#[ignore = "measures; run it alone: cargo test -p tests --test guardian -- --ignored --nocapture"]
fn measure_the_fallback_after_a_kill() {
    let mut seconds = Vec::new();
    for _ in 0..20 {
        let bench = Bench::new("idle");
        let mut agent = bench.agent(&CALM);
        let guardian = bench.guardian_of(&agent);
        eventually("a beat is over", || {
            agent.metric("wattkeeper_agent_beats_total", &[]).unwrap_or(0.0) >= 3.0
        });
        let (of_agent, of_guardian) = (resident(agent.pid()), resident(guardian));
        agent.signal(libc::SIGKILL);
        seconds.push(bench.seconds_until_within(5000.0));
        println!("{:.4} s, agent {of_agent} KiB, guardian {of_guardian} KiB", seconds.last().unwrap());
        agent.wait(Duration::from_secs(2));
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "fallback after kill -9: median {:.4} s, highest {:.4} s of {}",
        seconds[10],
        seconds[19],
        seconds.len()
    );
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

impl Bench {
    /// Whether every board but this one has a limit below its original.
    fn others_capped(&self, hung: usize) -> bool {
        self.limits().iter().enumerate().all(|(board, limit)| board == hung || *limit < 700.0)
    }

    fn restart_guardian(&self, agent: &Agent) {
        let first = self.guardian_of(agent);
        kill(first);
        eventually("there is another guardian", || self.guardian_of(agent) != first);
    }
}

#[test]
fn a_board_whose_driver_hangs_does_not_keep_the_fallback_from_the_others() {
    // Whether it has hung for a while, hangs in the moment of the death, or hung when the guardian was started.
    for case in ["before", "at once", "at the start"] {
        let bench = Bench::new("idle");
        let mut agent = bench.agent(&CALM);
        bench.guardian_of(&agent);
        let beats = || agent.metric("wattkeeper_agent_beats_total", &[]).unwrap_or(0.0);
        eventually("a beat is over", || beats() >= 3.0);
        bench.control.hang_board(3, true).unwrap();
        if case == "at the start" {
            bench.restart_guardian(&agent);
        }
        if case != "at once" {
            let now = beats();
            eventually("beats go on", || beats() >= now + 5.0);
        }
        assert!(!bench.capped(), "{case}: {:?}", bench.limits());
        kill_agent(&mut agent);
        let seconds = bench.seconds_until_within(5000.0);
        println!("board 3 hangs {case}: fallback of the others in force {seconds:.3} s after the kill");
        assert!(seconds <= FALLBACK_WITHIN.as_secs_f64(), "{case}: {seconds} s");
        let settled = bench.limits();
        assert!(settled[3] == 700.0 && bench.others_capped(3), "{settled:?}");

        bench.control.hang_board(3, false).unwrap();
        eventually("it answers again", || {
            bench.status().is_some_and(|status| status.rows.iter().all(|row| row.enforced.is_some()))
        });
        assert!(bench.limits().iter().zip(&settled).all(|(now, then)| now <= then), "{:?}", bench.limits());
        let output = bench.command(&["release"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(bench.limits(), [700.0; 8]);
    }
}

/// Seconds from the moment that boards begin to work to the caps of all but one, and the limits then.
fn squeeze(bench: &Bench, hung: usize) -> f64 {
    let begun = MachineClock.now();
    (0..8).for_each(|board| bench.control.load(board, "training").unwrap());
    eventually("the others are capped", || bench.others_capped(hung));
    MachineClock.now().seconds_since(begun)
}

#[test]
fn while_a_board_hangs_the_others_are_capped_in_time_and_nothing_is_loosened_until_it_is_capped_too() {
    let sound = Bench::new("idle");
    let agent = sound.agent(&TIGHT);
    sound.guardian_of(&agent);
    let usual = squeeze(&sound, 8);
    drop((agent, sound));

    let bench = Bench::new("idle");
    let agent = bench.agent(&TIGHT);
    bench.guardian_of(&agent);
    eventually("a beat is over", || agent.metric("wattkeeper_agent_beats_total", &[]).unwrap_or(0.0) >= 3.0);
    bench.control.hang_board(3, true).unwrap();
    let seconds = squeeze(&bench, 3);
    println!(
        "from the load to the caps of all: {usual:.3} s; of the others while board 3 hangs: {seconds:.3} s"
    );
    assert!(seconds <= usual + 1.0, "{seconds} s, {usual} s without");
    assert_eq!(bench.limits()[3], 700.0);
    eventually("it is told late, with its reason", || {
        let state = agent.get("/state").text();
        let failed = agent.metric("wattkeeper_orders_total", &["verdict=\"failed\""]).unwrap_or(0.0);
        failed > 0.0 && state.contains("\"reason\":\"late\"")
    });
    let mut least = bench.limits();
    let beats = || agent.metric("wattkeeper_agent_beats_total", &[]).unwrap_or(0.0);
    let now = beats();
    // Three seconds: longer than the shortest hold before a loosening.
    eventually("beats go on", || {
        let limits = bench.limits();
        assert!(limits.iter().zip(&least).all(|(now, then)| now <= then), "{least:?} {limits:?}");
        least = limits;
        beats() >= now + 15.0
    });

    bench.control.hang_board(3, false).unwrap();
    // Nobody may rise before the one that was late has its cap.
    eventually("it is capped like the others", || {
        let limits = bench.limits();
        let rises = limits.iter().zip(&least).any(|(now, then)| now > then);
        assert!(!rises || limits[3] < 700.0, "{least:?} {limits:?}");
        limits[3] < 700.0
    });
    let sum = || bench.limits().iter().sum::<f64>();
    eventually("what is not needed is loosened", || sum() > least.iter().sum::<f64>() - 500.0);
}

#[test]
fn a_stop_gives_back_what_answers_and_says_of_the_board_that_hangs_that_its_original_is_kept() {
    let bench = Bench::new("training");
    let mut agent = bench.agent(&TIGHT);
    bench.guardian_of(&agent);
    eventually("every board is capped", || bench.others_capped(8));
    bench.control.hang_board(5, true).unwrap();
    agent.signal(libc::SIGTERM);
    assert_eq!(agent.wait(Duration::from_secs(3)).code(), Some(0));
    let free = |but: usize| {
        bench.limits().iter().enumerate().all(|(board, limit)| (*limit == 700.0) == (board != but))
    };
    eventually("the others have their originals back", || free(5));
    eventually("the guardian ends", || bench.status().is_none());
    let output = bench.command(&["release"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.lines().count() == 1 && text.contains("is NOT back: late"), "{text}");
    bench.control.hang_board(5, false).unwrap();
    let output = bench.command(&["release"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(bench.limits(), [700.0; 8]);
}
