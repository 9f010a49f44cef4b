//! Memory that grows without pause: a rank test over minutes, Sen's slope, and no levelling off.
use super::{Settings, finding};
use crate::mean::median;
use model::{DeviceId, Evidence, FaultKind, Finding, Metric, Severity};

/// The most minutes that are remembered.
const MINUTES_MAX: usize = 30;
const MINUTE_S: f64 = 60.0;

/// The lowest use of each of the last minutes: what a leak holds is never given back, what comes and goes is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leak {
    lows: [f64; MINUTES_MAX],
    count: usize,
    low: Option<f64>,
    passed_s: f64,
    leaks: Option<Found>,
}

/// A leak.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    metric: Metric,
    used: f64,
    /// What was used at the window's beginning.
    before: f64,
    /// Growth in bytes per second.
    rate: f64,
    full_s: f64,
    size: f64,
}

impl Found {
    /// The finding: what is used and was used, and when memory will be full, as the share of a day that is left.
    pub(super) fn finding(self, device: DeviceId, severity: Severity) -> Finding {
        let turned =
            |used: f64| if self.metric == Metric::NodeMemoryAvailable { self.size - used } else { used };
        let seen =
            Evidence { metric: self.metric, observed: turned(self.used), expected: turned(self.before) };
        // What will be used in an hour if it goes on.
        let hour = (self.used + 3600.0 * self.rate).min(self.size);
        let ahead = Evidence { metric: self.metric, observed: turned(hour), expected: turned(self.size) };
        let score = (86_400.0 / self.full_s.max(60.0)).sqrt().max(1.0);
        Finding {
            evidence: Finding::evidence(&[seen, ahead]),
            ..finding(device, FaultKind::MemoryLeak, severity, score)
        }
    }
}

impl Leak {
    /// Nothing is judged for now, and what was seen before does not join what comes after.
    pub(super) fn rest(&mut self) {
        if self.count > 0 || self.low.is_some() {
            *self = Self::default();
        }
    }

    /// The share of the window that has passed.
    pub(super) fn progress(&self, settings: &Settings) -> f64 {
        self.count as f64 / settings.leak_minutes as f64
    }

    /// Lets a beat pass; gives the leak while there is one.
    pub(super) fn follow(
        &mut self,
        beat_s: f64,
        seen: Option<(Metric, f64, f64)>,
        settings: &Settings,
    ) -> Option<Found> {
        let (metric, used, size) = seen?;
        self.low = Some(self.low.map_or(used, |low| low.min(used)));
        self.passed_s += beat_s;
        if self.passed_s < MINUTE_S {
            return self.leaks;
        }
        // A gap of several minutes is one point: what it says of growth is the same.
        self.passed_s = 0.0;
        let minutes = settings.leak_minutes.min(MINUTES_MAX);
        if self.count >= minutes {
            self.lows.copy_within(1..minutes, 0);
            self.count = minutes - 1;
        }
        self.lows[self.count] = self.low.take().unwrap_or(used);
        self.count += 1;
        self.leaks = (self.count == minutes).then(|| self.judge(metric, size, settings)).flatten();
        self.leaks
    }

    fn judge(&self, metric: Metric, size: f64, settings: &Settings) -> Option<Found> {
        let lows = &self.lows[..self.count];
        let (tau, rate) = trend(lows);
        let third = lows.len() / 3;
        let end = lows.len() - 1;
        let grown = |from: usize, to: usize| (lows[to] - lows[from]) * third as f64 / (to - from) as f64;
        let (first, middle, last) = (grown(0, third), grown(third, end - third), grown(end - third, end));
        let mean = (first + middle + last) / 3.0;
        let (before, used) = (lows[0], lows[end]);
        let full_s = (size - used) / rate;
        let leaks = tau >= settings.leak_tau
            && used - before >= settings.leak_share * size
            // What began within the window has not shown yet whether it levels off.
            && first >= settings.leak_level * mean
            && last >= settings.leak_level * first.max(middle)
            && last > 0.0
            && full_s <= settings.leak_full_s;
        leaks.then_some(Found { metric, used, before, rate, full_s, size })
    }
}

/// Kendall's rank correlation with time, and Sen's slope in units per second.
fn trend(lows: &[f64]) -> (f64, f64) {
    let (mut slopes, mut count, mut rank) = ([0.0; MINUTES_MAX * (MINUTES_MAX - 1) / 2], 0, 0.0);
    for (place, late) in lows.iter().enumerate() {
        for (before, early) in lows[..place].iter().enumerate() {
            let slope = (late - early) / (MINUTE_S * (place - before) as f64);
            slopes[count] = slope;
            rank += if slope == 0.0 { 0.0 } else { slope.signum() };
            count += 1;
        }
    }
    (rank / (count.max(1)) as f64, median(&mut slopes[..count]).unwrap_or(0.0))
}
