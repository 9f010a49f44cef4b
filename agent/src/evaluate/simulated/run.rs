//! Runs: a node beats as it does in the agent, as fast as it goes, with a fault or without.
use super::case::{Case, Shows, Whom};
use super::day::{BOARDS, BUDGET_W, Day, JOB_MAX_S};
use crate::beat::Beat;
use crate::engine;
use crate::rig::{self, Pace, stepped::SteppedClock};
use crate::run::Failed;
use model::event::Phase;
use model::snapshot::Rig;
use model::{Clock as _, DeviceId, DeviceKind, Event, FaultKind, Severity, Watts};
use sim::rig::SharedNode;
use std::sync::Arc;
use std::time::Duration;

/// Ticks of the reflex in a beat.
const TICKS: u32 = 10;
/// Beats of a healthy run that are learning and not counted.
const LEARN_BEATS: u64 = 900;

/// An event as it is reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Of whom.
    pub(super) device: String,
    /// What.
    pub(super) fault: FaultKind,
    /// How bad.
    pub(super) severity: Severity,
    /// When it was raised, in seconds.
    pub(super) at_s: u64,
}

/// What came of one injected fault.
#[derive(Debug)]
pub(super) struct Trial {
    /// The seed.
    pub(super) seed: u64,
    /// Seconds until it was told of the right device under a right name.
    pub(super) delay: Option<u64>,
    /// Whether the worst event was then on the right device.
    pub(super) first: bool,
    /// Every event that was raised after the fault.
    pub(super) told: Vec<Told>,
    /// Events before the fault, once learning was over.
    pub(super) before: Vec<Told>,
    /// Healthy seconds before the fault, learning left out.
    pub(super) healthy_s: u64,
}

/// What came of a healthy run.
#[derive(Debug)]
pub(super) struct Healthy {
    /// The seed.
    pub(super) seed: u64,
    /// Seconds that count.
    pub(super) seconds: u64,
    /// Events.
    pub(super) told: Vec<Told>,
}

/// A node that beats.
struct World {
    beat: Beat,
    clock: Arc<SteppedClock>,
    node: SharedNode,
    day: Day,
    beats: u64,
    beat_s: u32,
    enforces: bool,
    directory: std::path::PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        // The system's cleaning of temporary files does it otherwise.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl World {
    fn new(seed: u64, beat_s: u32, squeezes: bool, without: &[String]) -> Result<Self, Failed> {
        let mut config = crate::config::load(None, &[])?;
        config.beat.interval = Duration::from_secs(beat_s.into());
        config.rig.kind = Rig::Sim;
        config.detectors_disabled = without.to_vec();
        (config.rig.sim_boards, config.rig.sim_seed) = (BOARDS, seed);
        "h100".clone_into(&mut config.rig.sim_board);
        config.power.budget_w = Some(BUDGET_W);
        config.power.enforce = squeezes;
        let name = format!("wattkeeper-evaluate-{}-{seed}-{beat_s}-{squeezes}", std::process::id());
        config.state_directory = std::env::temp_dir().join(name);
        let directory = config.state_directory.clone();
        let assembly = rig::idle(&config);
        let node = assembly.sim.clone().ok_or("the evaluation needs the simulator")?;
        let Pace::Stepped(clock) = assembly.pace.clone() else {
            return Err("the clock must be stepped".into());
        };
        let beat = engine::build(&config, assembly)?;
        let day = Day::new(seed, squeezes);
        Ok(Self { beat, clock, node, day, beats: 0, beat_s, enforces: squeezes, directory })
    }

    fn at_s(&self) -> f64 {
        (self.beats * u64::from(self.beat_s)) as f64
    }

    /// One beat; gives the events that were raised on it.
    fn turn(&mut self) -> impl Iterator<Item = &Event> {
        self.beats += 1;
        let at_s = self.at_s();
        self.day.live(at_s, &mut self.node.lock());
        if self.enforces {
            self.beat.govern().set_budget(Watts(self.day.budget_w(at_s)));
            for _ in 0..TICKS * self.beat_s {
                let now = self.clock.advance(Duration::from_secs(1) / TICKS);
                self.beat.govern().tick(now);
            }
        } else {
            self.clock.advance(Duration::from_secs(self.beat_s.into()));
        }
        self.beat.collect(self.clock.now());
        self.beat.think();
        self.beat.fit();
        self.beat.watch().active().iter().filter(|event| event.phase == Phase::Raised)
    }

