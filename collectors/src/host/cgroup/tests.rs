//! Tests of control groups: exact values of both versions, and groups that come, go, restart and crowd.
use super::*;
use crate::Roots;
use model::{Absence, Metric, Reading};
use std::collections::BTreeMap as Map;
use std::fs;
use std::path::{Path as FsPath, PathBuf};
use std::time::Duration;

mod tasks;

/// The source over a tree and what it said last.
struct Host {
    source: Box<dyn Collector>,
    batch: Batch,
}

impl Host {
    fn new(tree: &FsPath, groups_max: usize) -> Self {
        let roots = Roots::below(tree);
        let options = Options { roots, cgroups_max: groups_max, ..Options::default() };
        Self { source: open(&options).unwrap().expect("control groups"), batch: Batch::default() }
    }

    fn at(&mut self, second: u64) {
        self.batch.begin();
        let now = Timestamp::default().after(Duration::from_secs(second));
        self.source.collect(now, &mut self.batch).unwrap();
    }

    fn get(&self, name: &str, metric: Metric) -> Option<Reading> {
        let (slot, _) = self.batch.devices().find(|(_, info)| info.name == name).expect(name);
        self.batch.reading(slot, metric)
    }

    fn check(&self, name: &str, expected: &[(Metric, f64)]) {
        for (metric, value) in expected {
            let reading = self.get(name, *metric);
            // Scaling from nanoseconds rounds in the last place.
            let close = |read: f64| (read - value).abs() <= 1e-12 * value.abs();
            let same = reading.and_then(Reading::value).is_some_and(close);
            assert!(same, "{name} {metric}: {reading:?}, expected {value}");
        }
    }

    fn names(&self) -> Vec<String> {
        self.batch.devices().map(|(_, info)| info.name.clone()).collect()
    }
}

fn capture(name: &str) -> PathBuf {
    FsPath::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures").join(name)
}

/// A tree of version 2 under a temporary folder.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.write("cgroup.controllers", "cpu io memory pids\n");
        tree
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join("sys/fs/cgroup").join(below)
    }

    fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn group(&self, path: &str, usage_us: u64) {
        self.write(&format!("{path}/cpu.stat"), &format!("usage_usec {usage_us}\n"));
    }

    fn host(&self, groups_max: usize) -> Host {
        Host::new(self.0.path(), groups_max)
    }
}

/// The path of a container whose first twelve digits tell it apart.
fn container(number: u64) -> String {
    format!("docker/{number:012x}{:052x}", 0)
}

#[test]
fn version_2_is_read_to_the_last_value() {
    let mut host = Host::new(&capture("intel-2s"), 16);
    host.at(1);
    let common = [
        (Metric::CgroupCpu, 7.25),
        (Metric::CgroupCpuUser, 6.0),
        (Metric::CgroupCpuSystem, 1.25),
        (Metric::CgroupPeriods, 400.0),
        (Metric::CgroupPeriodsThrottled, 90.0),
        (Metric::CgroupThrottled, 4.5),
        (Metric::CgroupMemory, 6_442_450_944.0),
        (Metric::CgroupMemoryLimit, 8_589_934_592.0),
        (Metric::CgroupOomKills, 0.0),
        (Metric::CgroupPids, 96.0),
        (Metric::CgroupPressureCpu, 2.5),
        (Metric::CgroupPressureMemory, 1.25),
        (Metric::CgroupPressureIo, 0.64),
    ];
    host.check("fedcba987654", &common);
    // Monitored by resctrl in both cache domains; the other container is not.
    host.check("0123456789ab", &[(Metric::CgroupCache, 196_608.0)]);
    assert_eq!(host.get("fedcba987654", Metric::CgroupCache), None);
    let unlimited = host.get("0123456789ab", Metric::CgroupMemoryLimit);
    assert_eq!(unlimited, Some(Reading::Absent(Absence::Unsupported)), "`max` is no number");
    let pods: Map<_, _> = host
        .batch
        .devices()
        .filter_map(|(_, info)| Some((info.name.clone(), info.attributes.get("pod")?.clone())))
        .collect();
    assert_eq!(pods["0123456789ab"], "11111111-2222-3333-4444-555555555555");
    assert_eq!(pods["fedcba987654"], "66666666-7777-8888-9999-aaaaaaaaaaaa");
    assert_eq!(pods.len(), 2, "a pod's own slice is not followed beside its containers");
}

