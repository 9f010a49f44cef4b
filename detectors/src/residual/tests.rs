//! Tests of the residual on seeded series with a known onset.
use super::*;
use crate::Lifecycle;
use model::source::SourceMap;
use model::{Batch, DeviceInfo, Slot, Timestamp};
use std::time::Duration;

/// A board whose counters follow one hidden load, with noise; and what the detector makes of it.
struct Bench {
    batch: Batch,
    slot: Slot,
    map: SourceMap,
    frame: Frame,
    history: History,
    detector: Box<dyn Detector>,
    sink: EventSink,
    life: Lifecycle,
    beat: u64,
    random: u64,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let thresholds = Thresholds::default();
        let mut batch = Batch::default();
        let slot = batch.device(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"));
        Self {
            batch,
            slot,
            map: SourceMap::default(),
            frame: Frame::default(),
            history: History::new(1200),
            detector: open(&thresholds),
            sink: EventSink::default(),
            life: Lifecycle::new(&thresholds),
            beat: 0,
            random: seed,
        }
    }

    fn noise(&mut self) -> f64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    /// One beat; `disturb` changes (power, clock, temperature).
    fn beat(&mut self, disturb: impl Fn(&mut [f64; 3])) {
        self.beat += 1;
        let load = 0.6 + 0.3 * (self.beat as f64 / 17.0).sin() + 0.05 * self.noise();
        let mut values = [100.0 + 500.0 * load, 1.9e9 - 2e8 * load, 35.0 + 30.0 * load];
        for value in &mut values {
            *value *= 1.0 + 0.02 * self.noise();
        }
        disturb(&mut values);
        self.batch.begin();
        self.batch.set(self.slot, Metric::Utilization, load.clamp(0.0, 1.0));
        for (metric, value) in
            [Metric::PowerInstant, Metric::ClockSm, Metric::Temperature].into_iter().zip(values)
        {
            self.batch.set(self.slot, metric, value);
        }
        self.batch.set(self.slot, Metric::PowerLimitEnforced, 700.0);
        self.frame.begin(Timestamp::default().after(Duration::from_secs(self.beat)));
        self.frame.merge(&self.batch, &mut self.map, false);
        self.history.append(&self.frame);
        self.sink.begin();
        self.detector.observe(&self.frame, &self.history, &mut self.sink);
        self.life.step(self.frame.at, &self.frame.devices, self.sink.findings());
        if let Some(fit) = self.detector.fit(&self.frame, &self.history) {
            self.detector.fitted(fit());
        }
    }
}

#[test]
fn a_clock_that_falls_without_a_change_of_load_is_an_event_that_names_the_clock() {
    let mut bench = Bench::new(1);
    for _ in 0..800 {
        bench.beat(|_| {});
    }
    assert!(bench.life.active().is_empty());
    let onset = bench.beat + 1;
    for _ in 0..30 {
        bench.beat(|values| values[1] *= 0.6);
    }
    let event = bench.life.active().first().expect("the event was raised");
    assert!(event.since.mono_ns / 1_000_000_000 <= onset + 3, "{:?}", event.since);
    let evidence = event.evidence[0].unwrap();
    assert_eq!(evidence.metric, Metric::ClockSm);
    assert!(evidence.observed < 1.3e9 && evidence.expected > 1.4e9, "{evidence:?}");
}

#[test]
fn a_healthy_run_of_five_thousand_beats_has_no_event() {
    for seed in [3, 4] {
        let mut bench = Bench::new(seed);
        for _ in 0..5000 {
            bench.beat(|_| {});
        }
        assert!(bench.life.recent().is_empty(), "seed {seed}: {:?}", bench.life.recent());
    }
}

#[test]
fn nothing_is_said_while_learning() {
    let mut bench = Bench::new(5);
    for n in 0..250 {
        bench.beat(|values| {
            if n > 100 {
                values[0] *= 1.8
            }
        });
    }
    assert!(bench.sink.findings().is_empty() && bench.life.recent().is_empty());
}
