//! Tests of the rules: each fault raises its event, and what is no fault raises none.
use crate::{BUILT_IN, Lifecycle, Thresholds};
use model::source::SourceMap;
use model::{
    Absence, Batch, Detector, DeviceInfo, DeviceKind, EventSink, FaultKind, Frame, History, Metric,
    NoticeKind, Severity, Slot, Timestamp,
};
use std::time::Duration;

mod cases;
mod stage;
mod values;

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
    bench.beats(1, |batch, gpu, now| batch.notice(gpu, NoticeKind::Xid, 9999, now));
    assert!(bench.active().contains(&(FaultKind::Xid, 9999, Severity::Warning)), "unknown is never harmless");
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
fn a_device_that_is_back_and_does_not_answer_is_still_lost() {
    let mut bench = Bench::new();
    bench.beats(2, |batch, gpu, _| batch.flag(gpu, Metric::Up, false));
    bench.beats(30, |batch, gpu, _| {
        batch.absent(gpu, Metric::Up, Absence::Late);
        batch.absent(gpu, Metric::PowerInstant, Absence::Late);
    });
    assert_eq!(bench.active(), [(FaultKind::DeviceLost, 0, Severity::Critical)]);
    bench.beats(3, |batch, gpu, _| batch.set(gpu, Metric::PowerInstant, 90.0));
    assert_eq!(bench.active(), []);
}

#[test]
fn one_lost_reading_is_no_lost_device() {
    let mut bench = Bench::new();
    bench.beats(5, |batch, gpu, _| {
        batch.absent(gpu, Metric::PowerInstant, Absence::Lost);
        batch.set(gpu, Metric::Temperature, 50.0);
    });
    assert_eq!(bench.active(), []);
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
    bench.beats(200, |batch, gpu, _| {
        batch.flag(gpu, Metric::EventSwPowerCap, true);
        batch.flag(gpu, Metric::EventHwSlowdown, false);
        batch.flag(gpu, Metric::EventSwThermal, false);
        batch.flag(gpu, Metric::EventHwThermal, false);
        batch.flag(gpu, Metric::EventPowerBrake, false);
    });
    assert_eq!(bench.active(), []);
    bench.beats(35, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, true));
    assert_eq!(bench.active(), [], "35 s of a minute are less than 0.6");
    bench.beats(1, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, true));
    assert_eq!(bench.active(), [(FaultKind::ThermalSlowdown, 0, Severity::Warning)]);
    let seen = bench.life.active()[0].evidence[0].unwrap();
    assert_eq!((seen.metric, seen.expected), (Metric::EventHwThermal, 0.6));
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
    for _ in 0..20 {
        bench.beats(10, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, true));
        bench.beats(10, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, false));
    }
    assert!(bench.life.recent().is_empty());
}

#[test]
fn an_external_brake_is_a_fault() {
    let mut bench = Bench::new();
    bench.beats(40, |batch, gpu, _| batch.flag(gpu, Metric::EventPowerBrake, true));
    assert_eq!(bench.active(), [(FaultKind::PowerBrake, 0, Severity::Warning)]);
}

#[test]
fn a_hardware_slowdown_that_is_not_for_heat_is_a_brake_and_one_for_heat_is_not() {
    let slow = |thermal: bool| {
        move |batch: &mut Batch, gpu: Slot, _: Timestamp| {
            batch.flag(gpu, Metric::EventHwSlowdown, true);
            batch.flag(gpu, Metric::EventHwThermal, thermal);
            batch.flag(gpu, Metric::EventPowerBrake, false);
        }
    };
    let mut bench = Bench::new();
    bench.beats(40, slow(false));
    assert_eq!(bench.active(), [(FaultKind::PowerBrake, 0, Severity::Warning)]);
    assert_eq!(bench.life.active()[0].evidence[0].unwrap().metric, Metric::EventHwSlowdown);
    let mut bench = Bench::new();
    bench.beats(40, slow(true));
    assert_eq!(bench.active(), [(FaultKind::ThermalSlowdown, 0, Severity::Warning)]);
}

#[test]
fn one_slow_beat_does_not_make_a_slowdown() {
    let mut bench = Bench::new();
    bench.beats(5, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, false));
    bench.second += 300;
    bench.beats(2, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, true));
    assert_eq!(bench.active(), []);
}

#[test]
fn a_slowdown_that_cannot_be_read_is_neither_healed_nor_made_worse() {
    let mut bench = Bench::new();
    bench.beats(40, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, true));
    bench.beats(200, |batch, gpu, _| batch.absent(gpu, Metric::EventHwThermal, Absence::Late));
    assert_eq!(bench.active(), [(FaultKind::ThermalSlowdown, 0, Severity::Warning)]);
    bench.beats(60, |batch, gpu, _| batch.flag(gpu, Metric::EventHwThermal, false));
    assert_eq!(bench.active(), []);
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
fn an_aggregate_that_grows_over_a_gap_is_critical_and_an_old_one_is_none() {
    let mut bench = Bench::new();
    bench.beats(5, |batch, gpu, _| batch.set(gpu, Metric::EccUncorrectedAggregate, 7.0));
    assert_eq!(bench.active(), [], "it was there before us");
    bench.beats(5, |batch, gpu, _| batch.absent(gpu, Metric::EccUncorrectedAggregate, Absence::Late));
    bench.beats(5, |batch, gpu, _| batch.set(gpu, Metric::EccUncorrectedAggregate, 8.0));
    assert_eq!(bench.active(), [(FaultKind::EccUncorrectable, 0, Severity::Critical)]);
    let seen = bench.life.active()[0].evidence[0].unwrap();
    assert_eq!((seen.observed, seen.expected), (8.0, 7.0));
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
    // The source sets the link's full width last, so that is what is read.
    bench.beats(62, |batch, gpu, now| {
        narrow(0.9)(batch, gpu, now);
        batch.set(gpu, Metric::PcieWidth, 16.0);
    });
    assert_eq!(bench.active(), []);
}

#[test]
fn a_narrow_link_is_found_under_a_load_that_pauses() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        for (count, busy) in [(2, 0.9), (3, 0.1)] {
            bench.beats(count, |batch, gpu, _| {
                batch.set(gpu, Metric::Utilization, busy);
                batch.set(gpu, Metric::PcieWidth, 4.0);
                batch.set(gpu, Metric::PcieWidthMax, 16.0);
            });
        }
    }
    assert_eq!(bench.active(), [(FaultKind::PcieNarrow, 0, Severity::Warning)]);
}

#[test]
fn a_link_that_trains_down_at_the_end_of_each_burst_is_well() {
    let mut bench = Bench::new();
    for _ in 0..60 {
        // The utilisation is of the sample period before, so the first idle link looks busy.
        for (busy, generation) in [(0.9, 5.0), (0.9, 5.0), (0.9, 1.0), (0.0, 1.0)] {
            bench.beats(1, |batch, gpu, _| {
                batch.set(gpu, Metric::Utilization, busy);
                batch.set(gpu, Metric::PcieGeneration, generation);
                batch.set(gpu, Metric::PcieGenerationMax, 5.0);
                batch.set(gpu, Metric::PcieWidth, 16.0);
                batch.set(gpu, Metric::PcieWidthMax, 16.0);
            });
        }
    }
    assert!(bench.life.recent().is_empty());
}
