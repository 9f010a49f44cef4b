//! Tests of verdicts, stories and what is said of the past.
use super::*;
use model::{DeviceInfo, DeviceKind, Metric, Reading, Timestamp};
use std::sync::Arc;

fn node(temperatures: &[Option<f64>]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    let info = |n| Arc::new(DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}")));
    let ids: Vec<_> = (0..temperatures.len()).map(|n| table.register(&info(n)).unwrap()).collect();
    snapshot.frame.begin(Timestamp::default());
    for (id, temperature) in ids.iter().zip(temperatures) {
        if let Some(value) = temperature {
            snapshot.frame.put(*id, Metric::Temperature, Reading::Value(*value));
        }
    }
    snapshot
}

#[test]
fn a_node_without_accelerators_is_unknown() {
    assert_eq!(Report::of(&node(&[])).exit_code(), 3);
}

#[test]
fn one_silent_device_makes_the_node_unknown() {
    let report = Report::of(&node(&[Some(40.0), None]));
    assert_eq!(report.exit_code(), 3);
    assert_eq!(report.devices[0].health, Health::Healthy);
    assert!(report.text().contains("does not answer"));
}

#[test]
fn healthy_devices_make_a_healthy_node() {
    assert_eq!(Report::of(&node(&[Some(40.0), Some(41.0)])).exit_code(), 0);
}

/// Text with every time of day made alike.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let digits = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        let colon = |at: usize| rest.as_bytes().get(at) == Some(&b':');
        if digits(0) && digits(1) && colon(2) && digits(4) && colon(5) && digits(7) {
            out.push_str("hh:mm:ss");
            rest = &rest[8..];
        } else {
            out.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    out
}

/// A simulated node on which a board reports XID 79, is lost, and comes back.
fn fallen_off_the_bus() -> Snapshot {
    let set = |key: &str, value: &str| crate::config::Override {
        origin: "test".into(),
        key: key.into(),
        value: value.into(),
    };
    let config =
        crate::config::load(None, &[set("rig.kind", "sim"), set("detectors.disabled", "[\"residual\"]")])
            .unwrap();
    let assembly = crate::rig::idle(&config);
    let (clock, node) = (Arc::clone(&assembly.clock), assembly.sim.clone().unwrap());
    let crate::rig::Pace::Stepped(steps) = assembly.pace.clone() else {
        panic!("the simulator has its own time")
    };
    let mut beat = crate::engine::build(&config, assembly).unwrap();
    for second in 0..20 {
        let mut node = node.lock();
        match second {
            5 => {
                node.boards[5].xid(79);
                node.boards[5].inject(sim::Fault::Lost);
            }
            10 => node.boards[5].heal(sim::Fault::Lost),
            _ => {}
        }
        drop(node);
        beat.collect(clock.now());
        beat.think();
        steps.advance(Duration::from_secs(1));
    }
    beat.snapshot()
}

#[test]
fn an_xid_79_is_told_as_it_was_approved() {
    let report = Report::of(&fallen_off_the_bus());
    assert_eq!((report.exit_code(), report.incidents.len()), (2, 1));
    let text = timeless(&report.text());
    let story = text.split_once("\nincident").map_or("", |(_, story)| story);
    let kept = include_str!("golden/xid79.txt");
    if std::env::var_os("WATTKEEPER_BLESS").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/diagnose/golden/xid79.txt");
        std::fs::write(path, story).unwrap();
        return;
    }
    assert!(kept == story, "look at it, then WATTKEEPER_BLESS=1:\n{story}");
}

#[test]
fn the_json_of_an_incident_can_be_read_back_and_has_the_words_of_other_tools() {
    let report = Report::of(&fallen_off_the_bus());
    let json = report.json()["incidents"][0].clone();
    let back: Incident = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(back, *report.incidents[0]);
    assert_eq!((&json["nvsentinel"], &json["gpud"]), (&"RESTART_BM".into(), &"REBOOT_SYSTEM".into()));
    assert_eq!(json["timeline"][0]["name"], "gpu5");
}

#[test]
fn who_learns_and_who_is_masked_is_said_and_who_watches_is_not() {
    use model::{Mask, Stand};
    let mut snapshot = node(&[Some(40.0), Some(41.0), Some(42.0)]);
    let stands = [
        Stand::Learning { progress: 0.34 },
        Stand::Masked { mask: Mask::PowerCap, left_s: 12.0 },
        Stand::Watching,
    ];
    let ids: Vec<_> = snapshot.frame.devices.iter().map(|device| device.id).collect();
    for (device, stand) in ids.into_iter().zip(stands) {
        snapshot.standings.push(Standing { detector: "residual".into(), device, stand });
    }
    let report = Report::of(&snapshot);
    let text = report.text();
    assert!(text.contains("  residual is learning, 34 % done: GPU-0\n"), "{text}");
    assert!(text.contains("  residual is masked (power_cap) for 12 s more: GPU-1\n"), "{text}");
    assert_eq!(text.matches("GPU-2").count(), 1, "only its verdict:\n{text}");
    assert_eq!(report.json()["standings"][1]["mask"], "power_cap");
}

