//! Clocks that are low under load without a reason, where locked clocks can be ruled out.
use super::watch::ByDevice;
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, EventSink, Evidence, FaultKind, Frame, History, Metric};

/// Every reason that a driver can give.
const REASONS: [Metric; 8] = [
    Metric::EventIdle,
    Metric::EventAppClocks,
    Metric::EventSwPowerCap,
    Metric::EventHwSlowdown,
    Metric::EventSyncBoost,
    Metric::EventSwThermal,
    Metric::EventHwThermal,
    Metric::EventPowerBrake,
];

#[derive(Debug)]
struct Clock {
    voice: Voice,
    /// Seconds under load for which the clock has been low.
    low_s: ByDevice<f64>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "clock", catalogue: thresholds.catalogue };
    Box::new(Clock { voice, low_s: ByDevice::default() })
}

impl Clock {
    /// Whether the device is at work; `None` when that is not known.
    fn busy(&self, frame: &Frame, device: &Device) -> Option<bool> {
        let share = frame.value(device.id, Metric::Utilization)?;
        Some(share >= self.voice.catalogue.limit(Limit::ClockBusy))
    }

    /// The clock, if it is low; `Some(None)` when it is not.
    fn low(&self, frame: &Frame, device: &Device) -> Option<Option<Evidence>> {
        let clock = frame.value(device.id, Metric::ClockSm)?;
        let most = frame.value(device.id, Metric::ClockSmMax).filter(|most| *most > 0.0)?;
        let limit = self.voice.catalogue.limit(Limit::ClockShare) * most;
        Some((clock < limit).then(|| evidence(Metric::ClockSm, clock, limit)))
    }

    /// Whether every reason was read and none holds, and power is not the reason either.
    fn without_reason(&self, frame: &Frame, device: &Device) -> bool {
        let power = frame
            .value(device.id, Metric::PowerInstant)
            .or_else(|| frame.value(device.id, Metric::PowerAverage))
            .zip(frame.value(device.id, Metric::PowerLimitEnforced));
        let share = self.voice.catalogue.limit(Limit::ClockPower);
        power.is_some_and(|(power, limit)| power < share * limit)
            && REASONS.into_iter().all(|reason| frame.flag(device.id, reason) == Some(false))
    }

    /// Whether something speaks against clocks that somebody locked.
    fn proven(&self, frame: &Frame, device: &Device) -> bool {
        let state = frame.value(device.id, Metric::PerformanceState);
        let fast = |other: &Device| {
            other.id != device.id
                && !other.info.model.is_empty()
                && other.info.model == device.info.model
                && self.busy(frame, other) == Some(true)
                && matches!(self.low(frame, other), Some(None))
        };
        state.is_some_and(|state| state >= self.voice.catalogue.limit(Limit::ClockState))
            || frame.devices.accelerators().any(fast)
    }

    fn look(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        // At rest, or unread: neither heals nor harms.
        if !self.busy(frame, device)? {
            return None;
        }
        let seen = self.low(frame, device)?.filter(|_| self.without_reason(frame, device));
        let Some(seen) = seen.filter(|_| self.proven(frame, device)) else {
            *self.low_s.of(device) = 0.0;
            return None;
        };
        let low_s = self.low_s.of(device);
        *low_s += frame.lasted_s;
        (*low_s >= self.voice.catalogue.limit(Limit::ClockTime)).then_some(seen)
    }
}

impl Detector for Clock {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.low_s.fit(&frame.devices);
        for device in frame.devices.accelerators() {
            if let Some(seen) = self.look(frame, device) {
                let mut found = self.voice.says(FaultKind::ClockLow, device, seen);
                found.score = seen.expected / seen.observed.max(1.0);
                events.push(found);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.low_s.bytes()
    }
}
