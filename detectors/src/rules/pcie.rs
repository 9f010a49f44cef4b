//! PCIe links that are narrower or slower than device and slot allow, while there is work to do.
use super::{evidence, finding};
use crate::thresholds::Thresholds;
use model::{
    Detector, DeviceId, EventSink, Evidence, FaultKind, Frame, History, Metric, Severity, Timestamp,
};

#[derive(Debug)]
struct Pcie {
    thresholds: Thresholds,
    /// By device index: since when the link has been narrow under load.
    since: Vec<Option<Timestamp>>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Pcie { thresholds: *thresholds, since: Vec::new() })
}

impl Pcie {
    fn narrow(&self, frame: &Frame, device: DeviceId) -> Option<Evidence> {
        let busy = frame.value(device, Metric::Utilization)? >= self.thresholds.pcie_busy_share;
        let pairs =
            [(Metric::PcieWidth, Metric::PcieWidthMax), (Metric::PcieGeneration, Metric::PcieGenerationMax)];
        let below = pairs.into_iter().find_map(|(now, most)| {
            let (observed, expected) = (frame.value(device, now)?, frame.value(device, most)?);
            (observed < expected).then(|| evidence(now, observed, expected))
        });
        below.filter(|_| busy)
    }
}

impl Detector for Pcie {
    fn name(&self) -> &'static str {
        "pcie"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.since.resize(frame.devices.len(), None);
        for device in frame.devices.accelerators().map(|device| device.id) {
            let Some(evidence) = self.narrow(frame, device) else {
                self.since[device.index()] = None;
                continue;
            };
            let since = *self.since[device.index()].get_or_insert(frame.at);
            if frame.at.seconds_since(since) >= self.thresholds.pcie_narrow_s {
                let mut found = finding("pcie", device, FaultKind::PcieNarrow, Severity::Warning, evidence);
                found.score = evidence.expected / evidence.observed.max(1.0);
                events.push(found);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.since.capacity() * size_of::<Option<Timestamp>>()
    }
}
