//! Reach: what devices can be made to do beside their power limit, asked of the actuators once a device.
use super::Known;
use model::stages::Reach;
use model::{Actuator, Knob, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The knobs whose positions are not in the frame.
const KNOBS: [Knob; 2] = [Knob::ClockMax, Knob::CpuQuota];
/// How long an answer counts: a driver may gain or lose a right, and a device may change what it accepts.
const FRESH: Duration = Duration::from_secs(60);

/// What was answered so far.
#[derive(Debug, Default)]
pub(super) struct Reaches {
    /// What can be turned, of the devices that are there.
    pub(super) list: Vec<Reach>,
    asked: BTreeMap<Arc<str>, Timestamp>,
}

impl Reaches {
    /// Asks about one device that is new or whose answer is old; at most one a tick, since each is a driver's call.
    pub(super) fn look(&mut self, actuators: &mut [Box<dyn Actuator>], devices: &[Known], now: Timestamp) {
        self.list.retain(|reach| devices.iter().any(|known| known.device == reach.device));
        self.asked.retain(|key, _| devices.iter().any(|known| known.key == *key));
        let old = |known: &&Known| self.asked.get(&known.key).is_none_or(|asked| now.since(*asked) >= FRESH);
        let Some(known) = devices.iter().find(old) else { return };
        self.asked.insert(Arc::clone(&known.key), now);
        for knob in KNOBS {
            let answer = actuators.iter_mut().find_map(|actuator| actuator.span(&known.key, knob).ok());
            self.list.retain(|reach| reach.device != known.device || reach.knob != knob);
            if let Some(span) = answer {
                self.list.push(Reach { device: known.device, knob, span });
            }
        }
    }

    /// The positions of a knob.
    pub(super) fn span(&self, known: &Known, knob: Knob) -> Option<model::Span> {
        let reach = self.list.iter().find(|reach| reach.device == known.device && reach.knob == knob);
        reach.map(|reach| reach.span)
    }
}
