//! What the host sources do when files are denied, damaged, renamed or gone, and what they leave out.
use super::{Host, copy};
use crate::Roots;
use model::catalogue::columns;
use model::{Absence, DeviceKind, Metric, Reading};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn write(home: &Path, file: &str, content: &str) {
    let path = home.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn host(home: &Path) -> Host {
    let mut host = Host::new(Roots::below(home));
    host.beat();
    host
}

/// Runs as nobody for this thread's file accesses only, so that permissions count where tests run as root.
fn without_privilege<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: setfsuid takes a plain number, touches no memory and concerns the calling thread alone.
    let before = unsafe { libc::setfsuid(65_534) };
    let result = work();
    // SAFETY: as above; the value is the one that was in force.
    unsafe { libc::setfsuid(u32::try_from(before).unwrap()) };
    result
}

#[test]
fn energy_that_only_root_may_read_is_denied_and_the_rest_is_read() {
    let home = copy("intel-2s");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let energy = home.path().join("sys/class/powercap/intel-rapl:0/energy_uj");
    fs::set_permissions(energy, fs::Permissions::from_mode(0o000)).unwrap();
    let host = without_privilege(|| host(home.path()));
    let denied = Reading::Absent(Absence::Denied);
    assert_eq!(host.get(DeviceKind::Zone, "package-0", Metric::ZoneEnergy), denied);
    host.check(DeviceKind::Zone, "package-0", &[(Metric::ZoneLimitLong, 350.0)]);
    host.check(DeviceKind::Zone, "package-1", &[(Metric::ZoneEnergy, 0.0)]);
}

#[test]
fn a_damaged_energy_value_is_implausible_and_leaves_the_total_alone() {
    let home = copy("intel-2s");
    let file = "sys/class/powercap/intel-rapl:1:0/energy_uj";
    let mut host = host(home.path());
    for damaged in ["nan", "-5", "1e30", "", "65712999615"] {
        write(home.path(), file, damaged);
        host.beat();
        let reading = host.get(DeviceKind::Zone, "package-1/dram", Metric::ZoneEnergy);
        assert_eq!(reading, Reading::Absent(Absence::Implausible), "{damaged:?}");
    }
    write(home.path(), file, "7000000\n");
    host.beat();
    host.check(DeviceKind::Zone, "package-1/dram", &[(Metric::ZoneEnergy, 2.0)]);
}

#[test]
fn the_parts_of_two_zones_of_one_name_stay_apart_and_keep_their_own_names() {
    let home = copy("intel-2s");
    write(home.path(), "sys/class/powercap/intel-rapl:1/name", "package-0\n");
    let host = host(home.path());
    let zones: Vec<_> =
        host.frame.devices.of_kind(DeviceKind::Zone).map(|zone| zone.info.key.as_str()).collect();
    assert_eq!(zones, ["package-0", "package-0/dram", "package-0#1", "package-0#1/dram"]);
}

#[test]
fn a_limit_that_is_switched_off_is_no_limit_of_zero_watts() {
    let home = copy("intel-2s");
    write(home.path(), "sys/class/powercap/intel-rapl:0:0/constraint_0_name", "long_term\n");
    write(home.path(), "sys/class/powercap/intel-rapl:0:0/constraint_0_power_limit_uw", "0\n");
    write(home.path(), "sys/class/powercap/intel-rapl:0:0/enabled", "0\n");
    write(home.path(), "sys/class/powercap/intel-rapl:0/enabled", "1\n");
    let host = host(home.path());
    let dram = host.get(DeviceKind::Zone, "package-0/dram", Metric::ZoneLimitLong);
    assert_eq!(dram, Reading::Absent(Absence::Disabled));
    host.check(DeviceKind::Zone, "package-0", &[(Metric::ZoneLimitLong, 350.0)]);
}

