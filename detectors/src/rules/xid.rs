//! XID errors: the driver's own account of what went wrong.
use super::evidence;
use crate::thresholds::Thresholds;
use model::{Detector, EventSink, FaultKind, Finding, Frame, History, Metric, NoticeKind, Severity};

/// Codes that only say that an application was stopped, or whose immediate action in NVIDIA's XID catalogue (October 2025)
/// is to ignore them.
const INFO: &[u32] = &[43, 45, 63, 92, 93];
/// Codes that call for a reset of the GPU, a restart of the node, a workflow of NVIDIA's, or a look at its mechanics. Those
/// that DCGM always fails on (48, 74, 79, 95, 119, 120, 140) are among them. 109 and 155 are not, though the catalogue asks
/// for a reset: Meta's gcm counts 109, and gpud counts both, as not fatal. 157 is, like 64, a repair that failed;
/// 171 and 172 are details of 48; the catalogue no longer explains 61, which gpud counts as fatal.
const CRITICAL: &[u32] = &[
    46, 48, 54, 61, 62, 64, 74, 79, 95, 110, 119, 120, 136, 140, 143, 144, 145, 146, 147, 148, 149, 150, 156,
    157, 158, 169, 171, 172,
];

/// How bad a code is. A warning are those that an application causes or that the driver contains (restart the application:
/// 8, 11, 13, 25, 31, 32, 39 to 41, 68, 69, 80, 94), and those not in the catalogue: unknown is never harmless.
pub fn severity(code: u32) -> Severity {
    if CRITICAL.contains(&code) {
        Severity::Critical
    } else if INFO.contains(&code) {
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
                detail: "",
                severity: severity(notice.code),
                remedy: FaultKind::Xid.remedy(),
                score: 1.0,
                evidence: Finding::evidence(&[evidence]),
            });
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
