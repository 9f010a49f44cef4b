//! A sensor that repeats one value while everything around it moves.
use super::{Settings, finding};
use crate::draw::Draw;
use crate::mean::Mean;
use model::{DeviceId, EventSink, Evidence, FaultKind, Finding, Frame, Metric, Severity};

/// Power sensors, which never repeat themselves under load.
const POWERS: [Metric; 2] = [Metric::PowerInstant, Metric::PowerAverage];
/// Thermometers, which do so for as long as power allows.
const HEATS: [Metric; 2] = [Metric::Temperature, Metric::TemperatureMemory];
/// What moves under load.
const RELATED: [Metric; 5] =
    [Metric::Utilization, Metric::MemoryActivity, Metric::DramActive, Metric::ClockSm, Metric::Energy];
/// Time constant with which a die follows its power, in seconds. An assumption.
const LAG_S: f64 = 15.0;
/// Beats after which a repetition counts no further.
const RUN_MAX: u32 = 1_000_000;

/// One sensor's repetition.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    value: Option<f64>,
    beats: u32,
    /// The longest one of a time in which it was sound.
    longest: u32,
    /// Lowest and highest power that the die felt since it began.
    felt: Option<(f64, f64)>,
}

impl Run {
    /// Lets a beat in; `None` breaks a repetition without proving anything.
    fn take(&mut self, value: Option<f64>, counts: bool) {
        if value != self.value {
            self.longest = self.longest.max(self.beats);
            *self = Self { value, longest: self.longest, ..Self::default() };
        } else if value.is_some() && counts {
            self.beats = (self.beats + 1).min(RUN_MAX);
        }
    }
}

/// What is known of one device.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frozen {
    powers: [Run; 2],
    heats: [Run; 2],
    related: [Option<f64>; RELATED.len()],
    draw: Draw,
    lagged: Mean,
}

impl Frozen {
    pub(super) fn follow(
        &mut self,
        frame: &Frame,
        device: DeviceId,
        settings: &Settings,
        events: &mut EventSink,
    ) {
        let value = |metric| frame.value(device, metric);
        let mut moves = false;
        for (metric, before) in RELATED.into_iter().zip(&mut self.related) {
            let now = value(metric);
            moves |= now.zip(*before).is_some_and(|(now, before)| now != before);
            *before = now;
        }
        let busy = value(Metric::Utilization).is_some_and(|busy| busy >= 0.1);
        for (metric, run) in POWERS.into_iter().zip(&mut self.powers) {
            run.take(value(metric), busy && moves);
            let least = settings.frozen_beats.max(settings.frozen_times * run.longest);
            if run.beats >= least {
                push(device, metric, run, f64::from(run.beats) / f64::from(least), events);
            }
        }
        let limit = value(Metric::PowerLimitDefault).or(value(Metric::PowerLimitMax));
        let power = self.draw.follow(frame, device, limit);
        // Samples of work with a rhythm wander where the power that the die feels does not.
        let power = power.filter(|_| !self.draw.is_sampled());
        self.lagged.take(power, Mean::keep(frame.beat_s.clamp(0.0, 60.0), LAG_S));
        for (metric, run) in HEATS.into_iter().zip(&mut self.heats) {
            run.take(value(metric), true);
            let Some((felt, limit)) = self.lagged.full().zip(limit) else { continue };
            let (low, high) = run.felt.map_or((felt, felt), |(low, high)| (low.min(felt), high.max(felt)));
            run.felt = Some((low, high));
            let moved = (high - low) / limit;
            if run.beats >= settings.frozen_beats && moved >= settings.frozen_power {
                push(device, metric, run, moved / settings.frozen_power, events);
            }
        }
    }
}

fn push(device: DeviceId, metric: Metric, run: &Run, score: f64, events: &mut EventSink) {
    let Some(observed) = run.value else { return };
    let evidence = Evidence { metric, observed, expected: observed };
    let found = finding(device, FaultKind::SensorFrozen, Severity::Warning, score);
    events.push(Finding { evidence: [Some(evidence), None, None, None], ..found });
}
