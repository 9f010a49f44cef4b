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

/// What keeps a run away from everything of this machine but the fake library.
const ONLY_NVML: &str =
    "collectors.disabled=[\"cgroup\", \"rapl\", \"amd\", \"intel\", \"intel-npu\", \"gaudi\", \"ascend\"]";

fn knobs(report: &Value) -> Vec<(&str, &str, &str)> {
    let word = |knob: &'_ Value, name: &str| knob[name].as_str().unwrap().to_owned();
    let list = report["knobs"].as_array().unwrap().iter();
    list.map(|knob| {
        let [name, turn, outcome] = ["name", "knob", "outcome"].map(|field| word(knob, field).leak() as &str);
        (name, turn, outcome)
    })
    .collect()
}

fn doctor(file: &std::path::Path, state: &std::path::Path, more: &[&str]) -> (i32, Value) {
    let (library, state) = (library(), format!("state.directory=\"{}\"", state.display()));
    let mut arguments = vec!["doctor", "--json", "--set", ONLY_NVML, "--set", &library, "--set", &state];
    arguments.extend(more);
    let (code, out, error) = run(&arguments, &[("WATTKEEPER_FAKE_NVML", file)]);
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}")))
}

fn untouched(control: &Control) -> bool {
    control.node().boards().iter().all(|board| board.requested_w == 700.0 && board.locked_hz == 0.0)
}

#[test]
fn knobs_are_listed_without_a_write_and_tried_only_when_told_to() {
    let home = tempfile::tempdir().unwrap();
    let (file, state) = (home.path().join("node"), home.path().join("state"));
    let control = Control::open_as(&file, &sim::profile::H100, 2, 1).unwrap();
    let (_, report) = doctor(&file, &state, &[]);
    let listed = ["gpu0", "gpu1"].map(|gpu| [(gpu, "power_limit", "there"), (gpu, "clock_max", "there")]);
    assert_eq!(knobs(&report), listed.concat());
    assert!(untouched(&control) && !state.exists());
    control.load(1, "prefill").unwrap();
    control.advance(std::time::Duration::from_secs(5));
    let (_, report) = doctor(&file, &state, &["--probe"]);
    let tried = [
        ("gpu0", "power_limit", "unconfirmed"),
        ("gpu0", "clock_max", "unconfirmed"),
        ("gpu1", "power_limit", "works"),
    ];
    assert_eq!(knobs(&report)[..3], tried, "{report:#}");
    assert!(report["knobs"].as_array().unwrap().iter().all(|knob| knob["restored"] == true), "{report:#}");
    assert!(untouched(&control));
    assert!(
        std::fs::read_to_string(state.join("limits.journal"))
            .unwrap()
            .starts_with("{\"version\":2,\"lines\":0,"),
        "no original is left"
    );
}

#[test]
fn a_probe_that_may_not_write_says_what_to_grant() {
    let home = tempfile::tempdir().unwrap();
    let (file, state) = (home.path().join("node"), home.path().join("state"));
    let control = Control::open_as(&file, &sim::profile::H100, 1, 1).unwrap();
    control.read_only(true).unwrap();
    let (code, report) = doctor(&file, &state, &["--probe"]);
    let refused = ["power_limit", "clock_max"].map(|knob| ("gpu0", knob, "refused"));
    assert_eq!((code, knobs(&report)), (1, refused.to_vec()));
    let grant = report["knobs"][0]["grant"].to_string();
    assert!(grant.contains("CAP_SYS_ADMIN"), "{grant}");
}

#[test]
fn nothing_is_tried_while_an_agent_enforces() {
    let home = tempfile::tempdir().unwrap();
    let (file, state) = (home.path().join("node"), home.path().join("state"));
    let control = Control::open_as(&file, &sim::profile::H100, 2, 1).unwrap();
    let settings = [
        format!("state.directory={}", state.display()),
        library(),
        "power.budget=9000 W".to_owned(),
        "power.rest=1000W".to_owned(),
        "power.enforce=true".to_owned(),
    ];
    let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting.as_str()]).collect();
    let agent = tests::Agent::start(&arguments, &[("WATTKEEPER_FAKE_NVML", file.as_path())]);
    tests::eventually("it holds the journal", || state.join("limits.lock").exists());
    let (code, report) = doctor(&file, &state, &["--probe"]);
    assert_eq!(code, 1);
    let trouble = report["trouble"]["found"].as_str().unwrap();
    assert!(trouble.contains("another agent enforces"), "{trouble}");
    assert!(knobs(&report).iter().all(|(.., outcome)| *outcome == "there"), "{report:#}");
    assert!(untouched(&control));
    drop(agent);
}

