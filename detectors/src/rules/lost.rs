//! Lost devices: an accelerator that vanished, or that is listed and no longer answers.
use super::{evidence, finding};
use crate::thresholds::Thresholds;
use model::{
    Absence, Detector, Device, DeviceId, EventSink, FaultKind, Frame, History, Metric, NoticeKind, Severity,
};

/// What every accelerator can say of itself in some combination; one value among them is an answer.
const MAIN: [Metric; 5] = [
    Metric::PowerInstant,
    Metric::PowerAverage,
    Metric::Temperature,
    Metric::Utilization,
    Metric::MemoryUsed,
];

/// What is remembered of one device.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    generation: u32,
    lost: bool,
}

#[derive(Debug, Default)]
struct Lost {
    /// By device index.
    watched: Vec<Watched>,
}

/// Opens the rule.
pub fn open(_: &Thresholds) -> Box<dyn Detector> {
    Box::new(Lost::default())
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
        let watched = &mut self.watched[device.id.index()];
        if watched.generation != device.generation {
            *watched = Watched { generation: device.generation, lost: false };
        }
        let mut notices = frame.notices.iter();
        let went = device.gone || notices.any(|n| n.kind == NoticeKind::Gone && n.device == device.id);
        if went || silent(frame, device.id) {
            watched.lost = true;
        } else if answers(frame, device.id) {
            watched.lost = false;
        }
        watched.lost
    }
}

impl Detector for Lost {
    fn name(&self) -> &'static str {
        "lost"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.watched.resize(frame.devices.len(), Watched::default());
        for device in frame.devices.iter().filter(|device| device.info.kind.is_accelerator()) {
            if self.follow(frame, device) {
                let evidence = evidence(Metric::Up, 0.0, 1.0);
                events.push(finding("lost", device.id, FaultKind::DeviceLost, Severity::Critical, evidence));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.watched.capacity() * size_of::<Watched>()
    }
}
