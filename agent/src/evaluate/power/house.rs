//! The house: a node with everything of ours on it, step by step, and what becomes of that when things go wrong.
use super::check::Breaches;
use super::contender::{Contender, Law, reserve};
use super::eyes::Eyes;
use super::keeper::{Bench, Journal, Keeper};
use super::meter::Meter;
use super::run::Day;
use super::site::ZONES;
use model::{Priority, ProposalSink, Timestamp, Watts};
use sim::plant::mishap::{Mishap, Spell};
use sim::plant::{BOARDS, Plant, STEPS_A_SECOND};

/// The budget as a share of all limits and the reserve.
const BUDGET: f64 = 0.8;
/// The same on a crowded node: so little that boards at their floors, which are two sevenths of their limits, and the processors are
/// about all of it.
const TIGHT: f64 = 0.5;
/// What is left of it when it is cut.
const CUT: f64 = 0.85;
/// Time from the death of the agent to the guardian's fallback, in steps.
const GUARDIAN: u64 = STEPS_A_SECOND;
/// How long a keeper that is to die may wait for a write to die at, in steps.
const DOOMED: u64 = 60 * STEPS_A_SECOND;
/// Moments of a day on which power was far too high for too long that are kept one by one.
const KEPT_MAX: usize = 8;
/// The wall clock when a day begins, in milliseconds.
const WALL_MS: i64 = 1_700_000_000_000;

/// The node, and everything of ours on it.
pub(super) struct House {
    pub(super) contender: Contender,
    pub(super) seed: u64,
    pub(super) plant: Plant,
    pub(super) eyes: Eyes,
    /// `None` while the agent is dead.
    pub(super) law: Option<Box<dyn Law>>,
    /// `None` while it is dead.
    pub(super) keeper: Option<Keeper>,
    pub(super) journal: Journal,
    pub(super) breaches: Breaches,
    pub(super) meter: Meter,
    pub(super) sink: ProposalSink,
    pub(super) priorities: Vec<Priority>,
    pub(super) full: Watts,
    pub(super) budget: Watts,
    pub(super) wall_ms: i64,
    /// Until when agent and keeper are dead, and everything is paused.
    pub(super) agent_back: u64,
    pub(super) keeper_back: u64,
    pub(super) paused_until: u64,
    pub(super) fallback_at: Option<u64>,
    /// The death that awaits the keeper at one of its next writes.
    pub(super) doom: Option<Spell>,
    pub(super) braked: bool,
    pub(super) brakes: u64,
    pub(super) told: u64,
    pub(super) loosenings: u64,
    pub(super) stages: [u64; 4],
    /// Whether each board's power, and that of the packages, was ever read.
    pub(super) seen: [bool; BOARDS + 1],
    pub(super) begun: usize,
    pub(super) far: Vec<(f64, Vec<Mishap>)>,
    pub(super) late: bool,
    pub(super) mishaps: Vec<Mishap>,
}

