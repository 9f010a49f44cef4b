//! Tests of the correlator: each way to join and a case that must not, stability, bounds.
use super::*;
use crate::Catalogue;
use crate::Thresholds;
use model::incident::{Confidence, EVENTS_OF_MAX, MOMENTS_MAX};
use model::{DeviceInfo, DeviceKind, Evidence, Finding, Metric, Remedy, Severity};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// A node with four GPUs that one source reads, and whatever else a test adds.
struct Bench {
    devices: DeviceTable,
    kin: Kin,
    life: Lifecycle,
    correlator: Correlator,
    gpus: Vec<DeviceId>,
    node: DeviceId,
    source: DeviceId,
    second: u64,
}

/// A fault that lasts: device, fault, code, severity.
type Fault = (DeviceId, FaultKind, u32, Severity);

const BAD: Severity = Severity::Critical;
const WARN: Severity = Severity::Warning;

impl Bench {
    fn new() -> Self {
        let mut devices = DeviceTable::default();
        let gpu = |n: usize| {
            let mut info = DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}"));
            info.name = format!("gpu{n}");
            info.attributes.insert("pci".into(), format!("00000000:{n}A:00.0"));
            Arc::new(info)
        };
        let gpus: Vec<_> = (0..4).map(|n| devices.register(&gpu(n)).unwrap()).collect();
        let node = devices.register(&Arc::new(DeviceInfo::new(DeviceKind::Node, "host"))).unwrap();
        let source = devices.register(&Arc::new(DeviceInfo::new(DeviceKind::Source, "nvml"))).unwrap();
        let mut kin = Kin::default();
        gpus.iter().for_each(|gpu| kin.read_by(*gpu, source));
        let life = Lifecycle::new(&Thresholds::default());
        Self { devices, kin, life, correlator: Correlator::default(), gpus, node, source, second: 1000 }
    }

    fn now(&self) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(self.second))
    }

    /// So many beats on which these faults are seen.
    fn beats(&mut self, count: u64, faults: &[Fault]) {
        let finding = |&(device, fault, code, severity): &Fault| Finding {
            detector: "test",
            device,
            fault,
            code,
            detail: "",
            severity,
            remedy: fault.remedy(),
            score: 1.0,
            evidence: Finding::evidence(&[Evidence { metric: Metric::Up, observed: 0.0, expected: 1.0 }]),
        };
        let findings: Vec<_> = faults.iter().map(finding).collect();
        for _ in 0..count {
            self.second += 1;
            self.life.step(self.now(), &self.devices, &findings);
            self.correlator.step(self.now(), &self.devices, &self.kin, &self.life);
        }
    }

    /// Active incidents as what leads them and how many events each has, oldest first.
    fn told(&self) -> Vec<(String, usize)> {
        let mut list: Vec<_> = self.correlator.active().collect();
        list.sort_by_key(|incident| incident.id);
        list.iter().map(|incident| (incident.title(), incident.events.len())).collect()
    }

    fn only(&self) -> &Incident {
        let list: Vec<_> = self.correlator.active().collect();
        assert_eq!(list.len(), 1, "{:?}", self.told());
        list[0]
    }

    fn part(&mut self, kind: DeviceKind, key: &str, parent: usize, remote: &str) -> DeviceId {
        let mut info = DeviceInfo::new(kind, key);
        info.parent = format!("GPU-{parent}");
        info.attributes.insert("remote".into(), remote.into());
        self.devices.register(&Arc::new(info)).unwrap()
    }
}

