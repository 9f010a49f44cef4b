//! A session: one campaign on the real machine, victim after victim, read through the sources that the agent runs on.
use super::child::Part;
use super::groups::{Groups, Side};
use super::part::{Load, Progress, Work};
use super::plan::{DUTIES, Encounter, Placement, encounters, victims};
use super::table::{Kind, RIVAL, Window};
use super::{Flags, LabError};
use crate::clock::{MachineClock, wait_until};
use crate::config::Config;
use crate::feed::Feed;
use detectors::interference::{Sample, Sampler};
use model::{Clock as _, DeviceId, DeviceKind, Frame};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Length of a window, in nanoseconds.
const WINDOW_NS: u64 = 1_000_000_000;
/// Between a change and the first window, in nanoseconds: buffers are filled, the scheduler has settled.
const SETTLE_NS: u64 = 300_000_000;
/// A victim's first time, in which it learns its own pace, in nanoseconds.
const WARM_NS: u64 = 2_000_000_000;
/// Encounters between two looks at the victim alone.
const ENCOUNTERS_BETWEEN: usize = 6;
/// Quiet windows at the beginning for each of [`DUTIES`].
const QUIET_FIRST: [u32; 4] = [4, 2, 3, 2];
/// How long a part lives at most, in seconds.
const PART_SECONDS: u64 = 600;
/// The sources that the lab reads.
const SOURCES: [&str; 8] = ["cpu", "memory", "pressure", "disk", "network", "cgroup", "probe", "resctrl"];

/// A campaign under way.
pub(super) struct Session<'a> {
    flags: &'a Flags,
    folder: PathBuf,
    groups: Groups,
    feed: Feed,
    frame: Frame,
    sampler: Sampler,
    campaign: u32,
    block: u32,
    windows: Vec<Window>,
}

/// What the windows to come are about.
#[derive(Debug, Clone, Copy)]
struct About {
    victim: Work,
    duty: f64,
    kind: Kind,
    /// Its number in the block, from 1.
    encounter: Option<(u32, Encounter)>,
}

impl<'a> Session<'a> {
    /// A campaign that has not begun: groups made, sources open.
    ///
    /// # Errors
    /// When groups cannot be made or sources not be opened.
    pub(super) fn new(
        config: &Config,
        flags: &'a Flags,
        folder: &Path,
        campaign: u32,
    ) -> Result<Self, LabError> {
        let groups = Groups::make(&config.collectors.sys.join("fs/cgroup"))?;
        let mut config = config.clone();
        config.rig.kind = model::snapshot::Rig::Hardware;
        config.probe = true;
        let others =
            collectors::BUILT_IN.iter().map(|entry| entry.name).filter(|name| !SOURCES.contains(name));
        config.collectors.disabled.extend(others.map(str::to_owned));
        let feed = crate::rig::assemble(&config).map_err(LabError::Rig)?.feed;
        Ok(Self {
            flags,
            folder: folder.to_owned(),
            groups,
            feed,
            frame: Frame::default(),
            sampler: Sampler::default(),
            campaign,
            block: 0,
            windows: Vec::new(),
        })
    }

    /// Runs the campaign and gives its windows. `told` hears of each victim.
    ///
    /// # Errors
    /// When a part cannot be started or dies, or a group's counters are not there.
    pub(super) fn run(mut self, mut told: impl FnMut(&str)) -> Result<Vec<Window>, LabError> {
        for victim in victims(u64::from(self.campaign), self.flags.seed) {
            if !self.flags.victim.is_empty() && !self.flags.victim.contains(&victim) {
                continue;
            }
            self.block += 1;
            let from = self.windows.len();
            self.victim(victim)?;
            let windows = &mut self.windows[from..];
            settle_baselines(windows);
            told(&format!("campaign {}: {} done, {} windows", self.campaign, victim.as_str(), windows.len()));
        }
        Ok(self.windows)
    }

    fn victim(&mut self, victim: Work) -> Result<(), LabError> {
        let part = self.start(Side::Victim, |command| {
            command.arg("--work").arg(victim.as_str()).args(["--cpu", &self.flags.cpu.to_string()]);
        })?;
        part.steering.steer(1.0).map_err(|error| LabError::io("steer a part", error))?;
        self.rest(WARM_NS);
        let alone = |duty, kind| About { victim, duty, kind, encounter: None };
        for (duty, count) in DUTIES.into_iter().zip(QUIET_FIRST) {
            self.record(&part, &alone(duty, Kind::Quiet), count)?;
        }
        let list = encounters(victim, u64::from(self.campaign), self.flags.seed);
        for (number, encounter) in list.into_iter().enumerate() {
            if number > 0 && number % ENCOUNTERS_BETWEEN == 0 {
                self.record(&part, &alone(1.0, Kind::Quiet), 2)?;
                self.record(&part, &alone(0.5, Kind::Quiet), 1)?;
            }
            let rival = self.meet(encounter)?;
            let encounter = Some((number as u32 + 1, encounter));
            let duty = encounter.map_or(1.0, |(_, met)| met.duty);
            let about = About { victim, duty, kind: Kind::Met, encounter };
            self.record(&part, &about, self.flags.windows)?;
            drop(rival);
        }
        for duty in DUTIES.into_iter().rev() {
            self.record(&part, &alone(duty, Kind::Control), 2)?;
        }
        Ok(())
    }

