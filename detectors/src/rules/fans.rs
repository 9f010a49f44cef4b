//! Fans that stand still: of a board that is hot, and of the host.
use super::watch::ByDevice;
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, DeviceKind, EventSink, Evidence, FaultKind, Frame, History, Metric};

/// Beats on which a board's fan must stand still, so that one odd reading is none.
const BEATS: u32 = 2;

/// What is remembered of one device's fan.
#[derive(Debug, Clone, Copy, Default)]
struct Fan {
    turned: bool,
    still_s: f64,
    beats: u32,
}

#[derive(Debug)]
struct Fans {
    voice: Voice,
    fans: ByDevice<Fan>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "fans", catalogue: thresholds.catalogue };
    Box::new(Fans { voice, fans: ByDevice::default() })
}

impl Fans {
    /// A board's fan that stands still while the board is hot. A share of the maximum is what the fan is told; where both
    /// are read, the count of turns is the proof.
    fn board(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let (rpm, told) = (frame.value(device.id, Metric::FanRpm), frame.value(device.id, Metric::FanSpeed));
        let (metric, speed) = match (rpm, told) {
            (Some(rpm), _) => (Metric::FanRpm, rpm),
            (None, Some(told)) => (Metric::FanSpeed, told),
            (None, None) => return None,
        };
        let fan = self.fans.of(device);
        if speed > 0.0 {
            *fan = Fan { turned: true, ..Fan::default() };
            return None;
        }
        let hot = self.voice.catalogue.limit(Limit::FanHot);
        let temperature = frame.value(device.id, Metric::Temperature)?;
        // Boards that other fans cool may have a sensor that always reads 0.
        let turns = fan.turned || told.is_some_and(|told| told > 0.0);
        fan.beats = if turns && temperature >= hot { fan.beats + 1 } else { 0 };
        (fan.beats >= BEATS).then(|| evidence(metric, speed, 1.0))
    }

    fn host(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let rpm = frame.value(device.id, Metric::SensorFan)?;
        let fan = self.fans.of(device);
        if rpm > 0.0 {
            *fan = Fan { turned: true, ..Fan::default() };
            return None;
        }
        fan.still_s += frame.lasted_s;
        let still = fan.turned && fan.still_s >= self.voice.catalogue.limit(Limit::FanStill);
        still.then(|| evidence(Metric::SensorFan, rpm, 1.0))
    }
}

impl Detector for Fans {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.fans.fit(&frame.devices);
        for device in frame.devices.accelerators() {
            if let Some(seen) = self.board(frame, device) {
                events.push(self.voice.says(FaultKind::FanSlow, device, seen));
            }
        }
        for device in frame.devices.of_kind(DeviceKind::Sensor) {
            if let Some(seen) = self.host(frame, device) {
                events.push(self.voice.says(FaultKind::FanSlow, device, seen));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.fans.bytes()
    }
}