#[test]
fn chips_of_one_name_never_share_a_key_and_sensors_never_share_a_name() {
    let home = copy("amd-2s");
    write(home.path(), "sys/class/hwmon/hwmon2/name", "k10temp\n");
    write(home.path(), "sys/class/hwmon/hwmon2/temp1_input", "70000\n");
    write(home.path(), "sys/class/hwmon/hwmon3/name", "k10temp\n");
    write(home.path(), "sys/class/hwmon/hwmon3/temp1_input", "71000\n");
    for zone in 0..2 {
        write(home.path(), &format!("sys/class/thermal/thermal_zone{zone}/type"), "x86_pkg_temp\n");
        write(home.path(), &format!("sys/class/thermal/thermal_zone{zone}/temp"), "50000\n");
    }
    let host = host(home.path());
    for (key, celsius) in [("k10temp/temp1", 55.0), ("k10temp#1/temp1", 55.5), ("k10temp#2/temp1", 70.0)] {
        host.check(DeviceKind::Sensor, key, &[(Metric::SensorTemperature, celsius)]);
    }
    host.check(DeviceKind::Sensor, "k10temp#3/temp1", &[(Metric::SensorTemperature, 71.0)]);
    let sensors = host.frame.devices.of_kind(DeviceKind::Sensor);
    let mut names: Vec<_> = sensors.map(|sensor| sensor.info.name.clone()).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}

/// `policy` knows the meter of the whole node by the beginning of this key.
#[test]
fn a_power_meter_of_acpi_is_known_by_its_key() {
    let home = copy("intel-2s");
    let chip = "sys/class/hwmon/hwmon9";
    write(home.path(), &format!("{chip}/name"), "power_meter\n");
    write(home.path(), &format!("{chip}/power1_average"), "4321000000\n");
    std::os::unix::fs::symlink("../../../ACPI000D:00", home.path().join(chip).join("device")).unwrap();
    let host = host(home.path());
    host.check(DeviceKind::Sensor, "power_meter-ACPI000D:00/power1", &[(Metric::SensorPower, 4321.0)]);
}

#[test]
fn the_average_of_a_power_channel_comes_before_its_instant() {
    let home = copy("intel-2s");
    write(home.path(), "sys/class/hwmon/hwmon1/power1_input", "955000000\n");
    let host = host(home.path());
    host.check(DeviceKind::Sensor, "ipmi/power1", &[(Metric::SensorPower, 912.0)]);
}

#[test]
fn a_port_is_up_in_the_state_active_only() {
    let home = copy("intel-2s");
    let mut host = host(home.path());
    for (state, up) in [("5: ACTIVE_DEFER", 0.0), ("2: INIT", 0.0), ("1: DOWN", 0.0), ("4: ACTIVE", 1.0)] {
        write(home.path(), "sys/class/infiniband/mlx5_0/ports/1/state", state);
        host.beat();
        host.check(DeviceKind::Port, "mlx5_0/1", &[(Metric::PortUp, up)]);
    }
    write(home.path(), "sys/class/infiniband/mlx5_0/ports/1/state", "?");
    host.beat();
    let damaged = host.get(DeviceKind::Port, "mlx5_0/1", Metric::PortUp);
    assert_eq!(damaged, Reading::Absent(Absence::Implausible));
}

#[test]
fn an_interface_of_unknown_state_is_judged_by_its_carrier() {
    let home = copy("intel-2s");
    write(home.path(), "sys/class/net/eth0/operstate", "unknown\n");
    let mut host = host(home.path());
    let up = |host: &Host| host.get(DeviceKind::Interface, "eth0", Metric::InterfaceUp);
    assert_eq!(up(&host), Reading::Absent(Absence::Unsupported));
    for carrier in [1.0, 0.0] {
        write(home.path(), "sys/class/net/eth0/carrier", &format!("{carrier}\n"));
        host.beat();
        assert_eq!(up(&host), Reading::Value(carrier));
    }
}

