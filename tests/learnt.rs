//! What was learnt outlives the agent: faults that come back over reboots, a kill between writings, damaged files; and an
//! operator's changes to the catalogue of faults.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use fake_nvml::Control;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::{Agent, eventually, fake_library, run};

/// The board that fails.
const BOARD: usize = 3;

/// A node with procfs, boards and a state directory.
struct Host {
    home: tempfile::TempDir,
    control: Control,
}

impl Host {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("proc/sys/kernel/random")).unwrap();
        fs::write(home.path().join("proc/stat"), "cpu  1 2 3 4 5 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
            .unwrap();
        let control = Control::open(&home.path().join("boards")).unwrap();
        let host = Self { home, control };
        host.boot("a", 5000);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The node as it is some seconds after a boot.
    fn boot(&self, identity: &str, uptime_s: u64) {
        fs::write(self.path("proc/sys/kernel/random/boot_id"), format!("{identity}\n")).unwrap();
        fs::write(self.path("proc/uptime"), format!("{uptime_s}.50 100.00\n")).unwrap();
    }

    fn agent(&self, more: &[&str]) -> Agent {
        let set = |key: &str, value: String| ["--set".to_owned(), format!("{key}={value}")];
        let path = |name: &str| self.path(name).display().to_string();
        let arguments = [
            set("collectors.libraries", format!("[\"nvml={}\"]", fake_library().display())),
            set("collectors.proc", path("proc")),
            set("state.directory", path("state")),
            set("beat.interval", "200ms".into()),
        ];
        let mut arguments: Vec<&str> = arguments.iter().flatten().map(String::as_str).collect();
        arguments.extend(more);
        let agent = Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", &self.path("boards"))]);
        eventually("the boards and the node are read", || {
            let state = agent.get("/state").json();
            let devices = state["frame"]["devices"].as_array().cloned().unwrap_or_default();
            let named = |name: &str| devices.iter().find(|device| device["name"] == name).cloned();
            let node = devices.iter().find(|device| device["kind"] == "node");
            named("gpu3").is_some_and(|board| board["readings"]["power_instant"].is_number())
                && node.is_some_and(|node| node["readings"]["uptime"].is_number())
        });
        agent
    }

    /// The remedy of an XID 79 that happens now.
    fn remedy(&self, agent: &Agent) -> String {
        self.control.xid(BOARD, 79).unwrap();
        let mut remedy = String::new();
        eventually("the XID is told", || {
            let state = agent.get("/state").json();
            let event = state["events"].as_array().unwrap().iter().find(|event| event["code"] == 79).cloned();
            remedy = event.map_or(String::new(), |event| event["remedy"].as_str().unwrap().to_owned());
            !remedy.is_empty()
        });
        remedy
    }

    fn kept(&self) -> PathBuf {
        self.path("state/learnt-repeats.bin")
    }
}

fn end(mut agent: Agent) {
    agent.signal(libc::SIGTERM);
    assert!(agent.wait(Duration::from_secs(5)).success());
}

