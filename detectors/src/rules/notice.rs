//! Notices that are events by themselves: a device's own error code, a device that changed, an identity given twice.
use super::Voice;
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, EventSink, Evidence, FaultKind, Finding, Frame, History, Metric, NoticeKind};

#[derive(Debug)]
struct Told {
    voice: Voice,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Told { voice: Voice { name: "notice", catalogue: thresholds.catalogue } })
}

/// What a notice means; `None` for those that other rules follow.
fn meaning(kind: NoticeKind) -> Option<FaultKind> {
    match kind {
        NoticeKind::Fault => Some(FaultKind::DeviceFault),
        NoticeKind::Changed => Some(FaultKind::DeviceChanged),
        NoticeKind::Duplicate => Some(FaultKind::DuplicateIdentity),
        NoticeKind::Xid
        | NoticeKind::Gone
        | NoticeKind::Back
        | NoticeKind::Sxid
        | NoticeKind::MachineCheck
        | NoticeKind::PcieAer
        | NoticeKind::OutOfMemory
        | NoticeKind::HungTask => None,
    }
}

impl Told {
    fn found(&self, frame: &Frame, device: &Device, fault: FaultKind, code: u32) -> Finding {
        let known = |metric: Metric| {
            let observed = frame.value(device.id, metric)?;
            Some(Evidence { metric, observed, expected: 0.0 })
        };
        let evidence = [known(Metric::HealthCode), known(Metric::ErrorCodes), None, None];
        let bad = frame.value(device.id, Metric::HealthCode);
        let bad = bad.is_some_and(|code| code >= self.voice.catalogue.limit(Limit::HealthCritical));
        let row = self.voice.row(fault);
        let severity = if bad && fault == FaultKind::DeviceFault { row.worst } else { row.severity };
        Finding {
            detector: self.voice.name,
            device: device.id,
            fault,
            code,
            detail: "",
            severity,
            remedy: row.remedy,
            score: 1.0,
            evidence,
        }
    }
}

impl Detector for Told {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        for notice in &frame.notices {
            if let Some(fault) = meaning(notice.kind) {
                events.push(self.found(frame, frame.devices.get(notice.device), fault, notice.code));
            }
        }
        for device in frame.devices.accelerators() {
            let reported = frame.value(device.id, Metric::ErrorCodes).is_some_and(|count| count > 0.0);
            if let Some(code) = frame.value(device.id, Metric::ErrorLastCode).filter(|_| reported) {
                // The catalogue keeps it below 2^32.
                events.push(self.found(frame, device, FaultKind::DeviceFault, code as u32));
            }
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
