//! Tests of the exposition: names, labels, absences, both formats.
use super::*;
use model::{Absence, DeviceInfo, DeviceKind, Metric, Reading, Timestamp};
use std::io::Read as _;
use std::sync::Arc;

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    let gpu = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-\"a\\{b}\n"))).unwrap();
    let node = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Node, "host"))).unwrap();
    snapshot.frame.begin(Timestamp::default());
    snapshot.frame.put(gpu, Metric::PowerInstant, Reading::Value(321.5));
    snapshot.frame.put(gpu, Metric::PowerAverage, Reading::Absent(Absence::Denied));
    snapshot.frame.put(gpu, Metric::Energy, Reading::Value(1e9));
    snapshot.frame.put(node, Metric::Load1, Reading::Value(0.0));
    snapshot
}

#[test]
fn what_is_absent_is_left_out_and_zero_is_not() {
    let text = render(&snapshot(), Format::Text);
    assert!(text.contains("reading=\"instant\"} 321.5"), "{text}");
    assert!(!text.contains("reading=\"average\"") && !text.contains("NaN"));
    assert!(text.contains("wattkeeper_node_load{device=\"host\",kind=\"node\",window=\"1m\"} 0\n"), "{text}");
}

#[test]
fn label_values_are_escaped_and_hold_no_brace() {
    let text = render(&snapshot(), Format::Text);
    assert!(text.contains(r#"device="GPU-\"a\\(b)\n""#), "{text}");
    let open = render(&snapshot(), Format::OpenMetrics);
    assert!(open.contains(r#"device="GPU-\"a\\(b)\n""#), "{open}");
}

#[test]
fn shares_name_who_has_them_and_leave_out_what_is_not_known() {
    let mut snapshot = snapshot();
    let device = snapshot.frame.devices.of_kind(DeviceKind::Gpu).next().unwrap().id;
    let pod = model::Workload {
        namespace: "team".into(),
        pod: "train".into(),
        container: "main".into(),
        ..model::Workload::new(model::WorkloadKind::Pod, "uid/main")
    };
    let share = |workload, watts: Option<f64>| model::Share {
        device,
        workload,
        power: watts.map(model::Watts),
        energy_j: 12.5,
        memory_bytes: None,
        utilization: watts.map(|_| 0.5),
        processes: 1,
    };
    snapshot.shares = vec![share(Some(Arc::new(pod)), Some(300.0)), share(None, None)];
    let text = render(&snapshot, Format::Text);
    let labels = r#"kind="pod",workload="uid/main",namespace="team",pod="train",container="main"} "#;
    for (family, value) in
        [("power_watts", "300"), ("energy_joules_total", "12.5"), ("utilization_ratio", "0.5")]
    {
        let line = |line: &&str| {
            line.starts_with(&format!("wattkeeper_workload_{family}{{")) && line.contains("pod")
        };
        assert!(text.lines().find(line).unwrap().ends_with(&format!("{labels}{value}")), "{text}");
    }
    assert!(!text.contains("wattkeeper_workload_memory_bytes"));
    let open = r#"kind="unattributed",workload="",namespace="",pod="",container=""} "#;
    assert_eq!(text.lines().filter(|line| line.contains(open)).count(), 1, "energy only: {text}");
}

#[test]
fn openmetrics_names_the_unit_and_ends_with_eof() {
    let text = render(&snapshot(), Format::OpenMetrics);
    assert!(text.contains("# TYPE wattkeeper_accelerator_energy_joules counter\n# UNIT wattkeeper_accelerator_energy_joules joules\n"));
    assert!(text.contains("\nwattkeeper_accelerator_energy_joules_total{"));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn no_series_appears_twice() {
    for format in [Format::Text, Format::OpenMetrics] {
        let text = render(&snapshot(), format);
        let mut names: Vec<_> =
            text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.rsplit_once(' ')).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup_by_key(|(name, _)| *name);
        assert_eq!(names.len(), count);
    }
}

#[test]
fn the_accept_header_chooses_the_format() {
    let cases = [
        ("", Format::Text),
        ("*/*", Format::Text),
        ("text/plain;version=0.0.4", Format::Text),
        ("application/openmetrics-text;version=1.0.0", Format::OpenMetrics),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.9", Format::Text),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;q=0.5",
            Format::OpenMetrics,
        ),
        ("application/openmetrics-text;version=0.0.1", Format::Text),
    ];
    for (accept, format) in cases {
        assert_eq!(Format::negotiate(accept), format, "{accept}");
    }
}

#[test]
fn gzip_can_be_undone() {
    let page = render(&snapshot(), Format::Text);
    let mut back = String::new();
    flate2::read::GzDecoder::new(gzip(page.as_bytes()).as_slice()).read_to_string(&mut back).unwrap();
    assert_eq!(back, page);
}

#[test]
fn incidents_are_counted_by_severity_and_named_by_cause_and_device_once() {
    use model::incident::{Cause, Confidence, Incident, IncidentId, Subject};
    let mut snapshot = snapshot();
    let subject = Subject { kind: DeviceKind::Gpu, key: "GPU-a".into(), name: "gpu0".into() };
    let incident = Incident {
        id: IncidentId(1),
        severity: model::Severity::Critical,
        devices: vec![subject],
        cause: Cause {
            fault: model::FaultKind::Xid,
            code: 79,
            event: model::EventId(1),
            device: Some(0),
            title: "XID error 79".into(),
            sentence: "".into(),
            confirm: "".into(),
        },
        confidence: Confidence::Stated,
        remedy: model::Remedy::RebootNode,
        driver_asks: false,
        advice: "".into(),
        since: Timestamp::default(),
        last: Timestamp::default(),
        cleared: None,
        end: None,
        returns: 0,
        timeline: Vec::new(),
        untold: 0,
        evidence: Vec::new(),
        events: Vec::new(),
    };
    let over = Incident { cleared: Some(Timestamp::default()), ..incident.clone() };
    snapshot.incidents = [incident.clone(), incident, over].into_iter().map(Arc::new).collect();
    let text = render(&snapshot, Format::Text);
    assert!(text.contains("wattkeeper_incidents{severity=\"critical\"} 2\n"), "{text}");
    assert!(text.contains("wattkeeper_incidents{severity=\"info\"} 0\n"), "{text}");
    assert_eq!(text.matches("wattkeeper_incident_active{").count(), 1, "{text}");
    assert!(text.contains("cause=\"xid\",severity=\"critical\",remedy=\"reboot_node\",confidence=\"stated\",device=\"GPU-a\"} 1"), "{text}");
}

#[test]
fn interference_names_resource_and_culprit_and_an_abstention_has_no_number() {
    use model::interference::{Abstention, Basis, Counters, Culprit, Estimate, Judgement, Resource, Vector};
    let mut snapshot = snapshot();
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    let mut group = |key: &str| table.register(&Arc::new(DeviceInfo::new(DeviceKind::Cgroup, key))).unwrap();
    let (victim, noisy, gone) = (group("/a.service"), group("/b.service"), group("/c.service"));
    table.retire(gone);
    let estimate = Estimate {
        y: 0.5,
        low: 0.25,
        high: 0.75,
        basis: Basis::Physics,
        resource: Some(Resource::RunQueue),
        culprit: Some(Culprit { device: noisy, correlation: 0.5 }),
    };
    let mut sensitivity = Vector::default();
    sensitivity.set(Resource::RunQueue, 0.25);
    let pressure = Vector::default();
    let workload =
        |device, judgement| model::Interference { device, judgement, sensitivity, pressure, counters: None };
    snapshot.interference = vec![
        workload(victim, Judgement::Estimate(estimate)),
        workload(victim, Judgement::Estimate(estimate)),
        workload(noisy, Judgement::Abstained(Abstention::NoProfile)),
        workload(gone, Judgement::Abstained(Abstention::NoProfile)),
    ];
    snapshot.interference[0].counters = Some(Counters::Sparse);
    let text = render(&snapshot, Format::Text);
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("wattkeeper_interference_")).collect();
    assert_eq!(
        lines,
        [
            r#"wattkeeper_interference_performance_ratio{device="/a.service",kind="cgroup"} 0.5"#,
            r#"wattkeeper_interference_performance_low_ratio{device="/a.service",kind="cgroup"} 0.25"#,
            r#"wattkeeper_interference_performance_high_ratio{device="/a.service",kind="cgroup"} 0.75"#,
            r#"wattkeeper_interference_resource{device="/a.service",kind="cgroup",resource="run_queue",culprit="/b.service"} 1"#,
            r#"wattkeeper_interference_culprit_correlation_ratio{device="/a.service",kind="cgroup",culprit="/b.service"} 0.5"#,
            r#"wattkeeper_interference_abstained{device="/b.service",kind="cgroup",reason="no_profile"} 1"#,
            r#"wattkeeper_interference_counters{device="/a.service",kind="cgroup",state="sparse"} 1"#,
            r#"wattkeeper_interference_sensitivity_ratio{device="/a.service",kind="cgroup",resource="run_queue"} 0.25"#,
            r#"wattkeeper_interference_sensitivity_ratio{device="/b.service",kind="cgroup",resource="run_queue"} 0.25"#,
        ]
    );
}

#[test]
fn a_process_on_an_accelerator_has_its_estimate_once_and_an_abstention_has_no_line() {
    use model::interference::{Abstention, Basis, Estimate, Judgement, Resource, Sharer};
    use model::{Workload, WorkloadKind};
    let mut snapshot = snapshot();
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    let mut gpu = |key: &str| table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, key))).unwrap();
    let (here, gone) = (gpu("GPU-shared"), gpu("GPU-gone"));
    table.retire(gone);
    let estimate = Judgement::Estimate(Estimate {
        y: 0.5,
        low: 0.25,
        high: 0.75,
        basis: Basis::Physics,
        resource: Some(Resource::Compute),
        culprit: None,
    });
    let sharer = |device, pid, name: &str, judgement| Sharer {
        device,
        pid,
        name: name.into(),
        workload: None,
        judgement,
        culprit: Some(9),
    };
    let pod = Workload {
        namespace: "ml".into(),
        pod: "chat-0".into(),
        container: "main".into(),
        ..Workload::new(WorkloadKind::Pod, "uid/main")
    };
    snapshot.sharers = vec![
        Sharer { workload: Some(Arc::new(pod)), ..sharer(here, 7, "chat", estimate) },
        sharer(here, 7, "chat", estimate),
        sharer(here, 8, "a\"b", estimate),
        sharer(here, 9, "train", Judgement::Abstained(Abstention::NoProfile)),
        sharer(gone, 7, "chat", estimate),
    ];
    let told = |snapshot: &Snapshot| {
        let text = render(snapshot, Format::Text);
        let lines = text.lines().filter(|line| line.starts_with("wattkeeper_interference_"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let line = |end: &str, number: &str, who: &str| {
        format!(
            "wattkeeper_interference_process_performance{end}ratio{{device=\"GPU-shared\",kind=\"gpu\",{who}}} {number}"
        )
    };
    let chat = r#"pid="7",process="chat",namespace="ml",pod="chat-0",container="main""#;
    let other = r#"pid="8",process="a\"b",namespace="",pod="",container="""#;
    let expected = [("_", "0.5"), ("_low_", "0.25"), ("_high_", "0.75")];
    let expected: Vec<_> =
        expected.iter().flat_map(|(end, number)| [chat, other].map(|who| line(end, number, who))).collect();
    assert_eq!(told(&snapshot), expected);

    snapshot.sharers = (0..1000).map(|pid| sharer(here, pid, "swarm", estimate)).collect();
    assert_eq!(told(&snapshot).len(), 3 * 256, "a page has a limit whatever the snapshot holds");
}
