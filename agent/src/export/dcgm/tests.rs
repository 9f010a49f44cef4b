//! Tests of DCGM's names: whole pages against files, exact units, nothing counted twice, nothing unknown served.
use super::table::Scale;
use super::*;
use model::{
    Absence, DeviceId, DeviceInfo, DeviceKind, Holding, Metric, Reading, Share, Timestamp, Vendor, Watts,
    Workload, WorkloadKind,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn device(
    snapshot: &mut Snapshot,
    kind: DeviceKind,
    name: &str,
    known: &[(&str, &str)],
    parent: &str,
) -> DeviceId {
    let attributes = known.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let info = DeviceInfo {
        name: name.to_owned(),
        model: "NVIDIA H100 80GB HBM3".to_owned(),
        vendor: Vendor::Nvidia,
        parent: parent.to_owned(),
        attributes,
        ..DeviceInfo::new(kind, format!("GPU-{name}"))
    };
    Arc::make_mut(&mut snapshot.frame.devices).register(&Arc::new(info)).unwrap()
}

fn pod(name: &str) -> Arc<Workload> {
    Arc::new(Workload {
        namespace: "research".into(),
        pod: name.into(),
        container: "main".into(),
        ..Workload::new(WorkloadKind::Pod, format!("uid-{name}/main"))
    })
}

fn share(device: DeviceId, workload: Option<Arc<Workload>>, power_w: f64, gib: Option<u64>) -> Share {
    Share {
        device,
        workload,
        power: Some(Watts(power_w)),
        energy_j: power_w * 10.0,
        memory_bytes: gib.map(|gib| gib << 30),
        utilization: gib.map(|_| power_w / 1000.0),
        processes: 1,
    }
}

fn readings(frame: &mut Frame, device: DeviceId, n: u32) {
    let n = f64::from(n);
    let values = [
        (Metric::Up, 1.0),
        (Metric::ClockSm, 1.98e9),
        (Metric::ClockMemory, 2.619e9),
        (Metric::Temperature, 41.0 + n),
        (Metric::TemperatureMemory, 50.0),
        (Metric::PowerInstant, 699.0),
        (Metric::PowerAverage, 600.0),
        (Metric::Energy, 123_456_789.012 + n),
        (Metric::PcieReplays, 0.0),
        (Metric::Utilization, 0.57),
        (Metric::MemoryActivity, 0.29),
        (Metric::EncoderUtilization, 0.0),
        (Metric::DecoderUtilization, 0.07),
        (Metric::XidErrors, 0.0),
        (Metric::MemorySize, 81_559.0 * 1_048_576.0),
        (Metric::MemoryUsed, 40_960.0 * 1_048_576.0),
        (Metric::MemoryReserved, 551.0 * 1_048_576.0),
        (Metric::RowsRemappedUncorrectable, 1.0),
        (Metric::RowRemapFailed, 0.0),
        (Metric::TensorActive, 0.325),
        (Metric::PcieTransmit, 1.5e9),
        (Metric::LinkReceive, 1.024e9),
        (Metric::LinkTransmit, 2.048e9),
        (Metric::ViolationPower, 12.345_678_901),
        (Metric::EccUncorrectedVolatile, 0.0),
        (Metric::PowerLimitEnforced, 650.0),
        (Metric::TemperatureSlowdown, 87.0),
        (Metric::EventIdle, 0.0),
        (Metric::EventSwPowerCap, 1.0),
        (Metric::EventPowerBrake, 1.0),
    ];
    for (metric, value) in values {
        frame.put(device, metric, Reading::Value(value));
    }
}

/// Eight GPUs: one with a pod, one with two, one in partitions, one lost, one with links and an XID, one of which little may
/// be read, one held by a pod that does not work, one idle. And a GPU of another make.
fn node() -> Snapshot {
    let mut snapshot = Snapshot::default();
    Arc::make_mut(&mut snapshot.node).host = "node-1".into();
    let gpus: Vec<_> = (0..8)
        .map(|n| {
            let pci = format!("0000{:04x}:{:02x}:00.0", 0, 0x1b + 8 * n);
            let known = [("pci", pci.as_str()), ("driver", "550.144.03")];
            device(&mut snapshot, DeviceKind::Gpu, &format!("gpu{n}"), &known, "")
        })
        .collect();
    let parts = [("3", "1g.10gb"), ("5", "2g.20gb")].map(|(gi, profile)| {
        let known = [("gi", gi), ("profile", profile)];
        device(&mut snapshot, DeviceKind::Partition, &format!("gpu2/mig{gi}.0"), &known, "GPU-gpu2")
    });
    device(&mut snapshot, DeviceKind::Partition, "gpu2/mig5.1", &[("gi", "5")], "GPU-gpu2");
    let links =
        [0, 11].map(|n| device(&mut snapshot, DeviceKind::Link, &format!("gpu4/link{n}"), &[], "GPU-gpu4"));
    let other = DeviceInfo { vendor: Vendor::Amd, ..DeviceInfo::new(DeviceKind::Gpu, "amd0") };
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    let other = table.register(&Arc::new(other)).unwrap();
    table.retire(gpus[3]);
    let frame = &mut snapshot.frame;
    frame.begin(Timestamp { mono_ns: 1, wall_ms: 1_700_000_000_000 });
    for (n, gpu) in (0..).zip(&gpus).filter(|(n, _)| *n != 3 && *n != 5) {
        readings(frame, *gpu, n);
    }
    frame.put(other, Metric::Temperature, Reading::Value(40.0));
    frame.put(gpus[2], Metric::Utilization, Reading::Absent(Absence::Unsupported));
    frame.put(gpus[4], Metric::XidLastCode, Reading::Value(79.0));
    frame.put(gpus[4], Metric::XidErrors, Reading::Value(2.0));
    frame.put(gpus[5], Metric::Temperature, Reading::Value(33.0));
    frame.put(gpus[5], Metric::PowerAverage, Reading::Absent(Absence::Denied));
    for (part, mib) in parts.into_iter().zip([1024.0, 2048.0]) {
        frame.put(part, Metric::MemoryUsed, Reading::Value(mib * 1_048_576.0));
        frame.put(part, Metric::MemorySize, Reading::Value(9728.0 * 1_048_576.0));
        frame.put(part, Metric::GraphicsActive, Reading::Value(0.5));
    }
    for (link, bytes) in links.into_iter().zip([5e12, 6e12]) {
        frame.put(link, Metric::LinkSent, Reading::Value(bytes));
        frame.put(link, Metric::LinkCrcFlit, Reading::Value(3.0));
    }
    snapshot.shares = vec![
        share(gpus[0], Some(pod("train-0")), 500.0, Some(40)),
        share(gpus[0], None, 100.0, None),
        share(gpus[1], Some(pod("chat-a")), 250.0, Some(10)),
        share(gpus[1], Some(pod("chat-b")), 200.0, None),
        share(gpus[1], None, 150.0, None),
    ];
    let holding = |device, name| Holding { device, workload: pod(name) };
    snapshot.holdings =
        vec![holding(gpus[0], "train-0"), holding(parts[0], "notebook"), holding(gpus[6], "asleep")];
    snapshot
}

fn page(profile: Profile, host_label: HostLabel) -> String {
    render(&node(), Options { profile, host_label })
}

/// The series of a name as labels and value.
fn series<'a>(page: &'a str, name: &str) -> Vec<(&'a str, f64)> {
    let own = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
    let parts = page.lines().filter(own).map(|line| line.rsplit_once(' ').unwrap());
    parts.map(|(labels, value)| (labels, value.parse().unwrap())).collect()
}

