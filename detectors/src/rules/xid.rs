//! XID errors: the driver's own account of what went wrong. What each code means is in `data/xid.toml`.
use super::{Voice, evidence};
use crate::thresholds::Thresholds;
use model::{Detector, EventSink, FaultKind, Finding, Frame, History, Metric, NoticeKind};

#[derive(Debug)]
struct Xid {
    voice: Voice,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Xid { voice: Voice { name: "xid", catalogue: thresholds.catalogue } })
}

impl Detector for Xid {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        for notice in frame.notices.iter().filter(|notice| notice.kind == NoticeKind::Xid) {
            let evidence = evidence(Metric::XidLastCode, f64::from(notice.code), 0.0);
            let unknown = self.voice.says(FaultKind::Xid, frame.devices.get(notice.device), evidence);
            let unknown = Finding { code: notice.code, ..unknown };
            events.push(match self.voice.catalogue.xid(notice.code) {
                Some(row) => {
                    Finding { detail: &row.title, severity: row.severity, remedy: row.remedy, ..unknown }
                }
                None => unknown,
            });
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