impl House {
    /// A house at the beginning of a day.
    pub(super) fn new(contender: Contender, seed: u64, plant: Plant) -> Self {
        let (rest, packages) = reserve();
        // Where nobody holds the budget, nobody comes back to do so.
        let never = if contender == Contender::None { u64::MAX } else { 0 };
        let limits: f64 = plant.boards.iter().map(|board| board.range_w.1).sum();
        let share = if plant.host().crowded { TIGHT } else { BUDGET };
        let full = Watts(share * (limits + (rest + packages).0));
        let mut priorities: Vec<Priority> = (0..BOARDS).map(|board| plant.priority(board)).collect();
        priorities.extend(ZONES.map(|_| Priority::Normal));
        priorities.extend([Priority::Low, Priority::Low, Priority::Normal]);
        Self {
            contender,
            seed,
            priorities,
            plant,
            eyes: Eyes::new(),
            law: contender.law(full, seed),
            keeper: (contender != Contender::None).then(Keeper::default),
            journal: Journal::new(),
            breaches: Breaches::default(),
            meter: Meter::default(),
            sink: ProposalSink::default(),
            full,
            budget: full,
            wall_ms: WALL_MS,
            agent_back: never,
            keeper_back: never,
            paused_until: 0,
            fallback_at: None,
            doom: None,
            braked: false,
            brakes: 0,
            told: 0,
            loosenings: 0,
            stages: [0; 4],
            seen: [false; BOARDS + 1],
            begun: 0,
            far: Vec::new(),
            late: false,
            mishaps: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        let step = self.plant.steps();
        // A day of milliseconds.
        Timestamp { mono_ns: step * 100_000_000, wall_ms: self.wall_ms + 100 * step.cast_signed() }
    }

    /// One step of everything.
    pub(super) fn step(&mut self) {
        self.plant.step();
        let step = self.plant.steps();
        self.follow();
        self.live(step);
        if step >= self.paused_until {
            if self.law.is_some() && step.is_multiple_of(STEPS_A_SECOND) {
                self.beat();
            }
            self.tick(step);
        }
        let share = self.plant.power_w() / self.budget.0;
        let late = self.meter.step(share);
        if late && !self.late && self.far.len() < KEPT_MAX {
            self.far.push((step as f64 / STEPS_A_SECOND as f64, self.breaches.under_way.clone()));
        }
        self.late = late;
        self.breaches.step(&self.plant, self.budget, self.now());
    }

    /// Sees to what has begun and to the budget.
    fn follow(&mut self) {
        let cut = self.plant.running().iter().any(|spell| spell.mishap == Mishap::BudgetCut);
        let budget = if cut { self.full * CUT } else { self.full };
        if budget != self.budget {
            self.budget = budget;
            self.breaches.unsettle();
            if let Some(law) = &mut self.law {
                law.set_budget(budget);
            }
        }
        let running = self.plant.running();
        if running.len() != self.breaches.under_way.len() || self.plant.begun().len() != self.begun {
            self.breaches.under_way.clear();
            self.breaches.under_way.extend(running.iter().map(|spell| spell.mishap));
        }
        let begun = self.plant.begun();
        if begun.len() == self.begun {
            return;
        }
        let new: Vec<Spell> = begun[self.begun..].to_vec();
        self.begun = begun.len();
        for spell in new {
            self.mishaps.push(spell.mishap);
            self.begin(&spell);
        }
    }

    fn begin(&mut self, spell: &Spell) {
        match spell.mishap {
            Mishap::AgentKilled => {
                self.law = None;
                self.agent_back = self.agent_back.max(spell.until);
                self.fallback_at.get_or_insert(spell.from + GUARDIAN);
            }
            Mishap::KeeperKilled => {
                if let Some(keeper) = &mut self.keeper {
                    keeper.fuse = Some(spell.draw % (BOARDS as u64 + 1));
                    self.doom = Some(*spell);
                }
            }
            Mishap::WallJump => {
                let hour = 3_600_000;
                // Below two hours of milliseconds.
                self.wall_ms += (spell.draw % (2 * hour)).cast_signed() - hour.cast_signed();
            }
            Mishap::Stall => self.paused_until = self.paused_until.max(spell.until),
            _ => {}
        }
    }

    /// Lets agent and keeper die and start again.
    fn live(&mut self, step: u64) {
        if let Some(doom) = self.doom {
            let writes_no_more = step >= doom.from + DOOMED;
            if writes_no_more || self.keeper.as_ref().is_some_and(|keeper| keeper.dead) {
                self.note_brakes();
                (self.keeper, self.law, self.doom, self.fallback_at) = (None, None, None, None);
                let back = step + doom.until - doom.from;
                (self.keeper_back, self.agent_back) = (back, self.agent_back.max(back));
            }
        }
        if self.keeper.is_none() && step >= self.keeper_back {
            self.keeper = Some(Keeper::start(&self.journal));
        }
        if self.law.is_none() && step >= self.agent_back {
            self.law = self.contender.law(self.budget, self.seed);
            // What it had seen is forgotten.
            (self.eyes, self.seen) = (Eyes::new(), [false; BOARDS + 1]);
            (self.fallback_at, self.braked) = (None, false);
        }
    }

    fn note_brakes(&mut self) {
        self.brakes += self.keeper.as_ref().map_or(0, |keeper| keeper.brakes);
        self.told = 0;
    }

    /// A clean stop, and what came of the day.
    pub(super) fn end(mut self, steps: u64) -> Day {
        let now = self.now();
        self.note_brakes();
        let mut keeper = self.keeper.take().unwrap_or_else(|| Keeper::start(&self.journal));
        self.eyes.look(&self.plant, now);
        self.eyes.know(&mut keeper.known);
        let mut bench =
            Bench { now, plant: &mut self.plant, journal: &mut self.journal, breaches: &mut self.breaches };
        keeper.stop(&mut bench);
        self.breaches.kept_back(&self.plant, now);
        Day {
            contender: self.contender,
            seed: self.seed,
            steps,
            meter: self.meter,
            work: self.plant.work(),
            chores: self.plant.host().chores,
            brakes: self.brakes,
            loosenings: self.loosenings,
            stages: self.stages,
            lost: self.breaches.lost,
            breaches: self.breaches.counts,
            broken: self.breaches.kept,
            far: self.far,
            mishaps: self.mishaps,
        }
    }
}
