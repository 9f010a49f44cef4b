//! A turn of the house: the agent's beat, and the keeper's tick.
use super::eyes::Eyes;
use super::house::House;
use super::keeper::{Bench, Keeper};
use super::site::Site;
use model::event::Event;
use model::snapshot::PowerStage;
use model::{Action, Decision, Frame, Knob, Metric, Mode, Range, Reading, Verdict, View, Watts, Why};
use policy::Settings;
use sim::plant::BOARDS;
use sim::plant::mishap::Mishap;

impl House {
    /// Collects, decides and tells the keeper, as the agent does on a beat.
    pub(super) fn beat(&mut self) {
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
            reaches: &keeper.report.reaches,
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
            keep: proposal.keep,
            mode: Mode::Enforce,
        }));
        self.eyes.know(&mut keeper.known);
        keeper.reach();
        if let Some(settings) = law.settings() {
            let rest = self.sink.power.as_ref().map_or(settings.rest + settings.packages, |power| power.rest);
            foot(keeper, &self.eyes, settings, rest);
        }
        self.count_brakes(reflexed);
        let loosened = self.loosened();
        if loosened > 0 {
            self.loosenings += 1;
            let unread = |proposal: &model::Proposal| {
                let knob = proposal.action.knob() == Knob::CpuQuota && proposal.why == Why::Headroom;
                knob && self.eyes.frame.value(proposal.device, Metric::CgroupCpu).is_none()
            };
            let blind = blind || self.sink.proposals.iter().any(unread);
            self.breaches.loosened(now, loosened, blind);
        }
    }

    /// How many classes are loosened on this beat.
    fn loosened(&self) -> usize {
        // Three classes of boards, packages, groups.
        let mut classes = [false; 5];
        for proposal in self.sink.proposals.iter().filter(|proposal| proposal.why == Why::Headroom) {
            let class = match Site::of(proposal.device) {
                Some(Site::Package(_)) => 3,
                Some(Site::Group(_)) => 4,
                _ => self.priorities[proposal.device.index()] as usize,
            };
            classes[class] = true;
        }
        classes.into_iter().filter(|class| *class).count()
    }

    /// Counts brakes of the beat; those of the reflex are counted by the keeper.
    fn count_brakes(&mut self, reflexed: bool) {
        let braking = self.sink.proposals.iter().any(|proposal| proposal.action == Action::Brake);
        let brake = self.sink.power.as_ref().map_or(braking, |power| power.stage == PowerStage::Brake);
        self.brakes += u64::from(brake && !self.braked && !reflexed);
        if let Some(power) = &self.sink.power {
            self.stages[power.stage as usize] += 1;
        }
        self.braked = brake;
    }

    /// Whether something that was read before cannot be read on this beat; boards that are gone are not missing.
    fn blind(&mut self) -> bool {
        let frame: &Frame = &self.eyes.frame;
        let rapl = self.plant.rapl_j().is_some();
        let mut blind = !rapl && self.seen[BOARDS];
        self.seen[BOARDS] |= rapl;
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

    /// Lets the keeper carry out what is pending and its reflex look, and the guardian see to a dead agent.
    pub(super) fn tick(&mut self, step: u64) {
        let now = self.now();
        let (Some(keeper), plant) = (&mut self.keeper, &mut self.plant) else { return };
        let mut bench = Bench { now, plant, journal: &mut self.journal, breaches: &mut self.breaches };
        let trims = |decision: &Decision| matches!(decision.why, Why::OverHigh | Why::OverBudget);
        let trims = keeper.pending.iter().any(trims);
        let heard = keeper.report.outcomes.len();
        keeper.tick(&mut bench);
        if self.fallback_at.is_some_and(|at| step >= at) {
            self.fallback_at = None;
            let margin = self.law.as_ref().and_then(|law| law.settings()).map_or(1.0, |law| law.blind_margin);
            keeper.fall_back(margin, &mut bench);
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
}

/// Whether limits, readings and those who act are as they should be in spite of a mishap.
fn harmless(mishap: Mishap) -> bool {
    // The host's own have no part in the sum of the boards' limits.
    matches!(mishap, Mishap::BudgetCut | Mishap::WallJump) || mishap >= Mishap::PackageLocked
}

/// What the reflex goes by until the next beat, as the agent makes it.
fn foot(keeper: &mut Keeper, eyes: &Eyes, settings: &Settings, rest: Watts) {
    let footing = &mut keeper.footing;
    (footing.budget, footing.gain_margin, footing.rest) = (settings.budget, settings.gain_margin, rest);
    footing.devices.clear();
    for known in keeper.known.iter().filter(|known| known.there && known.device.index() < BOARDS) {
        let limit = eyes.enforced(known.device).or(known.range.map(Range::max));
        let worst = limit.unwrap_or(settings.unknown_device);
        footing.devices.push((known.device, worst * settings.blind_margin));
    }
}