/// Starts a probe of a board that works at its limit, and comes back when the limit is turned down.
fn under_probe(file: &std::path::Path, state: &std::path::Path, control: &Control) -> std::process::Child {
    control.load(0, "prefill").unwrap();
    control.advance(std::time::Duration::from_secs(5));
    let (library, state) = (library(), format!("state.directory=\"{}\"", state.display()));
    let child = std::process::Command::new(tests::binary())
        .args(["doctor", "--probe", "--set", ONLY_NVML, "--set", &library, "--set", &state])
        .env("WATTKEEPER_FAKE_NVML", file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    tests::eventually("the limit is turned down", || control.power_limit(0).unwrap() < 700.0);
    child
}

#[test]
fn a_probe_that_is_stopped_gives_back_and_one_that_is_killed_has_it_given_back_by_the_next_agent() {
    let home = tempfile::tempdir().unwrap();
    let (file, state) = (home.path().join("node"), home.path().join("state"));
    let control = Control::open_as(&file, &sim::profile::H100, 1, 1).unwrap();
    let mut child = under_probe(&file, &state, &control);
    // SAFETY: a signal to a child of ours that was not waited for.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
    child.wait().unwrap();
    assert!(untouched(&control));
    let mut child = under_probe(&file, &state, &control);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(control.power_limit(0).unwrap() < 700.0, "nobody was left to give it back");
    let (_, report) = doctor(&file, &state, &["--probe"]);
    assert_eq!(knobs(&report)[0], ("gpu0", "power_limit", "untried"));
    let state = format!("state.directory={}", state.display());
    let _agent = tests::Agent::start(
        &["--set", &library(), "--set", &state],
        &[("WATTKEEPER_FAKE_NVML", file.as_path())],
    );
    tests::eventually("it is given back", || control.power_limit(0).unwrap() == 700.0);
}

#[test]
fn a_driver_that_hangs_in_a_write_ends_the_probe_and_leaves_the_original_in_the_journal() {
    let home = tempfile::tempdir().unwrap();
    let (file, state) = (home.path().join("node"), home.path().join("state"));
    let control = Control::open_as(&file, &sim::profile::H100, 1, 1).unwrap();
    control.hang_group(fake_nvml::Group::Write, true).unwrap();
    let (code, report) = doctor(&file, &state, &["--probe", "--patience", "1"]);
    assert_eq!((code, knobs(&report)), (1, vec![("nvml", "power_limit", "stuck")]));
    let journal = std::fs::read_to_string(state.join("limits.journal")).unwrap();
    assert!(journal.contains("\"original\":700.0"), "{journal}");
}

/// A copy of a capture, which the processor's own zones and groups are turned in.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            std::fs::copy(&entry, target).unwrap();
        }
    }
}

#[test]
fn packages_and_groups_are_tried_and_end_as_they_were_to_the_last_byte() {
    let home = tempfile::tempdir().unwrap();
    let capture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    for (tree, limits) in [("intel-2s", "unconfirmed"), ("amd-2s", "none")] {
        let root = home.path().join(tree);
        copy(&capture.join(tree), &root);
        std::fs::create_dir_all(root.join("proc/self")).unwrap();
        std::fs::write(root.join("proc/self/cgroup"), "0::/system.slice/wattkeeper.service\n").unwrap();
        let (zones, groups) = (root.join("sys/class/powercap"), root.join("sys/fs/cgroup"));
        let id = "0123456789abcdef".repeat(4);
        let quota = if tree == "intel-2s" {
            let pod = "kubepods.slice/kubepods-pod11111111_2222_3333_4444_555555555555.slice";
            vec![(format!("{pod}/cri-containerd-{id}.scope/cpu.max"), "max 100000\n")]
        } else {
            let file = |name: &str| format!("cpu/docker/{id}/cpu.cfs_{name}_us");
            vec![(file("quota"), "50000\n"), (file("period"), "100000\n")]
        };
        quota.iter().for_each(|(file, text)| std::fs::write(groups.join(file), text).unwrap());
        let state = home.path().join("state");
        let settings = [
            format!("collectors.sys=\"{}\"", root.join("sys").display()),
            format!("collectors.proc=\"{}\"", root.join("proc").display()),
            format!("state.directory=\"{}\"", state.display()),
            "collectors.disabled=[\"nvml\", \"kmsg\", \"perf\"]".to_owned(),
        ];
        let mut arguments = vec!["doctor", "--json", "--probe"];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
        let kept = (contents(&zones), contents(&groups));
        let (_, out, error) = run(&arguments, &[]);
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}"));
        let packages: Vec<_> =
            knobs(&report).into_iter().filter(|(name, ..)| name.starts_with("package")).collect();
        assert_eq!(
            packages,
            [("package-0", "power_limit", limits), ("package-1", "power_limit", limits)],
            "{out}"
        );
        assert!((contents(&zones), contents(&groups)) == kept, "{tree}");
        let group = report["knobs"].as_array().unwrap().iter().find(|knob| knob["source"] == "cgroup");
        let group = group.unwrap();
        assert_eq!(
            (&group["outcome"], &group["restored"]),
            (&Value::from("unconfirmed"), &Value::from(true))
        );
        assert!(group["tried"].as_f64() < group["position"].as_f64(), "{group:#}");
        assert!(group["alike"].as_u64().unwrap() > 0, "one stands for all: {out}");
    }
}

/// Every file below a folder with what it holds.
fn contents(folder: &std::path::Path) -> std::collections::BTreeMap<std::path::PathBuf, String> {
    let mut all = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            all.extend(contents(&entry));
        } else {
            all.insert(entry.clone(), std::fs::read_to_string(&entry).unwrap_or_default());
        }
    }
    all
}
