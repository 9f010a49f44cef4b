//! What a device says of itself: its verdict on its health, the recovery that its driver asks for, and its InfoROM.
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, EventSink, FaultKind, Finding, Frame, History, Metric, Remedy};

#[derive(Debug)]
struct Health {
    voice: Voice,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Health { voice: Voice { name: "health", catalogue: thresholds.catalogue } })
}

/// What the driver asks for (`nvmlDeviceGetGpuRecoveryAction`): a remedy, in words, and whether the GPU does not work
/// until then. A number that is not known asks for a look.
fn action(code: u32) -> (Remedy, &'static str, bool) {
    match code {
        1 => (Remedy::ResetDevice, "reset", true),
        2 => (Remedy::RebootNode, "reboot of the node", true),
        3 => (Remedy::RestartApplication, "drain of its peers", false),
        4 => (Remedy::DrainAndReset, "drain and reset", true),
        _ => (Remedy::Investigate, "an action that is not known here", false),
    }
}

impl Health {
    fn verdict(&self, frame: &Frame, device: &Device) -> Option<Finding> {
        let code = frame.value(device.id, Metric::HealthCode).filter(|code| *code > 0.0)?;
        let worst = code >= self.voice.catalogue.limit(Limit::HealthCritical);
        Some(self.voice.tells(FaultKind::HealthBad, device, evidence(Metric::HealthCode, code, 0.0), worst))
    }

    /// Only a check that failed is a finding; one that could not be made is none.
    fn inforom(&self, frame: &Frame, device: &Device) -> Option<Finding> {
        let corrupt = frame.flag(device.id, Metric::InforomValid) == Some(false);
        let seen = evidence(Metric::InforomValid, 0.0, 1.0);
        corrupt.then(|| self.voice.says(FaultKind::InforomCorrupt, device, seen))
    }

    fn recovery(&self, frame: &Frame, device: &Device) -> Option<Finding> {
        let code = frame.value(device.id, Metric::RecoveryAction).filter(|code| *code > 0.0)?;
        // The catalogue keeps it below 100.
        let (remedy, detail, dead) = action(code as u32);
        let seen = evidence(Metric::RecoveryAction, code, 0.0);
        let found = self.voice.tells(FaultKind::RecoveryWanted, device, seen, dead);
        Some(Finding { remedy, detail, ..found })
    }
}

impl Detector for Health {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        for device in frame.devices.accelerators() {
            self.verdict(frame, device).into_iter().for_each(|found| events.push(found));
            self.inforom(frame, device).into_iter().for_each(|found| events.push(found));
            self.recovery(frame, device).into_iter().for_each(|found| events.push(found));
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
