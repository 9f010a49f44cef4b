//! XID errors: the driver's own account of what went wrong.
use super::evidence;
use crate::thresholds::Thresholds;
use model::{Detector, EventSink, FaultKind, Finding, Frame, History, Metric, NoticeKind, Severity};

/// Codes whose immediate action in NVIDIA's XID catalogue is to ignore, or that only say that an application was stopped.
const INFO: &[u32] = &[43, 45, 63, 92, 93];
/// Codes that an application causes or that the driver contains: restart the application.
const WARNING: &[u32] = &[8, 11, 13, 25, 31, 32, 39, 40, 41, 68, 69, 80, 94, 109, 155, 162, 163, 164, 165];
/// Codes that call for a reset of the GPU, a restart of the node, or a look at its mechanics.
const CRITICAL: &[u32] = &[
    46, 48, 54, 61, 62, 64, 74, 79, 95, 110, 119, 120, 136, 137, 140, 143, 144, 145, 146, 147, 148, 149, 150,
    156, 157, 158, 169, 171, 172,
];

/// How bad a code is. One that is in no list is a warning: unknown is never harmless.
pub fn severity(code: u32) -> Severity {
    if CRITICAL.contains(&code) {
        Severity::Critical
    } else if INFO.contains(&code) && !WARNING.contains(&code) {
        Severity::Info
    } else {
        Severity::Warning
    }
}

#[derive(Debug)]
struct Xid;

/// Opens the rule.
pub fn open(_: &Thresholds) -> Box<dyn Detector> {
    Box::new(Xid)
}

impl Detector for Xid {
    fn name(&self) -> &'static str {
        "xid"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        for notice in frame.notices.iter().filter(|notice| notice.kind == NoticeKind::Xid) {
            let evidence = evidence(Metric::XidLastCode, f64::from(notice.code), 0.0);
            events.push(Finding {
                detector: "xid",
                device: notice.device,
                fault: FaultKind::Xid,
                code: notice.code,
                severity: severity(notice.code),
                score: 1.0,
                evidence: Finding::evidence(&[evidence]),
            });
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
