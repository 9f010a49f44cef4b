//! How hot a device is at its power, against its siblings. Heat at equal power does not depend on the work, so siblings are
//! compared whatever they do.
use super::pace::median_of;
use super::{Settings, finding};
use crate::draw::Draw;
use crate::mean::Mean;
use model::{Device, DeviceId, Evidence, FaultKind, Finding, Frame, Metric, Severity};

/// Time over which the rise per watt is learnt, in seconds.
const SLOPE_S: f64 = 7200.0;
/// Power must not have moved by more than this share of the limit in the last minute.
const STEADY: f64 = 0.08;
/// Spread of power, as a share of the limit, from which it tells the rise per watt.
const SPREAD: f64 = 0.05;
/// Siblings at powers as near as this share of the limit need no rise per watt.
const NEAR: f64 = 0.1;
/// Share of the reckoned difference for unequal power that is doubted.
const DOUBT: f64 = 0.1;
/// The steepest rise per watt that is believed, in celsius.
const SLOPE_MAX: f64 = 1.0;

/// What is known of the heat of one device.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heat {
    draw: Draw,
    /// Power as the die feels it, in watts.
    lagged: Mean,
    power: Mean,
    temperature: Mean,
    limit_w: Option<f64>,
    /// Moments of power and temperature: means of p, t, p*p, p*t.
    moments: [Mean; 4],
    steady: bool,
    excess: Mean,
    /// The usual difference from the siblings, in celsius, and how much of it is learnt.
    usual: f64,
    learnt: f64,
    hot_s: f64,
    compares: bool,
}

impl Heat {
    pub(super) fn new(usual: Option<(f64, f64)>) -> Self {
        let (usual, learnt) = usual.unwrap_or_default();
        Self { usual, learnt, ..Self::default() }
    }

    /// What is usual, for keeping.
    pub(super) fn usual(&self) -> Option<(f64, f64)> {
        (self.learnt > 0.0).then_some((self.usual, self.learnt))
    }

    /// The share of what it needs before it judges by its own past.
    pub(super) fn progress(&self, _: &Settings) -> f64 {
        (4.0 * self.learnt).min(1.0)
    }

    /// Whether its power is only sampled. How far samples are from the mean depends on the work's rhythm, so it is compared with
    /// siblings that do like work.
    pub(super) fn is_sampled(&self) -> bool {
        self.draw.is_sampled()
    }

    pub(super) fn compares(&self) -> bool {
        self.compares
    }

    /// A job came or went, so power jumps.
    pub(super) fn unsettle(&mut self) {
        (self.power, self.temperature, self.steady) = (Mean::default(), Mean::default(), false);
    }

    pub(super) fn follow(&mut self, frame: &Frame, device: DeviceId, settings: &Settings) {
        let beat_s = frame.beat_s.clamp(0.0, 60.0);
        let value = |metric| frame.value(device, metric);
        self.limit_w = value(Metric::PowerLimitDefault).or(value(Metric::PowerLimitMax)).or(self.limit_w);
        let power_w = self.draw.follow(frame, device, self.limit_w);
        self.lagged.take(power_w, Mean::keep(beat_s, settings.heat_lag_s));
        let keep = Mean::keep(beat_s, settings.heat_window_s);
        let lagged = power_w.and_then(|_| self.lagged.get());
        let temperature = value(Metric::Temperature).filter(|_| lagged.is_some());
        let lagged = lagged.filter(|_| temperature.is_some());
        self.power.take(lagged, keep);
        self.temperature.take(temperature, keep);
        let moved = lagged.zip(self.power.full()).zip(self.limit_w);
        self.steady = moved.is_some_and(|((now, mean), limit)| (now - mean).abs() <= STEADY * limit);
        if let Some((p, t)) = lagged.zip(temperature) {
            let keep = Mean::keep(beat_s, SLOPE_S);
            for (moment, value) in self.moments.iter_mut().zip([p, t, p * p, p * t]) {
                moment.take(Some(value), keep);
            }
        }
    }

    /// Mean power and temperature of the last minute, where they can be compared.
    fn point(&self) -> Option<(f64, f64)> {
        self.power.full().zip(self.temperature.full()).filter(|_| self.steady)
    }

    /// Variance of power, and covariance of power and temperature.
    fn spread(&self) -> (f64, f64) {
        let [p, t, pp, pt] = self.moments.map(|moment| {
            // A share of a two-hour window is enough to tell a slope.
            if moment.weight() > 0.02 { moment.get_any() } else { 0.0 }
        });
        (pp - p * p, pt - p * t)
    }

    /// Says where it is hotter than its siblings let expect.
    pub(super) fn judge<'a>(
        &mut self,
        device: &Device,
        siblings: &(impl Iterator<Item = &'a Self> + Clone),
        beat_s: f64,
        settings: &Settings,
    ) -> Option<Finding> {
        let excess = self.excess(siblings, settings);
        self.compares = excess.is_some();
        let beat_s = beat_s.clamp(0.0, 60.0);
        let Some((excess, expected, doubt)) = excess else {
            self.hot_s = 0.0;
            return None;
        };
        self.excess.take(Some(excess), Mean::keep(beat_s, 0.5 * settings.heat_window_s));
        let excess = self.excess.full()?;
        let against_all = excess / (settings.heat_apart_c + doubt);
        let known = self.progress(settings) >= 1.0;
        let against_past = if known { (excess - self.usual) / (settings.heat_change_c + doubt) } else { 0.0 };
        let score = against_all.max(against_past);
        if score < 0.6 {
            // A mean that is exact while it is young and forgets once it is old.
            let new = 1.0 - Mean::keep(beat_s, settings.heat_learn_s);
            self.learnt += (1.0 - self.learnt) * new;
            self.usual += (excess - self.usual) * new / self.learnt.max(f64::MIN_POSITIVE);
        }
        self.hot_s = if score >= 1.0 { self.hot_s + beat_s } else { 0.0 };
        let observed = expected + excess;
        (self.hot_s >= settings.hold_s).then(|| Finding {
            evidence: Finding::evidence(&[Evidence { metric: Metric::Temperature, observed, expected }]),
            ..finding(device, FaultKind::CoolingPoor, Severity::Warning, score)
        })
    }

    /// How much hotter it is than its siblings would be at its power, what they would be, and how much of that is doubtful.
    fn excess<'a>(
        &self,
        siblings: &(impl Iterator<Item = &'a Self> + Clone),
        settings: &Settings,
    ) -> Option<(f64, f64, f64)> {
        let (power, temperature) = self.point()?;
        let limit = self.limit_w?;
        if power < settings.heat_power * limit {
            return None;
        }
        let moments = siblings.clone().map(Self::spread).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        let steep =
            (moments.0 > (SPREAD * limit).powi(2)).then(|| (moments.1 / moments.0).clamp(0.0, SLOPE_MAX));
        let slope = steep.unwrap_or(0.0);
        let within = |reach: f64| {
            let near =
                move |other: &&Self| other.point().is_some_and(|(p, _)| (p - power).abs() <= reach * limit);
            let near = siblings.clone().filter(near);
            let least = settings.siblings_min;
            let at = |other: &Self| other.point().map(|(p, t)| t + slope * (power - p));
            let apart = |other: &Self| other.point().map(|(p, _)| slope * (power - p).abs());
            median_of(near.clone(), least, at).zip(median_of(near, least, apart))
        };
        // Siblings at like power need no reckoning, so they are asked first.
        let (expected, apart) = within(NEAR).or_else(|| steep.and_then(|_| within(1.0)))?;
        Some((temperature - expected, expected, DOUBT * apart))
    }
}
