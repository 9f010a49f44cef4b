//! Hung calls: a call into a driver or library that does not return, told of the device it was made for where that is known.
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, DeviceKind, EventSink, FaultKind, Finding, Frame, History, Metric};

#[derive(Debug)]
struct Hung {
    voice: Voice,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Hung { voice: Voice { name: "hung", catalogue: thresholds.catalogue } })
}

impl Detector for Hung {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        let hung_s = self.voice.catalogue.limit(Limit::Hung);
        let sources = frame.devices.of_kind(DeviceKind::Source).map(|d| (d, Metric::SourceLate));
        let accelerators = frame.devices.accelerators().map(|d| (d, Metric::CallLate));
        for (device, metric) in sources.chain(accelerators) {
            let late_s = frame.value(device.id, metric).unwrap_or(0.0);
            if late_s > hung_s {
                let evidence = evidence(metric, late_s, hung_s);
                // A recording does not keep which call it was.
                let call =
                    frame.late.iter().find(|late| late.device == device.id).map_or("", |late| late.call);
                let hung = self.voice.says(FaultKind::SourceHung, device, evidence);
                events.push(Finding { detail: call, ..hung });
            }
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
