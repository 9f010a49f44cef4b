//! The government of power: the policy decides on the beat, the keeper acts, and both are remembered for readers.
use crate::actuate::audit::Evidence;
use crate::actuate::journal::Journal;
use crate::actuate::{Brief, Keeper, KeeperThread, Report, Terms, known_devices, known_hosts};
use crate::clock::MachineClock;
use crate::config::{Config, Power};
use crate::energy::tuner::Tuner;
use crate::guardian::{GuardianLink, RESTORE_PATIENCE, relieve};
use crate::rig::OpenHands;
use model::event::Event;
use model::snapshot::{DECISIONS_MAX, PowerStage, PowerState, PowerTrouble, Rig, Settled};
use model::stages::{Policy as _, ProposalSink, View};
use model::{
    Action, Clock as _, Cores, Decision, Frame, History, Mode, Priority, Proposal, Reason, Timestamp,
    Verdict, Watts,
};
use policy::{PowerCap, Settings};
use std::collections::VecDeque;
use std::time::Duration;

/// Labels of actions, by which decisions are counted.
const KINDS: [&str; 5] = ["limit", "brake", "release", "clock", "quota"];
/// How long the keeper may take to give originals back.
const STOP_PATIENCE: Duration = Duration::from_millis(1200);

/// Where the keeper runs.
#[derive(Debug)]
pub enum Keeping {
    /// On the beat's thread, ticked by hand, so that a run repeats byte for byte.
    Inline(Box<Keeper>),
    /// On a thread of its own: nothing is enforced.
    Thread(KeeperThread),
    /// In the guardian, a process of its own that outlives the agent: limits are enforced.
    Process(GuardianLink),
}

impl Keeping {
    /// A keeper with these hands: ticked by hand, or, where a keeper has a thread, on one or in the guardian.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn new(config: &Config, hands: OpenHands, threaded: bool, now: Timestamp) -> std::io::Result<Self> {
        if threaded {
            let (directory, standing) =
                (config.guardian_directory().to_owned(), config.guardian.directory.is_some());
            let relieve = move || {
                if standing || directory.exists() {
                    relieve(&directory, standing)
                }
            };
            return Self::apart(config, hands, Box::new(relieve));
        }
        let journal = Journal::open_if_needed(&config.state_directory, config.power.enforce);
        Ok(Self::Inline(Box::new(Keeper::new(hands(), journal, now))))
    }

    /// A keeper elsewhere. `relieve` is done first where nothing is to be enforced.
    fn apart(config: &Config, hands: OpenHands, relieve: Box<dyn FnOnce() + Send>) -> std::io::Result<Self> {
        if config.power.enforce && config.rig.kind == Rig::Hardware {
            return GuardianLink::spawn(Box::new(|| {}), hands, config).map(Self::Process);
        }
        let (directory, enforce) = (config.state_directory.clone(), config.power.enforce);
        KeeperThread::spawn_after(relieve, hands, directory, enforce).map(Self::Thread)
    }

    /// The keeper that another configuration asks for, which begins when this one has ended; `None` where this one serves it.
    fn other(&mut self, config: &Config) -> Option<std::io::Result<Self>> {
        let now = MachineClock.now();
        let hands = || crate::rig::hands(config);
        match self {
            Self::Thread(thread) if config.power.enforce && config.rig.kind == Rig::Hardware => {
                let mut thread = std::mem::take(thread);
                let before = move || thread.stop(true, now, STOP_PATIENCE);
                Some(GuardianLink::spawn(Box::new(before), hands(), config).map(Self::Process))
            }
            Self::Process(link) if !config.power.enforce => {
                let mut link = std::mem::take(link);
                let before = move || link.stop(false, now, RESTORE_PATIENCE);
                Some(Self::apart(config, hands(), Box::new(before)))
            }
            _ => None,
        }
    }
}

/// The policy, the keeper, and what they did.
#[derive(Debug)]
pub struct Govern {
    policy: PowerCap,
    tuner: Tuner,
    keeping: Keeping,
    mode: Mode,
    /// Whether a clean stop leaves caps to the guardian.
    hold: bool,
    /// The budget without the agent; none: the budget.
    fallback: Option<Watts>,
    sink: ProposalSink,
    brief: Brief,
    report: Report,
    brakes: u64,
    power: Option<PowerState>,
    /// Newest first.
    recent: VecDeque<Settled>,
    last_id: u64,
    decided: [[u64; 2]; KINDS.len()],
    settled: [u64; Verdict::ALL.len()],
}

/// The policy's settings that a configuration makes.
fn settings(power: &Power) -> Settings {
    Settings {
        budget: power.budget_w.map(Watts),
        low: power.low,
        high: power.high,
        release_gap: power.release_gap,
        hold: power.hold,
        rest: Watts(power.rest_w),
        packages: Watts(power.packages_w),
        host: power.host == "limit",
        host_floor: power.host_floor,
        host_cores: Cores(power.host_cores),
        ..Settings::default()
    }
}

