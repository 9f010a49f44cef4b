//! Lost devices: an accelerator that vanished, or that is listed and no longer answers.
use super::watch::ByDevice;
use super::{Voice, evidence};
use crate::thresholds::Thresholds;
use model::{Absence, Detector, Device, DeviceId, EventSink, FaultKind, Frame, History, Metric, NoticeKind};

/// What every accelerator can say of itself in some combination; one value among them is an answer.
const MAIN: [Metric; 5] = [
    Metric::PowerInstant,
    Metric::PowerAverage,
    Metric::Temperature,
    Metric::Utilization,
    Metric::MemoryUsed,
];

#[derive(Debug)]
struct Lost {
    voice: Voice,
    lost: ByDevice<bool>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "lost", catalogue: thresholds.catalogue };
    Box::new(Lost { voice, lost: ByDevice::default() })
}

fn silent(frame: &Frame, device: DeviceId) -> bool {
    let lost = |metric: Metric| frame.get(device, metric).absence() == Some(Absence::Lost);
    frame.flag(device, Metric::Up) == Some(false)
        || (MAIN.into_iter().any(lost)
            && MAIN.into_iter().all(|metric| frame.value(device, metric).is_none()))
}

fn answers(frame: &Frame, device: DeviceId) -> bool {
    MAIN.into_iter().any(|metric| frame.value(device, metric).is_some())
        || frame.flag(device, Metric::Up) == Some(true)
}

impl Lost {
    /// Whether the device is lost. Once lost it stays so until it answers: a device that is back but late is not well.
    fn follow(&mut self, frame: &Frame, device: &Device) -> bool {
        let lost = self.lost.of(device);
        let mut notices = frame.notices.iter();
        let went = device.gone || notices.any(|n| n.kind == NoticeKind::Gone && n.device == device.id);
        if went || silent(frame, device.id) {
            *lost = true;
        } else if answers(frame, device.id) {
            *lost = false;
        }
        *lost
    }
}

impl Detector for Lost {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.lost.fit(&frame.devices);
        for device in frame.devices.iter().filter(|device| device.info.kind.is_accelerator()) {
            if self.follow(frame, device) {
                let evidence = evidence(Metric::Up, 0.0, 1.0);
                events.push(self.voice.says(FaultKind::DeviceLost, device, evidence));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.lost.bytes()
    }
}
