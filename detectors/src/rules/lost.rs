//! Lost devices: an accelerator that vanished, or that is listed and no longer answers.
use super::{evidence, finding};
use crate::thresholds::Thresholds;
use model::{
    Absence, Detector, DeviceId, EventSink, FaultKind, Frame, History, Metric, NoticeKind, Severity,
};

#[derive(Debug)]
struct Lost;

/// Opens the rule.
pub fn open(_: &Thresholds) -> Box<dyn Detector> {
    Box::new(Lost)
}

fn silent(frame: &Frame, device: DeviceId) -> bool {
    let lost = |metric| frame.get(device, metric).absence() == Some(Absence::Lost);
    frame.flag(device, Metric::Up) == Some(false) || (lost(Metric::PowerInstant) && lost(Metric::Temperature))
}

impl Detector for Lost {
    fn name(&self) -> &'static str {
        "lost"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        let accelerator = |device: DeviceId| frame.devices.get(device).info.kind.is_accelerator();
        let mut say = |device| {
            let evidence = evidence(Metric::Up, 0.0, 1.0);
            events.push(finding("lost", device, FaultKind::DeviceLost, Severity::Critical, evidence));
        };
        // The notice says that it went; that it stays gone keeps the event alive in the life cycle.
        let went = frame.notices.iter().filter(|n| n.kind == NoticeKind::Gone && accelerator(n.device));
        went.for_each(|notice| say(notice.device));
        frame
            .devices
            .accelerators()
            .filter(|device| silent(frame, device.id))
            .for_each(|device| say(device.id));
    }

    fn bytes(&self) -> usize {
        0
    }
}
