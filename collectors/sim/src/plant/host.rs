//! The rest of the node: processor packages with limits, their memory, groups of processes with quotas, fans and everything else.
use super::mishap::{Mishap, Spell};
use super::{STEP_S, STEPS_A_SECOND};
use crate::board::share_within;
use crate::node::{DRAM_W, PACKAGE_IDLE_W, PACKAGE_LOAD_W};
use crate::noise::{signed, word};
use crate::profile::H100;
use model::Absence;

/// Processor packages.
pub const PACKAGES: usize = 2;
/// Cores of both.
pub const CORES: f64 = 64.0;
/// Groups of processes: two whose work can wait, and what feeds the accelerators.
pub const GROUPS: usize = 3;
/// The limits that a package takes, in watts; the highest is its rating, and where it stands before anybody turns it.
pub const PACKAGE_RANGE_W: (f64, f64) = (175.0, 350.0);
/// The smallest quota, in cores: a hundredth of the machine.
pub const QUOTA_MIN: f64 = 0.01 * CORES;
/// Power of disks, network and converters, and what fans add at full load, in watts. Assumptions: together somewhat below the
/// 500 W that the policy assumes where nothing is measured.
const CHASSIS_W: f64 = 340.0;
const FANS_W: f64 = 110.0;
/// How far the rest wanders, in watts.
const WANDERS_W: f64 = 15.0;
/// Fans follow load with this time constant, in seconds.
const FANS_S: f64 = 20.0;
/// Time for which a neighbour takes the processors, one span of these in thirty, in seconds.
const NEIGHBOUR_S: u64 = 180;
/// What each group of work that can wait takes on a crowded node in such a span, as a share of the machine. An assumption.
const CROWDED: [f64; 4] = [0.02, 0.1, 0.2, 0.3];
/// The time constant with which a package follows its limit, in seconds; power is there after about 2 s (Dynamo, ISCA'16).
const FOLLOWS_S: f64 = 0.6;
/// How much faster than needed accelerators are fed while no limit slows the processors. An assumption.
const FEED_SPARE: f64 = 1.25;
/// The quotas that groups have of their own, at first and after they were started again, in cores; all of them is none.
const OWN_QUOTAS: [[f64; 2]; GROUPS] = [[CORES, 48.0], [24.0, 40.0], [CORES, CORES]];

/// A processor package.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Package {
    /// Its long-term limit, in watts.
    pub limit_w: f64,
    /// Whether writes have no effect.
    locked: bool,
    /// Whether it draws what it likes in spite of its limit.
    ignores: bool,
    acting_w: f64,
}

/// A group of processes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Cores that it may use; all of them where it has no quota.
    pub quota: f64,
    /// Another number for each time that it was started.
    pub incarnation: u64,
    /// What somebody else wrote since we did last, in cores.
    pub foreign: Option<f64>,
    /// Whether it is there, and whether it can be read.
    pub there: bool,
    /// Whether its files can be read.
    pub readable: bool,
    /// Processor time that it used since it was started, in seconds.
    pub used_s: f64,
    /// Cores that it would use.
    wants: f64,
}

/// Work of processors, in seconds of a core at full clock.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Chores {
    /// What would have been done without limits and quotas.
    pub wanted_s: f64,
    /// What was.
    pub done_s: f64,
}

/// Processors and the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Host {
    /// Energy of package 0, package 1, and the memory of each, in joules.
    pub energy_j: [f64; 4],
    /// Power of packages and memories in the last step, in watts.
    pub packages_w: f64,
    /// Power of the rest in the last step, in watts.
    pub rest_w: f64,
    /// The packages.
    pub packages: [Package; PACKAGES],
    /// The groups.
    pub groups: [Group; GROUPS],
    /// Work that can wait, and work that feeds accelerators.
    pub chores: [Chores; 2],
    /// How fast accelerators are fed, as a share of what they need.
    pub feed: f64,
    /// Whether groups have much work of their own.
    pub crowded: bool,
    /// What feeds accelerators and the system itself, as a share of the machine.
    base: f64,
    fans: f64,
}

impl Default for Host {
    fn default() -> Self {
        let limit_w = PACKAGE_RANGE_W.1;
        let group = |own: [f64; 2]| Group {
            quota: own[0],
            incarnation: 0,
            foreign: None,
            there: true,
            readable: true,
            used_s: 0.0,
            wants: 0.0,
        };
        Self {
            energy_j: [0.0; 4],
            packages_w: 0.0,
            rest_w: 0.0,
            packages: [Package { limit_w, locked: false, ignores: false, acting_w: limit_w }; PACKAGES],
            groups: OWN_QUOTAS.map(group),
            chores: [Chores::default(); 2],
            feed: 1.0,
            crowded: false,
            base: 0.0,
            fans: 0.0,
        }
    }
}

