//! The plant: a node of eight H100s reduced to power, fast enough for thousands of days.
//!
//! Steps of 100 ms. Power and speed follow limits and locked clocks by the same laws as [`crate::board`]; a step is cut in two
//! where a job's work changes within it, so that sensors that see 25 of 100 ms miss what they miss. Everything is drawn from the
//! seed: day, jobs, requests, sensors and mishaps. What a policy does changes power and speed, and how training jobs get on, and
//! nothing else.
pub mod board;
pub mod breaker;
pub mod host;
pub mod job;
pub mod mishap;

use crate::noise::{signed, unit, word};
use crate::profile::H100;
use board::{Board, Sensing};
use host::Host;
use job::{Demand, Job};
use mishap::{Mishap, Spell, spells};
use model::{Absence, Priority};

/// The length of a step, in seconds.
pub const STEP_S: f64 = 0.1;
/// Steps of a second.
pub const STEPS_A_SECOND: u64 = 10;
/// Boards of the node.
pub const BOARDS: usize = 8;
/// Jobs at a time, at most.
const JOBS_MAX: usize = BOARDS;

/// How many boards the jobs of a day have, side by side.
const LAYOUTS: [&[usize]; 7] = [
    &[4, 4],
    &[4, 2, 2],
    &[4, 2, 1, 1],
    &[2, 2, 2, 2],
    &[4, 1, 1, 1, 1],
    &[2, 2, 2, 1, 1],
    &[2, 2, 1, 1, 1, 1],
];
/// No more boards than these have work of high priority: half of them, an assumption.
const HIGH_MAX: usize = 4;

/// What a driver says when it is asked.
pub type Answer = Result<f64, Absence>;

/// Work of a class of priority, in seconds times boards.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// What was done: seconds at full speed, whenever they were needed. Requests that wait are work to come, not work lost.
    pub done_s: f64,
    /// The time in which there was something to do.
    pub busy_s: f64,
    /// The integral of speed over that time: what is missing to `busy_s` made somebody wait.
    pub run_s: f64,
}

/// A node.
#[derive(Debug, Clone)]
pub struct Plant {
    seed: u64,
    step: u64,
    /// The boards.
    pub boards: [Board; BOARDS],
    jobs: Vec<Job>,
    host: Host,
    spells: Vec<Spell>,
    /// The next spell to begin, and those under way.
    next: usize,
    running: Vec<Spell>,
    /// By class: low, normal, high.
    work: [Work; 3],
    denied: bool,
    rapl_gone: bool,
}

impl Plant {
    /// The same node with much work of its own on the processors.
    pub fn crowded(mut self) -> Self {
        self.host.crowded = true;
        self
    }

    /// A node at the beginning of a day of `steps` steps, on which things go wrong `times` as often as they really do.
    pub fn new(seed: u64, steps: u64, times: f64) -> Self {
        Self::with(seed, spells(seed, steps, times))
    }

