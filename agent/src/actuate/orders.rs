//! Carrying out: all originals on disk with one sync, then orders written to all devices at once and read back, decreases first.
use super::journal::Original;
use super::late::Flight;
use super::{Keeper, Known};
use crate::hands::{Ask, Position};
use model::snapshot::Settled;
use model::{
    Action, Decision, DeviceId, Hertz, Keep, Knob, Mode, Order, Outcome, Reason, Span, Timestamp, Verdict,
    Why,
};
use policy::guard::Subject;
use policy::ledger::Written;
use std::sync::Arc;

/// A decision on its way to a device.
struct Plan<'a> {
    decision: &'a Decision,
    /// The order and the position before it; or why there will be none.
    order: Result<(Order, Option<f64>), Reason>,
    /// What must be journalled first, if anything.
    original: Option<Original>,
    /// Whether the device has not said in time where its knob is.
    late: bool,
}

impl Plan<'_> {
    /// Its outcome as long as nothing is written.
    fn outcome(&self, now: Timestamp) -> Outcome {
        match &self.order {
            Err(reason) if self.late => failed(self.decision, *reason, now),
            Err(_) if self.decision.mode == Mode::Advise => blank(self.decision, Verdict::Advised, now),
            Err(reason) => refused(self.decision, *reason, now),
            Ok(_) => refused(self.decision, Reason::Refused, now),
        }
    }

    /// Whether it gives power: only once everything that takes some has landed.
    fn gives(&self) -> bool {
        matches!(self.decision.why, Why::Headroom | Why::Stop)
    }
}

/// An order that was carried out, or may have been.
pub(super) struct Carried<'a> {
    pub(super) decision: &'a Decision,
    pub(super) order: &'a Order,
    /// The position before it.
    pub(super) before: Option<f64>,
}

impl Keeper {
    /// Settles decisions and gives an outcome for each, in their order.
    ///
    /// Of several decisions for one knob the last counts: it knew the most. What takes power is written first, to all devices
    /// at once, and what gives some only then: none of it once a decrease has failed or is late, nor while any device does not
    /// answer. A tightening for a device that is late is owed to it until it answers or another decision takes its place.
    pub(super) fn settle(&mut self, decisions: &[Decision], now: Timestamp) -> Vec<Outcome> {
        let mut plans = self.plans(decisions, now);
        if let Err(reason) = self.keep(&plans) {
            let new = plans.iter_mut().filter(|plan| plan.original.is_some() && plan.order.is_ok());
            new.for_each(|plan| plan.order = Err(reason));
        }
        let mut outcomes: Vec<Outcome> = plans.iter().map(|plan| plan.outcome(now)).collect();
        self.carry_out(&plans, (&mut outcomes, now), |plan| !plan.gives());
        let has_failed = outcomes.iter().any(|outcome| outcome.verdict == Verdict::Failed);
        let held = has_failed.then_some(Reason::Refused).or(self.hands.is_hung(now).then_some(Reason::Late));
        if let Some(reason) = held {
            let gives = |plan: &&mut Plan<'_>| plan.decision.why == Why::Headroom && plan.order.is_ok();
            plans.iter_mut().filter(gives).for_each(|plan| plan.order = Err(reason));
            let told = plans.iter().zip(&mut outcomes).filter(|(plan, _)| plan.decision.why == Why::Headroom);
            told.for_each(|(plan, outcome)| *outcome = plan.outcome(now));
        }
        self.carry_out(&plans, (&mut outcomes, now), |plan| plan.gives());
        // Only now: the log must not come between two writes.
        for (plan, outcome) in plans.iter().zip(&outcomes) {
            let before = plan.order.as_ref().ok().and_then(|(_, before)| *before);
            self.log(plan.decision, outcome, before);
            self.owe(plan.decision, outcome);
        }
        outcomes
    }