#[test]
fn the_pages_are_the_kept_ones() {
    for (profile, name) in Profile::ALL.into_iter().zip(Profile::NAMES) {
        for (label, ending) in [(HostLabel::Upper, "upper"), (HostLabel::Lower, "lower")] {
            let file = format!("{}/../tests/golden/{name}-{ending}.prom", env!("CARGO_MANIFEST_DIR"));
            let page = page(profile, label);
            if std::env::var_os("WATTKEEPER_BLESS").is_some() {
                std::fs::write(&file, &page).unwrap();
            }
            let kept = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(kept == page, "{file} differs; look at the difference and run with WATTKEEPER_BLESS=1");
        }
    }
}

#[test]
fn the_host_label_is_the_one_of_the_profile_unless_it_is_chosen() {
    for (profile, own, other) in [
        (Profile::V48, HostLabel::Upper, HostLabel::Lower),
        (Profile::V49, HostLabel::Lower, HostLabel::Upper),
    ] {
        assert_eq!(page(profile, HostLabel::Profile), page(profile, own));
        assert_ne!(page(profile, own), page(profile, other));
    }
}

#[test]
fn labels_stand_in_dcgms_order_and_a_pod_is_absent_where_there_is_none() {
    let page = page(Profile::V48, HostLabel::Profile);
    let own = "gpu=\"0\",UUID=\"GPU-gpu0\",pci_bus_id=\"00000000:1B:00.0\",device=\"nvidia0\",\
               modelName=\"NVIDIA H100 80GB HBM3\",Hostname=\"node-1\",DCGM_FI_DRIVER_VERSION=\"550.144.03\",\
               container=\"main\",namespace=\"research\",pod=\"train-0\"} 41\n";
    assert!(page.contains(&format!("DCGM_FI_DEV_GPU_TEMP{{{own}")), "{page}");
    let part =
        "modelName=\"NVIDIA H100 80GB HBM3\",GPU_I_PROFILE=\"1g.10gb\",GPU_I_ID=\"3\",Hostname=\"node-1\"";
    assert!(page.contains(part));
    let link = "DCGM_FI_DEV_NVLINK_COUNT_TX_BYTES{nvlink=\"11\",gpu=\"4\",gpu_uuid=\"GPU-gpu4\",pci_bus_id=\"00000000:3B:00.0\",\
                device=\"nvidia4\",model_name=\"NVIDIA H100 80GB HBM3\",Hostname=\"node-1\"";
    assert!(page.contains(link));
    let idle = series(&page, "DCGM_FI_DEV_GPU_TEMP")
        .into_iter()
        .find(|(labels, _)| labels.contains("gpu=\"7\""))
        .unwrap();
    assert!(!idle.0.contains("pod") && !page.contains("\"\""), "{idle:?}");
}