#[test]
fn version_1_is_read_to_the_last_value_and_has_no_pressure() {
    let mut host = Host::new(&capture("amd-2s"), 16);
    host.at(1);
    let common = [
        (Metric::CgroupCpu, 7.25),
        (Metric::CgroupCpuUser, 6.0),
        (Metric::CgroupCpuSystem, 1.25),
        (Metric::CgroupPeriods, 400.0),
        (Metric::CgroupPeriodsThrottled, 90.0),
        (Metric::CgroupThrottled, 4.5),
        (Metric::CgroupMemory, 6_442_450_944.0),
        (Metric::CgroupMemoryLimit, 8_589_934_592.0),
        (Metric::CgroupOomKills, 0.0),
        (Metric::CgroupPids, 96.0),
    ];
    host.check("fedcba987654", &common);
    host.check("docker.service", &[(Metric::CgroupCpu, 15.0), (Metric::CgroupPids, 40.0)]);
    let unlimited = host.get("docker.service", Metric::CgroupMemoryLimit);
    assert_eq!(unlimited, Some(Reading::Absent(Absence::Unsupported)), "the largest number is no limit");
    for metric in [Metric::CgroupPressureCpu, Metric::CgroupPressureMemory, Metric::CgroupPressureIo] {
        assert_eq!(host.get("fedcba987654", metric), None, "what is not set is unsupported");
    }
    let info = host.batch.devices().find(|(_, info)| info.name == "fedcba987654").unwrap().1;
    assert_eq!(info.attributes["container"], "fedcba9876543210".repeat(4));
    assert_eq!(info.key, format!("docker/{}", "fedcba9876543210".repeat(4)));
}

#[test]
fn a_hybrid_host_is_of_the_version_that_holds_the_controllers() {
    let home = tempfile::tempdir().unwrap();
    let mount = home.path().join("sys/fs/cgroup");
    let find = || Hierarchy::find(&Roots::below(home.path()));
    assert_eq!(find(), None, "no control groups");
    fs::create_dir_all(mount.join("unified")).unwrap();
    fs::write(mount.join("unified/cgroup.controllers"), "\n").unwrap();
    assert_eq!(find(), Some(Hierarchy::Unified(mount.join("unified"))));
    fs::create_dir_all(mount.join("memory")).unwrap();
    assert_eq!(find(), Some(Hierarchy::Split(mount.clone())));
    fs::write(mount.join("cgroup.controllers"), "cpu\n").unwrap();
    assert_eq!(find(), Some(Hierarchy::Unified(mount)));
}

#[test]
fn containers_come_before_units_and_a_followed_one_keeps_its_place() {
    let tree = Tree::new();
    let sorted = |host: &Host| {
        let mut names = host.names();
        names.sort();
        names
    };
    tree.group("system.slice/a.service", 1);
    tree.group(&container(5), 1);
    let mut host = tree.host(2);
    host.at(1);
    assert_eq!(sorted(&host), ["000000000005", "system.slice"]);
    // One that sorts first takes the place of the slice, not of the container that is followed.
    tree.group(&container(4), 1);
    host.at(11);
    assert_eq!(sorted(&host), ["000000000004", "000000000005"]);
    tree.group(&container(3), 1);
    host.at(21);
    assert_eq!(sorted(&host), ["000000000004", "000000000005"], "there is no room for a third");
}

#[test]
fn groups_that_come_and_go_never_exceed_the_limit_nor_leave_anything_behind() {
    let tree = Tree::new();
    let mut host = tree.host(4);
    for round in 0..20_u64 {
        // Each round starts three groups and ends those of two rounds before, so that up to six are there.
        (3 * round..3 * round + 3).for_each(|number| tree.group(&container(number), number));
        if round >= 2 {
            (3 * round - 6..3 * round - 3)
                .for_each(|number| fs::remove_dir_all(tree.path(&container(number))).unwrap());
        }
        host.at(10 * round + 1);
        let keys: Vec<String> = host.batch.devices().map(|(_, info)| info.key.clone()).collect();
        assert_eq!(keys.len(), if round == 0 { 3 } else { 4 }, "round {round}");
        assert!(keys.iter().all(|key| tree.path(key).is_dir()), "round {round}: {keys:?}");
        let read = host.batch.readings().iter().filter(|r| r.reading.value().is_some()).count();
        assert_eq!(read, keys.len(), "round {round}: each is read, and no other");
    }
    fs::remove_dir_all(tree.path("docker")).unwrap();
    host.at(1000);
    assert_eq!(host.batch.devices().count(), 0);
    assert_eq!(host.batch.notices().len(), 4, "each one that was followed is gone once");
    assert!(host.batch.readings().is_empty());
}