    /// Starts an antagonist at work.
    fn meet(&self, encounter: Encounter) -> Result<Part, LabError> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let (threads, cpu) = match encounter.placement {
            Placement::Same => (1, Some(self.flags.cpu)),
            Placement::Other => (1, Some(self.flags.other)),
            Placement::Free => (processors, None),
        };
        let part = self.start(Side::Antagonist, |command| {
            command.arg("--load").arg(encounter.load.as_str()).args(["--threads", &threads.to_string()]);
            if let Some(cpu) = cpu {
                command.args(["--cpu", &cpu.to_string()]);
            }
        })?;
        let steered = part.steering.steer(encounter.intensity);
        steered.map_err(|error| LabError::io("steer a part", error))?;
        // Buffers are filled before the first window.
        let fills = matches!(encounter.load, Load::Cache | Load::Bandwidth);
        self.rest(if fills { SETTLE_NS * 2 } else { SETTLE_NS });
        Ok(part)
    }

    fn start(&self, side: Side, arguments: impl FnOnce(&mut Command)) -> Result<Part, LabError> {
        let folder = self.folder.join(if side == Side::Victim { "victim" } else { "antagonist" });
        let part = Part::start(&folder, PART_SECONDS, arguments)?;
        let failed = |error| LabError::io("move a part into its group", error);
        self.groups.enter(side, part.child.id()).map_err(failed)?;
        Ok(part)
    }

    fn rest(&self, time_ns: u64) {
        wait_until(MachineClock.now().mono_ns + time_ns);
    }

    /// Records windows of the victim as it is now.
    fn record(&mut self, part: &Part, about: &About, count: u32) -> Result<(), LabError> {
        let failed = |what: &'static str| move |error: std::io::Error| LabError::io(what, error);
        part.steering.steer(about.duty).map_err(failed("steer a part"))?;
        self.rest(SETTLE_NS);
        let mut last = self.look(part)?;
        let mut due = MachineClock.now().mono_ns;
        for _ in 0..count {
            due += WINDOW_NS;
            wait_until(due);
            let now = self.look(part)?;
            let (sample, rival) = now.counted;
            let (ops, busy_ns) =
                (now.progress.ops - last.progress.ops, now.progress.busy_ns - last.progress.busy_ns);
            if let (Some(sample), true) = (sample, busy_ns > 0 && ops > 0) {
                let met = about.encounter.map(|(_, encounter)| encounter);
                self.windows.push(Window {
                    campaign: self.campaign,
                    block: self.block,
                    victim: about.victim.as_str().to_owned(),
                    duty: about.duty,
                    kind: about.kind,
                    encounter: about.encounter.map_or(0, |(number, _)| number),
                    antagonist: met.map_or("", |met| met.load.as_str()).to_owned(),
                    intensity: met.map_or(0.0, |met| met.intensity),
                    placement: met.map_or("", |met| met.placement.as_str()).to_owned(),
                    speed: ops as f64 / busy_ns as f64 * 1e9,
                    alone: f64::NAN,
                    sample,
                    rival: rival.map_or([f32::NAN; RIVAL.len()], |rival| {
                        RIVAL.map(|counter| rival.own[counter as usize])
                    }),
                });
            }
            last = now;
        }
        Ok(())
    }

    fn look(&mut self, part: &Part) -> Result<Look, LabError> {
        let progress =
            part.steering.progress().map_err(|error| LabError::io("read what a victim has done", error))?;
        self.feed.collect(MachineClock.now(), &mut self.frame);
        self.sampler.take(&self.frame);
        let (victim, rival) = (self.device(Side::Victim)?, self.device(Side::Antagonist)?);
        let mut window = |device| self.sampler.window(&self.frame, device).map(|(sample, _)| sample);
        Ok(Look { progress, counted: (window(victim), window(rival)) })
    }

    fn device(&self, side: Side) -> Result<DeviceId, LabError> {
        self.frame.devices.find(DeviceKind::Cgroup, side.path()).ok_or(LabError::Unseen(side.path()))
    }
}

/// What is seen at the edge of a window.
#[derive(Debug)]
struct Look {
    progress: Progress,
    /// Of the victim and of its antagonists.
    counted: (Option<Sample>, Option<Sample>),
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
