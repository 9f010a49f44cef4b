//! Tests of the host sources on fixture trees and on the machine itself.
use crate::{BUILT_IN, Options, Roots};
use model::source::SourceMap;
use model::{Absence, Batch, Collector, DeviceKind, Frame, Metric, Reading, Timestamp};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures").join(name)
}

fn options(roots: Roots) -> Options {
    Options { roots, cgroups_max: 16, ..Options::default() }
}

/// Every inline source over a tree, read into one frame.
struct Host {
    sources: Vec<(Box<dyn Collector>, Batch, SourceMap)>,
    frame: Frame,
    second: u64,
}

impl Host {
    fn new(roots: Roots) -> Self {
        let options = options(roots);
        let inline = BUILT_IN.iter().filter(|entry| entry.place == crate::Place::Inline);
        let opened = inline.filter_map(|entry| (entry.open)(&options).ok().flatten());
        let sources = opened.map(|source| (source, Batch::default(), SourceMap::default())).collect();
        Self { sources, frame: Frame::default(), second: 0 }
    }

    fn beat(&mut self) {
        self.second += 1;
        let now = Timestamp::default().after(Duration::from_secs(self.second));
        self.frame.begin(now);
        for (source, batch, map) in &mut self.sources {
            batch.begin();
            source.collect(now, batch).unwrap();
            self.frame.merge(batch, map, false);
        }
    }

    fn read(name: &str) -> Self {
        let mut host = Self::new(Roots::below(&capture(name)));
        host.beat();
        host
    }

    fn get(&self, kind: DeviceKind, key: &str, metric: Metric) -> Reading {
        let device = self.frame.devices.find(kind, key).unwrap_or_else(|| panic!("no {kind:?} {key}"));
        self.frame.get(device, metric)
    }

    fn check(&self, kind: DeviceKind, key: &str, expected: &[(Metric, f64)]) {
        for (metric, value) in expected {
            let reading = self.get(kind, key, *metric);
            let close =
                reading.value().is_some_and(|read| (read - value).abs() <= 1e-9 * value.abs().max(1.0));
            assert!(close, "{kind:?} {key} {metric}: {reading:?}, expected {value}");
        }
    }
}

