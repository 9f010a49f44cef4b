//! A mixed node on a test terminal: four vendors with honest gaps, partitions, links, workloads, and a board that hangs.
use super::*;
use model::snapshot::SourceHealth;
use model::{LateCall, ProcessUse, Reason, Share, Vendor, Workload, WorkloadKind};

/// What a vendor's boards are called and what they are.
type Make = (&'static str, &'static str, DeviceKind, Vendor, usize);

const MIXED: [Make; 4] = [
    ("gpu", "NVIDIA H100 80GB HBM3", DeviceKind::Gpu, Vendor::Nvidia, 4),
    ("amd", "AMD Instinct MI300X", DeviceKind::Gpu, Vendor::Amd, 4),
    ("gaudi", "Intel Gaudi2 HL-225", DeviceKind::Npu, Vendor::Intel, 2),
    ("ascend", "Huawei Ascend 910B", DeviceKind::Npu, Vendor::Huawei, 2),
];

fn find(snapshot: &Snapshot, name: &str) -> DeviceId {
    snapshot.frame.devices.iter().find(|device| device.info.name == name).unwrap().id
}

fn add(snapshot: &mut Snapshot, info: DeviceInfo, values: &[(Metric, f64)]) -> DeviceId {
    let id = Arc::make_mut(&mut snapshot.frame.devices).register(&Arc::new(info)).unwrap();
    let missing = Reading::Absent(Absence::Unsupported);
    let metrics: Vec<_> = snapshot.frame.readings(id).map(|(metric, _)| metric).collect();
    metrics.into_iter().for_each(|metric| snapshot.frame.put(id, metric, missing));
    values.iter().for_each(|(metric, value)| snapshot.frame.put(id, *metric, Reading::Value(*value)));
    id
}

/// What every vendor gives.
fn common(n: f64) -> Vec<(Metric, f64)> {
    vec![
        (Metric::Up, 1.0),
        (Metric::CallLate, 0.0),
        (Metric::Utilization, 0.3 + 0.15 * n),
        (Metric::PowerInstant, 320.0 + 60.0 * n),
        (Metric::Temperature, 52.0 + 3.0 * n),
        (Metric::MemoryUsed, (20.0 + 10.0 * n) * 1_073_741_824.0),
        (Metric::Processes, 1.0),
    ]
}

/// What only that vendor gives.
fn own(vendor: Vendor) -> Vec<(Metric, f64)> {
    let gib = 1_073_741_824.0;
    match vendor {
        Vendor::Nvidia => vec![
            (Metric::MemorySize, 80.0 * gib),
            (Metric::ClockSm, 1.98e9),
            (Metric::ClockMemory, 2.619e9),
            (Metric::PowerLimitEnforced, 700.0),
            (Metric::PowerLimitRequested, 700.0),
            (Metric::PowerLimitMin, 200.0),
            (Metric::PowerLimitMax, 700.0),
            (Metric::PowerLimitDefault, 700.0),
            (Metric::Energy, 4.2e9),
            (Metric::SmActive, 0.71),
            (Metric::TensorActive, 0.44),
            (Metric::SmOccupancy, 0.38),
            (Metric::DramActive, 0.52),
            (Metric::MemoryActivity, 0.5),
            (Metric::PcieReceive, 1.2e9),
            (Metric::PcieTransmit, 0.4e9),
            (Metric::LinkReceive, 88e9),
            (Metric::LinkTransmit, 91e9),
            (Metric::TemperatureMemory, 68.0),
            (Metric::TemperatureSlowdown, 87.0),
            (Metric::EventSwPowerCap, 0.0),
            (Metric::EventHwThermal, 0.0),
            (Metric::ViolationPower, 34.0),
            (Metric::EccCorrectedVolatile, 2.0),
            (Metric::EccUncorrectedVolatile, 0.0),
            (Metric::EccCorrectedMemory, 2.0),
            (Metric::RowsRemappedCorrectable, 0.0),
            (Metric::RecoveryAction, 0.0),
            (Metric::Links, 18.0),
            (Metric::LinksUp, 17.0),
            (Metric::LinkErrorsReplay, 3.0),
            (Metric::PcieGeneration, 5.0),
            (Metric::PcieWidth, 16.0),
            (Metric::PcieReplays, 0.0),
            (Metric::EccMode, 1.0),
            (Metric::PersistenceMode, 1.0),
            (Metric::PerformanceState, 0.0),
            (Metric::FabricState, 3.0),
        ],
        Vendor::Amd => vec![
            (Metric::MemorySize, 192.0 * gib),
            (Metric::ClockSm, 2.1e9),
            (Metric::PowerLimitEnforced, 750.0),
            (Metric::PowerLimitMax, 750.0),
            (Metric::TemperatureHotspot, 74.0),
            (Metric::TemperatureMemory, 61.0),
            (Metric::EccCorrectedVolatile, 0.0),
        ],
        Vendor::Intel => vec![(Metric::MemorySize, 96.0 * gib), (Metric::PowerLimitEnforced, 600.0)],
        _ => vec![(Metric::ClockSm, 1.65e9), (Metric::HealthCode, 0.0), (Metric::ErrorCodes, 0.0)],
    }
}

