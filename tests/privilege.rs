//! Privilege: a guardian of root's holds the right to write, the agent has none, and a third user is let in nowhere.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use agent::clock::MachineClock;
use agent::guardian::wire::Status;
use fake_nvml::Control;
use model::Clock as _;
use std::fs::{Permissions, copy, create_dir, set_permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tests::{Agent, binary, eventually, eventually_within, fake_library};

/// The agent's user and group.
const AGENT: u32 = 65534;
/// Somebody else, whom the agent's group lets as far as the socket.
const STRANGER: u32 = 65533;
/// What is said where the test cannot be made.
const NOT_TRIED: &str = "not tried: only root can start processes of other users";
/// What the promise of a fallback is.
const FALLBACK_WITHIN: Duration = Duration::from_secs(1);

fn open_to(path: &Path, permissions: u32) {
    set_permissions(path, Permissions::from_mode(permissions)).unwrap();
}

/// A folder that every user may look into, with the program and the fake library, a place for each process, and a node.
struct Bench {
    home: tempfile::TempDir,
    control: Control,
    guardian: Option<Child>,
}

impl Bench {
    /// `None` where this test may not become other users.
    fn new() -> Option<Self> {
        // SAFETY: geteuid takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        open_to(home.path(), 0o755);
        for (from, to) in [(binary(), "wattkeeper"), (fake_library(), "libfake.so")] {
            copy(from, home.path().join(to)).unwrap();
            open_to(&home.path().join(to), 0o755);
        }
        let control = Control::open(&home.path().join("node")).unwrap();
        open_to(&home.path().join("node"), 0o666);
        (0..8).for_each(|board| control.load(board, "training").unwrap());
        let bench = Self { home, control, guardian: None };
        create_dir(bench.path("agent")).unwrap();
        chown(bench.path("agent"), Some(AGENT), Some(AGENT)).unwrap();
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program as a user of the agent's group.
    fn program(&self, user: u32) -> Command {
        let mut command = Command::new(self.path("wattkeeper"));
        command.uid(user).gid(AGENT).current_dir("/").env("WATTKEEPER_FAKE_NVML", self.path("node"));
        command
    }

    /// One configuration for all, as a file is.
    fn settings(&self) -> Vec<String> {
        [
            format!("collectors.libraries=[\"nvml={}\"]", self.path("libfake.so").display()),
            format!("state.directory={}", self.path("agent").display()),
            format!("guardian.directory={}", self.path("guardian").display()),
            format!("guardian.user={AGENT}"),
            "beat.interval=200ms".to_owned(),
            "power.rest=1000W".to_owned(),
            "power.packages=0W".to_owned(),
            "collectors.disabled=[\"rapl\"]".to_owned(),
            "power.budget=4500 W".to_owned(),
            "power.fallback=3000 W".to_owned(),
            "power.enforce=true".to_owned(),
        ]
        .into_iter()
        .flat_map(|setting| ["--set".to_owned(), setting])
        .collect()
    }

    fn start_guardian(&mut self) {
        let mut command = Command::new(self.path("wattkeeper"));
        command.arg("guardian").args(self.settings()).env("WATTKEEPER_FAKE_NVML", self.path("node"));
        self.guardian = Some(command.stdin(Stdio::null()).spawn().unwrap());
        eventually("the guardian is ready", || self.status().is_some());
    }

    fn agent(&self) -> Agent {
        let settings = self.settings();
        let arguments: Vec<&str> = settings.iter().map(String::as_str).collect();
        Agent::start_from(self.program(AGENT), ("run", &arguments), &[])
    }

    fn command(&self, user: u32, word: &str) -> Output {
        self.program(user).arg(word).args(self.settings()).output().unwrap()
    }

    fn status(&self) -> Option<Box<Status>> {
        tests::guardian(&self.path("guardian"))
    }

    fn limits(&self) -> Vec<f64> {
        (0..8).map(|board| self.control.power_limit(board).unwrap()).collect()
    }

    fn capped(&self) -> bool {
        self.limits().iter().any(|limit| *limit < 700.0)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(guardian) = &mut self.guardian {
            let _ = guardian.kill();
            let _ = guardian.wait();
        }
    }
}

fn says(agent: &Agent, what: &str) -> bool {
    agent.get("/state").text().contains(what)
}

#[test]
fn an_agent_without_rights_has_a_guardian_of_roots_write_its_caps_and_hold_them_after_its_death() {
    let Some(mut bench) = Bench::new() else { return println!("{NOT_TRIED}") };
    bench.start_guardian();
    let socket = bench.path("guardian/guardian.sock").metadata().unwrap();
    assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o777), (0, AGENT, 0o660));

    let mut agent = bench.agent();
    eventually("limits are lowered", || bench.capped());
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    assert!(status.contains("CapEff:\t0000000000000000") && status.contains(&format!("Uid:\t{AGENT}")));
    let journal = bench.path("guardian/limits.journal").metadata().unwrap();
    assert_eq!(journal.uid(), 0, "the journal is the guardian's");
    assert!(!bench.path("agent/limits.journal").exists());
    eventually("energy is counted in the agent's own place", || {
        bench.path("agent").read_dir().unwrap().count() > 0
    });

    let fits = || bench.limits().iter().sum::<f64>() * 1.2 + 1000.0 <= 3000.0;
    eventually("the caps leave more than the fallback does", || bench.capped() && !fits());
    agent.signal(libc::SIGKILL);
    let begun = MachineClock.now();
    eventually_within(Duration::from_secs(10), "the fallback is in force", fits);
    let seconds = MachineClock.now().seconds_since(begun);
    println!("fallback in force {seconds:.3} s after the kill");
    assert!(seconds <= FALLBACK_WITHIN.as_secs_f64(), "{seconds} s");
    agent.wait(Duration::from_secs(2));

    let pid = bench.status().unwrap().guardian.pid;
    let mut next = bench.agent();
    eventually("the next agent attaches", || bench.status().is_some_and(|status| status.agent.is_some()));
    next.signal(libc::SIGTERM);
    assert_eq!(next.wait(Duration::from_secs(3)).code(), Some(0));
    eventually("a clean stop gives everything back", || !bench.capped());
    let status = bench.status().expect("a guardian that an init system started stays");
    assert_eq!((status.guardian.pid, status.agent, status.strangers), (pid, None, 0));
}

