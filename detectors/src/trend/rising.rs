//! Errors that come ever faster: those of the last minutes against the rate before, by Poisson's law.
use super::{Settings, finding};
use model::{DeviceId, Evidence, FaultKind, Finding, Frame, Metric, Severity};

/// Counters of errors that do no harm one by one.
const COUNTERS: [Metric; 5] = [
    Metric::EccCorrectedVolatile,
    Metric::PcieReplays,
    Metric::LinkErrorsCrc,
    Metric::LinkErrorsReplay,
    Metric::EdacCorrected,
];
/// Parts of the window, each a minute.
const PARTS: usize = 10;
const PART_S: f64 = 60.0;
/// Time over which the rate before is learnt, and time for which an error more is allowed, in seconds.
const BEFORE_S: f64 = 86_400.0;
/// Seconds that must be known before anything is said.
const LEARN_S: f64 = 1800.0;

#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    last: Option<f64>,
    parts: [f64; PARTS],
    /// Errors and seconds before the window, both fading.
    before: (f64, f64),
}

/// What is known of one device.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rising {
    counters: [Counter; COUNTERS.len()],
    passed_s: f64,
}

impl Rising {
    pub(super) fn follow(&mut self, frame: &Frame, device: DeviceId, settings: &Settings) -> Option<Finding> {
        self.passed_s += frame.beat_s;
        let turn = self.passed_s >= PART_S;
        let passed_s = self.passed_s.min(BEFORE_S);
        if turn {
            self.passed_s = 0.0;
        }
        // Growth over a gap is not of one minute.
        let gap_s = frame.beat_s.min(BEFORE_S) - PART_S;
        let mut worst: Option<(f64, Evidence)> = None;
        for (metric, counter) in COUNTERS.into_iter().zip(&mut self.counters) {
            let Some(count) = frame.value(device, metric) else { continue };
            // A counter that fell was reset: what it shows came since.
            let grown = counter.last.map_or(0.0, |last| if count >= last { count - last } else { count });
            counter.last = Some(count);
            if gap_s > 0.0 {
                counter.pass(grown, gap_s + PART_S);
            } else {
                counter.parts[0] += grown;
            }
            let found = counter.judge(metric, settings);
            if found.is_some_and(|(score, _)| worst.is_none_or(|(worst, _)| score > worst)) {
                worst = found;
            }
            if turn && gap_s <= 0.0 {
                counter.turn(passed_s);
            }
        }
        let (score, evidence) = worst?;
        let found = finding(device, FaultKind::ErrorsRising, Severity::Info, score);
        Some(Finding { evidence: [Some(evidence), None, None, None], ..found })
    }
}

impl Counter {
    /// Lets a gap pass over which it grew, evenly as far as anybody knows: its last minutes are the window, the rest is before.
    fn pass(&mut self, grown: f64, gap_s: f64) {
        let minutes = (gap_s / PART_S).floor().min(PARTS as f64);
        let each = grown * PART_S / gap_s;
        let rest_s = gap_s - minutes * PART_S;
        self.before = (self.before.0 + grown - minutes * each, self.before.1 + rest_s);
        // At most PARTS.
        for _ in 0..minutes as usize {
            self.turn(PART_S);
            self.parts[0] = each;
        }
    }

    fn turn(&mut self, passed_s: f64) {
        let keep = (-passed_s / BEFORE_S).exp();
        self.before.0 = keep * self.before.0 + self.parts[PARTS - 1];
        self.before.1 = keep * self.before.1 + passed_s;
        self.parts.copy_within(..PARTS - 1, 1);
        self.parts[0] = 0.0;
    }

    fn judge(&self, metric: Metric, settings: &Settings) -> Option<(f64, Evidence)> {
        let seen: f64 = self.parts.iter().sum();
        if seen < settings.rising_least || self.before.1 < LEARN_S {
            return None;
        }
        let window_s = PARTS as f64 * PART_S;
        // Half an error more than was seen, so that none before is not never.
        let expected = window_s * (self.before.0 + 0.5) / self.before.1;
        let (ratio, chance) = (seen / expected, tail(seen, expected));
        let rises = ratio >= settings.rising_ratio && chance <= settings.rising_chance;
        let evidence = Evidence { metric, observed: seen / window_s, expected: expected / window_s };
        rises.then_some((ratio / settings.rising_ratio, evidence))
    }
}

/// A bound of the chance of at least `seen` where `mean` are expected (Chernoff): `exp(-mean) (e mean / seen)^seen`.
fn tail(seen: f64, mean: f64) -> f64 {
    if seen <= mean { 1.0 } else { (seen - mean - seen * (seen / mean).ln()).exp() }
}
