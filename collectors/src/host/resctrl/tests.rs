//! Tests of resctrl on fixture trees: domains of the node, groups by name and by tasks, and words in place of numbers.
use super::*;
use crate::Roots;
use model::Reading;
use std::fs;
use std::time::Duration;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A host of four processors in two cache domains, numbered 1 and 8.
struct Host {
    tree: tempfile::TempDir,
    batch: Batch,
    second: u64,
}

impl Host {
    fn new() -> Self {
        let host = Self { tree: tempfile::tempdir().unwrap(), batch: Batch::default(), second: 0 };
        for (cpu, cache) in [8, 8, 1, 1].iter().enumerate() {
            host.write(&format!("sys/devices/system/cpu/cpu{cpu}/cache/index3/id"), &format!("{cache}\n"));
        }
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes what a group has in both domains: all traffic, local traffic, cache.
    fn group(&self, group: &str, domains: [[&str; 3]; 2]) {
        for (name, texts) in ["mon_L3_01", "mon_L3_08"].iter().zip(domains) {
            for (file, text) in ["mbm_total_bytes", "mbm_local_bytes", "llc_occupancy"].iter().zip(texts) {
                self.write(&format!("sys/fs/resctrl/{group}mon_data/{name}/{file}"), &format!("{text}\n"));
            }
        }
    }

    fn options(&self) -> Options {
        let roots = Roots::below(self.tree.path());
        Options { roots, cgroups_max: 8, ..Options::default() }
    }

    fn beat(&mut self, source: &mut dyn Collector) {
        self.second += 10;
        self.batch.begin();
        let now = Timestamp::default().after(Duration::from_secs(self.second));
        source.collect(now, &mut self.batch).unwrap();
    }

    fn get(&self, key: &str, metric: Metric) -> Option<Reading> {
        let (slot, _) = self.batch.devices().find(|(_, info)| info.key == key).expect(key);
        self.batch.reading(slot, metric)
    }
}

fn value(value: f64) -> Option<Reading> {
    Some(Reading::Value(value))
}

fn absent(why: Absence) -> Option<Reading> {
    Some(Reading::Absent(why))
}

#[test]
fn a_host_without_resctrl_or_without_monitoring_has_no_source() {
    let host = Host::new();
    assert!(open(&host.options()).unwrap().is_none());
    host.write("sys/fs/resctrl/schemata", "L3:0=ff\n");
    assert!(open(&host.options()).unwrap().is_none());
}

#[test]
fn the_node_s_traffic_is_that_of_all_groups_of_control_by_domain_on_its_first_core() {
    let mut host = Host::new();
    host.group("", [["1000", "800", "64"], ["7", "7", "7"]]);
    host.group("pinned/", [["500", "500", "32"], ["0", "0", "0"]]);
    host.write("sys/fs/resctrl/info/L3_MON/num_rmids", "256\n");
    // What a monitoring group has is in its group of control already.
    host.group("mon_groups/part/", [["900", "700", "60"], ["0", "0", "0"]]);
    let mut source = open(&host.options()).unwrap().unwrap();
    host.beat(source.as_mut());
    assert_eq!(host.get("2", Metric::DomainTraffic), value(0.0), "since it was met");
    assert_eq!(host.get("2", Metric::DomainCache), value(96.0));
    assert_eq!(host.get("0", Metric::DomainCache), value(7.0));
    host.group("", [["3000", "1800", "64"], ["7", "7", "7"]]);
    host.group("pinned/", [["600", "500", "32"], ["0", "0", "0"]]);
    host.beat(source.as_mut());
    assert_eq!(host.get("2", Metric::DomainTraffic), value(2100.0));
    assert_eq!(host.get("2", Metric::DomainTrafficLocal), value(1000.0));
    assert_eq!(host.get("0", Metric::DomainTraffic), value(0.0));
    // A group that goes takes nothing of the total with it.
    fs::remove_dir_all(host.tree.path().join("sys/fs/resctrl/pinned")).unwrap();
    host.beat(source.as_mut());
    assert_eq!(host.get("2", Metric::DomainTraffic), value(2100.0));
    assert_eq!(host.get("2", Metric::DomainCache), value(64.0));
    assert_eq!(host.batch.devices().count(), 2);
}

#[test]
fn words_in_place_of_a_number_are_absent_and_the_next_number_goes_on() {
    let mut host = Host::new();
    host.group("", [["1000", "800", "64"], ["0", "0", "0"]]);
    let mut source = open(&host.options()).unwrap().unwrap();
    host.beat(source.as_mut());
    for (word, why) in [
        ("Unavailable", Absence::Late),
        ("Error", Absence::Lost),
        ("Unassigned", Absence::Disabled),
        ("", Absence::Implausible),
        ("-", Absence::Implausible),
    ] {
        host.group("", [[word, "800", "64"], ["0", "0", "0"]]);
        host.beat(source.as_mut());
        assert_eq!(host.get("2", Metric::DomainTraffic), absent(why), "{word:?}");
        assert_eq!(host.get("2", Metric::DomainTrafficLocal), value(0.0));
        assert_eq!(host.get("0", Metric::DomainTraffic), value(0.0), "the other domain is not touched");
    }
    host.group("", [["1500", "800", "64"], ["0", "0", "0"]]);
    host.beat(source.as_mut());
    assert_eq!(host.get("2", Metric::DomainTraffic), value(500.0));
    // A counter that fell was given to another group meanwhile: nothing is taken back.
    host.group("", [["10", "800", "64"], ["0", "0", "0"]]);
    host.beat(source.as_mut());
    assert_eq!(host.get("2", Metric::DomainTraffic), value(500.0));
    host.group("", [["30", "800", "64"], ["0", "0", "0"]]);
    host.beat(source.as_mut());
    assert_eq!(host.get("2", Metric::DomainTraffic), value(520.0));
}

#[test]
fn a_file_that_the_hardware_does_not_have_is_unsupported() {
    let mut host = Host::new();
    host.group("", [["1", "1", "1"], ["1", "1", "1"]]);
    for domain in ["mon_L3_01", "mon_L3_08"] {
        fs::remove_file(
            host.tree.path().join("sys/fs/resctrl/mon_data").join(domain).join("mbm_local_bytes"),
        )
        .unwrap();
    }
    let mut source = open(&host.options()).unwrap().unwrap();
    host.beat(source.as_mut());
    assert_eq!(host.get("2", Metric::DomainTrafficLocal), absent(Absence::Unsupported));
    assert_eq!(host.get("2", Metric::DomainTraffic), value(0.0));
}

/// A host with two control groups: a container and a service with two threads.
fn grouped() -> (Host, String, Box<dyn Collector>) {
    let host = Host::new();
    let path = format!("system.slice/docker-{ID}.scope");
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu\n");
    host.write(&format!("sys/fs/cgroup/{path}/cgroup.threads"), "7\n8\n");
    host.write("sys/fs/cgroup/web.service/cgroup.threads", "21\n22\n");
    host.group("", [["9", "9", "9"], ["9", "9", "9"]]);
    let source = crate::host::cgroup::open(&host.options()).unwrap().unwrap();
    (host, path, source)
}

#[test]
fn a_monitoring_group_of_a_container_s_name_stands_for_it_over_all_domains() {
    for name in [ID.to_owned(), format!("cri-containerd-{ID}.scope")] {
        for place in ["mon_groups", "pinned/mon_groups"] {
            let (mut host, path, mut source) = grouped();
            let group = format!("{place}/{name}/");
            host.write("sys/fs/resctrl/pinned/mon_data/mon_L3_01/llc_occupancy", "0\n");
            host.group(&group, [["100", "60", "10"], ["40", "40", "5"]]);
            host.beat(source.as_mut());
            assert_eq!(host.get(&path, Metric::CgroupCache), value(15.0), "{group}");
            host.group(&group, [["150", "60", "10"], ["41", "40", "5"]]);
            host.beat(source.as_mut());
            assert_eq!(host.get(&path, Metric::CgroupTraffic), value(51.0));
            assert_eq!(host.get(&path, Metric::CgroupTrafficLocal), value(0.0));
            assert_eq!(host.get("web.service", Metric::CgroupTraffic), None, "nothing stands for it");
        }
    }
}

#[test]
fn a_monitoring_group_with_the_same_tasks_stands_for_a_control_group_and_one_with_others_beside_does_not() {
    let (mut host, _, mut source) = grouped();
    host.group("mon_groups/any/", [["100", "60", "10"], ["40", "40", "5"]]);
    for (tasks, cache) in [("21\n22\n", Some(15.0)), ("21\n22\n23\n", None), ("21\n", None), ("", None)] {
        host.write("sys/fs/resctrl/mon_groups/any/tasks", tasks);
        host.beat(source.as_mut());
        let read = host.get("web.service", Metric::CgroupCache).and_then(Reading::value);
        assert_eq!(read, cache, "{tasks:?}");
    }
}

#[test]
fn a_domain_that_has_no_value_makes_the_group_s_sum_absent() {
    let (mut host, path, mut source) = grouped();
    host.group(&format!("mon_groups/{ID}/"), [["100", "60", "10"], ["Unavailable", "40", "5"]]);
    host.beat(source.as_mut());
    assert_eq!(host.get(&path, Metric::CgroupTraffic), absent(Absence::Late));
    assert_eq!(host.get(&path, Metric::CgroupCache), value(15.0));
    fs::remove_dir_all(host.tree.path().join(format!("sys/fs/resctrl/mon_groups/{ID}"))).unwrap();
    host.beat(source.as_mut());
    assert_eq!(host.get(&path, Metric::CgroupCache), None, "a group that went stands for nobody");
}
