//! A session on an accelerator: one campaign, victim after victim, on a stage that is simulated or real.
use super::plan::{Encounter, Job, Press, Sharing, encounters};
use super::table::Window;
use crate::lab::plan::DUTIES;
use crate::lab::table::Kind;
use crate::lab::{Flags, LabError};
use detectors::interference::sharers::Sighting;

/// A victim's first time, in which it learns its own pace, in seconds.
const WARM_S: u32 = 3;
/// After each change, until counters have settled and a limit acts, in seconds. Not recorded.
const SETTLE_S: u32 = 3;
/// Quiet windows at the beginning for each of [`DUTIES`].
const QUIET_FIRST: [u32; 4] = [6, 3, 4, 3];
/// Encounters between two looks at the victim alone.
const ENCOUNTERS_BETWEEN: usize = 3;

/// What a second shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Operations that the victim has done so far, and seconds spent in them.
    pub(super) progress: (f64, f64),
    pub(super) seen: Sighting,
    /// What the driver tells of the antagonist.
    pub(super) rival: Option<f64>,
    /// Power and the limit in force, in watts.
    pub(super) power: [Option<f64>; 2],
    /// Data over links to other boards, in bytes a second.
    pub(super) link: Option<f64>,
}

/// Where victims and antagonists run.
pub(super) trait Stage {
    /// Whether the board does not exist.
    const SIMULATED: bool;
    /// The ways of sharing that it can be put into.
    fn sharings(&self) -> &'static [Sharing];
    /// Whether it can press on this.
    fn presses(&self, press: Press) -> bool;
    /// Begins with a victim, and no antagonist.
    fn begin(&mut self, job: Job, sharing: Sharing) -> Result<(), LabError>;
    /// Asks the victim for a share of its full rate.
    fn steer(&mut self, duty: f64) -> Result<(), LabError>;
    /// Lets an antagonist come, or the one that is there go.
    fn meet(&mut self, rival: Option<Encounter>) -> Result<(), LabError>;
    /// Lets a second pass and looks.
    fn second(&mut self) -> Result<Look, LabError>;
}

/// A campaign under way.
pub(super) struct Session<'a, S> {
    pub(super) stage: S,
    pub(super) flags: &'a Flags,
    pub(super) campaign: u32,
    pub(super) block: u32,
    pub(super) windows: Vec<Window>,
}

/// What the windows to come are about.
#[derive(Debug, Clone, Copy)]
struct About {
    victim: Job,
    sharing: Sharing,
    duty: f64,
    kind: Kind,
    /// Its number in the block, from 1.
    encounter: Option<(u32, Encounter)>,
}

impl<S: Stage> Session<'_, S> {
    /// Runs the campaign and gives its windows. `told` hears of each victim.
    ///
    /// # Errors
    /// When the stage fails.
    pub(super) fn run(mut self, mut told: impl FnMut(&str)) -> Result<Vec<Window>, LabError> {
        for sharing in self.stage.sharings() {
            let jobs = &self.flags.job;
            for victim in Job::ALL.into_iter().filter(|job| jobs.is_empty() || jobs.contains(job)) {
                self.block += 1;
                let from = self.windows.len();
                self.victim(victim, *sharing)?;
                settle_baselines(&mut self.windows[from..]);
                let (simulated, count) =
                    (if S::SIMULATED { ", SIMULATED" } else { "" }, self.windows.len() - from);
                let (sharing, victim) = (sharing.as_str(), victim.as_str());
                told(&format!(
                    "campaign {}, {sharing}: {victim} done, {count} windows{simulated}",
                    self.campaign
                ));
            }
        }
        Ok(self.windows)
    }

    fn victim(&mut self, victim: Job, sharing: Sharing) -> Result<(), LabError> {
        self.stage.begin(victim, sharing)?;
        self.stage.steer(1.0)?;
        (0..WARM_S).try_for_each(|_| self.stage.second().map(drop))?;
        let alone = |duty, kind| About { victim, sharing, duty, kind, encounter: None };
        for (duty, count) in DUTIES.into_iter().zip(QUIET_FIRST).rev() {
            self.record(&alone(duty, Kind::Quiet), count)?;
        }
        let mut list = encounters(victim, sharing, u64::from(self.campaign), self.flags.seed);
        list.retain(|encounter| self.stage.presses(encounter.press));
        for (number, encounter) in (1_u32..).zip(list) {
            if number > 1 && (number as usize - 1).is_multiple_of(ENCOUNTERS_BETWEEN) {
                self.record(&alone(0.5, Kind::Quiet), 1)?;
                self.record(&alone(1.0, Kind::Quiet), 3)?;
            }
            self.stage.meet(Some(encounter))?;
            let met = About { encounter: Some((number, encounter)), ..alone(encounter.duty, Kind::Met) };
            self.record(&met, self.flags.windows)?;
            self.stage.meet(None)?;
        }
        for duty in DUTIES.into_iter().rev() {
            self.record(&alone(duty, Kind::Control), 2)?;
        }
        Ok(())
    }

    /// Records windows of the victim as it is now.
    fn record(&mut self, about: &About, count: u32) -> Result<(), LabError> {
        self.stage.steer(about.duty)?;
        (1..SETTLE_S).try_for_each(|_| self.stage.second().map(drop))?;
        let mut last = self.stage.second()?;
        for _ in 0..count {
            let now = self.stage.second()?;
            let (ops, busy) = (now.progress.0 - last.progress.0, now.progress.1 - last.progress.1);
            last = now;
            if ops > 0.0 && busy > 0.0 {
                self.windows.push(self.window(about, ops / busy, &now));
            }
        }
        Ok(())
    }

    fn window(&self, about: &About, speed: f64, look: &Look) -> Window {
        let met = about.encounter.map(|(_, encounter)| encounter);
        Window {
            simulated: S::SIMULATED,
            campaign: self.campaign,
            block: self.block,
            victim: about.victim.as_str().to_owned(),
            duty: about.duty,
            kind: about.kind,
            encounter: about.encounter.map_or(0, |(number, _)| number),
            antagonist: met.map_or("", |met| met.press.as_str()).to_owned(),
            intensity: met.map_or(0.0, |met| met.intensity),
            sharing: about.sharing.as_str().to_owned(),
            speed,
            alone: f64::NAN,
            seen: look.seen,
            rival: look.rival,
            power: look.power,
            link: look.link,
        }
    }
}

/// Fills in how fast each victim is alone: the median of the quiet windows of its block at the same duty.
fn settle_baselines(windows: &mut [Window]) {
    for duty in DUTIES {
        let quiet = windows.iter().filter(|window| window.kind == Kind::Quiet && window.duty == duty);
        let mut speeds: Vec<f64> = quiet.map(|window| window.speed).collect();
        speeds.sort_by(f64::total_cmp);
        let Some(median) = speeds.get(speeds.len() / 2).copied() else { continue };
        windows.iter_mut().filter(|window| window.duty == duty).for_each(|window| window.alone = median);
    }
}