#[test]
fn an_xid_the_loss_after_it_and_the_residual_before_it_are_one_story() {
    let mut bench = Bench::new();
    let gpu = bench.gpus[1];
    let residual = (gpu, FaultKind::Residual, 0, Severity::Info);
    bench.beats(10, &[residual]);
    let before = bench.only().clone();
    assert_eq!((before.severity, before.confidence), (Severity::Info, Confidence::Unexplained));
    assert!(before.cause.sentence.contains("unexplained"), "{}", before.cause.sentence);
    bench.beats(3, &[residual, (gpu, FaultKind::Xid, 79, BAD), (gpu, FaultKind::DeviceLost, 0, BAD)]);
    let incident = bench.only();
    assert_eq!((incident.id, incident.since), (before.id, before.since), "the first sign is kept");
    assert_eq!((incident.cause.fault, incident.cause.code), (FaultKind::Xid, 79));
    assert_eq!((incident.severity, incident.confidence), (BAD, Confidence::Stated));
    assert_eq!(
        incident.remedy,
        Remedy::RebootNode,
        "what is to be done about the loss, for the XID does not say"
    );
    let turns: Vec<_> = incident.timeline.iter().map(|moment| (moment.turn, moment.what.as_str())).collect();
    assert_eq!(turns[0], (Turn::Seen, "Unusual behaviour"));
    assert!(turns.contains(&(Turn::Cause, "XID error 79")) && turns.contains(&(Turn::Seen, "Device lost")));
    assert_eq!(incident.evidence[0].fault, FaultKind::Xid, "the cause's evidence first");
}

#[test]
fn unrelated_faults_of_two_devices_at_one_time_are_two_incidents() {
    let mut bench = Bench::new();
    let (one, other) = (bench.gpus[0], bench.gpus[1]);
    bench.beats(5, &[(one, FaultKind::ThermalSlowdown, 0, WARN), (other, FaultKind::Xid, 79, BAD)]);
    assert_eq!(bench.told().len(), 2, "{:?}", bench.told());
    let severities: Vec<_> = bench.correlator.active().map(|incident| incident.severity).collect();
    assert!(severities.contains(&BAD) && severities.contains(&WARN));
}

#[test]
fn a_second_independent_fault_of_a_device_is_told_inside_and_leads_only_where_it_is_worse() {
    let mut bench = Bench::new();
    let gpu = bench.gpus[0];
    let hot = (gpu, FaultKind::ThermalSlowdown, 0, WARN);
    bench.beats(5, &[hot]);
    let narrow = (gpu, FaultKind::PcieNarrow, 0, WARN);
    bench.beats(5, &[hot, narrow]);
    assert_eq!(bench.told(), [("Thermal slowdown on gpu0".to_owned(), 2)]);
    bench.beats(5, &[hot, narrow, (gpu, FaultKind::Xid, 119, BAD)]);
    assert_eq!(bench.told(), [("XID error 119 on gpu0".to_owned(), 3)]);
}

#[test]
fn a_fault_long_after_the_last_sign_of_another_on_its_device_is_another_incident() {
    let mut bench = Bench::new();
    let gpu = bench.gpus[0];
    bench.beats(1, &[(gpu, FaultKind::Xid, 13, WARN)]);
    bench.beats(400, &[]);
    assert_eq!(bench.told().len(), 1, "an XID is held for ten minutes");
    bench.beats(1, &[(gpu, FaultKind::PcieNarrow, 0, WARN)]);
    assert_eq!(bench.told().len(), 2);
}

#[test]
fn a_symptom_that_began_long_before_a_cause_does_not_follow_from_it() {
    let mut bench = Bench::new();
    let node = bench.node;
    let gpu = bench.gpus[0];
    let stuck = (node, FaultKind::ProcessStuck, 0, WARN);
    bench.beats(200, &[stuck]);
    bench.beats(2, &[stuck, (gpu, FaultKind::Xid, 79, BAD)]);
    assert_eq!(bench.told().len(), 2, "{:?}", bench.told());
    let mut bench = Bench::new();
    bench.beats(20, &[stuck]);
    bench.beats(2, &[stuck, (gpu, FaultKind::Xid, 79, BAD)]);
    assert_eq!(bench.told(), [("XID error 79 on gpu0 and 1 more".to_owned(), 2)]);
}