impl Host {
    /// Moves on by one step, with boards that draw so many watts.
    pub fn step(&mut self, seed: u64, step: u64, boards_w: f64, boards: usize) {
        let load = (boards_w / (boards as f64 * H100.limit_max.0)).min(1.0);
        if step.is_multiple_of(STEPS_A_SECOND) || self.base == 0.0 {
            self.demand(seed, step / STEPS_A_SECOND, load);
        }
        self.fans += (load - self.fans) * STEP_S / FANS_S;
        let used = |group: &Group| if group.there { group.wants.min(group.quota) } else { 0.0 };
        let waits = self.groups[..2].iter().map(used).sum::<f64>() / CORES;
        let busy = (self.base + waits).clamp(0.01, 0.98);
        let (mut powers, mut speed) = ([0.0; 4], 1.0_f64);
        for (place, package) in self.packages.iter_mut().enumerate() {
            let (watts, own) = package.step(PACKAGE_LOAD_W * busy);
            powers[place] = watts;
            powers[place + PACKAGES] = DRAM_W * (0.4 + 0.6 * busy * own);
            speed = speed.min(own);
        }
        for (energy_j, watts) in self.energy_j.iter_mut().zip(powers) {
            *energy_j += watts * STEP_S;
        }
        self.packages_w = powers[0] + powers[1] + (powers[2] + powers[3]);
        self.work(speed);
        let wanders = WANDERS_W * signed(seed, 7002, step / (5 * STEPS_A_SECOND));
        self.rest_w = CHASSIS_W + FANS_W * self.fans + wanders;
    }

    /// What is to be done in this second.
    fn demand(&mut self, seed: u64, second: u64, load: f64) {
        let span = second / NEIGHBOUR_S;
        let neighbour = if word(seed, 7001, span).is_multiple_of(30) { 0.35 } else { 0.0 };
        let noise = signed(seed, 7000, second);
        self.base = 0.04 + 0.35 * load + 0.05 * noise;
        let crowd = |place: u64| match self.crowded {
            // Four kinds of spans.
            true => CROWDED[(word(seed, 7003 + place, span) % CROWDED.len() as u64) as usize],
            false => 0.0,
        };
        self.groups[0].wants = CORES * (neighbour + crowd(0));
        self.groups[1].wants = CORES * crowd(1);
        self.groups[2].wants = CORES * self.base.max(0.0);
    }

    /// Accounts for work at a speed, the share of the full clock.
    fn work(&mut self, speed: f64) {
        self.feed = (FEED_SPARE * speed).min(1.0);
        for (place, group) in self.groups.iter_mut().enumerate().filter(|(_, group)| group.there) {
            let chores = &mut self.chores[place / 2];
            let used_s = group.wants.min(group.quota) * STEP_S;
            group.used_s += used_s;
            chores.wanted_s += group.wants * STEP_S;
            chores.done_s += used_s * speed;
        }
    }

    /// Begins or ends a mishap of the host.
    pub(super) fn change(&mut self, spell: &Spell, begins: bool) {
        // A board's number stands for one of the packages, or of the groups that can wait.
        let place = spell.board % PACKAGES;
        let (package, group) = (&mut self.packages[place], &mut self.groups[place]);
        match spell.mishap {
            Mishap::PackageLocked => package.locked = begins,
            Mishap::PackageIgnores => package.ignores = begins,
            Mishap::QuotaTightened if begins => group.overwrite(group.quota.min(2.0)),
            Mishap::QuotaTightened => group.overwrite(OWN_QUOTAS[place][group.started()]),
            Mishap::GroupRestarted if begins => group.start(place),
            Mishap::GroupGone => {
                group.there = !begins;
                if !begins {
                    group.start(place);
                }
            }
            Mishap::GroupUnread => group.readable = !begins,
            _ => {}
        }
    }

    /// Lets another program have its way, as often as it comes back.
    pub(super) fn meddle(&mut self, spell: &Spell) {
        let place = spell.board % PACKAGES;
        match spell.mishap {
            Mishap::PackageRaised => self.packages[place].limit_w = PACKAGE_RANGE_W.1,
            Mishap::QuotaRaised if self.groups[place].there => self.groups[place].overwrite(CORES),
            _ => {}
        }
    }

    /// Asks a package for a limit in watts; gives what is then in force.
    pub(super) fn set_limit(&mut self, package: usize, watts: f64) -> Result<f64, Absence> {
        if !(PACKAGE_RANGE_W.0..=PACKAGE_RANGE_W.1).contains(&watts) {
            return Err(Absence::Implausible);
        }
        let own = &mut self.packages[package];
        if !own.locked {
            own.limit_w = watts;
        }
        Ok(own.limit_w)
    }

    /// Gives a group a quota in cores; gives what is then in force.
    pub(super) fn set_quota(&mut self, group: usize, cores: f64) -> Result<f64, Absence> {
        if !(QUOTA_MIN..=CORES).contains(&cores) {
            return Err(Absence::Implausible);
        }
        let own = &mut self.groups[group];
        (own.quota, own.foreign) = (cores, None);
        Ok(cores)
    }
}

impl Package {
    /// Moves on by one step with so much to draw beyond idling; gives its power and its clock as a share of the highest.
    fn step(&mut self, full_w: f64) -> (f64, f64) {
        self.acting_w += (self.limit_w - self.acting_w) * STEP_S / (STEP_S + FOLLOWS_S);
        let room_w = if self.ignores { f64::INFINITY } else { self.acting_w - PACKAGE_IDLE_W };
        (PACKAGE_IDLE_W + full_w.min(room_w), share_within(full_w, room_w))
    }
}

impl Group {
    /// 0 at first, 1 after it was started again.
    fn started(&self) -> usize {
        usize::from(self.incarnation > 0)
    }

    fn start(&mut self, place: usize) {
        self.incarnation += 1;
        (self.quota, self.foreign, self.used_s) = (OWN_QUOTAS[place][1], None, 0.0);
    }

    fn overwrite(&mut self, cores: f64) {
        (self.quota, self.foreign) = (cores, Some(cores));
    }
}