#[test]
fn new_groups_are_met_every_ten_seconds_and_not_before() {
    let tree = Tree::new();
    tree.group(&container(1), 1);
    let mut host = tree.host(8);
    host.at(1);
    tree.group(&container(2), 1);
    host.at(10);
    assert_eq!(host.names().len(), 1);
    host.at(11);
    assert_eq!(host.names().len(), 2);
}

#[test]
fn a_file_that_fails_once_is_read_again() {
    let tree = Tree::new();
    tree.group(&container(1), 1_000_000);
    // A folder can be opened like a file and fails on reading.
    let file = tree.path(&container(1)).join("pids.current");
    fs::create_dir_all(&file).unwrap();
    let mut host = tree.host(8);
    host.at(1);
    let name = "000000000001";
    assert_eq!(host.get(name, Metric::CgroupPids), Some(Reading::Absent(Absence::Lost)));
    host.check(name, &[(Metric::CgroupCpu, 1.0)]);
    fs::remove_dir(&file).unwrap();
    fs::write(&file, "7\n").unwrap();
    host.at(2);
    host.check(name, &[(Metric::CgroupPids, 7.0)]);
}

/// A group with a file that was opened and is opened anew on the next beat: only such a one can be seen to vanish in a
/// tree of ordinary files, which unlike the kernel's can be read after they were removed.
fn about_to_vanish(tree: &Tree) -> Host {
    tree.group(&container(1), 1_000_000);
    fs::create_dir_all(tree.path(&container(1)).join("pids.current")).unwrap();
    let mut host = tree.host(8);
    host.at(1);
    host
}

#[test]
fn a_group_that_vanishes_is_gone_on_the_next_beat() {
    let tree = Tree::new();
    let mut host = about_to_vanish(&tree);
    fs::remove_dir_all(tree.path(&container(1))).unwrap();
    host.at(2);
    assert_eq!(host.get("000000000001", Metric::CgroupPids), Some(Reading::Absent(Absence::Lost)));
    host.at(3);
    assert_eq!((host.names().len(), host.batch.notices().len()), (0, 1));
}

#[test]
fn a_group_that_is_restarted_under_its_path_is_read_anew() {
    let tree = Tree::new();
    let mut host = about_to_vanish(&tree);
    fs::remove_dir_all(tree.path(&container(1))).unwrap();
    host.at(2);
    tree.group(&container(1), 5_000_000);
    tree.write(&format!("{}/pids.current", container(1)), "3\n");
    for second in [3, 4, 5] {
        host.at(second);
        host.check("000000000001", &[(Metric::CgroupPids, 3.0)]);
        assert!(host.batch.notices().is_empty());
    }
}

#[test]
fn a_controller_that_is_taken_away_from_a_living_group_does_not_make_every_beat_a_scan() {
    let tree = Tree::new();
    let mut host = about_to_vanish(&tree);
    fs::remove_dir(tree.path(&container(1)).join("pids.current")).unwrap();
    host.at(2);
    host.at(3);
    assert_eq!(host.get("000000000001", Metric::CgroupPids), Some(Reading::Absent(Absence::Unsupported)));
    tree.group(&container(2), 1);
    host.at(4);
    host.at(5);
    assert_eq!(host.names().len(), 1, "nothing was looked for");
    host.check("000000000001", &[(Metric::CgroupCpu, 1.0)]);
}

#[test]
fn a_controller_that_is_enabled_later_is_read_from_the_next_scan_on() {
    let tree = Tree::new();
    tree.group(&container(1), 1);
    let mut host = tree.host(8);
    host.at(1);
    let missing = Some(Reading::Absent(Absence::Unsupported));
    assert_eq!(host.get("000000000001", Metric::CgroupMemory), missing);
    tree.write(&format!("{}/memory.current", container(1)), "4096\n");
    host.at(2);
    assert_eq!(host.get("000000000001", Metric::CgroupMemory), None, "it is not looked for on every beat");
    host.at(11);
    host.check("000000000001", &[(Metric::CgroupMemory, 4096.0)]);
}

