//! Processes of an accelerator, or of its driver, that wait in the kernel and cannot be ended.
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, DeviceKind, EventSink, FaultKind, Frame, History, Metric};

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
        let boards = frame.devices.accelerators().map(|device| (device, Metric::ProcessBlocked));
        let nodes = frame.devices.of_kind(DeviceKind::Node).map(|node| (node, Metric::DriverBlocked));
        for (device, metric) in boards.chain(nodes) {
            if let Some(blocked) = frame.value(device.id, metric).filter(|blocked| *blocked >= limit) {
                events.push(self.voice.warns(
                    FaultKind::ProcessStuck,
                    device,
                    evidence(metric, blocked, limit),
                ));
            }
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