#[test]
fn a_link_error_joins_the_device_at_its_far_end_and_no_other() {
    let mut bench = Bench::new();
    let link = bench.part(DeviceKind::Link, "GPU-2/link0", 2, "0000:1a:00.0");
    let failed = (bench.gpus[1], FaultKind::Xid, 74, BAD);
    bench.beats(2, &[failed, (link, FaultKind::LinkErrors, 0, WARN)]);
    assert_eq!(bench.told(), [("XID error 74 on gpu1 and 1 more".to_owned(), 2)]);
    let mut bench = Bench::new();
    let elsewhere = bench.part(DeviceKind::Link, "GPU-2/link0", 2, "0000:3a:00.0");
    let failed = (bench.gpus[1], FaultKind::Xid, 74, BAD);
    bench.beats(2, &[failed, (elsewhere, FaultKind::LinkErrors, 0, WARN)]);
    assert_eq!(bench.told().len(), 2);
}

#[test]
fn both_ends_of_a_link_report_one_incident_and_two_links_report_two() {
    let mut bench = Bench::new();
    bench.part(DeviceKind::Link, "GPU-2/link0", 2, "00000000:1A:00.0");
    let xid = |n: usize, bench: &Bench| (bench.gpus[n], FaultKind::Xid, 74, BAD);
    bench.beats(2, &[xid(1, &bench), xid(2, &bench)]);
    assert_eq!(bench.told().len(), 1);
    let mut bench = Bench::new();
    bench.part(DeviceKind::Link, "GPU-2/link0", 2, "00000000:1A:00.0");
    bench.beats(2, &[xid(1, &bench), xid(3, &bench)]);
    assert_eq!(bench.told().len(), 2);
}

#[test]
fn a_part_and_its_whole_are_one_device() {
    let mut bench = Bench::new();
    let part = bench.part(DeviceKind::Partition, "MIG-1", 0, "");
    let ecc = (bench.gpus[0], FaultKind::EccUncorrectable, 0, BAD);
    bench.beats(2, &[ecc, (part, FaultKind::Xid, 31, WARN)]);
    assert_eq!(bench.told().len(), 1);
    bench.beats(2, &[ecc, (bench.gpus[1], FaultKind::Xid, 31, WARN)]);
    assert_eq!(bench.told().len(), 2, "that of another device is not");
}

#[test]
fn memory_that_ran_out_explains_what_became_of_applications_and_no_hardware_fault() {
    let mut bench = Bench::new();
    let (node, one, other) = (bench.node, bench.gpus[0], bench.gpus[1]);
    let oom = (node, FaultKind::OutOfMemory, 0, WARN);
    bench.beats(
        2,
        &[oom, (one, FaultKind::Xid, 45, Severity::Info), (other, FaultKind::Xid, 45, Severity::Info)],
    );
    assert_eq!(bench.told(), [("Out of memory on host and 2 more".to_owned(), 3)]);
    bench.beats(2, &[oom, (bench.gpus[2], FaultKind::EccUncorrectable, 0, BAD)]);
    assert_eq!(bench.told().len(), 2);
}

#[test]
fn a_brake_on_every_device_is_one_incident_and_its_supply_is_the_cause() {
    let mut bench = Bench::new();
    let mut faults: Vec<Fault> =
        bench.gpus.iter().map(|gpu| (*gpu, FaultKind::PowerBrake, 0, WARN)).collect();
    bench.beats(3, &faults);
    assert_eq!(bench.told(), [("Power brake on gpu0 and 3 more".to_owned(), 4)]);
    faults.push((bench.node, FaultKind::PowerSupply, 0, BAD));
    bench.beats(3, &faults);
    assert_eq!(bench.told(), [("Power supply failing on host and 4 more".to_owned(), 5)]);
    assert_eq!(bench.only().remedy, Remedy::InspectHardware);
}

#[test]
fn heat_of_two_devices_is_two_incidents_until_a_fan_explains_both() {
    let mut bench = Bench::new();
    let hot = |n: usize| (bench.gpus[n], FaultKind::ThermalSlowdown, 0, WARN);
    let (one, other) = (hot(0), hot(1));
    bench.beats(3, &[one, other]);
    assert_eq!(bench.told().len(), 2);
    let fan = bench.devices.register(&Arc::new(DeviceInfo::new(DeviceKind::Sensor, "fan3"))).unwrap();
    bench.beats(3, &[one, other, (fan, FaultKind::FanSlow, 0, WARN)]);
    assert_eq!(bench.told(), [("Fan failing on fan3 and 2 more".to_owned(), 3)]);
    let joined: Vec<_> = bench.correlator.cleared().map(|incident| incident.end).collect();
    assert_eq!(joined, [Some(End::Joined(IncidentId(1)))]);
    assert!(bench.only().timeline.iter().any(|moment| moment.turn == Turn::Joined));
}

