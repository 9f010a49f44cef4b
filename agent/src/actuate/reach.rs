//! Reach: what devices can be made to do beside a board's power limit, asked of the actuators once a device.
use super::{Brief, Known};
use crate::hands::Hands;
use model::stages::Reach;
use model::{Knob, Reason, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The knobs of accelerators whose positions are not in the frame.
const KNOBS: [Knob; 2] = [Knob::ClockMax, Knob::CpuQuota];
/// The knobs of packages and containers.
const HOST_KNOBS: [Knob; 2] = [Knob::PowerLimit, Knob::CpuQuota];
/// How long an answer counts: a driver may gain or lose a right, and a device may change what it accepts.
const FRESH: Duration = Duration::from_secs(60);
/// How long a device that was late is not asked again. What it said before counts meanwhile.
const RETRY: Duration = Duration::from_secs(10);

/// What was answered so far.
#[derive(Debug, Default)]
pub(super) struct Reaches {
    /// What can be turned, of the devices that are there.
    pub(super) list: Vec<Reach>,
    /// When a device is asked again.
    due: BTreeMap<Arc<str>, Timestamp>,
}

impl Reaches {
    /// Asks about one device that is new or whose answer is old; at most one a tick, since each is a driver's call.
    pub(super) fn look(&mut self, hands: &mut Hands, brief: &Brief, now: Timestamp) {
        self.list.retain(|reach| brief.all().any(|known| known.device == reach.device));
        self.due.retain(|key, _| brief.all().any(|known| known.key == *key));
        let accelerators = brief.devices.iter().map(|known| (known, KNOBS));
        let hosts = brief.hosts.iter().map(|known| (known, HOST_KNOBS));
        let old = |(known, _): &(&Known, _)| self.due.get(&known.key).is_none_or(|due| *due <= now);
        let Some((known, knobs)) = accelerators.chain(hosts).find(old) else { return };
        let mut due = now.after(FRESH);
        for knob in knobs {
            let answer = hands.span(&known.key, knob, now);
            if answer == Err(Reason::Late) {
                due = now.after(RETRY);
                continue;
            }
            self.list.retain(|reach| reach.device != known.device || reach.knob != knob);
            if let Ok(span) = answer {
                self.list.push(Reach { device: known.device, knob, span });
            }
        }
        self.due.insert(Arc::clone(&known.key), due);
    }

    /// The positions of a knob.
    pub(super) fn span(&self, known: &Known, knob: Knob) -> Option<model::Span> {
        let reach = self.list.iter().find(|reach| reach.device == known.device && reach.knob == knob);
        reach.map(|reach| reach.span)
    }
}
