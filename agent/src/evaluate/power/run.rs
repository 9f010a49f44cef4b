//! One day of one policy: the plant, who watches it, and everything that goes wrong with either.
use super::check::{Breach, Breaches, Broken};
use super::contender::{Contender, Law, reserve};
use super::eyes::Eyes;
use super::keeper::{Bench, Journal, Keeper};
use super::meter::Meter;
use model::event::Event;
use model::snapshot::PowerStage;
use model::{
    Action, Decision, Frame, Metric, Mode, Priority, ProposalSink, Range, Reading, Timestamp, Verdict, View,
    Watts, Why,
};
use policy::Settings;
use sim::plant::mishap::{Mishap, Spell};
use sim::plant::{BOARDS, Plant, STEPS_A_SECOND, Work};

/// Steps of a day.
pub const DAY: u64 = 86_400 * STEPS_A_SECOND;
/// The budget as a share of all limits and the reserve.
const BUDGET: f64 = 0.8;
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

/// What came of a day.
#[derive(Debug, Clone)]
pub struct Day {
    /// Who held the budget.
    pub contender: Contender,
    /// The seed.
    pub seed: u64,
    /// Steps of 100 ms.
    pub steps: u64,
    /// What the feed saw.
    pub meter: Meter,
    /// Work by class: low, normal, high.
    pub work: [Work; 3],
    /// Times everything was brought to its floor.
    pub brakes: u64,
    /// Beats on which something was loosened.
    pub loosenings: u64,
    /// Originals that did not come back.
    pub lost: u64,
    /// Breaches by kind.
    pub breaches: [u64; Breach::ALL.len()],
    /// The first of them.
    pub broken: Vec<Broken>,
    /// Moments in seconds into the day when power had been above 105 % for longer than the settling time, with what was going
    /// wrong then.
    pub far: Vec<(f64, Vec<Mishap>)>,
    /// Mishaps that began.
    pub mishaps: Vec<Mishap>,
}

/// Runs one day. `times`: how much more often things go wrong than they really do.
pub fn day(contender: Contender, seed: u64, steps: u64, times: f64) -> Day {
    run(contender, seed, steps, Plant::new(seed, steps, times))
}

/// Runs one day on a plant that is given.
pub(super) fn run(contender: Contender, seed: u64, steps: u64, plant: Plant) -> Day {
    let mut house = House::new(contender, seed, plant);
    for _ in 0..steps {
        house.step();
    }
    house.end(steps)
}

/// The node, and everything of ours on it.
struct House {
    contender: Contender,
    seed: u64,
    plant: Plant,
    eyes: Eyes,
    /// `None` while the agent is dead.
    law: Option<Box<dyn Law>>,
    /// `None` while it is dead.
    keeper: Option<Keeper>,
    journal: Journal,
    breaches: Breaches,
    meter: Meter,
    sink: ProposalSink,
    priorities: Vec<Priority>,
    full: Watts,
    budget: Watts,
    wall_ms: i64,
    /// Until when agent and keeper are dead, and everything is paused.
    agent_back: u64,
    keeper_back: u64,
    paused_until: u64,
    fallback_at: Option<u64>,
    /// The death that awaits the keeper at one of its next writes.
    doom: Option<Spell>,
    braked: bool,
    brakes: u64,
    told: u64,
    loosenings: u64,
    seen: [bool; BOARDS],
    begun: usize,
    far: Vec<(f64, Vec<Mishap>)>,
    late: bool,
    mishaps: Vec<Mishap>,
}

impl House {
    fn new(contender: Contender, seed: u64, plant: Plant) -> Self {
        let (rest, packages) = reserve();
        let limits: f64 = plant.boards.iter().map(|board| board.range_w.1).sum();
        let full = Watts(BUDGET * (limits + (rest + packages).0));
        Self {
            contender,
            seed,
            priorities: (0..BOARDS).map(|board| plant.priority(board)).collect(),
            plant,
            eyes: Eyes::new(),
            law: Some(contender.law(full, seed)),
            keeper: Some(Keeper::default()),
            journal: Journal::new(),
            breaches: Breaches::default(),
            meter: Meter::default(),
            sink: ProposalSink::default(),
            full,
            budget: full,
            wall_ms: WALL_MS,
            agent_back: 0,
            keeper_back: 0,
            paused_until: 0,
            fallback_at: None,
            doom: None,
            braked: false,
            brakes: 0,
            told: 0,
            loosenings: 0,
            seen: [false; BOARDS],
            begun: 0,
            far: Vec::new(),
            late: false,
            mishaps: Vec::new(),
        }
    }

    fn now(&self) -> Timestamp {
        let step = self.plant.steps();
        // A day of milliseconds.
        Timestamp { mono_ns: step * 100_000_000, wall_ms: self.wall_ms + 100 * step.cast_signed() }
    }