#[test]
fn a_fan_of_one_board_explains_no_heat_elsewhere() {
    let mut bench = Bench::new();
    let fan = (bench.gpus[0], FaultKind::FanSlow, 0, WARN);
    bench.beats(3, &[fan, (bench.gpus[1], FaultKind::ThermalSlowdown, 0, WARN)]);
    assert_eq!(bench.told().len(), 2);
    let mut bench = Bench::new();
    bench.beats(3, &[fan, (bench.gpus[0], FaultKind::ThermalSlowdown, 0, WARN)]);
    assert_eq!(bench.told(), [("Fan failing on gpu0".to_owned(), 2)]);
}

#[test]
fn a_hung_source_and_what_it_reads_are_one_incident_and_what_another_reads_is_not() {
    let mut bench = Bench::new();
    let other = bench.devices.register(&Arc::new(DeviceInfo::new(DeviceKind::Npu, "NPU-0"))).unwrap();
    let (source, gpu) = (bench.source, bench.gpus[3]);
    let hung = (source, FaultKind::SourceHung, 0, BAD);
    bench.beats(3, &[hung, (gpu, FaultKind::SourceHung, 0, BAD), (gpu, FaultKind::MetricVanished, 0, WARN)]);
    assert_eq!(bench.told().len(), 1, "{:?}", bench.told());
    bench.beats(3, &[hung, (other, FaultKind::SourceHung, 0, BAD)]);
    assert_eq!(bench.told().len(), 2);
}

#[test]
fn every_device_of_a_driver_lost_at_once_is_one_incident_and_two_of_four_are_two() {
    let mut bench = Bench::new();
    let lost = |n: usize| (bench.gpus[n], FaultKind::DeviceLost, 0, BAD);
    let all: Vec<_> = (0..4).map(lost).collect();
    bench.beats(2, &all[..2]);
    assert_eq!(bench.told().len(), 2);
    let mut bench = Bench::new();
    bench.beats(2, &all);
    assert_eq!(bench.told(), [("Device lost on gpu0 and 3 more".to_owned(), 4)]);
}

#[test]
fn a_cause_that_comes_late_takes_the_lead_and_a_symptom_never_does() {
    let mut bench = Bench::new();
    let gpu = bench.gpus[0];
    let slow = (gpu, FaultKind::Straggler, 0, BAD);
    bench.beats(3, &[slow]);
    let narrow = (gpu, FaultKind::PcieNarrow, 0, WARN);
    bench.beats(3, &[slow, narrow]);
    assert_eq!(bench.only().cause.fault, FaultKind::PcieNarrow, "though the symptom is worse");
    assert_eq!(bench.only().severity, BAD);
    bench.beats(3, &[narrow]);
    bench.beats(100, &[narrow]);
    bench.beats(3, &[narrow, slow]);
    assert_eq!(bench.only().cause.fault, FaultKind::PcieNarrow);
}

#[test]
fn confidence_grows_with_what_follows() {
    let mut bench = Bench::new();
    let gpu = bench.gpus[0];
    let cooling = (gpu, FaultKind::CoolingPoor, 0, WARN);
    bench.beats(3, &[cooling]);
    assert_eq!(bench.only().confidence, Confidence::Possible);
    bench.beats(3, &[cooling, (gpu, FaultKind::ThermalSlowdown, 0, WARN)]);
    assert_eq!(bench.only().confidence, Confidence::Likely);
}