#[test]
fn who_is_slowed_beyond_the_noise_floor_is_told_with_whom_and_others_are_not() {
    use model::interference::{Abstention, Basis, Culprit, Estimate, Judgement, Resource, Vector};
    let mut snapshot = node(&[Some(40.0)]);
    assert!(!Report::of(&snapshot).text().contains("neighbours"));
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    let mut group = |key: &str| table.register(&Arc::new(DeviceInfo::new(DeviceKind::Cgroup, key))).unwrap();
    let (slow, slower, noise, noisy) = (group("web"), group("db"), group("cache"), group("backup"));
    let add = |snapshot: &mut Snapshot, device, judgement| {
        let (sensitivity, pressure) = (Vector::default(), Vector::default());
        snapshot.interference.push(model::Interference {
            device,
            judgement,
            sensitivity,
            pressure,
            counters: None,
        });
    };
    for (device, y, high, resource) in
        [(slow, 0.8, 0.88, None), (slower, 0.62, 0.71, Some(Resource::Io)), (noise, 0.7, 0.95, None)]
    {
        let culprit = resource.map(|_| Culprit { device: noisy, correlation: 0.83 });
        let estimate = Estimate { y, low: 0.5, high, basis: Basis::Model, resource, culprit };
        add(&mut snapshot, device, Judgement::Estimate(estimate));
    }
    add(&mut snapshot, noisy, Judgement::Abstained(Abstention::Idle));
    let report = Report::of(&snapshot);
    let told = "\nslower beside their neighbours than alone:\n  db: 62 % of its speed alone (50 to 71 %), held up at: disks, \
                likely by backup\n  (correlation 0.83)\n  web: 80 % of its speed alone (50 to 88 %)\n";
    assert!(report.text().ends_with(told), "{}", report.text());
    let json = report.json();
    assert_eq!(json["slowed"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&json["slowed"][0]["device"], &json["slowed"][0]["culprit"]["name"]),
        (&"db".into(), &"backup".into())
    );
    assert_eq!(report.exit_code(), 0, "a slowed workload is no fault of a device");
}

#[test]
fn a_process_on_an_accelerator_that_is_slowed_for_sure_is_told_among_the_workloads_within_80_columns() {
    use model::interference::{Abstention, Basis, Estimate, Judgement, Resource, Sharer};
    use model::{Workload, WorkloadKind};
    let mut snapshot = node(&[Some(40.0)]);
    let device = snapshot.frame.devices.find(DeviceKind::Gpu, "GPU-0").unwrap();
    let judged = |y, high, resource| {
        let basis = Basis::Physics;
        Judgement::Estimate(Estimate { y, low: 0.4, high, basis, resource, culprit: None })
    };
    let sharer = |pid, name: &str, judgement, culprit| Sharer {
        device,
        pid,
        name: name.into(),
        workload: None,
        judgement,
        culprit,
    };
    let pod = Workload {
        namespace: "inference".into(),
        pod: "chat-7d9f8b6c5-x2x4q".into(),
        ..Workload::new(WorkloadKind::Pod, "uid/main")
    };
    snapshot.sharers = vec![
        sharer(7, "", judged(0.7, 0.8, Some(Resource::Pcie)), Some(4_194_303)),
        Sharer {
            workload: Some(Arc::new(pod)),
            ..sharer(8, "python3", judged(0.5, 0.6, Some(Resource::MemoryBandwidth)), Some(9))
        },
        sharer(9, "train", Judgement::Abstained(Abstention::Uncounted), None),
        sharer(10, "noise", judged(0.6, 0.9, Some(Resource::Compute)), Some(9)),
    ];
    let report = Report::of(&snapshot);
    let told = "\nslower beside their neighbours than alone:\n  inference/chat-7d9f8b6c5-x2x4q (pid 8) on GPU-0: 50 % of its \
                speed alone (40\n  to 60 %), held up at: memory bandwidth, likely by train (pid 9)\n  pid 7 on GPU-0: 70 % of \
                its speed alone (40 to 80 %), held up at: PCIe, likely\n  by pid 4194303\n";
    let text = report.text();
    assert!(text.ends_with(told), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let json = report.json();
    let slowed = json["slowed"].as_array().unwrap();
    assert_eq!(slowed.len(), 2, "an interval that reaches the floor is not for sure: {json}");
    assert_eq!(
        (&slowed[0]["pid"], &slowed[0]["device"], &slowed[0]["resource"]),
        (&8.into(), &"GPU-0".into(), &"memory_bandwidth".into())
    );
    let culprit = &slowed[0]["culprit"];
    assert_eq!((&culprit["pid"], &culprit["name"]), (&9.into(), &"train".into()));
    assert!(culprit["correlation"].is_null(), "it was not measured: {culprit}");
    assert_eq!(report.exit_code(), 0, "a slowed process is no fault of a device");
}
