//! Memory that grows without pause: a rank test over minutes, Sen's slope, and no levelling off.
use super::held::{Held, PARTS, parts};
use super::{Settings, finding};
use crate::mean::{Mean, median};
use model::{Device, Evidence, FaultKind, Finding, Frame, Metric, Severity};

/// The most minutes that are remembered.
const MINUTES_MAX: usize = 30;
const MINUTE_S: f64 = 60.0;
/// The share of the growth from which one kind of memory is what grew.
const MOSTLY: f64 = 0.5;

/// The lowest use of each of the last minutes: what a leak holds is never given back, what comes and goes is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leak {
    /// What is followed.
    measure: Option<(Metric, [bool; PARTS])>,
    lows: [f64; MINUTES_MAX],
    count: usize,
    low: Option<f64>,
    passed_s: f64,
    /// Whether something since the last low moved memory and is no growth.
    broken: bool,
    kinds: Kinds,
    leaks: Option<Found>,
}

/// Growth of the level and of its kinds over about the window.
#[derive(Debug, Clone, Copy, Default)]
struct Kinds {
    last: [Option<f64>; PARTS + 1],
    grown: [f64; PARTS + 1],
}

impl Kinds {
    fn follow(&mut self, held: &Held, broken: bool, minutes: usize) {
        let keep = Mean::keep(1.0, minutes as f64);
        let now = [Some(held.level), held.parts[0], held.parts[1], held.parts[2]];
        for ((grown, last), now) in self.grown.iter_mut().zip(&mut self.last).zip(now) {
            let more = now.zip(*last).filter(|_| !broken).map_or(0.0, |(now, last)| now - last);
            *grown = keep * *grown + more;
            *last = now;
        }
    }

    /// The kind that grew most, where it is most of what grew.
    fn most(&self) -> Option<usize> {
        let kinds = &self.grown[1..];
        let most = (0..PARTS).max_by(|one, other| kinds[*one].total_cmp(&kinds[*other]))?;
        (self.grown[0] > 0.0 && kinds[most] >= MOSTLY * self.grown[0]).then_some(most)
    }
}

/// A leak.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    metric: Metric,
    used: f64,
    /// Growth over the window, in bytes.
    grown: f64,
    /// Growth in bytes per second.
    rate: f64,
    full_s: f64,
    size: f64,
    alone: bool,
    most: Option<usize>,
}

impl Found {
    /// The finding: what is shown and would be without the growth, what will be used in an hour, and which kind of memory grew.
    pub(super) fn finding(self, frame: &Frame, device: &Device) -> Finding {
        let falls = self.metric == Metric::NodeMemoryAvailable;
        let seen = |metric: Metric, grown: f64| {
            let observed = frame.value(device.id, metric)?;
            Some(Evidence { metric, observed, expected: observed - grown })
        };
        let turned = |used: f64| if falls { self.size - used } else { used };
        let hour = (self.used + 3600.0 * self.rate).min(self.size);
        let ahead = Evidence { metric: self.metric, observed: turned(hour), expected: turned(self.size) };
        let kind = self.most.zip(parts(device.info.kind)).map(|(most, parts)| parts[most]);
        let kind = kind.filter(|kind| *kind != self.metric).and_then(|kind| seen(kind, self.grown));
        let severity = if self.alone { Severity::Info } else { Severity::Warning };
        let score = (86_400.0 / self.full_s.max(60.0)).sqrt().max(1.0);
        Finding {
            evidence: [
                seen(self.metric, if falls { -self.grown } else { self.grown }),
                Some(ahead),
                kind,
                None,
            ],
            ..finding(device.id, FaultKind::MemoryLeak, severity, score)
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

    /// Memory moves for a reason that is no growth: what comes after is joined to what was before. Gives what was found last, for
    /// that reason does not disprove it.
    pub(super) fn pause(&mut self) -> Option<Found> {
        (self.low, self.passed_s, self.broken) = (None, 0.0, true);
        self.leaks
    }

    /// The share of the window that has passed.
    pub(super) fn progress(&self, settings: &Settings) -> f64 {
        self.count as f64 / settings.leak_minutes as f64
    }

    /// Lets a beat pass; gives the leak while there is one.
    pub(super) fn follow(&mut self, beat_s: f64, held: &Held, settings: &Settings) -> Option<Found> {
        let measure = Some((held.metric, held.told()));
        if self.measure != measure {
            *self = Self { measure, ..Self::default() };
        }
        self.low = Some(self.low.map_or(held.level, |low| low.min(held.level)));
        self.passed_s += beat_s;
        if self.passed_s < MINUTE_S {
            return self.leaks;
        }
        // A gap of several minutes is one point: what it says of growth is the same.
        self.passed_s = 0.0;
        let minutes = settings.leak_minutes.min(MINUTES_MAX);
        let low = self.low.take().unwrap_or(held.level);
        let broken = std::mem::take(&mut self.broken) && self.count > 0;
        self.kinds.follow(held, broken, minutes);
        if broken {
            self.join(low, settings);
        } else {
            self.push(low, minutes);
        }
        self.leaks = (self.count == minutes).then(|| self.judge(held, settings)).flatten();
        self.leaks
    }

    fn push(&mut self, low: f64, minutes: usize) {
        if self.count >= minutes {
            self.lows.copy_within(1..minutes, 0);
            self.count = minutes - 1;
        }
        self.lows[self.count] = low;
        self.count += 1;
    }

    /// Moves what was before so that it ends where what comes after begins.
    fn join(&mut self, low: f64, settings: &Settings) {
        let end = self.count - 1;
        let (grown, given) = (self.lows[end] - self.lows[0], self.lows[end] - low);
        if given > settings.leak_given * grown.max(0.0) {
            // What grew may be what was given back.
            (self.lows[0], self.count) = (low, 1);
            return;
        }
        self.lows[..=end].iter_mut().for_each(|before| *before -= given);
    }

    fn judge(&self, held: &Held, settings: &Settings) -> Option<Found> {
        let lows = &self.lows[..self.count];
        let (tau, rate) = trend(lows);
        let third = lows.len() / 3;
        let end = lows.len() - 1;
        let part = |from: usize, to: usize| (lows[to] - lows[from]) * third as f64 / (to - from) as f64;
        let (first, middle, last) = (part(0, third), part(third, end - third), part(end - third, end));
        let mean = (first + middle + last) / 3.0;
        let grown = lows[end] - lows[0];
        let burst = lows.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        let full_s = (held.size - held.used) / rate;
        let leaks = tau >= settings.leak_tau
            && grown >= settings.leak_share * held.size
            && burst <= settings.leak_burst * grown
            // What began within the window has not shown yet whether it levels off.
            && first >= settings.leak_level * mean
            && last >= settings.leak_level * first.max(middle)
            && last > 0.0
            && full_s <= settings.leak_full_s;
        let Held { metric, used, size, alone, .. } = *held;
        leaks.then(|| Found { metric, used, grown, rate, full_s, size, alone, most: self.kinds.most() })
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
