//! Power supplies that deliver nothing, where the host has a sensor that says that it is one.
use super::watch::ByDevice;
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, DeviceKind, EventSink, Evidence, FaultKind, Frame, History, Metric};

/// Words in the name of a power supply's sensor, in small letters.
const NAMES: [&str; 2] = ["psu", "pmbus"];

#[derive(Debug)]
struct Supply {
    voice: Voice,
    /// Whether it has delivered power.
    live: ByDevice<bool>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "supply", catalogue: thresholds.catalogue };
    Box::new(Supply { voice, live: ByDevice::default() })
}

fn is_supply(device: &Device) -> bool {
    let holds = |text: &str, name: &str| {
        text.as_bytes().windows(name.len()).any(|part| part.eq_ignore_ascii_case(name.as_bytes()))
    };
    NAMES.iter().any(|name| holds(&device.info.name, name) || holds(&device.info.key, name))
}

impl Supply {
    fn look(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let power = frame.value(device.id, Metric::SensorPower)?;
        let limit = |limit| self.voice.catalogue.limit(limit);
        let live = self.live.of(device);
        *live |= power >= limit(Limit::SupplyLive);
        let dead = *live && power <= limit(Limit::SupplyDead) && is_supply(device);
        dead.then(|| evidence(Metric::SensorPower, power, limit(Limit::SupplyLive)))
    }
}

impl Detector for Supply {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.live.fit(&frame.devices);
        for device in frame.devices.of_kind(DeviceKind::Sensor) {
            if let Some(seen) = self.look(frame, device) {
                events.push(self.voice.says(FaultKind::PowerSupply, device, seen));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.live.bytes()
    }
}
