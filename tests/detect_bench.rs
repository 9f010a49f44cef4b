//! What detection costs: eight boards with every series they can have and a host, all detectors, fits included:
//! `cargo bench -p tests --bench detect`.
//!
//! Processor time of the thread. Every gauge and counter of the boards and of the node moves, so models are as large as they get.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints its figures")]
use detectors::{BUILT_IN, Lifecycle, Phases, Thresholds};
use model::catalogue::columns;
use model::metric::MetricKind;
use model::source::SourceMap;
use model::{
    Batch, Detector, DeviceInfo, DeviceKind, EventSink, Frame, History, Metric, Slot, Timestamp, Unit,
};
use std::time::Duration;

const BOARDS: u32 = 8;
/// Beats before anything is measured: models have begun.
const LEAD: u64 = 1000;
/// Two hours, so that each model is fitted anew twice.
const BEATS: u64 = 7200;

/// Processor time of this thread, in microseconds.
fn thread_us() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of the right type that lives through the call.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// A value that moves with the work of its board, plausible for its metric.
fn value(metric: Metric, seed: u64, beat: u64) -> Option<f64> {
    let row = metric.row();
    let work = 0.5
        + 0.3 * (beat as f64 / 37.0 + seed as f64).sin()
        + 0.1 * sim::noise::signed(seed, metric as u64, beat);
    let span = (row.high.min(1e9) - row.low).min(1000.0);
    match (row.kind, row.unit) {
        (MetricKind::Constant, _) | (_, Unit::Flag) => None,
        (MetricKind::Counter, Unit::Count) => Some(0.0),
        (MetricKind::Counter, _) => Some(beat as f64 * 100.0 + 20.0 * work),
        (MetricKind::Gauge, Unit::Celsius) => Some(45.0 + 20.0 * work),
        (MetricKind::Gauge, Unit::Ratio) => Some(work.clamp(0.1, 0.95)),
        (MetricKind::Gauge, _) => Some(row.low + span * work),
    }
}

fn main() {
    let thresholds = Thresholds { residual_warm_s: 0.0, ..Thresholds::default() };
    let mut batch = Batch::default();
    let board = |n: u32| DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}"));
    let mut slots: Vec<(Slot, DeviceKind)> =
        (0..BOARDS).map(|n| (batch.device(board(n)), DeviceKind::Gpu)).collect();
    slots.push((batch.device(DeviceInfo::new(DeviceKind::Node, "host")), DeviceKind::Node));
    let steady = [Metric::PowerLimitEnforced, Metric::Processes, Metric::MemoryUsed];
    let (mut map, mut frame, mut history) = (SourceMap::default(), Frame::default(), History::new(3600));
    let mut phases = Phases::default();
    let mut detectors: Vec<Box<dyn Detector>> =
        BUILT_IN.iter().map(|entry| (entry.open)(&thresholds)).collect();
    let (mut sink, mut life) = (EventSink::default(), Lifecycle::new(&thresholds));
    let (mut observe_us, mut fit_us, mut worst_us, mut fits) = (0.0, 0.0, 0.0_f64, 0_u32);
    let mut by_detector = vec![0.0; detectors.len()];
    for beat in 1..=LEAD + BEATS {
        batch.begin();
        for (n, (slot, kind)) in slots.iter().enumerate() {
            for metric in columns(*kind) {
                let fixed = steady.contains(metric).then_some(500.0);
                if let Some(value) = fixed.or_else(|| value(*metric, n as u64, beat)) {
                    batch.set(*slot, *metric, value);
                }
            }
        }
        frame.begin(Timestamp::default().after(Duration::from_secs(beat)));
        frame.merge(&batch, &mut map, false);
        history.append(&frame);
        let before = thread_us();
        phases.judge(&mut frame);
        sink.begin();
        for (detector, sum) in detectors.iter_mut().zip(&mut by_detector) {
            let begun = thread_us();
            detector.observe(&frame, &history, &mut sink);
            *sum += if beat > LEAD { thread_us() - begun } else { 0.0 };
        }
        life.step(frame.at, &frame.devices, sink.findings());
        let observed = thread_us();
        for detector in &mut detectors {
            if let Some(fit) = detector.fit(&frame, &history) {
                detector.fitted(fit());
                fits += u32::from(beat > LEAD);
            }
        }
        if beat > LEAD {
            observe_us += observed - before;
            fit_us += thread_us() - observed;
            worst_us = worst_us.max(observed - before);
        }
    }
    let beats = BEATS as f64;
    let bytes: usize = detectors.iter().map(|detector| detector.bytes()).sum();
    println!("{BOARDS} boards and a host, {} series, {BEATS} beats", history.len());
    println!("observe   mean {:>7.1} us a beat, worst {worst_us:.0} us", observe_us / beats);
    println!("fits      mean {:>7.1} us a beat, {fits} fits", fit_us / beats);
    println!(
        "together  mean {:>7.1} us a beat; detectors hold {:.1} MiB",
        (observe_us + fit_us) / beats,
        bytes as f64 / f64::from(1 << 20)
    );
    for (detector, sum) in detectors.iter().zip(by_detector) {
        println!("  {:<12} {:>7.1} us a beat, {:>8} bytes", detector.name(), sum / beats, detector.bytes());
    }
}
