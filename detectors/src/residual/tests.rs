//! Tests of the residual on seeded series with a known onset.
use super::*;
use crate::Lifecycle;
use model::source::SourceMap;
use model::{Batch, DeviceInfo, Metric, Slot, Timestamp};
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
    idle: bool,
    limit_w: f64,
    processes: f64,
    /// A fit that is under way, for tests that hold it back.
    held: Option<Fit>,
    hold: bool,
}

impl Bench {
    fn new(seed: u64) -> Self {
        // Fits come more often than by default and nothing warms up, so that tests are short.
        let thresholds =
            Thresholds { residual_refit_beats: 600, residual_warm_s: 0.0, ..Thresholds::default() };
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
            idle: false,
            limit_w: 700.0,
            processes: 1.0,
            held: None,
            hold: false,
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
        let busy = 0.6 + 0.3 * (self.beat as f64 / 17.0).sin();
        let load = if self.idle { 0.02 } else { busy } + 0.05 * self.noise();
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
        self.batch.set(self.slot, Metric::PowerLimitEnforced, self.limit_w);
        self.batch.set(self.slot, Metric::Processes, self.processes);
        self.frame.begin(Timestamp::default().after(Duration::from_secs(self.beat)));
        self.frame.merge(&self.batch, &mut self.map, false);
        self.history.append(&self.frame);
        self.sink.begin();
        self.detector.observe(&self.frame, &self.history, &mut self.sink);
        self.life.step(self.frame.at, &self.frame.devices, self.sink.findings());
        if let Some(fit) = self.detector.fit(&self.frame, &self.history) {
            if self.hold {
                self.held.get_or_insert(fit);
            } else {
                self.detector.fitted(fit());
            }
        }
    }

    fn beats(&mut self, count: u64, disturb: impl Fn(&mut [f64; 3])) {
        (0..count).for_each(|_| self.beat(&disturb));
    }