#[test]
fn what_the_driver_asks_for_wins_on_its_device_and_on_no_other() {
    for (asked, remedy) in [(0, Remedy::ResetDevice), (1, Remedy::RebootNode)] {
        let mut bench = Bench::new();
        let lost = (bench.gpus[0], FaultKind::DeviceLost, 0, BAD);
        bench.beats(3, &[lost, (bench.gpus[asked], FaultKind::RecoveryWanted, 0, WARN)]);
        let incident = bench.correlator.active().find(|i| i.cause.fault == FaultKind::DeviceLost).unwrap();
        assert_eq!((incident.remedy, incident.driver_asks), (remedy, asked == 0));
    }
}

#[test]
fn an_incident_ends_with_its_last_event_and_the_same_cause_within_ten_minutes_opens_it_again() {
    let mut bench = Bench::new();
    let narrow = (bench.gpus[0], FaultKind::PcieNarrow, 0, WARN);
    bench.beats(3, &[narrow]);
    bench.beats(70, &[]);
    assert!(bench.told().is_empty());
    assert_eq!(bench.correlator.cleared().next().unwrap().end, Some(End::Cleared));
    bench.beats(3, &[narrow]);
    let incident = bench.only();
    assert_eq!((incident.id, incident.returns, incident.end), (IncidentId(1), 1, None));
    assert!(incident.timeline.iter().any(|moment| moment.turn == Turn::Returned));
    assert_eq!(bench.correlator.cleared().count(), 0, "it is no longer among those that are over");
    bench.beats(70, &[]);
    assert_eq!(bench.told().len(), 1, "what came back is held for longer");
    bench.beats(60, &[]);
    assert!(bench.told().is_empty());
    bench.beats(700, &[]);
    bench.beats(3, &[narrow]);
    assert_eq!(bench.only().id, IncidentId(2), "after ten minutes it is a new one");
}

#[test]
fn another_cause_on_the_device_opens_nothing_again() {
    let mut bench = Bench::new();
    bench.beats(3, &[(bench.gpus[0], FaultKind::PcieNarrow, 0, WARN)]);
    bench.beats(70, &[]);
    bench.beats(3, &[(bench.gpus[0], FaultKind::ClockLow, 0, WARN)]);
    assert_eq!((bench.only().id, bench.only().returns), (IncidentId(2), 0));
}

#[test]
fn an_incident_of_an_earlier_run_goes_on_when_its_cause_is_found_again() {
    let mut bench = Bench::new();
    let narrow = (bench.gpus[0], FaultKind::PcieNarrow, 0, WARN);
    bench.beats(3, &[narrow]);
    let kept = bench.only().clone();
    let (mut next, second) = (Bench::new(), bench.second);
    next.second = second + 30;
    next.correlator.recall([kept]);
    assert_eq!(next.correlator.cleared().next().unwrap().end, Some(End::Unwatched));
    assert_eq!(next.correlator.changed().count(), 0);
    next.beats(1, &[narrow]);
    assert_eq!((next.only().id, next.only().returns), (IncidentId(1), 1));
    next.beats(1, &[narrow, (next.gpus[1], FaultKind::PcieNarrow, 0, WARN)]);
    assert!(next.correlator.active().any(|incident| incident.id == IncidentId(2)), "numbers go on rising");
}

#[test]
fn a_beat_without_news_changes_nothing() {
    let mut bench = Bench::new();
    let hot = (bench.gpus[0], FaultKind::ThermalSlowdown, 0, WARN);
    bench.beats(1, &[hot]);
    assert_eq!(bench.correlator.changed().count(), 1);
    bench.beats(1, &[hot]);
    assert_eq!(bench.correlator.changed().count(), 0);
    bench.beats(1, &[(hot.0, hot.1, hot.2, BAD)]);
    assert_eq!(bench.correlator.changed().count(), 1);
    assert!(bench.only().timeline.iter().any(|moment| moment.turn == Turn::Worse));
}

/// What a test remembers of an incident that lasts.
#[derive(Clone)]
struct Before {
    severity: Severity,
    since: Timestamp,
    cause: (FaultKind, u32),
    device: Option<u16>,
    returns: u32,
}