#[test]
fn units_convert_to_exactly_what_the_driver_counted() {
    // Whatever whole number the driver gives, the road over our base unit leads back to it.
    for n in (0..=100).chain([12_345, 81_559, 123_456_789_012, 9_007_199_254_740_i64]) {
        let n = n as f64;
        assert_eq!(Scale::Times(100.0).apply(n / 100.0), n);
        assert_eq!(Scale::Times(100.0).apply(n * 0.01), n);
        assert_eq!(Scale::Times(1e3).apply(n / 1e3), n);
        assert_eq!(Scale::Times(1e9).apply(n / 1e9), n);
        assert_eq!(Scale::Over(1e6).apply(n * 1e6), n);
        assert_eq!(Scale::Over(1_048_576.0).apply(n * 1_048_576.0), n);
    }
    assert_eq!(Scale::Times(100.0).apply(0.123_456), 12.3456);
    let page = page(Profile::V48, HostLabel::Profile);
    for line in [
        "DCGM_FI_DEV_GPU_UTIL 57",
        "DCGM_FI_DEV_SM_CLOCK 1980",
        "DCGM_FI_DEV_FB_USED 40960",
        "DCGM_FI_DEV_FB_FREE 40048",
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION 123456796012",
        "DCGM_FI_DEV_POWER_VIOLATION 12345678901",
        "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL 3000",
        "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS 132",
    ] {
        let (name, value) = line.split_once(' ').unwrap();
        let found = page.lines().find(|l| l.starts_with(&format!("{name}{{gpu=\"7\""))).unwrap();
        assert!(found.ends_with(&format!("}} {value}")), "{line}: {found}");
    }
}

