//! Tests of faults that come back: over reboots, resets, restarts of the agent, steps of the clock, and damaged bytes.
use super::*;
use crate::rules::xid;
use model::source::SourceMap;
use model::{Batch, DeviceInfo, Slot, Timestamp};
use proptest::prelude::*;

/// 2026-01-01.
const START_S: i64 = 1_767_225_600;
const HOUR: i64 = 3600;

/// A node whose agent may be restarted with or without the node.
struct Bench {
    batch: Batch,
    gpus: [Slot; 2],
    node: Slot,
    map: SourceMap,
    frame: Frame,
    detectors: [Box<dyn Detector>; 2],
    sink: EventSink,
    wall_s: i64,
    uptime_s: i64,
    boots: u32,
    /// Whether the kernel tells its boots apart.
    identified: bool,
}

impl Bench {
    fn new() -> Self {
        let mut batch = Batch::default();
        let gpus = ["GPU-a", "GPU-b"].map(|key| batch.device(DeviceInfo::new(DeviceKind::Gpu, key)));
        let node = batch.device(DeviceInfo::new(DeviceKind::Node, "node"));
        Self {
            batch,
            gpus,
            node,
            map: SourceMap::default(),
            frame: Frame::default(),
            detectors: [xid::open(&Thresholds::default()), open(&Thresholds::default())],
            sink: EventSink::default(),
            wall_s: START_S,
            uptime_s: 50_000,
            boots: 0,
            identified: false,
        }
    }

    fn identified() -> Self {
        let mut bench = Self { identified: true, ..Self::new() };
        bench.register();
        bench
    }

    /// The node as it is told after a boot.
    fn register(&mut self) {
        let mut info = DeviceInfo::new(DeviceKind::Node, "node");
        info.attributes.insert(BOOT.into(), format!("boot-{}", self.boots));
        self.node = self.batch.device(info);
    }

    /// One beat, a minute after the last, on which `fill` adds what happens; gives what is to be done about it.
    fn beat(&mut self, fill: impl FnOnce(&mut Batch, [Slot; 2], Timestamp)) -> Vec<Remedy> {
        (self.wall_s, self.uptime_s) = (self.wall_s + 60, self.uptime_s + 60);
        let now = Timestamp { mono_ns: self.uptime_s as u64 * 1_000_000_000, wall_ms: self.wall_s * 1000 };
        self.batch.begin();
        self.batch.set(self.node, Metric::Uptime, self.uptime_s as f64);
        fill(&mut self.batch, self.gpus, now);
        self.frame.begin(now);
        self.frame.merge(&self.batch, &mut self.map, false);
        self.sink.begin();
        let history = History::new(4);
        for detector in &mut self.detectors {
            detector.observe(&self.frame, &history, &mut self.sink);
        }
        self.sink.findings().iter().map(|finding| finding.remedy).collect()
    }

    fn xid_on(&mut self, gpu: usize, code: u32) -> Remedy {
        let told = self.beat(|batch, gpus, now| batch.notice(gpus[gpu], NoticeKind::Xid, code, now));
        assert_eq!(told.len(), 1);
        told[0]
    }

    fn xid(&mut self, code: u32) -> Remedy {
        self.xid_on(0, code)
    }

    /// The agent ends and begins again; what it had learnt goes through bytes.
    fn restart(&mut self) {
        let kept = self.detectors[1].learnt(&self.frame).unwrap();
        self.detectors[1] = open(&Thresholds::default());
        self.detectors[1].recall(&kept).unwrap();
    }

    /// The node is rebooted; the agent is back when it has been up for some seconds.
    fn reboot(&mut self, up_s: i64) {
        self.restart();
        (self.wall_s, self.uptime_s) = (self.wall_s + up_s + 120, up_s);
        if self.identified {
            self.boots += 1;
            self.register();
        }
    }
}

#[test]
fn a_fault_that_two_reboots_did_not_cure_asks_for_an_inspection() {
    let mut bench = Bench::new();
    assert_eq!(bench.xid(79), Remedy::RebootNode);
    bench.reboot(60);
    assert_eq!(bench.xid(79), Remedy::RebootNode, "one reboot may help");
    bench.reboot(30);
    assert_eq!(bench.xid(79), Remedy::InspectHardware);
    assert_eq!(bench.xid(79), Remedy::InspectHardware, "and stays so");
    assert_eq!(
        bench.xid(119),
        Catalogue::built_in().xid(119).unwrap().remedy,
        "another code is another fault"
    );
    assert_eq!(bench.xid_on(1, 79), Remedy::RebootNode, "another device is another");
}

#[test]
fn a_node_that_is_rebooted_as_soon_as_it_fails_is_followed_by_the_identity_of_its_boots() {
    let mut bench = Bench::identified();
    for expected in [Remedy::RebootNode, Remedy::RebootNode, Remedy::InspectHardware] {
        assert_eq!(bench.xid(79), expected);
        let longer = bench.uptime_s.min(300) + 60;
        bench.reboot(longer);
    }
    let mut bench = Bench::identified();
    for _ in 0..6 {
        assert_eq!(bench.xid(79), Remedy::RebootNode, "one boot, whatever the clocks say");
        (bench.wall_s, bench.uptime_s) = (bench.wall_s + 48 * HOUR, bench.uptime_s - 120);
        bench.restart();
    }
}

#[test]
fn a_reboot_counts_once_and_only_if_the_fault_comes_back() {
    let mut bench = Bench::new();
    bench.xid(79);
    for _ in 0..5 {
        bench.reboot(60);
        assert_eq!(bench.beat(|_, _, _| {}), []);
    }
    assert_eq!(
        bench.xid(79),
        Remedy::RebootNode,
        "five reboots between two errors are one cure that did not hold"
    );
}

