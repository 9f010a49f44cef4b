//! Slowdowns for heat and for want of power. A power cap, ours or another's, is no fault and is not looked at.
use super::{evidence, finding};
use crate::thresholds::Thresholds;
use model::{Detector, DeviceId, EventSink, Evidence, FaultKind, Frame, History, Metric, Severity};

#[derive(Debug)]
struct Throttle {
    thresholds: Thresholds,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Throttle { thresholds: *thresholds })
}

impl Throttle {
    /// The share of the window in which a flag was set. A window that is not full yet has too little to say.
    fn share(&self, frame: &Frame, history: &History, device: DeviceId, metric: Metric) -> Option<f64> {
        let series = history.series(frame, device, metric)?;
        let beats = beats(frame, history, self.thresholds.slowdown_window_s);
        let set = series.recent(beats).flatten().filter(|value| *value != 0.0).count();
        Some(set as f64 / beats as f64)
    }

    fn thermal(&self, frame: &Frame, history: &History, device: DeviceId) -> Option<(Severity, Evidence)> {
        let worst = [Metric::EventHwThermal, Metric::EventSwThermal]
            .into_iter()
            .filter_map(|metric| Some((metric, self.share(frame, history, device, metric)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        let (metric, share) = worst;
        if share < self.thresholds.slowdown_share {
            return None;
        }
        let limit = frame.value(device, Metric::TemperatureShutdown);
        let near = frame.value(device, Metric::Temperature).zip(limit);
        let critical = near.is_some_and(|(now, limit)| now >= limit - self.thresholds.thermal_margin_c);
        let severity = if critical { Severity::Critical } else { Severity::Warning };
        Some((severity, evidence(metric, share, self.thresholds.slowdown_share)))
    }

    fn brake(&self, frame: &Frame, history: &History, device: DeviceId) -> Option<(Severity, Evidence)> {
        let share = self.share(frame, history, device, Metric::EventPowerBrake)?;
        let evidence = evidence(Metric::EventPowerBrake, share, self.thresholds.slowdown_share);
        (share >= self.thresholds.slowdown_share).then_some((Severity::Warning, evidence))
    }
}

/// The beats of a window, from the mean time between the beats so far; at least one.
fn beats(frame: &Frame, history: &History, window_s: f64) -> usize {
    let per_beat_s = frame.beat_s.max(1e-3);
    ((window_s / per_beat_s).round() as usize).clamp(1, history.points())
}

impl Detector for Throttle {
    fn name(&self) -> &'static str {
        "throttle"
    }

    fn observe(&mut self, frame: &Frame, history: &History, events: &mut EventSink) {
        for device in frame.devices.accelerators().map(|device| device.id) {
            if let Some((severity, evidence)) = self.thermal(frame, history, device) {
                events.push(finding("throttle", device, FaultKind::ThermalSlowdown, severity, evidence));
            }
            if let Some((severity, evidence)) = self.brake(frame, history, device) {
                events.push(finding("throttle", device, FaultKind::PowerBrake, severity, evidence));
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}