    /// When each event began, in beats.
    fn begun(&self) -> Vec<u64> {
        self.life.recent().iter().map(|event| event.since.mono_ns / 1_000_000_000).collect()
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
    for seed in [3, 4, 5, 6] {
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

#[test]
fn heat_without_load_names_the_temperature_and_ends_when_it_is_over() {
    for seed in [11, 12, 13] {
        let mut bench = Bench::new(seed);
        bench.beats(900, |_| {});
        bench.beats(20, |values| values[2] += 30.0);
        let event = bench.life.active().first().expect("the event was raised");
        assert!((901..=903).contains(&bench.begun()[0]), "seed {seed}: {:?}", bench.begun());
        assert_eq!(event.evidence[0].unwrap().metric, Metric::Temperature, "seed {seed}");
        assert_eq!(event.severity, Severity::Info, "statistics explain, rules act");
        bench.beats(60, |_| {});
        assert!(bench.life.active().is_empty(), "seed {seed}");
    }
}

#[test]
fn a_job_that_starts_on_an_idle_board_is_no_anomaly() {
    for seed in [21, 22] {
        let mut bench = Bench::new(seed);
        bench.idle = true;
        bench.beats(500, |_| {});
        bench.idle = false;
        bench.beats(2000, |_| {});
        bench.idle = true;
        bench.beats(500, |_| {});
        assert_eq!(bench.begun(), [], "seed {seed}");
        bench.idle = false;
        bench.beats(300, |_| {});
        // The load was learnt meanwhile, so that a fault under it is seen.
        bench.beats(20, |values| values[1] *= 0.6);
        assert_eq!(bench.life.active().len(), 1, "seed {seed}");
    }
}

#[test]
fn a_new_load_is_learnt_before_the_next_fit_is_due() {
    let mut bench = Bench::new(23);
    bench.idle = true;
    bench.beats(500, |_| {});
    bench.idle = false;
    // 300 beats to learn it and 120 to settle; the refit in turn would have been at 909 and judged from 1029 on.
    bench.beats(440, |_| {});
    bench.beats(20, |values| values[1] *= 0.6);
    assert_eq!(bench.life.active().len(), 1);
}

#[test]
fn a_cap_that_slows_the_board_is_no_anomaly() {
    for seed in [31, 32] {
        let mut bench = Bench::new(seed);
        bench.beats(800, |_| {});
        let capped = |values: &mut [f64; 3]| {
            values[0] = values[0].min(400.0);
            values[1] *= 0.7;
        };
        bench.limit_w = 400.0;
        bench.beats(1500, capped);
        bench.limit_w = 700.0;
        bench.beats(500, |_| {});
        assert_eq!(bench.begun(), [], "seed {seed}");
    }
}

#[test]
fn a_cap_that_never_rests_is_neither_judged_nor_learnt() {
    let mut bench = Bench::new(33);
    bench.hold = true;
    for n in 0..1000 {
        bench.limit_w = if n % 20 < 10 { 700.0 } else { 500.0 };
        bench.beat(|values| values[1] *= if n % 20 < 10 { 1.0 } else { 0.7 });
        assert!(bench.held.is_none(), "beat {n} gave out a fit");
    }
    assert_eq!(bench.begun(), []);
}

#[test]
fn the_beats_after_a_change_between_learnt_limits_are_not_judged() {
    let mut bench = Bench::new(35);
    for n in 0..1650 {
        bench.limit_w = if n / 200 % 2 == 0 { 700.0 } else { 650.0 };
        bench.beat(|_| {});
    }
    // Both limits are learnt, so that only the mask is silent.
    bench.limit_w = 650.0;
    bench.beat(|_| {});
    bench.limit_w = 700.0;
    bench.beats(29, |values| values[1] *= 0.6);
    assert_eq!(bench.begun(), []);
    bench.beats(20, |values| values[1] *= 0.6);
    assert_eq!(bench.begun().len(), 1, "the mask ends");
}

#[test]
fn a_process_that_comes_silences_the_judgement_for_a_while() {
    let mut bench = Bench::new(34);
    // Just after a refit: until the next one nothing of the silence is learnt.
    bench.beats(950, |_| {});
    bench.processes = 2.0;
    bench.beats(100, |values| values[2] += 30.0);
    assert_eq!(bench.begun(), []);
    bench.beats(60, |values| values[2] += 30.0);
    assert_eq!(bench.begun().len(), 1, "silence ends");
}

#[test]
fn what_stays_unusual_becomes_the_rule_and_the_event_ends() {
    let mut bench = Bench::new(41);
    bench.beats(800, |_| {});
    let slow = |values: &mut [f64; 3]| values[1] *= 0.6;
    bench.beats(1700, slow);
    assert_eq!(bench.life.active().len(), 1, "it lasts, and no refit learns it");
    bench.beats(200, slow);
    assert!(bench.life.active().is_empty(), "after half an hour it is the rule");
    bench.beats(1000, slow);
    assert_eq!(bench.begun().len(), 1);
    bench.beats(20, |values| values[1] *= 0.3);
    assert_eq!(bench.life.active().len(), 1, "and what differs from the new rule is unusual");
}

#[test]
fn a_fit_given_out_before_all_was_forgotten_is_not_taken_back() {
    let mut bench = Bench::new(42);
    bench.beats(500, |_| {});
    bench.hold = true;
    bench.beats(450, |_| {});
    let late = bench.held.take().expect("a refit was given out");
    bench.hold = false;
    let slow = |values: &mut [f64; 3]| values[1] *= 0.6;
    bench.beats(2400, slow);
    assert_eq!((bench.begun().len(), bench.life.active().len()), (1, 0), "it has become the rule");
    // What the held fit learnt would call today's rule unusual.
    bench.detector.fitted(late());
    bench.beats(30, slow);
    assert!(bench.sink.findings().is_empty());
}

#[test]
fn a_gap_is_neither_judged_nor_an_anomaly() {
    let mut bench = Bench::new(51);
    bench.beats(800, |_| {});
    for _ in 0..40 {
        bench.beat(|_| {});
        bench.batch.begin();
        for metric in [Metric::Utilization, Metric::PowerInstant, Metric::ClockSm, Metric::Temperature] {
            bench.batch.absent(bench.slot, metric, model::Absence::Late);
        }
        bench.beat += 1;
        bench.frame.begin(Timestamp::default().after(Duration::from_secs(bench.beat)));
        bench.frame.merge(&bench.batch, &mut bench.map, false);
        bench.history.append(&bench.frame);
        bench.sink.begin();
        bench.detector.observe(&bench.frame, &bench.history, &mut bench.sink);
        assert!(bench.sink.findings().is_empty());
    }
    assert_eq!(bench.begun(), []);
}
