//! Drift: positions that somebody else raised above our cap. They are set again a few times, then called contended.
use crate::budget::Load;
use crate::host;
use crate::scene::propose;
use crate::settings::Settings;
use model::{Action, DeviceId, ProposalSink, Timestamp, View, Why};

/// Our cap on a knob, and the position that is in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) device: DeviceId,
    /// What would set our cap again, its position, and since when it is there.
    pub(crate) cap: Option<(Action, f64, Timestamp)>,
    /// `None`: it cannot be read.
    pub(crate) in_force: Option<f64>,
    /// What is not yet a raise.
    pub(crate) slack: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Writer {
    /// What would set our cap again, where the position is above it now.
    raised: Option<(DeviceId, Action)>,
    tries: u32,
    last: Timestamp,
}

/// What other writers do to our caps. A tighter position than ours is accepted and never fought.
#[derive(Debug, Default)]
pub struct Drift {
    /// By device index.
    writers: Vec<Writer>,
    tries_max: u32,
}

impl Drift {
    /// Looks at one beat. A cap counts once it has settled, so that a position read before our write is no drift.
    pub fn look(&mut self, view: &View<'_>, loads: &[Load], settings: &Settings) {
        self.tries_max = settings.reassert_max;
        self.writers.resize(view.frame.devices.len(), Writer::default());
        self.writers.iter_mut().for_each(|writer| writer.raised = None);
        let of_board = |load: &Load| Standing {
            device: load.device,
            cap: view.cap(load.device).map(|cap| (Action::Limit(cap.limit), cap.limit.0, cap.since)),
            in_force: load.enforced.map(|now| now.0),
            slack: settings.deadband.0,
        };
        loads.iter().map(of_board).for_each(|standing| self.watch(&standing, view.now, settings));
        if settings.host {
            host::standings(view, settings).for_each(|standing| self.watch(&standing, view.now, settings));
        }
    }

    fn watch(&mut self, standing: &Standing, now: Timestamp, settings: &Settings) {
        let writer = &mut self.writers[standing.device.index()];
        // Once it is contended there is no order of ours under way that could still lower it.
        let contended = writer.tries >= settings.reassert_max;
        let settled = standing.cap.filter(|(.., since)| contended || now.since(*since) >= settings.settle);
        writer.raised = match (settled, standing.in_force) {
            (Some((action, cap, _)), Some(now)) if now > cap + standing.slack => {
                Some((standing.device, action))
            }
            _ => None,
        };
        if writer.raised.is_some() {
            writer.last = now;
        } else if standing.cap.is_none() || now.since(writer.last) >= settings.reassert_memory {
            writer.tries = 0;
        }
    }

    /// Whether the device's position is above our cap and setting it again was of no use.
    pub fn contended(&self, device: DeviceId) -> bool {
        let writer = self.writers.get(device.index());
        writer.is_some_and(|writer| writer.raised.is_some() && writer.tries >= self.tries_max)
    }

    /// Proposes to set raised positions again, except on devices that something is proposed for already.
    pub fn reassert(&mut self, sink: &mut ProposalSink) {
        for writer in &mut self.writers {
            let Some((device, action)) = writer.raised.filter(|_| writer.tries < self.tries_max) else {
                continue;
            };
            writer.tries += 1;
            let about = |one: &model::Proposal| (one.device, one.action.knob()) == (device, action.knob());
            if !sink.proposals.iter().any(about) {
                sink.proposals.push(propose(device, action, Why::Drift));
            }
        }
    }
}