fn parts(snapshot: &mut Snapshot) {
    let gib = 1_073_741_824.0;
    for (n, profile, size) in [(0, "3g.40gb", 40.0), (1, "4g.40gb", 40.0)] {
        let mut info = DeviceInfo {
            name: format!("gpu1/mig{n}"),
            model: profile.into(),
            vendor: Vendor::Nvidia,
            parent: "gpu1-key".into(),
            ..DeviceInfo::new(DeviceKind::Partition, format!("MIG-{n}"))
        };
        info.attributes.insert("profile".into(), profile.into());
        let used = 12.0 + f64::from(n);
        add(
            snapshot,
            info,
            &[(Metric::Up, 1.0), (Metric::MemoryUsed, used * gib), (Metric::MemorySize, size * gib)],
        );
    }
    for n in 0..18 {
        let info = DeviceInfo {
            name: format!("gpu0/nvlink{n}"),
            parent: "gpu0-key".into(),
            ..DeviceInfo::new(DeviceKind::Link, format!("gpu0-nvlink{n}"))
        };
        let up = f64::from(u8::from(n != 7));
        let mut values = vec![(Metric::LinkUp, up), (Metric::LinkReplay, if n == 3 { 3.0 } else { 0.0 })];
        values.extend((n != 7).then_some((Metric::LinkSpeed, 26.562e9)));
        add(snapshot, info, &values);
    }
}

fn pod(namespace: &str, pod: &str) -> Arc<Workload> {
    let workload = Workload::new(WorkloadKind::Pod, format!("{pod}-uid/main"));
    Arc::new(Workload { name: pod.into(), namespace: namespace.into(), pod: pod.into(), ..workload })
}

fn users(snapshot: &mut Snapshot) {
    let train = pod("research", "train-llama-0");
    let serve = pod("prod", "chat-frontend-7d9f");
    let mut share = |name: &str, workload: Option<&Arc<Workload>>, watts: Option<f64>, busy: Option<f64>| {
        let device = find(snapshot, name);
        snapshot.shares.push(Share {
            device,
            workload: workload.cloned(),
            power: watts.map(Watts),
            energy_j: watts.unwrap_or(0.0) * 3600.0,
            memory_bytes: busy.map(|busy| (busy * 40e9) as u64),
            utilization: busy,
            processes: u32::from(workload.is_some()),
        });
    };
    share("gpu0", Some(&train), Some(212.0), Some(0.2));
    share("gpu0", Some(&serve), Some(60.0), Some(0.1));
    share("gpu0", None, Some(48.0), None);
    share("gpu2", Some(&train), Some(440.0), Some(0.6));
    share("amd0", Some(&serve), Some(320.0), None);
    share("ascend1", Some(&serve), None, None);
    let process = |device, pid, name: &str, memory, utilization, workload: &Arc<Workload>| ProcessUse {
        device,
        pid,
        name: name.into(),
        memory_bytes: memory,
        utilization,
        workload: Some(Arc::clone(workload)),
    };
    let (gpu, mig) = (find(snapshot, "gpu0"), find(snapshot, "gpu1/mig1"));
    snapshot.frame.processes = vec![
        process(gpu, 41_022, "python3", Some(8_000_000_000), Some(0.2), &train),
        process(gpu, 41_977, "vllm", Some(4_000_000_000), Some(0.1), &serve),
        process(mig, 52_001, "python3", None, None, &serve),
    ];
}