#[test]
fn what_both_servers_have_is_read_from_their_own_files() {
    for tree in ["intel-2s", "amd-2s"] {
        let host = Host::read(tree);
        let node = [
            (Metric::Load1, 3.25),
            (Metric::Load15, 1.75),
            (Metric::Uptime, 86400.5),
            (Metric::ContextSwitches, 1_234_567.0),
            (Metric::Interrupts, 987_654.0),
            (Metric::Forks, 4321.0),
            (Metric::TasksRunning, 3.0),
            (Metric::TasksBlocked, 1.0),
            (Metric::NodeMemorySize, 1_056_000_000.0 * 1024.0),
            (Metric::NodeMemorySlabReclaimable, 6_000_000.0 * 1024.0),
            (Metric::NodeMemorySlabUnreclaimable, 3_000_000.0 * 1024.0),
            (Metric::NodeMemoryUnevictable, 2_000.0 * 1024.0),
            (Metric::NodeMemoryPerCpu, 400_000.0 * 1024.0),
            (Metric::NodeMemoryVmalloc, 300_000.0 * 1024.0),
            (Metric::NodeMemoryCommitted, 150_000_000.0 * 1024.0),
            (Metric::HugePagesReserved, 10.0),
            (Metric::PageFaultsMinor, 999_500.0),
            (Metric::PageFaultsMajor, 500.0),
            (Metric::OomKills, 2.0),
            (Metric::PressureCpuSome, 5.0),
            (Metric::PressureIoSome10, 0.12),
            (Metric::PressureMemoryFull10, 0.001),
        ];
        host.check(DeviceKind::Node, tree, &node);
        let core = [
            (Metric::CoreUser, 1.03),
            (Metric::CoreIdle, 90.0),
            (Metric::CoreGuest, 0.04),
            (Metric::CoreFrequency, 2.3e9),
            (Metric::CoreRunDelay, 1.0),
            (Metric::CoreTimeslices, 1003.0),
        ];
        host.check(DeviceKind::Core, "3", &core);
        // The Intel server tells of a base of 2 GHz, the AMD server only of the highest clock, 4.6 GHz.
        let ratio = if tree == "intel-2s" { 1.15 } else { 0.5 };
        host.check(DeviceKind::Core, "3", &[(Metric::CoreFrequencyRatio, ratio)]);
        host.check(
            DeviceKind::Numa,
            "1",
            &[(Metric::NumaHit, 1001.0), (Metric::NumaMemoryUsed, 278_000_000.0 * 1024.0)],
        );
        let disk = [
            (Metric::DiskReads, 1000.0),
            (Metric::DiskReadBytes, 80_000.0 * 512.0),
            (Metric::DiskWriteWait, 0.9),
            (Metric::DiskQueue, 3.0),
            (Metric::DiskBusy, 1.2),
        ];
        host.check(DeviceKind::Disk, "nvme0n1", &disk);
        assert_eq!(
            host.frame.devices.of_kind(DeviceKind::Disk).count(),
            1,
            "neither loop devices nor partitions"
        );
        let interface = [
            (Metric::InterfaceReceived, 5000.0),
            (Metric::InterfaceDropsSent, 4.0),
            (Metric::InterfaceUp, 1.0),
            (Metric::InterfaceSpeed, 12.5e9),
        ];
        host.check(DeviceKind::Interface, "eth0", &interface);
        host.check(
            DeviceKind::MemoryController,
            "mc1",
            &[(Metric::EdacCorrected, 7.0), (Metric::EdacUncorrected, 0.0)],
        );
        assert_eq!(host.frame.devices.of_kind(DeviceKind::Package).count(), 2);
        let id = "0123456789abcdef".repeat(4);
        let group = host
            .frame
            .devices
            .of_kind(DeviceKind::Cgroup)
            .find(|d| d.info.attributes.get("container") == Some(&id));
        let key = group.unwrap().info.key.clone();
        let cgroup = [
            (Metric::CgroupCpu, 3.0),
            (Metric::CgroupCpuUser, 2.0),
            (Metric::CgroupThrottled, 0.25),
            (Metric::CgroupPeriodsThrottled, 5.0),
            (Metric::CgroupMemory, 1_048_576.0),
            (Metric::CgroupOomKills, 1.0),
            (Metric::CgroupPids, 12.0),
        ];
        host.check(DeviceKind::Cgroup, &key, &cgroup);
        let limit = host.get(DeviceKind::Cgroup, &key, Metric::CgroupMemoryLimit);
        assert_eq!(limit, Reading::Absent(Absence::Unsupported), "no limit is no number");
    }
}

#[test]
fn the_intel_server_has_limits_by_name_throttles_a_port_and_sensors() {
    let host = Host::read("intel-2s");
    for package in ["package-0", "package-1"] {
        // The constraints are numbered differently in the two zones.
        host.check(
            DeviceKind::Zone,
            package,
            &[(Metric::ZoneLimitLong, 350.0), (Metric::ZoneLimitShort, 420.0)],
        );
    }
    assert!(host.frame.devices.find(DeviceKind::Zone, "package-1/dram").is_some());
    host.check(DeviceKind::Core, "5", &[(Metric::CoreThrottles, 5.0)]);
    host.check(DeviceKind::Package, "1", &[(Metric::PackageThrottles, 10.0)]);
    let port = [
        (Metric::PortUp, 1.0),
        (Metric::PortSpeed, 50e9),
        (Metric::PortReceived, 4000.0),
        (Metric::PortSent, 8000.0),
        (Metric::PortLinkDowned, 4.0),
        (Metric::PortTransmitWait, 6.0),
    ];
    host.check(DeviceKind::Port, "mlx5_0/1", &port);
    let limits = [(Metric::SensorTemperature, 62.0), (Metric::SensorTemperatureCritical, 100.0)];
    host.check(DeviceKind::Sensor, "coretemp-coretemp.1/temp1", &limits);
    host.check(DeviceKind::Sensor, "ipmi/fan1", &[(Metric::SensorFan, 8400.0)]);
    host.check(DeviceKind::Sensor, "ipmi/power1", &[(Metric::SensorPower, 912.0)]);
    host.check(DeviceKind::Sensor, "thermal_zone0", &[(Metric::SensorTemperature, 60.5)]);
}

