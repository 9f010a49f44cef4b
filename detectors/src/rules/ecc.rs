//! Uncorrectable memory errors: any new one is a fault (DCGM's health check fails on the first).
use super::{evidence, finding};
use crate::thresholds::Thresholds;
use model::{Detector, Device, EventSink, Evidence, FaultKind, Frame, History, Metric, Severity};

/// What is remembered of one device.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    generation: u32,
    /// The aggregate count when it was last read; one that was there before us is no new fault.
    aggregate: Option<f64>,
}

#[derive(Debug, Default)]
struct Ecc {
    /// By device index.
    watched: Vec<Watched>,
}

/// Opens the rule.
pub fn open(_: &Thresholds) -> Box<dyn Detector> {
    Box::new(Ecc::default())
}

impl Ecc {
    fn follow(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let watched = &mut self.watched[device.id.index()];
        if watched.generation != device.generation {
            *watched = Watched { generation: device.generation, aggregate: None };
        }
        // Compared with the last count that was read, so that errors in a gap are seen after it.
        let count = frame.value(device.id, Metric::EccUncorrectedAggregate);
        let before = watched.aggregate;
        watched.aggregate = count.or(before);
        let grown = count.zip(before).filter(|(count, before)| count > before);
        // A volatile count since the driver was loaded is a fault of this boot, whenever we began to look.
        let volatile = frame.value(device.id, Metric::EccUncorrectedVolatile).filter(|count| *count > 0.0);
        let volatile = volatile.map(|count| evidence(Metric::EccUncorrectedVolatile, count, 0.0));
        volatile.or(grown.map(|(count, before)| evidence(Metric::EccUncorrectedAggregate, count, before)))
    }
}

impl Detector for Ecc {
    fn name(&self) -> &'static str {
        "ecc"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.watched.resize(frame.devices.len(), Watched::default());
        for device in frame.devices.accelerators() {
            if let Some(evidence) = self.follow(frame, device) {
                let (fault, severity) = (FaultKind::EccUncorrectable, Severity::Critical);
                events.push(finding("ecc", device.id, fault, severity, evidence));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.watched.capacity() * size_of::<Watched>()
    }
}