    fn told(&self, event: &Event) -> Told {
        let device = self.beat.frame().devices.get(event.device).info.name.clone();
        Told {
            device,
            fault: event.fault,
            severity: event.severity,
            at_s: self.beats * u64::from(self.beat_s),
        }
    }

    /// One beat; notes the events that were raised on it.
    fn note(&mut self, list: &mut Vec<Told>) {
        let raised: Vec<Event> = self.turn().cloned().collect();
        list.extend(raised.iter().map(|event| self.told(event)));
    }

    /// The device that a fault of a board should be told of.
    fn whom(&self, whom: Whom, board: usize) -> Option<DeviceId> {
        let devices = &self.beat.frame().devices;
        match whom {
            Whom::Board => devices.find(DeviceKind::Gpu, &self.node.lock().uuid(board)),
            Whom::Node => devices.of_kind(DeviceKind::Node).next().map(|node| node.id),
            Whom::Source => devices.of_kind(DeviceKind::Source).next().map(|source| source.id),
            Whom::Group => {
                devices.find(DeviceKind::Cgroup, &format!("/kubepods/job{}", sim::node::numa(board as u32)))
            }
            Whom::Fan => devices.find(DeviceKind::Sensor, &format!("chassis/fan{board}")),
        }
    }
}

/// Puts a fault into a node that has lived for a while.
pub(super) fn trial(case: &Case, seed: u64, without: &[String]) -> Result<Trial, Failed> {
    let mut world = World::new(seed, case.beat_s, false, without)?;
    let (mut before, mut healthy_s) = (Vec::new(), 0);
    let beat_s = u64::from(case.beat_s);
    let draw = |number: u64| sim::noise::word(seed, 50, number);
    let lead = u64::from(case.lead) + draw(0) % 300;
    let board = (draw(1) % BOARDS as u64) as usize;
    // A board that works, so that the fault has something to show in.
    while world.beats < lead || !world.day.works(board, world.at_s()) {
        let mut list = Vec::new();
        world.note(&mut list);
        if world.beats > LEARN_BEATS {
            healthy_s += beat_s;
            before.append(&mut list);
        }
    }
    let until_s = world.at_s() + f64::from(case.beats * case.beat_s).min(JOB_MAX_S) + 60.0;
    world.day.keep(board, until_s);
    let right = world.whom(case.whom, board).ok_or("the board is not there")?;
    // What is no fault must not be told of anybody.
    let meant = |device: DeviceId| case.shows == Shows::Never || device == right;
    let old = world.beat.watch().active().iter().map(|event| event.id).max();
    case.injection.act(&mut world.node.lock(), board);
    let (begun, mut found, mut told) = (world.beats, 0, Vec::new());
    let (mut delay, mut first) = (None, false);
    for _ in 0..case.beats {
        world.note(&mut told);
        if delay.is_some() {
            // A little longer, so that the list tells what else is said of it.
            if world.beats >= found + 30 {
                break;
            }
            continue;
        }
        let new = || world.beat.watch().active().iter().filter(|event| Some(event.id) > old);
        if new().any(|event| meant(event.device) && case.kinds.contains(&event.fault)) {
            delay = Some((world.beats - begun) * beat_s);
            found = world.beats;
            let worst = |a: &&Event, b: &&Event| {
                (a.severity, a.score).partial_cmp(&(b.severity, b.score)).unwrap_or(std::cmp::Ordering::Equal)
            };
            first = new().max_by(worst).is_some_and(|event| event.device == right);
        }
    }
    Ok(Trial { seed, delay, first, told, before, healthy_s })
}

/// Lets a sound node live for so many hours, with jobs and power squeezes.
pub(super) fn healthy(seed: u64, (hours, beat_s): (f64, u32), without: &[String]) -> Result<Healthy, Failed> {
    let mut world = World::new(seed, beat_s, true, without)?;
    let mut told = Vec::new();
    // Hours are given by hand and small.
    let beats = (hours * 3600.0) as u64 / u64::from(beat_s) + LEARN_BEATS;
    while world.beats < beats {
        let mut list = Vec::new();
        world.note(&mut list);
        if world.beats > LEARN_BEATS {
            told.append(&mut list);
        }
    }
    Ok(Healthy { seed, seconds: (beats - LEARN_BEATS) * u64::from(beat_s), told })
}