#[test]
fn a_third_user_is_refused_and_counted_and_changes_nothing() {
    let Some(mut bench) = Bench::new() else { return println!("{NOT_TRIED}") };
    bench.start_guardian();
    let agent = bench.agent();
    eventually("limits are lowered", || bench.capped());
    let output = bench.command(STRANGER, "release");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(bench.command(STRANGER, "power").stdout).unwrap();
    assert!(text.contains("guardian   does not answer"), "{text}");
    assert!(bench.capped());
    let status = bench.status().unwrap();
    assert_eq!(status.strangers, 2);
    assert_eq!(status.agent.map(|hello| hello.pid), Some(agent.pid()), "the agent is not disturbed");
    let text = String::from_utf8(bench.command(AGENT, "power").stdout).unwrap();
    assert!(text.contains("2 stranger(s) refused"), "{text}");
}

#[test]
fn without_a_guardian_an_agent_without_rights_says_so_and_starts_none_until_one_is_there() {
    let Some(mut bench) = Bench::new() else { return println!("{NOT_TRIED}") };
    let agent = bench.agent();
    eventually("it says that there is no guardian", || says(&agent, "no_guardian"));
    eventually("its decisions are refused", || {
        agent.metric("wattkeeper_orders_total", &["verdict=\"refused\""]).unwrap_or(0.0) > 0.0
    });
    assert!(!bench.capped() && !bench.path("guardian").exists());
    bench.start_guardian();
    eventually("it attaches by itself", || bench.capped());
    eventually("and has no trouble any more", || !says(&agent, "no_guardian"));
}