fn mode(power: &Power) -> Mode {
    if power.enforce { Mode::Enforce } else { Mode::Advise }
}

impl Govern {
    /// A government that has decided nothing.
    pub fn new(power: &Power, keeping: Keeping) -> Self {
        Self {
            policy: PowerCap::new(settings(power)),
            tuner: Tuner::new(power),
            keeping,
            mode: mode(power),
            hold: power.on_stop == "hold",
            fallback: power.fallback_w.map(Watts),
            sink: ProposalSink::default(),
            brief: Brief::default(),
            report: Report::default(),
            brakes: 0,
            power: None,
            recent: VecDeque::with_capacity(DECISIONS_MAX + 1),
            last_id: 0,
            decided: [[0; 2]; KINDS.len()],
            settled: [0; Verdict::ALL.len()],
        }
    }

    /// Decides on one beat and briefs the keeper. Allocates nothing in the steady state.
    pub fn decide(&mut self, frame: &Frame, history: &History, events: &[Event], priorities: &[Priority]) {
        self.hear();
        self.sink.begin();
        let view = View {
            now: frame.at,
            frame,
            history,
            events,
            caps: &self.report.caps,
            reaches: &self.report.reaches,
            priorities,
            outcomes: &self.report.outcomes,
            mode: self.mode,
        };
        self.policy.decide(&view, &mut self.sink);
        if let Some(old) = std::mem::replace(&mut self.power, self.sink.power.take()) {
            self.sink.recycle(old);
        }
        let pressure = self.power.as_ref().is_some_and(|power| power.stage != PowerStage::Free);
        self.tuner.turn(&view, pressure, &mut self.sink.proposals);
        self.note_refusal();
        let proposals = std::mem::take(&mut self.sink.proposals);
        for proposal in &proposals {
            self.number(frame.at, proposal);
        }
        self.sink.proposals = proposals;
        self.set_footing(frame);
        match &mut self.keeping {
            Keeping::Inline(keeper) => keeper.brief(&mut self.brief),
            Keeping::Thread(keeper) => keeper.brief(&mut self.brief),
            Keeping::Process(link) => link.brief(&mut self.brief, frame.at),
        }
        self.brief.decisions.clear();
    }

    /// Takes the keeper's report: outcomes go to their decisions, brakes to the policy.
    fn hear(&mut self) {
        self.report.outcomes.clear();
        match &mut self.keeping {
            Keeping::Inline(keeper) => keeper.report(&mut self.report),
            Keeping::Thread(keeper) => keeper.report(&mut self.report),
            Keeping::Process(link) => link.report(&mut self.report),
        }
        self.note_taken();
        for outcome in &self.report.outcomes {
            self.settled[outcome.verdict as usize] += 1;
            // What the reflex took by itself has number 0 and came with its outcome.
            if outcome.decision == 0 {
                continue;
            }
            if let Some(settled) =
                self.recent.iter_mut().find(|settled| settled.decision.id == outcome.decision)
            {
                settled.outcome = Some(*outcome);
            }
        }
        if self.report.brakes > self.brakes {
            self.brakes = self.report.brakes;
            self.policy.braked();
        }
    }

    /// Remembers what the reflex decided between beats.
    fn note_taken(&mut self) {
        for settled in self.report.taken.drain(..) {
            self.decided[kind(settled.decision.action)][settled.decision.mode as usize] += 1;
            self.recent.push_front(settled);
            self.recent.truncate(DECISIONS_MAX);
        }
    }

    fn note_refusal(&mut self) {
        if let (Some(power), Some(reason)) = (&mut self.power, self.report.refused) {
            power.troubles.push(match reason {
                Reason::Lost => PowerTrouble::NoGuardian,
                Reason::Busy => PowerTrouble::OtherAgent,
                _ => PowerTrouble::NoJournal,
            });
        }
    }

    /// Makes a numbered decision of a proposal. Advice that repeats the last one for its device is not said again.
    fn number(&mut self, at: Timestamp, proposal: &Proposal) {
        let Proposal { device, action, why, event, expires, keep } = *proposal;
        let last = self
            .recent
            .iter()
            .find(|settled| {
                let decision = settled.decision;
                (decision.device, decision.action.knob()) == (device, action.knob())
            })
            .map(|settled| settled.decision);
        // What was ordered while decisions were carried out is no advice that was given.
        let repeats =
            |last: Decision| last.mode == Mode::Advise && last.why == why && similar(last.action, action);
        if self.mode == Mode::Advise && last.is_some_and(repeats) {
            return;
        }
        self.last_id += 1;
        let decision =
            Decision { id: self.last_id, at, device, action, why, event, expires, keep, mode: self.mode };
        self.decided[kind(action)][self.mode as usize] += 1;
        self.brief.decisions.push(decision);
        self.recent.push_front(Settled { decision, outcome: None });
        self.recent.truncate(DECISIONS_MAX);
    }