#[test]
fn two_groups_of_one_name_are_shown_under_their_paths() {
    let tree = Tree::new();
    tree.group("system.slice/job.service", 1);
    tree.group("batch.slice/job.service", 1);
    let mut host = tree.host(8);
    host.at(1);
    let mut names = host.names();
    names.sort();
    assert_eq!(names, ["batch.slice", "batch.slice/job.service", "system.slice", "system.slice/job.service"]);
}

#[test]
fn a_group_reached_through_a_link_is_not_followed_twice() {
    let tree = Tree::new();
    tree.group(&container(1), 1);
    std::os::unix::fs::symlink(tree.path("docker"), tree.path("other")).unwrap();
    let mut host = tree.host(8);
    host.at(1);
    assert_eq!(host.names(), ["000000000001"]);
}

#[test]
fn damaged_files_are_implausible_and_stop_nothing() {
    let tree = Tree::new();
    let files = [
        "cpu.max",
        "cpu.stat",
        "memory.current",
        "memory.max",
        "memory.events",
        "pids.current",
        "cpu.pressure",
        "io.pressure",
    ];
    let mut host = tree.host(8);
    let junk =
        ["", "\n", "-1", "some", "some total=x avg10=0", "usage_usec", "usage_usec x", "1 2 3", "inf", "NaN"];
    for (second, text) in (1..).zip(junk) {
        for file in files {
            tree.write(&format!("{}/{file}", container(1)), text);
        }
        host.at(10 * second);
        assert!(host.batch.readings().iter().all(|r| r.reading.value().is_none()), "{text:?}");
    }
    let wrong = host.get("000000000001", Metric::CgroupMemory);
    assert_eq!(wrong, Some(Reading::Absent(Absence::Implausible)));
    tree.write(&format!("{}/memory.current", container(1)), "4096\n");
    host.at(200);
    host.check("000000000001", &[(Metric::CgroupMemory, 4096.0)]);
}

#[test]
fn the_groups_of_this_machine_can_be_walked() {
    let options = Options { cgroups_max: 16, ..Options::default() };
    let Some(mut source) = open(&options).unwrap() else {
        return eprintln!("NOTICE: skipped, because there are no control groups here");
    };
    let mut batch = Batch::default();
    source.collect(Timestamp::default(), &mut batch).unwrap();
    assert!(batch.devices().count() <= 16);
}

#[test]
fn a_quota_is_told_in_cores_on_both_versions_and_none_is_absent() {
    let tree = Tree::new();
    let path = container(1);
    tree.group(&path, 1);
    let mut host = tree.host(8);
    let absent = |why| Some(Reading::Absent(why));
    for (second, (text, expected)) in (1..).zip([
        ("150000 100000", Some(Reading::Value(1.5))),
        ("max 100000", absent(Absence::Unsupported)),
        ("8000 2000", Some(Reading::Value(4.0))),
        ("0 100000", absent(Absence::Implausible)),
        ("5 0", absent(Absence::Implausible)),
    ]) {
        tree.write(&format!("{path}/cpu.max"), text);
        host.at(10 * second);
        assert_eq!(host.get("000000000001", Metric::CgroupQuota), expected, "{text}");
    }
    let split = tempfile::tempdir().unwrap();
    let write = |tree: &str, file: &str, text: &str| {
        let folder = split.path().join("sys/fs/cgroup").join(tree).join(container(1));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), text).unwrap();
    };
    write("cpuacct", "cpuacct.usage", "1");
    write("cpu", "cpu.cfs_period_us", "50000");
    let mut host = Host::new(split.path(), 8);
    for (second, (text, expected)) in (1..).zip([
        ("75000", Some(Reading::Value(1.5))),
        ("-1", absent(Absence::Unsupported)),
        ("x", absent(Absence::Implausible)),
    ]) {
        write("cpu", "cpu.cfs_quota_us", text);
        host.at(10 * second);
        assert_eq!(host.get("000000000001", Metric::CgroupQuota), expected, "{text}");
    }
    write("cpu", "cpu.cfs_quota_us", "75000");
    write("cpu", "cpu.cfs_period_us", "100000");
    host.at(90);
    let read = host.get("000000000001", Metric::CgroupQuota);
    assert_eq!(read, Some(Reading::Value(0.75)), "another writer may change the period as well");
}
