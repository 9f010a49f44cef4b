//! PCIe: links that are narrower or slower than device and slot allow while there is work, and packets sent again too often.
use super::watch::{ByDevice, Meter, Minute};
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, EventSink, Evidence, FaultKind, Frame, History, Metric};

/// What a link is, and the most it can be.
const PAIRS: [(Metric, Metric); 2] =
    [(Metric::PcieWidth, Metric::PcieWidthMax), (Metric::PcieGeneration, Metric::PcieGenerationMax)];

/// Replays a minute and lane, by generation.
const RATES: [Limit; 6] = [
    Limit::ReplaysGen1,
    Limit::ReplaysGen2,
    Limit::ReplaysGen3,
    Limit::ReplaysGen4,
    Limit::ReplaysGen5,
    Limit::ReplaysGen6,
];

/// What is remembered of one device.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    /// Seconds under load for which the link has been narrow, pauses left out.
    narrow_s: f64,
    replays: Meter,
    minute: Minute,
    /// The most replays a minute that the link may have, and for how many more seconds that holds: packets of a minute were
    /// sent at the speed that the link had then.
    allowed: f64,
    holds_s: f64,
}

#[derive(Debug)]
struct Pcie {
    voice: Voice,
    watched: ByDevice<Watched>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "pcie", catalogue: thresholds.catalogue };
    Box::new(Pcie { voice, watched: ByDevice::default() })
}

fn below(frame: &Frame, device: &Device) -> Option<Evidence> {
    PAIRS.iter().find_map(|&(now, most)| {
        let (observed, expected) = (frame.value(device.id, now)?, frame.value(device.id, most)?);
        (observed < expected).then(|| evidence(now, observed, expected))
    })
}

impl Pcie {
    /// The narrow link, once it has been narrow under load for long enough. A pause in the load says nothing, since the
    /// link may rest then; a full link under load or at rest is proof of health.
    fn narrow(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let limit = |limit| self.voice.catalogue.limit(limit);
        let watched = self.watched.of(device);
        let read = |metric| frame.value(device.id, metric).is_some();
        let known = PAIRS.iter().any(|(now, most)| read(*now) && read(*most));
        let Some(evidence) = below(frame, device) else {
            if known {
                watched.narrow_s = 0.0;
            }
            return None;
        };
        let share = frame.value(device.id, Metric::Utilization)?;
        if share < limit(Limit::NarrowBusy) {
            return None;
        }
        watched.narrow_s += frame.lasted_s;
        (watched.narrow_s >= limit(Limit::NarrowTime)).then_some(evidence)
    }

    /// Replays of the last minute, above what the link's speed allows. Of a link whose speed is not known nothing is said.
    fn replays(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let allowed = self.allowed(frame, device);
        let watched = self.watched.of(device);
        watched.minute.pass(frame.beat_s);
        watched.holds_s -= frame.beat_s;
        if let Some(allowed) = allowed.filter(|allowed| *allowed >= watched.allowed || watched.holds_s <= 0.0)
        {
            (watched.allowed, watched.holds_s) = (allowed, Minute::SECONDS);
        }
        if let Some(growth) = watched.replays.read(frame, device, Metric::PcieReplays) {
            watched.minute.add(growth.within(Minute::SECONDS));
        }
        let (sum, limit) = (watched.minute.sum(), watched.allowed);
        (limit > 0.0 && watched.holds_s > 0.0 && sum > limit)
            .then(|| evidence(Metric::PcieReplays, sum / Minute::SECONDS, limit / Minute::SECONDS))
    }

    fn allowed(&self, frame: &Frame, device: &Device) -> Option<f64> {
        let generation = frame.value(device.id, Metric::PcieGeneration)?;
        let lanes = frame.value(device.id, Metric::PcieWidth)?;
        // A generation is a small whole number.
        let rate = RATES.get((generation as usize).checked_sub(1)?)?;
        Some((lanes * self.voice.catalogue.limit(*rate)).ceil())
    }
}

impl Detector for Pcie {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.watched.fit(&frame.devices);
        for device in frame.devices.accelerators() {
            if let Some(seen) = self.narrow(frame, device) {
                let mut found = self.voice.says(FaultKind::PcieNarrow, device, seen);
                found.score = seen.expected / seen.observed.max(1.0);
                events.push(found);
            }
            if let Some(seen) = self.replays(frame, device) {
                events.push(self.voice.says(FaultKind::PcieReplays, device, seen));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.watched.bytes()
    }
}