    fn step(&mut self) {
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
            let running = self.plant.running().iter().map(|spell| spell.mishap).collect();
            self.far.push((step as f64 / STEPS_A_SECOND as f64, running));
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
            self.law = Some(self.contender.law(self.budget, self.seed));
            // What it had seen is forgotten.
            (self.eyes, self.seen) = (Eyes::new(), [false; BOARDS]);
            (self.fallback_at, self.braked) = (None, false);
        }
    }

    fn note_brakes(&mut self) {
        self.brakes += self.keeper.as_ref().map_or(0, |keeper| keeper.brakes);
        self.told = 0;
    }

    fn beat(&mut self) {
        let now = self.now();
        self.eyes.look(&self.plant, now);
        let blind = self.blind();
        let (Some(law), Some(keeper)) = (&mut self.law, &mut self.keeper) else { return };
        let reflexed = keeper.brakes > self.told;
        if reflexed {
            self.told = keeper.brakes;
            law.braked();
        }
        self.sink.begin();
        let view = View {
            now,
            frame: &self.eyes.frame,
            history: &self.eyes.history,
            events: &[] as &[Event],
            caps: &keeper.report.caps,
            priorities: &self.priorities,
            outcomes: &keeper.report.outcomes,
            mode: Mode::Enforce,
        };
        law.decide(&view, &mut self.sink);
        keeper.report.outcomes.clear();
        keeper.pending.extend(self.sink.proposals.iter().enumerate().map(|(number, proposal)| Decision {
            id: number as u64 + 1,
            at: now,
            device: proposal.device,
            action: proposal.action,
            why: proposal.why,
            event: proposal.event,
            expires: proposal.expires,
            mode: Mode::Enforce,
        }));
        self.eyes.know(&mut keeper.known);
        if let Some(settings) = law.settings() {
            let rest = self.sink.power.as_ref().map_or(settings.rest + settings.packages, |power| power.rest);
            foot(keeper, &self.eyes, settings, rest);
        }
        self.count_brakes(reflexed);
        let loosened = self.loosened();
        if loosened > 0 {
            self.loosenings += 1;
            self.breaches.loosened(now, loosened, blind);
        }
    }

    /// How many classes are loosened on this beat.
    fn loosened(&self) -> usize {
        let mut classes = [false; 3];
        for proposal in self.sink.proposals.iter().filter(|proposal| proposal.why == Why::Headroom) {
            classes[self.priorities[proposal.device.index()] as usize] = true;
        }
        classes.into_iter().filter(|class| *class).count()
    }

    /// Counts brakes of the beat; those of the reflex are counted by the keeper.
    fn count_brakes(&mut self, reflexed: bool) {
        let braking = self.sink.proposals.iter().any(|proposal| proposal.action == Action::Brake);
        let brake = self.sink.power.as_ref().map_or(braking, |power| power.stage == PowerStage::Brake);
        self.brakes += u64::from(brake && !self.braked && !reflexed);
        self.braked = brake;
    }

    /// Whether something that was read before cannot be read on this beat; boards that are gone are not missing.
    fn blind(&mut self) -> bool {
        let frame: &Frame = &self.eyes.frame;
        let mut blind = !self.plant.rapl_j().is_some();
        for device in frame.devices.accelerators() {
            let most = frame.value(device.id, Metric::PowerLimitMax).unwrap_or(f64::INFINITY);
            let shown = frame.get(device.id, Metric::PowerInstant);
            let read = matches!(shown, Reading::Value(watts) if watts > 0.0 && watts <= 1.5 * most);
            let seen = &mut self.seen[device.id.index()];
            blind |= !read && *seen;
            *seen |= read;
        }
        blind
    }

    fn tick(&mut self, step: u64) {
        let now = self.now();
        let (Some(keeper), plant) = (&mut self.keeper, &mut self.plant) else { return };
        let mut bench = Bench { now, plant, journal: &mut self.journal, breaches: &mut self.breaches };
        let trims = |decision: &Decision| matches!(decision.why, Why::OverHigh | Why::OverBudget);
        let trims = keeper.pending.iter().any(trims);
        let heard = keeper.report.outcomes.len();
        keeper.tick(&mut bench);
        if self.fallback_at.is_some_and(|at| step >= at) {
            self.fallback_at = None;
            if let Some(limit) = fallback(keeper) {
                keeper.fall_back(limit, &mut bench);
            }
        }
        let done = keeper.report.outcomes[heard..].iter();
        let well = |verdict: Verdict| matches!(verdict, Verdict::Applied | Verdict::Unchanged);
        let quiet = self.plant.running().iter().all(|spell| harmless(spell.mishap));
        if trims && quiet && done.into_iter().all(|outcome| well(outcome.verdict)) {
            self.breaches.trimmed(keeper.footing.rest);
        } else if !quiet {
            self.breaches.unsettle();
        }
    }

    /// A clean stop, and what came of the day.
    fn end(mut self, steps: u64) -> Day {
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
            brakes: self.brakes,
            loosenings: self.loosenings,
            lost: self.breaches.lost,
            breaches: self.breaches.counts,
            broken: self.breaches.kept,
            far: self.far,
            mishaps: self.mishaps,
        }
    }
}

/// Whether limits, readings and those who act are as they should be in spite of a mishap.
fn harmless(mishap: Mishap) -> bool {
    matches!(mishap, Mishap::BudgetCut | Mishap::WallJump)
}

/// What the reflex goes by until the next beat, as the agent makes it.
fn foot(keeper: &mut Keeper, eyes: &Eyes, settings: &Settings, rest: Watts) {
    let footing = &mut keeper.footing;
    (footing.budget, footing.gain_margin, footing.rest) = (settings.budget, settings.gain_margin, rest);
    footing.devices.clear();
    for known in keeper.known.iter().filter(|known| known.there) {
        let limit = eyes.enforced(known.device).or(known.range.map(Range::max));
        let worst = limit.unwrap_or(settings.unknown_device);
        footing.devices.push((known.device, worst * settings.blind_margin));
    }
}

/// The limit for every board under which a budget holds without an agent: an equal share.
fn fallback(keeper: &Keeper) -> Option<Watts> {
    let footing = &keeper.footing;
    let count = keeper.known.iter().filter(|known| known.there).count().max(1);
    Some((footing.budget? - footing.rest) * (1.0 / ((1.0 + footing.gain_margin) * count as f64)))
}