#[test]
fn both_generations_say_the_same_of_the_same_series() {
    let (old, new) = (page(Profile::V48, HostLabel::Lower), page(Profile::V49, HostLabel::Lower));
    for row in ROWS {
        let (was, is) = (series(&old, row.old.name), series(&new, row.new.name));
        assert_eq!(was.len(), is.len(), "{}", row.old.name);
        for ((_, was), (_, is)) in was.iter().zip(&is) {
            let base = |value: &f64, scale: Scale| match scale {
                Scale::Same => *value,
                Scale::Times(factor) => value / factor,
                Scale::Over(factor) => value * factor,
            };
            let (was, is) = (base(was, row.old.scale), base(is, row.new.scale));
            assert!((was - is).abs() <= 1e-12 * was.abs(), "{}: {was} and {is}", row.old.name);
        }
    }
}

#[test]
fn what_pods_have_of_a_shared_device_adds_up_to_the_device() {
    let page = page(Profile::V48, HostLabel::Profile);
    let mut sums: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for name in [
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
    ] {
        let shared = series(&page, name).into_iter().filter(|(labels, _)| labels.contains("gpu=\"1\""));
        sums.insert(name, shared.map(|(_, value)| value).collect());
    }
    assert_eq!(sums["DCGM_FI_DEV_POWER_USAGE"], [250.0, 200.0, 150.0]);
    // The memory of one pod is not known, so it lies in the rest.
    assert_eq!(sums["DCGM_FI_DEV_FB_USED"], [10_240.0, 30_720.0]);
    assert_eq!(sums["DCGM_FI_DEV_GPU_UTIL"].iter().sum::<f64>().round(), 57.0);
    assert_eq!(sums["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"], [2_500_000.0, 2_000_000.0]);
    let hot = series(&page, "DCGM_FI_DEV_GPU_TEMP");
    let pods = hot.iter().filter(|(labels, value)| labels.contains("gpu=\"1\"") && *value == 42.0);
    assert_eq!(pods.count(), 2);
}

#[test]
fn a_gpu_in_partitions_is_never_counted_twice() {
    let page = page(Profile::V48, HostLabel::Profile);
    let of_gpu2 = |name| {
        series(&page, name).into_iter().filter(|(labels, _)| labels.contains("gpu=\"2\"")).collect::<Vec<_>>()
    };
    let memory = of_gpu2("DCGM_FI_DEV_FB_USED");
    assert!(memory.len() == 2 && memory.iter().all(|(labels, _)| labels.contains("GPU_I_ID")), "{memory:?}");
    let power = of_gpu2("DCGM_FI_DEV_POWER_USAGE");
    assert!(power.len() == 1 && !power[0].0.contains("GPU_I_ID"), "{power:?}");
}

#[test]
fn what_is_not_known_is_not_served() {
    for profile in Profile::ALL {
        let page = page(profile, HostLabel::Profile);
        assert!(
            !page.contains("NaN")
                && !page.contains("inf")
                && !page.contains("gpu=\"3\"")
                && !page.contains("amd0")
        );
        let of_gpu5: Vec<_> = page.lines().filter(|line| line.contains("gpu=\"5\"")).collect();
        assert_eq!(of_gpu5.len(), 1, "{of_gpu5:?}");
        let typed = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        for family in typed {
            assert!(!series(&page, family).is_empty(), "{family} is empty");
        }
    }
    assert_eq!(render(&Snapshot::default(), Options::default()), "");
}

#[test]
fn no_series_and_no_name_appears_twice() {
    for profile in Profile::ALL {
        let page = page(profile, HostLabel::Profile);
        let mut seen = BTreeSet::new();
        let lines =
            page.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0);
        lines.for_each(|line| assert!(seen.insert(line), "{line} twice"));
        let mut seen = BTreeSet::new();
        names(profile).for_each(|(name, _)| assert!(seen.insert(name), "{name} twice"));
    }
}

#[test]
fn an_address_of_pci_is_written_as_dcgm_does() {
    for address in ["00000000:1b:00.0", "0000:1b:00.0", "00000000:1B:00.0"] {
        assert_eq!(subject::pci(address), "00000000:1B:00.0");
    }
}