    /// A node with these mishaps, in the order in which they begin.
    pub fn with(seed: u64, spells: Vec<Spell>) -> Self {
        // An operator has lowered the limit of one board in eight.
        let original =
            |index: usize| if word(seed, 1200, index as u64).is_multiple_of(8) { 650.0 } else { 700.0 };
        Self {
            seed,
            step: 0,
            boards: std::array::from_fn(|index| Board::new(seed, index, original(index))),
            jobs: jobs(seed),
            host: Host::default(),
            spells,
            next: 0,
            running: Vec::new(),
            work: [Work::default(); 3],
            denied: false,
            rapl_gone: false,
        }
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Moves on by one step.
    pub fn step(&mut self) {
        self.step += 1;
        self.mishaps();
        let (seed, step) = (self.seed, self.step);
        for job in &mut self.jobs {
            let down = self.boards[job.range()].iter().any(|board| board.lost);
            let asked = if down { Demand::default() } else { job.ask(seed, step) };
            let mut speed = [1.0_f64; 2];
            for index in job.range() {
                let noise = signed(seed, 5000 + index as u64, step);
                let own = self.boards[index].work(&asked, noise);
                speed = [speed[0].min(own[0]), speed[1].min(own[1])];
            }
            let feed = self.host.feed;
            let speed = speed.map(|speed| speed * feed);
            let done_s = job.advance(&asked, speed);
            let boards_s = STEP_S * job.boards as f64;
            let busy = [asked.share * asked.busy[0], (1.0 - asked.share) * asked.busy[1]];
            let work = &mut self.work[job.priority as usize];
            work.busy_s += boards_s * (busy[0] + busy[1]);
            work.run_s += boards_s * (busy[0] * speed[0] + busy[1] * speed[1]);
            work.done_s += done_s * job.boards as f64;
        }
        let boards_w = self.boards_w();
        self.host.step(seed, step, boards_w, BOARDS);
    }

    /// Begins and ends what goes wrong on the plant itself; what goes wrong with those who watch it is theirs to see to.
    fn mishaps(&mut self) {
        while let Some(spell) = self.spells.get(self.next).copied().filter(|spell| spell.from <= self.step) {
            self.next += 1;
            self.running.push(spell);
            self.change(&spell, true);
        }
        let mut place = 0;
        while place < self.running.len() {
            if self.running[place].until <= self.step {
                let spell = self.running.swap_remove(place);
                self.change(&spell, false);
            } else {
                place += 1;
            }
        }
        for place in 0..self.running.len() {
            let Spell { mishap, board, from, draw, .. } = self.running[place];
            // A second writer comes back every 5 to 30 seconds.
            let every = STEPS_A_SECOND * (5 + draw % 26);
            if !(self.step - from).is_multiple_of(every) {
                continue;
            }
            match mishap {
                Mishap::SecondWriter => self.boards[board].requested_w = self.boards[board].default_w,
                _ => self.host.meddle(&self.running[place]),
            }
        }
    }

    fn change(&mut self, spell: &Spell, begins: bool) {
        let board = &mut self.boards[spell.board];
        let sensing = |sensing| if begins { sensing } else { Sensing::Sound };
        match spell.mishap {
            Mishap::SensorStuck => board.sensing = sensing(Sensing::Stuck),
            Mishap::SensorZero => board.sensing = sensing(Sensing::Zero),
            Mishap::SensorAbsurd => board.sensing = sensing(Sensing::Absurd),
            Mishap::SensorLate => board.sensing = sensing(Sensing::Late),
            Mishap::Hung if begins => board.hung_until = board.hung_until.max(spell.until),
            Mishap::Lost => {
                board.lost = begins;
                if !begins {
                    board.reset();
                    self.restart(spell.board);
                }
            }
            Mishap::Reload if begins => {
                for board in &mut self.boards {
                    board.reset();
                    board.hung_until = board.hung_until.max(spell.until);
                }
                (0..BOARDS).for_each(|board| self.restart(board));
            }
            Mishap::CapNotHeld => board.exceeds = begins,
            Mishap::OutOfBand => board.out_of_band_w = if begins { 500.0 } else { f64::INFINITY },
            Mishap::RaplGone => self.rapl_gone = begins,
            Mishap::RangeChange if begins => {
                board.range_w = if spell.draw & 0x100 == 0 { (200.0, 600.0) } else { (300.0, 700.0) };
            }
            Mishap::RangeChange => board.range_w = (200.0, 700.0),
            Mishap::PermissionLost => self.denied = begins,
            Mishap::Hung
            | Mishap::Reload
            | Mishap::SecondWriter
            | Mishap::AgentKilled
            | Mishap::KeeperKilled
            | Mishap::WallJump
            | Mishap::Stall
            | Mishap::BudgetCut => {}
            Mishap::PackageLocked
            | Mishap::PackageIgnores
            | Mishap::PackageRaised
            | Mishap::QuotaRaised
            | Mishap::QuotaTightened
            | Mishap::GroupRestarted
            | Mishap::GroupGone
            | Mishap::GroupUnread => self.host.change(spell, begins),
        }
    }

    fn restart(&mut self, board: usize) {
        let step = self.step;
        self.jobs.iter_mut().filter(|job| job.range().contains(&board)).for_each(|job| job.restart(step));
    }

    /// The mishaps that have begun, over or not, in order.
    pub fn begun(&self) -> &[Spell] {
        &self.spells[..self.next]
    }

    /// The mishaps under way.
    pub fn running(&self) -> &[Spell] {
        &self.running
    }

    /// The jobs.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// How much the work on a board matters.
    pub fn priority(&self, board: usize) -> Priority {
        self.jobs.iter().find(|job| job.range().contains(&board)).map_or(Priority::Normal, |job| job.priority)
    }

    /// True power of the boards, in watts.
    pub fn boards_w(&self) -> f64 {
        self.boards.iter().map(|board| board.power_w).sum()
    }

    /// True power of the node, in watts: the mean over the last step.
    pub fn power_w(&self) -> f64 {
        self.boards_w() + self.host.packages_w + self.host.rest_w
    }

    /// Energy of package 0, package 1 and the memory of each, in joules; `None` where it cannot be read.
    pub fn rapl_j(&self) -> Option<[f64; 4]> {
        (!self.rapl_gone).then_some(self.host.energy_j)
    }

    /// Processors and the rest.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether a group can be turned, or why not.
    fn reaches(&self, group: usize) -> Result<(), Absence> {
        match &self.host.groups[group] {
            group if !group.there => Err(Absence::Lost),
            group if !group.readable => Err(Absence::Denied),
            _ => Ok(()),
        }
    }

    /// The quota in force on a group, in cores.
    pub fn quota(&self, group: usize) -> Answer {
        self.reaches(group).map(|()| self.host.groups[group].quota)
    }

    /// Gives a group a quota in cores; gives what is then in force. One outside the range is `Implausible` and not taken.
    pub fn set_quota(&mut self, group: usize, cores: f64) -> Answer {
        self.reaches(group)?;
        if self.denied { Err(Absence::Denied) } else { self.host.set_quota(group, cores) }
    }

    /// Asks a package for a limit; gives what is then in force. One outside the range is `Implausible` and not taken.
    pub fn set_package(&mut self, package: usize, watts: f64) -> Answer {
        if self.denied { Err(Absence::Denied) } else { self.host.set_limit(package, watts) }
    }

    /// True power of everything but the boards, in watts.
    pub fn host_w(&self) -> f64 {
        self.host.packages_w + self.host.rest_w
    }

    /// Work by class: low, normal, high.
    pub fn work(&self) -> [Work; 3] {
        self.work
    }

    /// Whether calls for a board come back, or why not.
    pub fn answers(&self, board: usize) -> Result<(), Absence> {
        match &self.boards[board] {
            board if board.lost => Err(Absence::Lost),
            board if board.hung_until > self.step => Err(Absence::Late),
            _ => Ok(()),
        }
    }

    /// The limit in force on a board, in watts, as its driver says.
    pub fn enforced_w(&self, board: usize) -> Answer {
        self.answers(board).map(|()| self.boards[board].enforced_w())
    }

    /// Whether knobs of a board may be turned, or why not.
    pub fn may_write(&self, board: usize) -> Result<(), Absence> {
        self.answers(board)?;
        if self.denied { Err(Absence::Denied) } else { Ok(()) }
    }

    /// Whether the system lets knobs be turned.
    pub fn permits(&self) -> bool {
        !self.denied
    }

    /// Asks for a limit; gives what is then in force. One outside the range is `Implausible` and not taken.
    pub fn set_limit(&mut self, board: usize, watts: f64) -> Answer {
        self.may_write(board)?;
        let own = &mut self.boards[board];
        if watts < own.range_w.0 || watts > own.range_w.1 {
            return Err(Absence::Implausible);
        }
        own.requested_w = watts;
        Ok(own.enforced_w())
    }

    /// The upper bound of a board's clock that is in force, in hertz: the highest clock where it is not locked.
    pub fn clock_bound(&self, board: usize) -> Answer {
        self.answers(board)?;
        let locked_hz = self.boards[board].locked_hz;
        Ok(if locked_hz > 0.0 { locked_hz } else { H100.clock_max_hz })
    }

    /// Locks the clock of a board to an upper bound in hertz, or frees it at the highest; gives what is then in force. A bound
    /// outside the board's clocks is `Implausible` and not taken.
    pub fn set_clock(&mut self, board: usize, hertz: f64) -> Answer {
        self.may_write(board)?;
        if !(H100.clock_min_hz..=H100.clock_max_hz).contains(&hertz) {
            return Err(Absence::Implausible);
        }
        self.boards[board].locked_hz = if hertz < H100.clock_max_hz { hertz } else { 0.0 };
        self.clock_bound(board)
    }
}

/// The jobs of a day: how many boards each has, and how much it matters.
fn jobs(seed: u64) -> Vec<Job> {
    let layout = LAYOUTS[(word(seed, 3000, 0) % LAYOUTS.len() as u64) as usize];
    let mut jobs: Vec<Job> = Vec::with_capacity(JOBS_MAX);
    let (mut first, mut high) = (0, 0);
    for (place, boards) in layout.iter().copied().enumerate() {
        let mut priority = match unit(seed, 3001, place as u64) {
            draw if draw < 0.4 => Priority::High,
            draw if draw < 0.6 => Priority::Normal,
            _ => Priority::Low,
        };
        if priority == Priority::High && high + boards > HIGH_MAX {
            priority = Priority::Low;
        }
        if priority == Priority::High {
            high += boards;
        }
        jobs.push(Job::new(seed, (first, boards), priority));
        first += boards;
    }
    // Some work always can wait.
    if jobs.iter().all(|job| job.priority != Priority::Low)
        && let Some(last) = jobs.last_mut()
    {
        last.priority = Priority::Low;
    }
    jobs
}

#[cfg(test)]
mod tests;
