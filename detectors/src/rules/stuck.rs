//! Processes of an accelerator that wait in the kernel and cannot be ended.
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, EventSink, FaultKind, Frame, History, Metric};

#[derive(Debug)]
struct Stuck {
    voice: Voice,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Stuck { voice: Voice { name: "stuck", catalogue: thresholds.catalogue } })
}

impl Detector for Stuck {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        let limit = self.voice.catalogue.limit(Limit::Blocked);
        for device in frame.devices.accelerators() {
            let blocked = frame.value(device.id, Metric::ProcessBlocked).filter(|blocked| *blocked >= limit);
            if let Some(blocked) = blocked {
                let seen = evidence(Metric::ProcessBlocked, blocked, limit);
                events.push(self.voice.warns(FaultKind::ProcessStuck, device, seen));
            }
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
