//! Checks on fixture trees and with capability sets of our own.
use super::probe::{Probe, Reads, judge};
use super::*;
use collectors::{Entry, Need};
use model::{Metric, Reason};
use std::fs;
use std::path::Path;

fn facts(capabilities: u64) -> Facts {
    Facts {
        user: 65534,
        capabilities,
        host_pids: Some(true),
        files_max: Some(4096),
        container: None,
        perf_paranoid: Some(2),
    }
}

const RAPL: Entry = Entry::inline(
    "rapl",
    |_| Ok(None),
    &[Need { what: "RAPL energy", right: "root, or CAP_DAC_READ_SEARCH", without: "power of the packages" }],
);

fn refused() -> Probe {
    Probe::Read(Reads { values: 3, refused: 2, denied: [Metric::ZoneEnergy].into(), failed: Vec::new() })
}

#[test]
fn a_refused_reading_names_the_capability_for_systemd_and_for_kubernetes() {
    let check = judge(&RAPL, refused(), &facts(0), Path::new("/nonexistent"));
    assert_eq!(check.verdict, Verdict::Denied);
    assert_eq!(check.lost, ["power of the packages"]);
    let grant = check.grant.join("\n");
    assert!(grant.contains("AmbientCapabilities=CAP_DAC_READ_SEARCH"), "{grant}");
    assert!(grant.contains("capabilities.add: [DAC_READ_SEARCH]"), "{grant}");
}

#[test]
fn a_group_and_device_files_are_named_as_such() {
    let grant = rights::grants("group render (/dev/dri/*)").join("\n");
    assert!(grant.contains("SupplementaryGroups=render\n"), "{grant}");
    assert!(grant.contains("/dev/dri/*"), "{grant}");
    assert_eq!(rights::is_held("group render", &facts(u64::MAX)), None, "a capability is no group");
    assert_eq!(rights::is_held("none", &facts(0)), Some(true));
}

#[test]
fn the_kernel_log_asks_for_its_capability_its_file_and_no_vendor_runtime() {
    let right = collectors::host::kmsg::NEEDS[0].right;
    let grant = rights::grants(right).join("\n");
    for line in ["AmbientCapabilities=CAP_SYSLOG", "[SYSLOG]", "no ProtectKernelLogs=", "hostPath /dev/kmsg"]
    {
        assert!(grant.contains(line), "{line} in {grant}");
    }
    assert!(!grant.contains("runtime class"), "{grant}");
    assert_eq!(
        (rights::is_held(right, &facts(1 << 34)), rights::is_held(right, &facts(0))),
        (Some(true), Some(false))
    );
}

#[test]
fn a_capability_that_is_held_is_not_asked_for_again() {
    let check = judge(&RAPL, refused(), &facts(1 << 2), Path::new("/nonexistent"));
    assert_eq!(check.verdict, Verdict::Denied);
    assert!(check.grant.iter().all(|line| !line.contains("CAP_")), "{:?}", check.grant);
}

#[test]
fn a_hung_driver_and_a_missing_device_ask_for_nothing() {
    let hung = judge(
        &RAPL,
        Probe::Hung(Some("nvmlInit_v2"), Duration::from_secs(15)),
        &facts(0),
        Path::new("/nonexistent"),
    );
    assert_eq!((hung.verdict, hung.grant.len()), (Verdict::Failed, 0));
    assert!(hung.found.contains("nvmlInit_v2 has not returned for 15 s"), "{}", hung.found);
    let none = judge(&RAPL, Probe::Nothing, &facts(0), Path::new("/nonexistent"));
    assert_eq!(none.verdict, Verdict::None);
    let broken = Probe::Shut(Reason::Library, "could not start".into());
    assert_eq!(judge(&RAPL, broken, &facts(0), Path::new("/")).verdict, Verdict::Failed);
}