    /// Tells the keeper what the reflex goes by until the next beat.
    fn set_footing(&mut self, frame: &Frame) {
        let settings = *self.policy.settings();
        known_devices(frame, &mut self.brief.devices);
        known_hosts(frame, &mut self.brief.hosts);
        self.brief.mode = self.mode;
        self.brief.evidence = self.power.as_ref().map(|power| Evidence {
            counted: power.counted,
            budget: power.budget,
            stage: power.stage,
        });
        self.brief.terms = Terms { fallback: self.fallback, margin: settings.blind_margin };
        let footing = &mut self.brief.footing;
        footing.budget = settings.budget;
        footing.gain_margin = settings.gain_margin;
        footing.rest = self.power.as_ref().map_or(settings.rest + settings.packages, |power| power.rest);
        footing.devices.clear();
        for known in &self.brief.devices {
            let limit = frame.value(known.device, model::Metric::PowerLimitEnforced).map(Watts);
            let worst = limit.or(known.range.map(model::Range::max)).unwrap_or(settings.unknown_device);
            footing.devices.push((known.device, worst * settings.blind_margin));
        }
    }

    /// One reflex tick of an inline keeper; a threaded one ticks by itself.
    pub fn tick(&mut self, now: Timestamp) {
        if let Keeping::Inline(keeper) = &mut self.keeping {
            keeper.tick(now);
        }
    }

    /// Gives originals back and ends.
    pub fn stop(&mut self, now: Timestamp) {
        match &mut self.keeping {
            Keeping::Inline(keeper) => {
                keeper.stop(now);
            }
            Keeping::Thread(keeper) => keeper.stop(true, now, STOP_PATIENCE),
            Keeping::Process(link) => link.stop(self.hold, now, STOP_PATIENCE),
        }
    }

    /// Takes over another power section. Where it switches enforcement, the keeper moves to where it then belongs.
    pub fn reconfigure(&mut self, config: &Config) {
        self.policy.set(settings(&config.power));
        self.tuner.reconfigure(&config.power);
        self.mode = mode(&config.power);
        (self.hold, self.fallback) = (config.power.on_stop == "hold", config.power.fallback_w.map(Watts));
        match self.keeping.other(config) {
            Some(Ok(other)) => self.keeping = other,
            Some(Err(error)) => tracing::error!("nothing is enforced until the next start: {error}"),
            None => {}
        }
    }

    /// Changes the budget alone.
    pub fn set_budget(&mut self, budget: Watts) {
        let settings = *self.policy.settings();
        self.policy.set(Settings { budget: Some(budget), ..settings });
    }

    /// The policy, for what it has learnt.
    pub fn policy(&self) -> &PowerCap {
        &self.policy
    }

    /// The policy, to take back what an earlier run had learnt.
    pub fn policy_mut(&mut self) -> &mut PowerCap {
        &mut self.policy
    }

    /// The tuner, for what it has learnt.
    pub fn tuner(&self) -> &Tuner {
        &self.tuner
    }

    /// The tuner, to take back what an earlier run had learnt.
    pub fn tuner_mut(&mut self) -> &mut Tuner {
        &mut self.tuner
    }

    /// What was learnt of energy per work at each setting.
    pub fn curves(&self, frame: &Frame) -> serde_json::Value {
        self.tuner.curves(frame)
    }

    /// The state of the budget on the last beat.
    pub fn power(&self) -> Option<&PowerState> {
        self.power.as_ref()
    }

    /// Whether decisions are carried out.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The latest decisions, newest first.
    pub fn recent(&self) -> Vec<Settled> {
        self.recent.iter().copied().collect()
    }

    /// Decisions by action and mode since the start.
    pub fn decision_counts(&self) -> Vec<(String, Mode, u64)> {
        let of = |(n, name): (usize, &str)| {
            [Mode::Advise, Mode::Enforce].map(|mode| (name.to_owned(), mode, self.decided[n][mode as usize]))
        };
        KINDS.into_iter().enumerate().flat_map(of).filter(|(_, _, count)| *count > 0).collect()
    }

    /// Outcomes by verdict since the start.
    pub fn verdict_counts(&self) -> Vec<(Verdict, u64)> {
        Verdict::ALL.into_iter().map(|verdict| (verdict, self.settled[verdict as usize])).collect()
    }
}

fn kind(action: Action) -> usize {
    KINDS.iter().position(|kind| *kind == action.as_str()).unwrap_or_default()
}

/// Whether two actions are the same but for a few watts.
fn similar(one: Action, other: Action) -> bool {
    match (one, other) {
        (Action::Limit(a), Action::Limit(b)) => (a.0 - b.0).abs() < 25.0,
        (Action::Clock(a), Action::Clock(b)) => (a.0 - b.0).abs() < 50e6,
        (a, b) => a == b,
    }
}
