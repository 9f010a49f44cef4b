//! Uncorrectable memory errors: any new one is a fault (DCGM's health check fails on the first).
use super::{evidence, finding};
use crate::thresholds::Thresholds;
use model::{Detector, EventSink, FaultKind, Frame, History, Metric, Severity};

#[derive(Debug)]
struct Ecc;

/// Opens the rule.
pub fn open(_: &Thresholds) -> Box<dyn Detector> {
    Box::new(Ecc)
}

impl Detector for Ecc {
    fn name(&self) -> &'static str {
        "ecc"
    }

    fn observe(&mut self, frame: &Frame, history: &History, events: &mut EventSink) {
        for device in frame.devices.accelerators().map(|device| device.id) {
            // A volatile count since the driver was loaded is a fault of this boot, whenever we began to look.
            let metric = Metric::EccUncorrectedVolatile;
            let errors = frame.value(device, metric).unwrap_or(0.0);
            let growing = history.latest(frame, device, Metric::EccUncorrectedAggregate).unwrap_or(0.0);
            let seen = if errors > 0.0 { Some((metric, errors)) } else { None };
            let seen = seen.or((growing > 0.0).then_some((Metric::EccUncorrectedAggregate, growing)));
            if let Some((metric, count)) = seen {
                let evidence = evidence(metric, count, 0.0);
                events.push(finding(
                    "ecc",
                    device,
                    FaultKind::EccUncorrectable,
                    Severity::Critical,
                    evidence,
                ));
            }
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