#[test]
fn the_amd_server_lacks_limits_throttle_counts_and_ports_and_says_so() {
    let host = Host::read("amd-2s");
    assert_eq!(
        host.get(DeviceKind::Zone, "package-0", Metric::ZoneLimitLong),
        Reading::Absent(Absence::Unsupported)
    );
    assert_eq!(host.get(DeviceKind::Core, "0", Metric::CoreThrottles), Reading::Absent(Absence::Unsupported));
    assert_eq!(host.frame.devices.of_kind(DeviceKind::Port).count(), 0);
    host.check(DeviceKind::Sensor, "k10temp/temp3", &[(Metric::SensorTemperature, 48.0)]);
    host.check(DeviceKind::Sensor, "k10temp#1/temp1", &[(Metric::SensorTemperature, 55.5)]);
}

/// A copy of a capture that a test may change.
fn copy(name: &str) -> tempfile::TempDir {
    fn copy_below(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy_below(&entry.path(), &target)
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let home = tempfile::tempdir().unwrap();
    copy_below(&capture(name), home.path());
    home
}

#[test]
fn energy_goes_on_over_a_wrap() {
    let home = copy("intel-2s");
    let mut host = Host::new(Roots::below(home.path()));
    host.beat();
    // The counter stood 328851 microjoules before its wrap.
    fs::write(home.path().join("sys/class/powercap/intel-rapl:0/energy_uj"), "671149\n").unwrap();
    host.beat();
    host.check(DeviceKind::Zone, "package-0", &[(Metric::ZoneEnergy, 1.0)]);
}

#[test]
fn a_disk_and_a_container_that_go_are_gone_and_a_new_interface_is_met() {
    let home = copy("intel-2s");
    let mut host = Host::new(Roots::below(home.path()));
    host.beat();
    fs::write(home.path().join("proc/diskstats"), "\n").unwrap();
    fs::remove_dir_all(home.path().join("sys/fs/cgroup/kubepods.slice")).unwrap();
    let mut table = fs::read_to_string(home.path().join("proc/net/dev")).unwrap();
    table.push_str("  eth1: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
    fs::write(home.path().join("proc/net/dev"), table).unwrap();
    for _ in 0..12 {
        host.beat();
    }
    let count = |kind| host.frame.devices.of_kind(kind).count();
    assert_eq!((count(DeviceKind::Disk), count(DeviceKind::Cgroup), count(DeviceKind::Interface)), (0, 0, 2));
    assert_eq!(
        host.get(DeviceKind::Interface, "eth1", Metric::InterfaceSpeed),
        Reading::Absent(Absence::Unsupported)
    );
}

#[test]
fn no_content_of_any_file_stops_the_beat() {
    let junk: [&[u8]; 6] =
        [b"", b"\n\n", b"-1", b"nonsense :::: 1 2", b"\xff\xfe\x00", b"99999999999999999999999999"];
    let home = copy("intel-2s");
    let mut files = Vec::new();
    let mut folders = vec![home.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    assert!(files.len() > 100);
    for content in junk {
        let mut host = Host::new(Roots::below(home.path()));
        for file in &files {
            fs::write(file, content).unwrap();
        }
        for (source, batch, _) in &mut host.sources {
            batch.begin();
            // Whole failure is allowed, a panic or a value out of range is not.
            let _ = source.collect(Timestamp::default(), batch);
            assert!(batch.readings().iter().all(|r| r.reading.value().is_none_or(f64::is_finite)));
        }
    }
}

#[test]
fn this_machine_is_read() {
    let mut host = Host::new(Roots::default());
    host.beat();
    let node = host.frame.devices.of_kind(DeviceKind::Node).next().unwrap().id;
    assert!(host.frame.value(node, Metric::NodeMemorySize).unwrap() > 1e8);
    assert!(host.frame.value(node, Metric::ContextSwitches).unwrap() > 0.0);
    assert!(host.frame.devices.of_kind(DeviceKind::Core).count() >= 1);
}

mod faults;
mod steady;