#[test]
fn a_fault_that_two_reboots_did_not_cure_asks_for_an_inspection_on_every_face_of_the_agent() {
    let host = Host::new();
    let agent = host.agent(&[]);
    assert_eq!(host.remedy(&agent), "reboot_node");
    end(agent);
    host.boot("b", 40);
    let mut agent = host.agent(&[]);
    let kept = fs::read(host.kept()).unwrap();
    assert_eq!(host.remedy(&agent), "reboot_node", "one reboot may help");
    eventually("what came back is on disk at once", || fs::read(host.kept()).unwrap() != kept);
    agent.signal(libc::SIGKILL);
    assert!(!agent.wait(Duration::from_secs(5)).success());

    // The node lost power: nothing was written since.
    host.boot("c", 50);
    let agent = host.agent(&[]);
    assert_eq!(host.remedy(&agent), "inspect_hardware");
    let url = format!("http://{}", agent.address);
    let (_, text, _) = run(&["diagnose", "--attach", &url], &[]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["remedy inspect_hardware", "HARDWARE_INSPECTION", "CONTACT_SUPPORT", "have the hardware looked"]
    {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    end(agent);
}

#[test]
fn a_second_agent_on_the_same_state_directory_leaves_what_the_first_has_learnt_alone() {
    let host = Host::new();
    let agent = host.agent(&[]);
    host.remedy(&agent);
    eventually("what is new is on disk at once", || host.kept().exists());
    let kept = fs::read(host.kept()).unwrap();
    end(host.agent(&["--set", "power.enforce=false"]));
    assert_eq!(fs::read(host.kept()).unwrap(), kept, "the second wrote nothing at its end");
    fs::remove_file(host.kept()).unwrap();
    end(agent);
    assert!(host.kept().exists(), "the first did");
}

#[test]
fn damaged_files_are_put_aside_and_the_detector_learns_anew() {
    let host = Host::new();
    let agent = host.agent(&[]);
    host.remedy(&agent);
    end(agent);
    let whole = fs::read(host.kept()).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bytes in [&whole[..whole.len() / 2], &flipped, b"junk", b""] {
        fs::write(host.kept(), bytes).unwrap();
        let agent = host.agent(&[]);
        assert_eq!(fs::read(host.path("state/learnt-repeats.bin.bad")).unwrap(), bytes);
        assert!(!host.kept().exists(), "it is out of the way");
        end(agent);
        assert!(host.kept().exists(), "and written anew");
    }
}

fn check(path: &Path, command: &[&str]) -> (i32, String) {
    let set = format!("detectors.faults={}", path.display());
    let (code, out, error) = run(&[command, &["--set", &set]].concat(), &[]);
    (code, out + &error)
}

#[test]
fn a_broken_file_of_faults_is_told_in_full_and_no_agent_starts_on_it() {
    let host = Host::new();
    let file = host.path("faults.toml");
    fs::write(
        &file,
        "[[fault]]\nfault = \"pcie_replay\"\n[[xid]]\ncode = 79\nremedy = \"pray\"\nrepeats = -1\n",
    )
    .unwrap();
    for command in [["config", "check"].as_slice(), &["run", "--listen", "127.0.0.1:0"]] {
        let (code, text) = check(&file, command);
        assert_eq!(code, 2, "{text}");
        for part in [
            "3 faults",
            "faults.toml: fault number 1: fault = \"pcie_replay\" is not a fault of the rules; known: xid,",
            "xid 79: remedy = \"pray\" is not known; write one of none, investigate",
            "xid 79: repeats = -1 is not such a number; write a whole number from 0 to 1000",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }
    let (code, text) = check(&host.path("nowhere.toml"), &["config", "check"]);
    assert!(code == 2 && text.contains("detectors.faults") && text.contains("cannot be read"), "{text}");
}

#[test]
fn an_operators_file_of_faults_changes_what_the_agent_says() {
    let host = Host::new();
    let file = host.path("faults.toml");
    fs::write(&file, "[[xid]]\ncode = 79\nremedy = \"contact_support\"\n").unwrap();
    assert_eq!(check(&file, &["config", "check"]).0, 0);
    let set = format!("detectors.faults={}", file.display());
    let agent = host.agent(&["--set", &set]);
    assert_eq!(host.remedy(&agent), "contact_support");
}

#[test]
fn what_the_power_policy_has_learnt_is_taken_over_and_damage_is_put_aside() {
    let host = Host::new();
    let budget = ["--set", "power.budget=9000 W"];
    let file = host.path("state/learnt-powercap.bin");
    end(host.agent(&budget));
    let kept = fs::read(&file).unwrap();
    end(host.agent(&budget));
    assert!(!host.path("state/learnt-powercap.bin.bad").exists(), "the next run can read it");
    fs::write(&file, &kept[..kept.len() - 3]).unwrap();
    end(host.agent(&budget));
    assert!(host.path("state/learnt-powercap.bin.bad").exists(), "it was read and found damaged");
    assert_eq!(fs::read(&file).unwrap().len(), kept.len(), "and written anew");
}