/// Four NVIDIA, four AMD, two Gaudi and two Ascend boards, each with what its vendor gives.
fn mixed() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let info = Arc::make_mut(&mut snapshot.node);
    (info.host, info.version, info.beat_s) = ("mixed-3".into(), "0.1.0".into(), 1.0);
    snapshot.frame.begin(at(100));
    add(&mut snapshot, DeviceInfo::new(DeviceKind::Node, "mixed-3"), &[(Metric::Load1, 31.0)]);
    for (word, model, kind, vendor, count) in MIXED {
        for n in 0..count {
            let mut info = DeviceInfo {
                name: format!("{word}{n}"),
                model: model.into(),
                vendor,
                ..DeviceInfo::new(kind, format!("{word}{n}-key"))
            };
            let facts = [
                ("driver", "570.86.10"),
                ("firmware", "96.00.74"),
                ("numa", "0"),
                ("serial", "1652"),
                ("peers", "gpu1 NV18, gpu2 NV18, gpu3 NV18"),
            ];
            info.attributes = facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            info.attributes.insert("pci".into(), format!("0000:{n}b:00.0"));
            add(&mut snapshot, info, &[common(n as f64), own(vendor)].concat());
        }
    }
    for name in ["gpu0", "gpu3"] {
        let id = find(&snapshot, name);
        snapshot.frame.put(id, Metric::Fp64Active, Reading::Absent(Absence::Denied));
        snapshot.frame.put(id, Metric::FanSpeed, Reading::Absent(Absence::Implausible));
    }
    parts(&mut snapshot);
    users(&mut snapshot);
    sources(&mut snapshot);
    snapshot
}

fn sources(snapshot: &mut Snapshot) {
    let source = |name: &str, reason: Option<Reason>, message: Option<&str>| SourceHealth {
        name: name.into(),
        up: reason.is_none(),
        reason,
        message: message.map(str::to_owned),
        failures: reason.into_iter().map(|reason| (reason, 4)).collect(),
    };
    snapshot.sources = vec![
        source("cpu", None, None),
        source(
            "rapl",
            Some(Reason::Denied),
            Some("open /sys/class/powercap/intel-rapl:0/energy_uj: permission denied"),
        ),
        source("nvml", None, None),
        source("nvml/gpu0", None, None),
        source("nvml/gpu1", None, None),
        source("amd", None, None),
        SourceHealth {
            failures: [].into(),
            ..source("edac", Some(Reason::Unsupported), Some("this host has no such device"))
        },
        source("gaudi", Some(Reason::Unsupported), Some("libhlml.so has no symbol hlml_get_serial_number")),
    ];
    for (name, calls) in [("nvml/gpu0", 11.0), ("nvml/gpu1", 9.0)] {
        let values = [
            (Metric::SourceDuration, 0.0021),
            (Metric::SourceCalls, calls),
            (Metric::SourceReadings, 61.0),
            (Metric::SourceAbsences, 2.0),
        ];
        add(snapshot, DeviceInfo::new(DeviceKind::Source, name), &values);
    }
}

/// The same node while the driver does not return from a call for gpu2.
fn hung() -> Snapshot {
    let mut snapshot = mixed();
    let device = find(&snapshot, "gpu2");
    let metrics: Vec<_> = snapshot.frame.readings(device).map(|(metric, _)| metric).collect();
    metrics.into_iter().for_each(|metric| snapshot.frame.put(device, metric, Reading::Absent(Absence::Late)));
    snapshot.frame.put(device, Metric::CallLate, Reading::Value(12.0));
    snapshot.frame.late = vec![LateCall { device, call: "nvmlDeviceGetFieldValues", since: at(88) }];
    snapshot.shares.retain(|share| share.device != device);
    let evidence = Evidence { metric: Metric::CallLate, observed: 12.0, expected: 5.0 };
    let lost = troubled().events.remove(0);
    snapshot.events = vec![Event {
        detector: "hung".into(),
        device,
        fault: FaultKind::SourceHung,
        code: 0,
        detail: "nvmlDeviceGetFieldValues".into(),
        evidence: [Some(evidence), None, None, None],
        ..lost
    }];
    let story = [(90, Turn::Seen, "Driver call does not return: nvmlDeviceGetFieldValues")];
    snapshot.incidents = vec![Arc::new(incident(Severity::Critical, 2, &story))];
    let late = SourceHealth {
        name: "nvml/gpu2".into(),
        up: false,
        reason: Some(Reason::Late),
        message: Some("nvmlDeviceGetFieldValues has not returned for 12 s".into()),
        failures: [(Reason::Late, 1)].into(),
    };
    snapshot.sources.insert(5, late);
    snapshot
}

