//! What the kernel tells: lines of its log, kills for want of memory, and errors of the host's memory.
use super::watch::{ByDevice, Meter};
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{
    Detector, Device, DeviceKind, EventSink, FaultKind, Finding, Frame, History, Metric, Notice, NoticeKind,
    Severity,
};

#[derive(Debug)]
struct Kernel {
    voice: Voice,
    counts: ByDevice<Meter>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "kernel", catalogue: thresholds.catalogue };
    Box::new(Kernel { voice, counts: ByDevice::default() })
}

impl Kernel {
    /// What a line of the log means; `None` for notices that are none.
    fn line(&self, notice: &Notice) -> Option<Finding> {
        let (fault, code, severity) = match notice.kind {
            NoticeKind::Sxid => (FaultKind::Sxid, notice.code, self.severity(FaultKind::Sxid, false)),
            NoticeKind::MachineCheck => {
                (FaultKind::MachineCheck, 0, self.severity(FaultKind::MachineCheck, notice.code > 0))
            }
            NoticeKind::PcieAer => {
                // Corrected, uncorrected, fatal; what an operator made of the row's ends stays the ends.
                let (mild, worst) =
                    (self.severity(FaultKind::PcieAer, false), self.voice.worst(FaultKind::PcieAer));
                let uncorrected = Severity::Warning.clamp(mild, worst);
                (FaultKind::PcieAer, 0, [mild, uncorrected, worst][notice.code.min(2) as usize])
            }
            NoticeKind::OutOfMemory => {
                (FaultKind::OutOfMemory, 0, self.severity(FaultKind::OutOfMemory, notice.code == 0))
            }
            NoticeKind::HungTask => {
                (FaultKind::ProcessStuck, 0, self.severity(FaultKind::ProcessStuck, false))
            }
            _ => return None,
        };
        Some(Finding {
            detector: self.voice.name,
            device: notice.device,
            fault,
            code,
            detail: "",
            severity,
            remedy: self.voice.row(fault).remedy,
            score: 1.0,
            evidence: Finding::evidence(&[]),
        })
    }

    fn severity(&self, fault: FaultKind, worst: bool) -> Severity {
        let row = self.voice.row(fault);
        if worst { row.worst } else { row.severity }
    }

    /// Kills for want of memory, of which a node without a readable log tells too.
    fn kills(&mut self, frame: &Frame, node: &Device) -> Option<Finding> {
        let growth = self.counts.of(node).read(frame, node, Metric::OomKills)?;
        if growth.count <= 0.0 {
            return None;
        }
        let left = frame.value(node.id, Metric::NodeMemoryAvailable);
        let left = left.zip(frame.value(node.id, Metric::NodeMemorySize).filter(|size| *size > 0.0));
        let limit = self.voice.catalogue.limit(Limit::MemoryShare);
        let short = left.is_some_and(|(left, size)| left < limit * size);
        let seen = evidence(Metric::OomKills, growth.count, 0.0);
        Some(self.voice.tells(FaultKind::OutOfMemory, node, seen, short))
    }

    fn memory(&mut self, frame: &Frame, controller: &Device) -> Option<Finding> {
        let growth = self.counts.of(controller).read(frame, controller, Metric::EdacUncorrected)?;
        let seen = evidence(Metric::EdacUncorrected, growth.now, growth.now - growth.count);
        (growth.count > 0.0).then(|| self.voice.warns(FaultKind::MachineCheck, controller, seen))
    }
}

impl Detector for Kernel {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.counts.fit(&frame.devices);
        frame.notices.iter().filter_map(|notice| self.line(notice)).for_each(|found| events.push(found));
        for node in frame.devices.of_kind(DeviceKind::Node) {
            self.kills(frame, node).into_iter().for_each(|found| events.push(found));
        }
        for controller in frame.devices.of_kind(DeviceKind::MemoryController) {
            self.memory(frame, controller).into_iter().for_each(|found| events.push(found));
        }
    }

    fn bytes(&self) -> usize {
        self.counts.bytes()
    }
}