#[test]
fn without_a_reboot_or_a_reset_it_never_does() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        assert_eq!(bench.xid(79), Remedy::RebootNode);
        bench.restart();
        bench.beat(|_, _, _| {});
    }
}

#[test]
fn a_clock_step_of_an_hour_is_no_reboot_whether_the_agent_runs_or_not() {
    for step in [HOUR, -HOUR] {
        for restarts in [false, true] {
            let mut bench = Bench::new();
            for _ in 0..6 {
                assert_eq!(bench.xid(79), Remedy::RebootNode, "{step} {restarts}");
                bench.wall_s += step;
                if restarts {
                    bench.restart();
                }
            }
        }
    }
    let mut bench = Bench::new();
    for _ in 0..6 {
        assert_eq!(bench.xid(79), Remedy::RebootNode, "a step of a day while the agent runs");
        bench.wall_s += 24 * HOUR;
    }
}

#[test]
fn a_reboot_is_seen_after_the_node_has_been_up_for_longer_than_before() {
    let mut bench = Bench::new();
    bench.uptime_s = 3 * HOUR;
    for up in [5 * HOUR, 9 * HOUR] {
        assert_eq!(bench.xid(79), Remedy::RebootNode);
        bench.reboot(up);
    }
    assert_eq!(bench.xid(79), Remedy::InspectHardware);
}

#[test]
fn xid_94_never_does() {
    let mut bench = Bench::new();
    let remedy = Catalogue::built_in().xid(94).unwrap().remedy;
    for _ in 0..6 {
        assert_eq!(bench.xid(94), remedy);
        bench.reboot(60);
    }
}

#[test]
fn a_device_that_comes_back_was_reset_and_its_neighbour_was_not() {
    let mut bench = Bench::new();
    for expected in [Remedy::RebootNode, Remedy::RebootNode, Remedy::InspectHardware] {
        assert_eq!(bench.xid(79), expected);
        assert_eq!(bench.xid_on(1, 79), Remedy::RebootNode);
        bench.beat(|batch, gpus, now| batch.notice(gpus[0], NoticeKind::Back, 0, now));
    }
}

#[test]
fn a_count_of_memory_errors_that_fell_is_a_reset_also_while_the_agent_was_away() {
    let mut bench = Bench::new();
    let errors = |bench: &mut Bench, count: f64| {
        bench.beat(|batch, gpus, _| batch.set(gpus[0], Metric::EccUncorrectedVolatile, count));
    };
    for expected in [Remedy::RebootNode, Remedy::RebootNode, Remedy::InspectHardware] {
        assert_eq!(bench.xid(79), expected);
        errors(&mut bench, 3.0);
        bench.restart();
        errors(&mut bench, 0.0);
    }
}

#[test]
fn a_fault_that_stayed_away_for_a_week_begins_anew() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        assert_eq!(bench.xid(79), Remedy::RebootNode);
        bench.reboot(60);
        bench.wall_s += 8 * 24 * HOUR;
    }
}

#[test]
fn a_clock_that_was_not_set_yet_forgets_nothing() {
    let mut bench = Bench::new();
    bench.xid(79);
    bench.reboot(60);
    bench.xid(79);
    let wall_s = bench.wall_s;
    bench.reboot(30);
    bench.wall_s = 0;
    bench.beat(|_, _, _| {});
    bench.wall_s = wall_s + 300;
    assert_eq!(bench.xid(79), Remedy::InspectHardware);
}

#[test]
fn no_more_than_so_many_faults_are_remembered_and_all_of_them_go_through_bytes() {
    let mut bench = Bench::new();
    for code in 1000..1000 + 2 * RECORDS_MAX as u32 {
        bench.xid(code);
    }
    let kept = bench.detectors[1].learnt(&bench.frame).unwrap();
    let mut own =
        Repeats { catalogue: Catalogue::built_in(), records: Vec::new(), seen: Seen::never(), news: 0 };
    own.recall(&kept).unwrap();
    assert_eq!(own.records.len(), RECORDS_MAX);
    assert_eq!(own.records.iter().map(|record| record.code).min(), Some(1000 + RECORDS_MAX as u32));
    assert_eq!(own.learnt(&bench.frame).unwrap(), kept);
    let longer = [kept.as_slice(), &kept[25..]].concat();
    assert_eq!(own.recall(&longer), Err("too long"));
}

#[test]
fn junk_and_other_versions_are_an_error_and_leave_what_was_there() {
    let mut bench = Bench::new();
    bench.xid(79);
    let kept = bench.detectors[1].learnt(&bench.frame).unwrap();
    let detector = &mut bench.detectors[1];
    for bytes in [&b""[..], b"junk", b"repeats\x00", b"repeats\x02", &kept[..kept.len() - 1], &[0xff; 400]] {
        assert!(detector.recall(bytes).is_err(), "{bytes:?}");
    }
    let mut absurd = kept.clone();
    let at = kept.len() - 40;
    absurd[at..at + 8].copy_from_slice(&1.5_f64.to_le_bytes());
    assert_eq!(detector.recall(&absurd), Err("not a count"));
    assert_eq!(detector.learnt(&bench.frame).unwrap(), kept);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), marked in any::<bool>()) {
        let bytes = if marked { [MARK.as_slice(), &bytes].concat() } else { bytes };
        let mut bench = Bench::new();
        let _ = bench.detectors[1].recall(&bytes);
        bench.beat(|batch, gpus, now| batch.notice(gpus[0], NoticeKind::Xid, 79, now));
    }
}
