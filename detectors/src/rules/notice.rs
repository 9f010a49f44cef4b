//! Notices that are events by themselves: a device's own error code, a device that changed, an identity given twice.
use crate::thresholds::Thresholds;
use model::{
    Detector, EventSink, Evidence, FaultKind, Finding, Frame, History, Metric, NoticeKind, Severity,
};

#[derive(Debug)]
struct Told;

/// Opens the rule.
pub fn open(_: &Thresholds) -> Box<dyn Detector> {
    Box::new(Told)
}

/// What a notice means; `None` for those that other rules follow.
fn meaning(kind: NoticeKind) -> Option<(FaultKind, Severity)> {
    match kind {
        NoticeKind::Fault => Some((FaultKind::DeviceFault, Severity::Warning)),
        NoticeKind::Changed => Some((FaultKind::DeviceChanged, Severity::Warning)),
        NoticeKind::Duplicate => Some((FaultKind::DuplicateIdentity, Severity::Critical)),
        NoticeKind::Xid | NoticeKind::Gone | NoticeKind::Back => None,
        NoticeKind::Sxid
        | NoticeKind::MachineCheck
        | NoticeKind::PcieAer
        | NoticeKind::OutOfMemory
        | NoticeKind::HungTask => None,
    }
}

impl Detector for Told {
    fn name(&self) -> &'static str {
        "notice"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        for notice in &frame.notices {
            let Some((fault, severity)) = meaning(notice.kind) else { continue };
            let known = |metric: Metric, expected: f64| {
                let observed = frame.value(notice.device, metric)?;
                Some(Evidence { metric, observed, expected })
            };
            let evidence = [known(Metric::HealthCode, 0.0), known(Metric::ErrorCodes, 0.0), None, None];
            events.push(Finding {
                detector: "notice",
                device: notice.device,
                fault,
                code: notice.code,
                detail: "",
                severity,
                remedy: fault.remedy(),
                score: 1.0,
                evidence,
            });
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
