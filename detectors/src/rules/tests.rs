//! Tests of the rules: each fault raises its event, and what is no fault raises none.
use crate::{BUILT_IN, Lifecycle, Thresholds};
use model::source::SourceMap;
use model::{
    Absence, Batch, Detector, DeviceInfo, DeviceKind, EventSink, FaultKind, Frame, History, Metric,
    NoticeKind, Severity, Slot, Timestamp,
};
use std::time::Duration;

struct Bench {
    batch: Batch,
    gpu: Slot,
    source: Slot,
    map: SourceMap,
    frame: Frame,
    history: History,
    detectors: Vec<Box<dyn Detector>>,
    sink: EventSink,
    life: Lifecycle,
    second: u64,
}

impl Bench {
    fn new() -> Self {
        let thresholds = Thresholds::default();
        let mut batch = Batch::default();
        let gpu = batch.device(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"));
        let source = batch.device(DeviceInfo::new(DeviceKind::Source, "nvml"));
        Self {
            batch,
            gpu,
            source,
            map: SourceMap::default(),
            frame: Frame::default(),
            history: History::new(100),
            detectors: BUILT_IN.iter().map(|entry| (entry.open)(&thresholds)).collect(),
            sink: EventSink::default(),
            life: Lifecycle::new(&thresholds),
            second: 0,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(self.second))
    }

    /// Runs beats on which the source sets what `fill` says.
    fn beats(&mut self, count: u64, fill: impl Fn(&mut Batch, Slot, Timestamp)) {
        for _ in 0..count {
            self.second += 1;
            let now = self.now();
            self.batch.begin();
            self.batch.flag(self.gpu, Metric::Up, true);
            self.batch.set(self.source, Metric::SourceLate, 0.0);
            fill(&mut self.batch, self.gpu, now);
            self.frame.begin(now);
            self.frame.merge(&self.batch, &mut self.map, false);
            self.history.append(&self.frame);
            self.sink.begin();
            self.detectors.iter_mut().for_each(|d| d.observe(&self.frame, &self.history, &mut self.sink));
            self.life.step(now, &self.frame.devices, self.sink.findings());
        }
    }

    fn active(&self) -> Vec<(FaultKind, u32, Severity)> {
        self.life.active().iter().map(|event| (event.fault, event.code, event.severity)).collect()
    }
}

#[test]
fn an_xid_is_an_event_with_its_code_and_severity() {
    let mut bench = Bench::new();
    bench.beats(1, |batch, gpu, now| batch.notice(gpu, NoticeKind::Xid, 79, now));
    bench.beats(3, |_, _, _| {});
    assert_eq!(bench.active(), [(FaultKind::Xid, 79, Severity::Critical)]);
    assert!(bench.life.active()[0].evidence[0].is_some());
    assert_eq!(super::xid::severity(31), Severity::Warning);
    assert_eq!(super::xid::severity(9999), Severity::Warning, "unknown is never harmless");
}

#[test]
fn a_vanished_gpu_is_lost_until_it_is_back() {
    let mut bench = Bench::new();
    bench.beats(2, |_, _, _| {});
    let gpu = bench.gpu;
    bench.batch.begin();
    let now = bench.now();
    bench.batch.gone(gpu, now);
    bench.frame.begin(now);
    bench.frame.merge(&bench.batch, &mut bench.map, false);
    bench.sink.begin();
    bench.detectors.iter_mut().for_each(|d| d.observe(&bench.frame, &bench.history, &mut bench.sink));
    bench.life.step(now, &bench.frame.devices, bench.sink.findings());
    assert_eq!(bench.active(), [(FaultKind::DeviceLost, 0, Severity::Critical)]);
    bench.gpu = bench.batch.device(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"));
    bench.beats(5, |_, _, _| {});
    assert_eq!(bench.active(), []);
}

#[test]
fn a_gpu_that_is_listed_and_does_not_answer_is_lost_too() {
    let mut bench = Bench::new();
    bench.beats(2, |batch, gpu, _| {
        batch.flag(gpu, Metric::Up, false);
        batch.absent(gpu, Metric::PowerInstant, Absence::Lost);
    });
    assert_eq!(bench.active(), [(FaultKind::DeviceLost, 0, Severity::Critical)]);
}

#[test]
fn a_late_source_is_hung() {
    let mut bench = Bench::new();
    let source = bench.source;
    bench.beats(2, |batch, _, _| batch.set(source, Metric::SourceLate, 3.0));
    assert_eq!(bench.active(), [(FaultKind::SourceHung, 0, Severity::Critical)]);
    bench.beats(3, |_, _, _| {});
    assert_eq!(bench.active(), []);
}

#[test]
fn a_slowdown_for_heat_is_a_fault_and_one_for_a_power_cap_is_none() {
    let mut bench = Bench::new();
    bench.beats(20, |batch, gpu, _| {
        batch.flag(gpu, Metric::EventSwPowerCap, true);
        batch.flag(gpu, Metric::EventHwThermal, false);
        batch.flag(gpu, Metric::EventPowerBrake, false);
    });
    assert_eq!(bench.active(), []);
    bench.beats(8, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, true));
    assert_eq!(bench.active(), [(FaultKind::ThermalSlowdown, 0, Severity::Warning)]);
    bench.beats(8, |batch, gpu, _| {
        batch.flag(gpu, Metric::EventHwThermal, true);
        batch.set(gpu, Metric::Temperature, 91.0);
        batch.set(gpu, Metric::TemperatureShutdown, 92.0);
    });
    assert_eq!(bench.active(), [(FaultKind::ThermalSlowdown, 0, Severity::Critical)]);
}

#[test]
fn a_short_slowdown_is_no_event() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.beats(3, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, true));
        bench.beats(10, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, false));
    }
    assert!(bench.life.recent().is_empty());
}

#[test]
fn an_external_brake_is_a_fault() {
    let mut bench = Bench::new();
    bench.beats(10, |batch, gpu, _| batch.flag(gpu, Metric::EventPowerBrake, true));
    assert_eq!(bench.active(), [(FaultKind::PowerBrake, 0, Severity::Warning)]);
}

#[test]
fn an_uncorrectable_error_is_critical() {
    let mut bench = Bench::new();
    bench.beats(3, |batch, gpu, _| batch.set(gpu, Metric::EccUncorrectedVolatile, 0.0));
    assert_eq!(bench.active(), []);
    bench.beats(1, |batch, gpu, _| batch.set(gpu, Metric::EccUncorrectedVolatile, 2.0));
    assert_eq!(bench.active(), [(FaultKind::EccUncorrectable, 0, Severity::Critical)]);
}

#[test]
fn a_narrow_link_is_a_fault_under_load_only() {
    let narrow = |busy: f64| {
        move |batch: &mut Batch, gpu: Slot, _: Timestamp| {
            batch.set(gpu, Metric::Utilization, busy);
            batch.set(gpu, Metric::PcieWidth, 4.0);
            batch.set(gpu, Metric::PcieWidthMax, 16.0);
        }
    };
    let mut bench = Bench::new();
    bench.beats(30, narrow(0.0));
    assert_eq!(bench.active(), []);
    bench.beats(12, narrow(0.9));
    assert_eq!(bench.active(), [(FaultKind::PcieNarrow, 0, Severity::Warning)]);
}