/// Sixteen boards of one vendor and partitions on the first.
fn sixteen() -> Snapshot {
    let mut snapshot = mixed();
    for n in 4..8 {
        let info = DeviceInfo {
            name: format!("gpu{n}"),
            model: MIXED[0].1.into(),
            vendor: Vendor::Nvidia,
            ..DeviceInfo::new(DeviceKind::Gpu, format!("gpu{n}-key"))
        };
        add(&mut snapshot, info, &[common(0.0), own(Vendor::Nvidia)].concat());
    }
    snapshot
}

const SIZES: [(u16, u16); 3] = [(80, 24), (100, 30), (200, 50)];

#[test]
fn the_mixed_node_looks_as_it_was_approved() {
    for (name, snapshot) in [("mixed", mixed()), ("hung", hung()), ("sixteen", sixteen())] {
        let mut app = app(Some(snapshot), FULL);
        remember(&mut app);
        for (width, height) in SIZES {
            golden(&format!("overview-{name}-{width}x{height}.txt"), &screen(&app, width, height));
        }
    }
}

#[test]
fn the_pages_of_a_mixed_node_look_as_they_were_approved() {
    for (name, snapshot, device) in
        [("mixed", mixed(), 0), ("hung", hung(), 2), ("parted", mixed(), 1), ("ascend", mixed(), 11)]
    {
        let mut app = app(Some(snapshot), FULL);
        remember(&mut app);
        app.device = device;
        app.on(key(KeyCode::Char('2')));
        for (width, height) in [(80, 24), (80, 90), (200, 50)] {
            golden(&format!("device-{name}-{width}x{height}.txt"), &screen(&app, width, height));
        }
    }
    let mut app = app(Some(hung()), FULL);
    app.on(key(KeyCode::Char('7')));
    golden("sources-hung-80x24.txt", &screen(&app, 80, 24));
    golden("sources-hung-200x50.txt", &screen(&app, 200, 50));
}

#[test]
fn a_vendor_that_does_not_give_a_value_has_a_gap_and_never_a_zero() {
    let text = screen(&app(Some(mixed()), FULL), 80, 24);
    let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(row("gaudi0").contains('–') && !row("gaudi0").contains("0.00G"), "{text}");
    assert!(row("ascend1").contains("30/–G") && !row("ascend1").contains("/0"), "{text}");
}

#[test]
fn a_board_whose_driver_hangs_is_late_and_not_healthy() {
    for (width, height) in SIZES {
        let text = screen(&app(Some(hung()), PLAIN), width, height);
        let row = text.lines().find(|line| line.contains("  gpu2 ")).unwrap();
        assert!(row.contains("late 12 s") && !row.contains("healthy"), "{row}");
    }
    let mut quiet = hung();
    quiet.events.clear();
    let text = screen(&app(Some(quiet), PLAIN), 80, 24);
    assert!(text.lines().any(|line| line.contains("gpu2") && line.contains("? late 12 s")), "{text}");
}

#[test]
fn boards_beyond_the_screen_come_with_the_cursor() {
    let mut app = app(Some(sixteen()), FULL);
    assert!(!screen(&app, 80, 24).contains("ascend1"));
    (0..20).for_each(|_| {
        app.on(key(KeyCode::Down));
    });
    let text = screen(&app, 80, 24);
    assert!(text.contains("▸ ascend1") && !text.contains("gpu0 "), "{text}");
}

#[test]
fn no_page_of_a_mixed_node_panics_at_any_size() {
    for snapshot in [hung(), sixteen()] {
        let mut app = app(Some(snapshot), FULL);
        for page in '1'..='6' {
            app.on(key(KeyCode::Char(page)));
            for (width, height) in (1..=60).map(|n| (n * 3, 1 + n % 12)).chain([(1, 1), (220, 60)]) {
                app.resize(Size::new(width, height));
                app.on(key(KeyCode::PageDown));
                screen(&app, width, height);
            }
        }
    }
}
