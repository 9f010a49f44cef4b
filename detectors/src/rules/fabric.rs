//! The place in the fabric: registration failed or not begun long after the node has started, routes that are unhealthy.
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, DeviceKind, EventSink, FaultKind, Finding, Frame, History, Metric, Severity};

/// `NVML_GPU_FABRIC_STATE_*`.
const NOT_BEGUN: f64 = 1.0;
const UNDER_WAY: f64 = 2.0;
const DONE: f64 = 3.0;

/// Conditions that take work down, and those in which the fabric mends itself.
const BAD: [Metric; 2] = [Metric::FabricRouteUnhealthy, Metric::FabricDegraded];
const MENDING: [Metric; 2] = [Metric::FabricRouteRecovery, Metric::FabricAccessTimeout];

/// DCGM warns of what may yet end well.
fn mild(found: Finding) -> Finding {
    Finding { severity: Severity::Warning.min(found.severity), ..found }
}

#[derive(Debug)]
struct Fabric {
    voice: Voice,
    /// Seconds for which we have watched, where the node does not say how long it is up.
    watched_s: f64,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "fabric", catalogue: thresholds.catalogue };
    Box::new(Fabric { voice, watched_s: 0.0 })
}

impl Fabric {
    fn look(&self, frame: &Frame, device: &Device, late: bool) -> Option<Finding> {
        let state = frame.value(device.id, Metric::FabricState)?;
        let found = |metric, observed, expected| {
            self.voice.says(FaultKind::FabricDown, device, evidence(metric, observed, expected))
        };
        let seen = || found(Metric::FabricState, state, DONE);
        if state == DONE {
            let status = frame.value(device.id, Metric::FabricStatus).filter(|status| *status != 0.0);
            let holds = |metric: &Metric| frame.flag(device.id, *metric) == Some(true);
            let bad = || BAD.into_iter().find(holds).map(|metric| found(metric, 1.0, 0.0));
            let mending = || MENDING.into_iter().find(holds).map(|metric| mild(found(metric, 1.0, 0.0)));
            status.map(|status| found(Metric::FabricStatus, status, 0.0)).or_else(bad).or_else(mending)
        } else if state == NOT_BEGUN && late {
            Some(seen())
        } else if state == UNDER_WAY && late {
            Some(mild(seen()))
        } else {
            None
        }
    }
}

impl Detector for Fabric {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.watched_s += frame.beat_s;
        let mut nodes = frame.devices.of_kind(DeviceKind::Node);
        let up_s = nodes.find_map(|node| frame.value(node.id, Metric::Uptime)).unwrap_or(self.watched_s);
        let late = up_s >= self.voice.catalogue.limit(Limit::FabricGrace);
        for device in frame.devices.accelerators() {
            self.look(frame, device, late).into_iter().for_each(|found| events.push(found));
        }
    }

    fn bytes(&self) -> usize {
        0
    }
}
