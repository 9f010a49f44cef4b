//! Hung calls: a call into a driver or library that does not return, told of the device it was made for where that is known.
use super::{evidence, finding};
use crate::thresholds::Thresholds;
use model::{Detector, DeviceKind, EventSink, FaultKind, Finding, Frame, History, Metric, Severity};

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
        let sources = frame.devices.of_kind(DeviceKind::Source).map(|d| (d.id, Metric::SourceLate));
        let accelerators = frame.devices.accelerators().map(|d| (d.id, Metric::CallLate));
        for (device, metric) in sources.chain(accelerators) {
            let late_s = frame.value(device, metric).unwrap_or(0.0);
            if late_s > self.hung_s {
                let evidence = evidence(metric, late_s, self.hung_s);
                let fault = FaultKind::SourceHung;
                // A recording does not keep which call it was.
                let call = frame.late.iter().find(|late| late.device == device).map_or("", |late| late.call);
                let hung = finding("hung", device, fault, Severity::Critical, evidence);
                events.push(Finding { detail: call, ..hung });
            }
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
