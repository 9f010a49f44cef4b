//! The simulated stage: one board of the simulator, read as the agent's own simulated rig is.
use super::plan::{Encounter, Job, Press, Sharing};
use super::session::{Look, Stage};
use crate::config::Config;
use crate::feed::Feed;
use crate::lab::{Flags, LabError};
use crate::rig::stepped::SteppedClock;
use crate::rig::{Pace, idle};
use detectors::interference::sharers::Sighting;
use model::{Device, Frame, Metric, ProcessUse};
use sim::Tenant;
use sim::rig::{PID_FIRST, SharedNode};
use std::sync::Arc;
use std::time::Duration;

/// The share of the range of limits by which power is squeezed at an intensity of 1.
const SQUEEZE: f64 = 0.6;

/// A board with a victim and at most one antagonist.
pub(super) struct Simulated {
    feed: Feed,
    frame: Frame,
    node: SharedNode,
    clock: Arc<SteppedClock>,
}

impl Simulated {
    /// An idle board, another one for each campaign.
    pub(super) fn new(config: &Config, flags: &Flags, campaign: u32) -> Self {
        let mut config = config.clone();
        (config.rig.sim_board, config.rig.sim_boards) = ("h100".to_owned(), 1);
        config.rig.sim_seed = flags.seed + u64::from(campaign);
        let assembly = idle(&config);
        let (Pace::Stepped(clock), Some(node)) = (assembly.pace, assembly.sim) else {
            unreachable!("the simulated rig steps its own node")
        };
        Self { feed: assembly.feed, frame: Frame::default(), node, clock }
    }

    fn seat(&self, place: usize, tenant: Tenant, duty: f64) {
        if let Some(board) = self.node.lock().board_mut(0) {
            board.seats.seat(place, tenant, duty);
        }
    }
}

const fn tenant(job: Job) -> Tenant {
    match job {
        Job::Compute => Tenant::Compute,
        Job::Stream => Tenant::Stream,
        Job::Copy => Tenant::Copy,
        Job::Launch => Tenant::Launch,
        Job::Decode => Tenant::Decode,
    }
}

const fn rival(press: Press) -> Tenant {
    match press {
        Press::Compute => Tenant::PressCompute,
        Press::Memory => Tenant::PressMemory,
        Press::Copy => Tenant::PressCopy,
        Press::Mixed => Tenant::PressMixed,
        Press::Power => Tenant::Nobody,
    }
}

impl Stage for Simulated {
    const SIMULATED: bool = true;

    fn sharings(&self) -> &'static [Sharing] {
        &Sharing::ALL
    }

    fn presses(&self, _: Press) -> bool {
        true
    }

    fn begin(&mut self, job: Job, sharing: Sharing) -> Result<(), LabError> {
        if let Some(board) = self.node.lock().board_mut(0) {
            board.seats.clear();
            board.seats.set_mps(sharing == Sharing::Mps);
            board.seats.seat(0, tenant(job), 1.0);
        }
        Ok(())
    }

    fn steer(&mut self, duty: f64) -> Result<(), LabError> {
        let tenant = self.node.lock().boards()[0].seats.seats[0].tenant();
        self.seat(0, tenant, duty);
        Ok(())
    }

    fn meet(&mut self, met: Option<Encounter>) -> Result<(), LabError> {
        let tenant = met.map_or(Tenant::Nobody, |met| rival(met.press));
        self.seat(1, tenant, met.map_or(0.0, |met| met.intensity));
        if let Some(board) = self.node.lock().board_mut(0) {
            let profile = board.profile();
            let squeezed = met.filter(|met| met.press == Press::Power).map_or(0.0, |met| met.intensity);
            let room_w = profile.limit_max.0 - profile.limit_min.0;
            board.out_of_band_w = profile.limit_max.0 - SQUEEZE * squeezed * room_w;
        }
        Ok(())
    }

    fn second(&mut self) -> Result<Look, LabError> {
        let now = self.clock.advance(Duration::from_secs(1));
        self.feed.collect(now, &mut self.frame);
        let victim = self.node.lock().boards()[0].seats.seats[0];
        let device = self.frame.devices.accelerators().next();
        let device = device.ok_or(LabError::Unseen("the simulated board"))?;
        let process = |pid: u32| self.frame.processes.iter().find(|process| process.pid == pid);
        let own = process(PID_FIRST).ok_or(LabError::Unseen("the simulated victim"))?;
        let rival = process(PID_FIRST + 1).and_then(|process| process.utilization);
        Ok(look(&self.frame, device, own, ((victim.done_s, victim.busy_s), rival)))
    }
}

/// What a frame shows of a victim beside what it has done.
pub(super) fn look(
    frame: &Frame,
    device: &Device,
    own: &ProcessUse,
    (progress, rival): ((f64, f64), Option<f64>),
) -> Look {
    let value = |metric| frame.value(device.id, metric);
    Look {
        progress,
        seen: Sighting::of(frame, device, own),
        rival,
        power: [value(Metric::PowerInstant), value(Metric::PowerLimitEnforced)],
        link: value(Metric::LinkReceive),
    }
}