fn check(bench: &Bench, before: &BTreeMap<IncidentId, Before>, homes: &mut BTreeMap<u64, IncidentId>) {
    let mut seen = std::collections::BTreeSet::new();
    for incident in bench.correlator.active() {
        assert!(incident.timeline.len() <= MOMENTS_MAX && incident.events.len() <= EVENTS_OF_MAX);
        assert!(incident.timeline.windows(2).all(|pair| pair[0].at <= pair[1].at));
        for event in &incident.events {
            assert!(seen.insert(*event), "{event:?} is told in two incidents");
            homes.insert(event.0, incident.id);
        }
        let Some(old) = before.get(&incident.id).filter(|old| old.returns == incident.returns) else {
            continue;
        };
        assert!(incident.severity >= old.severity, "severity fell");
        assert!(incident.since <= old.since, "the first sign moved on");
        let new = (incident.cause.fault, incident.cause.code);
        if new != old.cause && incident.cause.device == old.device {
            let old_row = causes::row(old.cause.0, old.cause.1);
            assert!(!old_row.explains(new.0, new.1), "{:?} gave way to its symptom {new:?}", old.cause);
        }
    }
    for event in bench.life.active() {
        assert!(homes.contains_key(&event.id.0), "{} is told nowhere", event.title());
    }
    assert!(bench.correlator.cleared().count() <= CLEARED_MAX);
    assert!(bench.correlator.members.len() <= MEMBERS_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever happens in whatever order: severity and first sign are stable, a symptom never leads, every event is told once.
    #[test]
    fn incidents_are_stable(
        script in proptest::collection::vec((0_usize..6, 0..FaultKind::ALL.len(), 0_usize..6, 0_u8..3, 1_u64..90), 1..40)
    ) {
        let mut bench = Bench::new();
        let places = [&bench.gpus[..], &[bench.node, bench.source]].concat();
        let codes = [13, 45, 74, 79, 48, 119];
        let mut going: Vec<(Fault, u64)> = Vec::new();
        let mut homes = BTreeMap::new();
        for (device, fault, code, severity, beats) in script {
            let fault = FaultKind::ALL[fault];
            let code = if fault == FaultKind::Xid { codes[code] } else { 0 };
            let severity = [Severity::Info, WARN, BAD][usize::from(severity)];
            going.push(((places[device], fault, code, severity), bench.second + beats));
            going.retain(|(_, until)| *until > bench.second);
            let faults: Vec<_> = going.iter().map(|(fault, _)| *fault).collect();
            for _ in 0..beats.min(12) {
                let before: BTreeMap<_, _> = bench.correlator.active().map(|incident| {
                    let cause = (incident.cause.fault, incident.cause.code);
                    let (severity, since, returns) = (incident.severity, incident.since, incident.returns);
                    (incident.id, Before { severity, since, cause, device: incident.cause.device, returns })
                }).collect();
                bench.beats(1, &faults);
                check(&bench, &before, &mut homes);
            }
        }
        // The fault that is held for longest is so for a day.
        let quiet_s = Catalogue::built_in().rows().map(|row| row.pace.quiet_s).fold(0.0, f64::max);
        bench.second += quiet_s as u64;
        bench.beats(2000, &[]);
        prop_assert!(bench.told().is_empty(), "everything ends: {:?}", bench.told());
    }
}

#[test]
fn more_faults_than_there_is_room_for_break_no_bound() {
    let mut bench = Bench::new();
    let disk = |n: usize| Arc::new(DeviceInfo::new(DeviceKind::Disk, format!("disk{n}")));
    let many: Vec<_> = (0..300).map(|n| bench.devices.register(&disk(n)).unwrap()).collect();
    let faults: Vec<Fault> = many.iter().map(|disk| (*disk, FaultKind::Straggler, 0, WARN)).collect();
    for _ in 0..3 {
        bench.beats(2, &faults);
        assert_eq!(bench.correlator.active().count(), ACTIVE_MAX);
        bench.beats(700, &[]);
    }
    assert_eq!(bench.correlator.cleared().count(), CLEARED_MAX);
    assert!(bench.correlator.members.is_empty());
}