#[test]
fn the_speed_is_asked_for_when_the_link_changes_and_every_so_often() {
    let home = copy("intel-2s");
    let mut host = host(home.path());
    let speed = |host: &Host| host.get(DeviceKind::Interface, "eth0", Metric::InterfaceSpeed);
    write(home.path(), "sys/class/net/eth0/speed", "25000\n");
    host.beat();
    assert_eq!(speed(&host), Reading::Value(12.5e9), "the value asked for before");
    (0..30).for_each(|_| host.beat());
    assert_eq!(speed(&host), Reading::Value(3.125e9));
    write(home.path(), "sys/class/net/eth0/operstate", "down\n");
    write(home.path(), "sys/class/net/eth0/speed", "-1\n");
    host.beat();
    assert_eq!(speed(&host), Reading::Absent(Absence::Unsupported));
}

#[test]
fn idle_time_that_steps_back_a_little_stands_still_and_far_starts_anew() {
    let home = copy("intel-2s");
    let mut host = host(home.path());
    for (idle, seconds) in [(8_990, 90.0), (9_010, 90.1), (100, 1.0)] {
        write(home.path(), "proc/stat", &format!("cpu0 100 2 50 {idle} 10 1 5 3 4 0\n"));
        host.beat();
        host.check(DeviceKind::Core, "0", &[(Metric::CoreIdle, seconds), (Metric::CoreUser, 1.0)]);
    }
}

#[test]
fn a_processor_taken_offline_is_gone_and_comes_back() {
    let home = copy("intel-2s");
    let stat = fs::read_to_string(home.path().join("proc/stat")).unwrap();
    let mut host = host(home.path());
    let fewer: String = stat.lines().filter(|l| !l.starts_with("cpu7 ")).map(|l| format!("{l}\n")).collect();
    write(home.path(), "proc/stat", &fewer);
    (0..2).for_each(|_| host.beat());
    assert_eq!(host.get(DeviceKind::Core, "7", Metric::CoreUser), Reading::Absent(Absence::Lost));
    write(home.path(), "proc/stat", &stat);
    host.beat();
    host.check(DeviceKind::Core, "7", &[(Metric::CoreUser, 1.07)]);
}

#[test]
fn stalled_allocations_of_every_memory_zone_are_counted() {
    let home = copy("intel-2s");
    let stalls = "allocstall_dma32 1\nallocstall_normal 20\nallocstall_movable 300\nallocstall_device 4000\n";
    write(home.path(), "proc/vmstat", &format!("pgfault 10\npgmajfault 3\n{stalls}"));
    let host = host(home.path());
    let expected = [(Metric::AllocationStalls, 4321.0), (Metric::PageFaultsMinor, 7.0)];
    host.check(DeviceKind::Node, "intel-2s", &expected);
    let swaps = host.get(DeviceKind::Node, "intel-2s", Metric::PagesSwappedIn);
    assert_eq!(swaps, Reading::Absent(Absence::Unsupported), "what the file lacks is not zero");
}

#[test]
fn no_more_disks_are_followed_than_the_limit_and_one_that_goes_makes_room() {
    let home = copy("intel-2s");
    let line = |n: usize| format!(" 8 {n} sd{n} {n} 0 0 0 0 0 0 0 0 0 0\n");
    let table = |range: std::ops::Range<usize>| range.map(line).collect::<String>();
    write(home.path(), "proc/diskstats", &table(0..200));
    let mut host = host(home.path());
    let count = |host: &Host| host.frame.devices.of_kind(DeviceKind::Disk).count();
    assert_eq!(count(&host), 128);
    write(home.path(), "proc/diskstats", &table(1..200));
    (0..2).for_each(|_| host.beat());
    assert_eq!(count(&host), 128);
    host.check(DeviceKind::Disk, "sd128", &[(Metric::DiskReads, 128.0)]);
}