    /// Writes the orders of some plans, all at once, and takes what is read back.
    fn carry_out(
        &mut self,
        plans: &[Plan<'_>],
        (outcomes, now): (&mut [Outcome], Timestamp),
        which: impl Fn(&Plan<'_>) -> bool,
    ) {
        let chosen = plans.iter().enumerate().filter(|(_, plan)| which(plan));
        let chosen: Vec<(usize, Carried<'_>)> = chosen
            .filter_map(|(place, plan)| {
                let (order, before) = plan.order.as_ref().ok()?;
                Some((place, Carried { decision: plan.decision, order, before: *before }))
            })
            .collect();
        let (left, chosen): (Vec<_>, Vec<_>) =
            chosen.into_iter().partition(|(_, one)| one.releases() && self.is_foreign(one.order, one.before));
        for (place, one) in left {
            self.leave(one.order);
            let outcome = blank(one.decision, Verdict::Applied, now);
            outcomes[place] = Outcome { read_back: one.before, ..outcome };
        }
        let writes: Vec<&Order> =
            chosen.iter().filter(|(_, one)| !one.is_there()).map(|(_, one)| one.order).collect();
        let mut read_back = self.hands.write(&writes, now).into_iter();
        for (place, one) in &chosen {
            let there = one.is_there().then_some(Ok(one.order.value()));
            let answer = there.or_else(|| read_back.next()).unwrap_or(Err(Reason::Lost));
            outcomes[*place] = self.conclude(one, answer, now);
        }
    }

    /// Tells the audit log, which belongs to whoever has the journal.
    pub(super) fn log(&mut self, decision: &Decision, outcome: &Outcome, before: Option<f64>) {
        let known = self.brief.all().find(|known| known.device == decision.device);
        if let (Some(known), Ok(_)) = (known, self.state.journal()) {
            self.audit.note(&known.key, decision, outcome, (before, self.brief.evidence));
        }
    }

    /// Asks the devices where their knobs are, all at once, and then the guard.
    fn plans<'a>(&mut self, decisions: &'a [Decision], now: Timestamp) -> Vec<Plan<'a>> {
        let knob = |one: &Decision| (one.device, one.action.knob());
        let newest = |(n, one): (usize, &Decision)| {
            one.mode == Mode::Advise || decisions[n + 1..].iter().all(|other| knob(other) != knob(one))
        };
        let current: Vec<bool> = decisions.iter().enumerate().map(newest).collect();
        let mut asks = Vec::with_capacity(decisions.len());
        let mut places = Vec::with_capacity(decisions.len());
        for (decision, newest) in decisions.iter().zip(&current) {
            let known = self.brief.all().find(|known| known.device == decision.device);
            let known = known.filter(|_| *newest && decision.mode == Mode::Enforce);
            places.push(known.map(|_| asks.len()));
            asks.extend(known.map(|known| {
                let knob = decision.action.knob();
                let requested = self.ledger.get(&known.key, knob).is_none();
                Ask { key: Arc::clone(&known.key), knob, requested }
            }));
        }
        let positions = self.hands.look(&asks, now);
        let plan = |((decision, newest), place): ((&'a Decision, bool), Option<usize>)| {
            self.plan((decision, newest), place.map(|place| positions[place]), now)
        };
        decisions.iter().zip(current).zip(places).map(plan).collect()
    }

    /// Asks the guard.
    fn plan<'a>(
        &mut self,
        (decision, newest): (&'a Decision, bool),
        position: Option<Result<Position, Reason>>,
        now: Timestamp,
    ) -> Plan<'a> {
        let late = position == Some(Err(Reason::Late));
        let mut plan = Plan { decision, order: Err(Reason::Refused), original: None, late };
        if decision.mode == Mode::Advise {
            return plan;
        }
        let known = self.brief.all().find(|known| known.device == decision.device).cloned();
        let Some(known) = known.filter(|_| newest && !late) else {
            plan.order = Err(if newest && !late { Reason::Lost } else { Reason::Late });
            return plan;
        };
        let (knob, key) = (decision.action.knob(), Arc::clone(&known.key));
        let entry = self.ledger.get(&key, knob).copied();
        let position = position.and_then(Result::ok);
        let enforced = position.map(|position| position.enforced);
        let subject = Subject {
            span: self.span(&known, knob),
            original: entry.map(|entry| entry.original),
            set: entry.and_then(|entry| entry.written).map(|written| written.limit),
            enforced,
            journal: self.state.journal().map(|_| ()).map_err(|error| error.refusal()),
            key,
        };
        plan.order = self.guard.admit(decision, &subject, now).map(|order| (order, enforced));
        let journalled = |entry: &policy::ledger::Entry| {
            let held = entry.written.is_none_or(|written| written.keep == Keep::Safety);
            held || decision.keep == Keep::Tuning
        };
        plan.original = match entry {
            Some(entry) if journalled(&entry) => None,
            Some(entry) => Some(Original { value: entry.original, keep: decision.keep, incarnation: None }),
            None if plan.order.is_ok() => {
                let incarnation = self.hands.incarnation(&known.key, knob);
                position.map(|position| Original {
                    value: position.requested,
                    keep: decision.keep,
                    incarnation,
                })
            }
            None => None,
        };
        plan
    }

    /// The positions of a knob: a board's power limit by its driver's readings, the others as actuators say.
    pub(super) fn span(&self, known: &Known, knob: Knob) -> Option<Span> {
        match knob {
            Knob::PowerLimit => {
                known.range.map(model::Range::span).or_else(|| self.reaches.span(known, knob))
            }
            Knob::ClockMax | Knob::CpuQuota => self.reaches.span(known, knob),
        }
    }

    /// Journals the originals of all knobs that are turned for the first time, and of those whose cap comes to be held.
    fn keep(&mut self, plans: &[Plan<'_>]) -> Result<(), Reason> {
        let new = |plan: &Plan<'_>| {
            let order = &plan.order.as_ref().ok()?.0;
            Some((Arc::<str>::from(order.key()), order.knob(), plan.original?))
        };
        let originals: Vec<(Arc<str>, Knob, Original)> = plans.iter().filter_map(new).collect();
        if originals.is_empty() {
            return Ok(());
        }
        let journal = self.state.journal_mut().map_err(|error| error.refusal())?;
        journal.keep(originals.iter().map(|(key, knob, original)| (&**key, *knob, *original))).map_err(
            |error| {
                tracing::error!(reason = error.reason().as_str(), "not enforced: {error}");
                error.refusal()
            },
        )?;
        originals.iter().for_each(|(key, knob, original)| self.ledger.open(key, *knob, original.value));
        Ok(())
    }

    /// Takes what was read back. A lower position than ordered is somebody else's, out of band, and accepted.
    pub(super) fn conclude(
        &mut self,
        carried: &Carried<'_>,
        read_back: Result<f64, Reason>,
        now: Timestamp,
    ) -> Outcome {
        let Carried { decision, order, before } = *carried;
        let (knob, ordered) = (order.knob(), order.value());
        let releases = carried.releases();
        let outcome = Outcome { ordered: Some(ordered), ..blank(decision, Verdict::Failed, now) };
        let (read_back, reason) = match read_back {
            Ok(limit) if limit <= ordered + knob.slack() => (limit, None),
            Ok(limit) => (limit, Some(Reason::Mismatch)),
            Err(reason) => {
                // What never began is as it was.
                if reason != Reason::Late || self.is_under_way(order, Flight::Order(*decision, before)) {
                    self.ledger.doubt(order.key(), knob);
                }
                return Outcome { reason: Some(reason), ..outcome };
            }
        };
        let outcome = Outcome { read_back: Some(read_back), reason, ..outcome };
        if reason.is_some() {
            self.ledger.doubt(order.key(), knob);
            return outcome;
        }
        if releases && self.is_whole(order) {
            self.forget(order.key(), knob);
        } else {
            let (device, limit) = (order.device(), ordered.max(read_back));
            let (expires, keep) = (decision.expires, decision.keep);
            self.reasons.insert((order.key().to_owned(), knob), decision.why);
            self.ledger.set(order.key(), knob, Written { device, limit, since: now, expires, keep });
        }
        let verdict = if carried.is_there() { Verdict::Unchanged } else { Verdict::Applied };
        Outcome { verdict, ..outcome }
    }

    /// Brings every device to its floor, at once, and remembers it as the reflex's own doing.
    pub(super) fn brake(&mut self, now: Timestamp) {
        self.report.brakes += 1;
        let decide = |device: DeviceId, action: Action| Decision {
            id: 0,
            at: now,
            device,
            action,
            why: Why::OverBudget,
            event: None,
            expires: None,
            keep: Keep::Safety,
            mode: Mode::Enforce,
        };
        let capable = self.brief.devices.iter().filter(|known| known.range.is_some());
        let floors = capable.map(|known| decide(known.device, Action::Brake));
        let clocks = self.reaches.list.iter().filter(|reach| reach.knob == Knob::ClockMax);
        let lowest = clocks.map(|reach| decide(reach.device, Action::Clock(Hertz(reach.span.min()))));
        let decisions: Vec<Decision> = floors.chain(lowest).collect();
        let outcomes = self.settle(&decisions, now);
        self.note(decisions, &outcomes);
    }

    /// Remembers for the report what was decided here and what became of it.
    pub(super) fn note(&mut self, decisions: Vec<Decision>, outcomes: &[Outcome]) {
        let taken = decisions.into_iter().zip(outcomes);
        let taken = taken.map(|(decision, outcome)| Settled { decision, outcome: Some(*outcome) });
        self.report.taken.extend(taken);
        self.report.outcomes.extend(outcomes);
        let surplus = self.report.outcomes.len().saturating_sub(super::OUTCOMES_MAX);
        self.report.outcomes.drain(..surplus);
        let surplus = self.report.taken.len().saturating_sub(super::OUTCOMES_MAX);
        self.report.taken.drain(..surplus);
    }
}

impl Carried<'_> {
    /// Whether the knob is there already, so that nothing needs to be written. What gives back is always written.
    fn is_there(&self) -> bool {
        self.before == Some(self.order.value()) && !self.releases()
    }

    /// Whether it gives a knob back.
    fn releases(&self) -> bool {
        matches!(self.decision.action, Action::Release(_))
    }
}

fn blank(decision: &Decision, verdict: Verdict, at: Timestamp) -> Outcome {
    Outcome { decision: decision.id, at, verdict, reason: None, ordered: None, read_back: None }
}

/// Outcomes of decisions that nobody carries out.
pub fn refuse_all(decisions: &[Decision], reason: Reason, at: Timestamp) -> Vec<Outcome> {
    let outcome = |decision: &Decision| match decision.mode {
        Mode::Advise => blank(decision, Verdict::Advised, at),
        Mode::Enforce => refused(decision, reason, at),
    };
    decisions.iter().map(outcome).collect()
}

fn failed(decision: &Decision, reason: Reason, at: Timestamp) -> Outcome {
    Outcome { reason: Some(reason), ..blank(decision, Verdict::Failed, at) }
}

fn refused(decision: &Decision, reason: Reason, at: Timestamp) -> Outcome {
    Outcome { reason: Some(reason), ..blank(decision, Verdict::Refused, at) }
}
