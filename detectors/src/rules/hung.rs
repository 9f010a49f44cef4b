//! Hung sources: a call into a driver or library that does not return.
use super::{evidence, finding};
use crate::thresholds::Thresholds;
use model::{Detector, DeviceKind, EventSink, FaultKind, Frame, History, Metric, Severity};

#[derive(Debug)]
struct Hung {
    hung_s: f64,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Hung { hung_s: thresholds.hung_s })
}

impl Detector for Hung {
    fn name(&self) -> &'static str {
        "hung"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        for source in frame.devices.of_kind(DeviceKind::Source) {
            let late_s = frame.value(source.id, Metric::SourceLate).unwrap_or(0.0);
            if late_s > self.hung_s {
                let evidence = evidence(Metric::SourceLate, late_s, self.hung_s);
                events.push(finding("hung", source.id, FaultKind::SourceHung, Severity::Critical, evidence));
            }
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
