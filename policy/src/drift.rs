//! Drift: limits that somebody else raised above our cap. They are set again a few times, then called contended.
use crate::budget::Load;
use crate::scene::propose;
use crate::settings::Settings;
use model::{Action, DeviceId, Knob, ProposalSink, Timestamp, View, Watts, Why};

#[derive(Debug, Clone, Copy, Default)]
struct Writer {
    /// Our cap, where the limit is above it now.
    raised: Option<Watts>,
    tries: u32,
    last: Timestamp,
}

/// What other writers do to our caps. A tighter limit than ours is accepted and never fought.
#[derive(Debug, Default)]
pub struct Drift {
    /// By device index.
    writers: Vec<Writer>,
    tries_max: u32,
}

impl Drift {
    /// Looks at one beat. A cap counts once it has settled, so that a limit read before our write is no drift.
    pub fn look(&mut self, view: &View<'_>, loads: &[Load], settings: &Settings) {
        self.tries_max = settings.reassert_max;
        self.writers.resize(view.frame.devices.len(), Writer::default());
        for load in loads {
            let writer = &mut self.writers[load.device.index()];
            let cap = view.cap(load.device);
            // Once it is contended there is no order of ours under way that could still lower it.
            let contended = writer.tries >= settings.reassert_max;
            let settled = cap.filter(|cap| contended || view.now.since(cap.since) >= settings.settle);
            writer.raised = match (settled, load.enforced) {
                (Some(cap), Some(now)) if now > cap.limit + settings.deadband => Some(cap.limit),
                _ => None,
            };
            if writer.raised.is_some() {
                writer.last = view.now;
            } else if cap.is_none() || view.now.since(writer.last) >= settings.reassert_memory {
                writer.tries = 0;
            }
        }
    }

    /// Whether the device's limit is above our cap and setting it again was of no use.
    pub fn contended(&self, device: DeviceId) -> bool {
        let writer = self.writers.get(device.index());
        writer.is_some_and(|writer| writer.raised.is_some() && writer.tries >= self.tries_max)
    }

    /// Proposes to set raised limits again, except on devices that something is proposed for already.
    pub fn reassert(&mut self, loads: &[Load], sink: &mut ProposalSink) {
        for load in loads {
            let writer = &mut self.writers[load.device.index()];
            let Some(cap) = writer.raised.filter(|_| writer.tries < self.tries_max) else { continue };
            writer.tries += 1;
            let about =
                |one: &model::Proposal| (one.device, one.action.knob()) == (load.device, Knob::PowerLimit);
            if !sink.proposals.iter().any(about) {
                sink.proposals.push(propose(load.device, Action::Limit(cap), Why::Drift));
            }
        }
    }
}
