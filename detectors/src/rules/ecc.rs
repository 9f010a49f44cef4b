//! Memory errors that ECC could not correct: of device memory, of on-chip memory.
use super::watch::{ByDevice, Meter};
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, EventSink, Evidence, FaultKind, Frame, History, Metric};

/// Where on-chip errors are counted one by one, on boards that have no sum.
const ON_CHIP: [Metric; 4] = [
    Metric::EccUncorrectedL1,
    Metric::EccUncorrectedL2,
    Metric::EccUncorrectedRegisters,
    Metric::EccUncorrectedTexture,
];

#[derive(Debug)]
struct Ecc {
    voice: Voice,
    aggregates: ByDevice<Meter>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "ecc", catalogue: thresholds.catalogue };
    Box::new(Ecc { voice, aggregates: ByDevice::default() })
}

impl Ecc {
    fn uncorrectable(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        // Compared with the last count that was read, so that errors in a gap are seen after it.
        let growth = self.aggregates.of(device).read(frame, device, Metric::EccUncorrectedAggregate);
        let grown = growth.filter(|growth| growth.count > 0.0);
        // A volatile count since the driver was loaded is a fault of this boot, whenever we began to look.
        let volatile = frame.value(device.id, Metric::EccUncorrectedVolatile).filter(|count| *count > 0.0);
        let volatile = volatile.map(|count| evidence(Metric::EccUncorrectedVolatile, count, 0.0));
        let grown = grown.map(|g| evidence(Metric::EccUncorrectedAggregate, g.now, g.now - g.count));
        volatile.or(grown)
    }

    /// Errors on the chip, above the limit: by the driver's own verdict, in the board's life, or since the driver was loaded.
    fn on_chip(&self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let limit = self.voice.catalogue.limit(Limit::SramErrors);
        let value = |metric| frame.value(device.id, metric).unwrap_or(0.0);
        if frame.flag(device.id, Metric::SramThreshold) == Some(true) {
            return Some(evidence(Metric::SramThreshold, 1.0, 0.0));
        }
        let ever = value(Metric::EccUncorrectedSramAggregate);
        if ever > limit {
            return Some(evidence(Metric::EccUncorrectedSramAggregate, ever, limit));
        }
        let sum = value(Metric::EccUncorrectedSram);
        let (parts, worst) =
            ON_CHIP.into_iter().fold((0.0, Metric::EccUncorrectedL1), |(all, worst), metric| {
                (all + value(metric), if value(metric) > value(worst) { metric } else { worst })
            });
        let metric = if sum >= parts { Metric::EccUncorrectedSram } else { worst };
        (sum.max(parts) > limit).then(|| evidence(metric, sum.max(parts), limit))
    }
}

impl Detector for Ecc {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.aggregates.fit(&frame.devices);
        for device in frame.devices.accelerators() {
            if let Some(seen) = self.uncorrectable(frame, device) {
                events.push(self.voice.says(FaultKind::EccUncorrectable, device, seen));
            }
            if let Some(seen) = self.on_chip(frame, device) {
                events.push(self.voice.says(FaultKind::SramUncorrectable, device, seen));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.aggregates.bytes()
    }
}