#[test]
fn a_partition_below_a_disk_with_a_slash_in_its_name_is_no_disk() {
    let home = copy("intel-2s");
    write(home.path(), "sys/class/block/cciss!c0d0p1/partition", "1\n");
    write(
        home.path(),
        "proc/diskstats",
        " 104 0 cciss/c0d0 5 0 0 0 0 0 0 0 0 0 0\n 104 1 cciss/c0d0p1 1 0\n",
    );
    let host = host(home.path());
    let disks = host.frame.devices.of_kind(DeviceKind::Disk);
    assert_eq!(disks.map(|disk| disk.info.key.as_str()).collect::<Vec<_>>(), ["cciss/c0d0"]);
}

/// Metrics of the host that these sources do not read, or that this server does not have.
fn elsewhere(metric: Metric) -> bool {
    let name = metric.row().family;
    name.starts_with("wattkeeper_core_events")
        || name.starts_with("wattkeeper_disk_space")
        || name.starts_with("wattkeeper_kernel_messages")
        || name.starts_with("wattkeeper_node_driver_blocked")
        || name.starts_with("wattkeeper_probe")
}

#[test]
fn every_metric_of_the_host_has_a_value_on_the_intel_server() {
    let host = Host::read("intel-2s");
    let kinds = [
        DeviceKind::Node,
        DeviceKind::Package,
        DeviceKind::Core,
        DeviceKind::Numa,
        DeviceKind::MemoryController,
        DeviceKind::Disk,
        DeviceKind::Interface,
        DeviceKind::Port,
        DeviceKind::Zone,
        DeviceKind::Sensor,
    ];
    let mut missing = Vec::new();
    for kind in kinds {
        for metric in columns(kind).iter().copied().filter(|metric| !elsewhere(*metric)) {
            if !host.frame.devices.of_kind(kind).any(|d| host.frame.value(d.id, metric).is_some()) {
                missing.push(metric);
            }
        }
    }
    assert!(missing.is_empty(), "no device has {missing:?}");
}

/// One small damage: a byte changed, the end cut off, or a part doubled.
fn damage(content: &mut Vec<u8>, random: &mut u64) {
    let mut next = |below: usize| {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        (*random % below.max(1) as u64) as usize
    };
    let place = next(content.len());
    match next(3) {
        0 if !content.is_empty() => content[place] = [b'-', b':', b'/', b' ', b'\n', 0, 255, b'9'][next(8)],
        1 => content.truncate(place),
        _ => content.extend_from_within(place..),
    }
}

#[test]
fn damaged_files_stop_nothing_and_are_read_again_when_whole() {
    for tree in ["intel-2s", "amd-2s"] {
        let home = copy(tree);
        let mut whole = Vec::new();
        let mut folders = vec![home.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { whole.push((fs::read(&path).unwrap(), path)) }
            }
        }
        whole.sort();
        let mut host = host(home.path());
        for seed in 1..=40_u64 {
            let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for (content, path) in &whole {
                let mut content = content.clone();
                (0..3).for_each(|_| damage(&mut content, &mut random));
                fs::write(path, content).unwrap();
            }
            for (source, batch, _) in &mut host.sources {
                batch.begin();
                // Whole failure is allowed; a panic or a value that is no number is not.
                let _ = source.collect(host.frame.at, batch);
                let sane = |r: &model::source::SlotReading| r.reading.value().is_none_or(f64::is_finite);
                assert!(batch.readings().iter().all(sane), "seed {seed}");
            }
        }
        whole.iter().for_each(|(content, path)| fs::write(path, content).unwrap());
        (0..31).for_each(|_| host.beat());
        host.check(DeviceKind::Core, "3", &[(Metric::CoreUser, 1.03), (Metric::CoreTimeslices, 1003.0)]);
        host.check(DeviceKind::Disk, "nvme0n1", &[(Metric::DiskBusy, 1.2)]);
        host.check(DeviceKind::Interface, "eth0", &[(Metric::InterfaceSpeed, 12.5e9)]);
        host.check(DeviceKind::Node, tree, &[(Metric::PressureCpuSome, 5.0), (Metric::Load1, 3.25)]);
    }
}