#[test]
fn boards_on_the_bus_without_their_library_are_a_thing_to_grant() {
    let home = tempfile::tempdir().unwrap();
    for (slot, vendor, class) in [("0", "0x10de", "0x030200"), ("1", "0x10de", "0x0c0300")] {
        let folder = home.path().join("bus/pci/devices").join(slot);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("vendor"), format!("{vendor}\n")).unwrap();
        fs::write(folder.join("class"), format!("{class}\n")).unwrap();
    }
    let entry = Entry { library: Some("libnvidia-ml.so.1"), ..RAPL };
    let check = judge(&entry, Probe::Nothing, &facts(0), home.path());
    assert_eq!(check.verdict, Verdict::Denied);
    assert!(check.found.starts_with("1 boards"), "a USB controller is no accelerator: {}", check.found);
}

#[test]
fn effective_capabilities_are_read_as_the_kernel_writes_them() {
    let status = "Name:\twattkeeper\nCapPrm:\t0000000000000000\nCapEff:\t0000004000000004\n";
    let held = facts(facts::effective(status)).held();
    assert_eq!(held, ["CAP_DAC_READ_SEARCH", "CAP_PERFMON"]);
    assert_eq!(facts::effective("nonsense"), 0);
}

#[test]
fn a_pid_namespace_of_ones_own_hides_who_uses_a_device_unless_the_hosts_proc_is_mounted() {
    let home = tempfile::tempdir().unwrap();
    let own = Facts { host_pids: Some(false), ..facts(0) };
    let check = host::processes(Path::new("/proc"), &own);
    assert_eq!(check.verdict, Verdict::Denied);
    assert!(check.grant[0].contains("hostPID: true"));
    fs::create_dir_all(home.path().join("1")).unwrap();
    assert_eq!(host::processes(home.path(), &own).verdict, Verdict::Denied, "hidepid hides process 1");
    fs::write(home.path().join("1/cgroup"), "0::/init.scope\n").unwrap();
    assert_eq!(host::processes(home.path(), &own).verdict, Verdict::Ok);
}

#[test]
fn a_kubelets_socket_is_asked_for_in_a_pod_only() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("kubelet.sock");
    assert_eq!(host::kubelet(&socket, &facts(0)).verdict, Verdict::None);
    let pod = Facts { container: Some("a pod of Kubernetes"), ..facts(0) };
    assert_eq!(host::kubelet(&socket, &pod).verdict, Verdict::Denied);
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(host::kubelet(&socket, &pod).verdict, Verdict::Ok);
}

#[test]
fn a_state_directory_that_can_be_made_is_as_good_as_one_and_is_not_made() {
    let home = tempfile::tempdir().unwrap();
    let mut config = crate::config::load(None, &[]).unwrap();
    config.state_directory = home.path().join("a/b");
    assert_eq!(host::state(&config).verdict, Verdict::Ok);
    assert!(!home.path().join("a").exists());
    fs::write(home.path().join("file"), "").unwrap();
    config.state_directory = home.path().join("file/below");
    assert_eq!(host::state(&config).verdict, Verdict::Denied, "nothing lies below a file");
}

#[test]
fn every_source_is_in_the_table_of_needs() {
    let table = table();
    for entry in BUILT_IN {
        assert!(
            table.contains(&format!("\n| {} |", entry.name)),
            "{} needs a line, if only \"none\"",
            entry.name
        );
    }
}

#[test]
fn the_exit_code_asks_only_whether_something_can_be_granted() {
    let report = |verdict| Report {
        host: "n".into(),
        process: Vec::new(),
        sources: vec![Check::new("x", verdict, "found")],
        trouble: None,
        knobs: Vec::new(),
    };
    for (verdict, code) in [(Verdict::Ok, 0), (Verdict::None, 0), (Verdict::Failed, 0), (Verdict::Denied, 1)]
    {
        assert_eq!(report(verdict).exit_code(), code);
    }
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let check = judge(&RAPL, refused(), &facts(0), Path::new("/nonexistent"));
    let report = Report {
        host: "node".into(),
        process: Vec::new(),
        sources: vec![check],
        trouble: None,
        knobs: Vec::new(),
    };
    assert!(report.text().lines().all(|line| line.chars().count() <= COLUMNS), "{}", report.text());
}
