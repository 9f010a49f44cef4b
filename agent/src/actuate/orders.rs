//! Carrying out: all originals on disk with one sync, then each order written and read back.
use super::journal::Original;
use super::{Keeper, Known};
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
}

impl Keeper {
    /// Settles decisions and gives an outcome for each, in their order.
    ///
    /// Of several decisions for one knob the last counts: it knew the most. Once a decrease has failed, no increase of
    /// the same round is carried out.
    pub(super) fn settle(&mut self, decisions: &[Decision], now: Timestamp) -> Vec<Outcome> {
        let knob = |one: &Decision| (one.device, one.action.knob());
        let newest = |(n, one): (usize, &Decision)| {
            one.mode == Mode::Advise || decisions[n + 1..].iter().all(|other| knob(other) != knob(one))
        };
        let current: Vec<bool> = decisions.iter().enumerate().map(newest).collect();
        let plans: Vec<Plan<'_>> = decisions
            .iter()
            .zip(current)
            .map(|(decision, newest)| self.plan(decision, newest, now))
            .collect();
        let kept = self.keep(&plans);
        let mut failed = false;
        let mut settle = |plan: &Plan<'_>| {
            let outcome = match (&plan.order, kept) {
                (Ok(_), Err(reason)) if plan.original.is_some() => refused(plan.decision, reason, now),
                (Ok(_), _) if failed && plan.decision.why == Why::Headroom => {
                    refused(plan.decision, Reason::Refused, now)
                }
                (Ok((order, before)), _) => self.carry_out(plan.decision, order, *before, now),
                (Err(_), _) if plan.decision.mode == Mode::Advise => {
                    blank(plan.decision, Verdict::Advised, now)
                }
                (Err(reason), _) => refused(plan.decision, *reason, now),
            };
            failed |= outcome.verdict == Verdict::Failed;
            outcome
        };
        let outcomes: Vec<Outcome> = plans.iter().map(&mut settle).collect();
        // Only now: the log must not come between two writes.
        plans.iter().zip(&outcomes).for_each(|(plan, outcome)| self.log(plan, outcome));
        outcomes
    }

    /// Tells the audit log, which belongs to whoever has the journal.
    fn log(&mut self, plan: &Plan<'_>, outcome: &Outcome) {
        let known = self.brief.all().find(|known| known.device == plan.decision.device);
        if let (Some(known), Ok(_)) = (known, self.state.journal()) {
            let before = plan.order.as_ref().ok().and_then(|(_, before)| *before);
            self.audit.note(&known.key, plan.decision, outcome, (before, self.brief.evidence));
        }
    }

    /// Asks the guard.
    fn plan<'a>(&mut self, decision: &'a Decision, newest: bool, now: Timestamp) -> Plan<'a> {
        let mut plan = Plan { decision, order: Err(Reason::Refused), original: None };
        if decision.mode == Mode::Advise {
            return plan;
        }
        let known = self.brief.all().find(|known| known.device == decision.device).cloned();
        let Some(known) = known.filter(|_| newest) else {
            plan.order = Err(if newest { Reason::Lost } else { Reason::Late });
            return plan;
        };
        let (knob, key) = (decision.action.knob(), Arc::clone(&known.key));
        let entry = self.ledger.get(&key, knob).copied();
        let enforced = self.enforced(&key, knob);
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
                let value = self.requested(&known.key, knob);
                let incarnation = self.incarnation(&known.key, knob);
                value.map(|value| Original { value, keep: decision.keep, incarnation })
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

    /// Writes and reads back. A lower position than ordered is somebody else's, out of band, and accepted.
    fn carry_out(
        &mut self,
        decision: &Decision,
        order: &Order,
        before: Option<f64>,
        now: Timestamp,
    ) -> Outcome {
        let (knob, ordered) = (order.knob(), order.value());
        let releases = matches!(decision.action, Action::Release(_));
        if releases && let Some(foreign) = self.foreign(order.key(), knob) {
            self.leave(order.key(), knob);
            let read_back = Some(foreign);
            return Outcome { read_back, ..blank(decision, Verdict::Applied, now) };
        }
        let outcome = Outcome { ordered: Some(ordered), ..blank(decision, Verdict::Failed, now) };
        let unchanged = before == Some(ordered) && !releases;
        let read_back = if unchanged { Ok(ordered) } else { self.write(order) };
        let (read_back, reason) = match read_back {
            Ok(limit) if limit <= ordered + knob.slack() => (limit, None),
            Ok(limit) => (limit, Some(Reason::Mismatch)),
            Err(reason) => {
                self.ledger.doubt(order.key(), knob);
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
        let verdict = if unchanged { Verdict::Unchanged } else { Verdict::Applied };
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

    /// The position of a knob that is in force, from the first actuator that turns it.
    pub(super) fn enforced(&mut self, key: &str, knob: Knob) -> Option<f64> {
        let Self { hands, owners, .. } = self;
        let name = (key.to_owned(), knob);
        let mut ask = |owner: usize| hands.actuators[owner].enforced(key, knob).ok();
        if let Some(value) = owners.get(&name).and_then(|owner| ask(*owner)) {
            return Some(value);
        }
        let (owner, value) = (0..hands.actuators.len())
            .find_map(|owner| Some((owner, hands.actuators[owner].enforced(key, knob).ok()?)))?;
        owners.insert(name, owner);
        Some(value)
    }

    /// The position that was asked of a knob before us. Where that cannot be told it is the one in force.
    fn requested(&mut self, key: &str, knob: Knob) -> Option<f64> {
        let name = (key.to_owned(), knob);
        let enforced = self.enforced(key, knob)?;
        let owner = *self.owners.get(&name)?;
        Some(self.hands.actuators[owner].requested(key, knob).unwrap_or(enforced).max(enforced))
    }

    /// Writes through the actuator that turns the knob, or the first that takes the order; gives what is read back.
    pub(super) fn write(&mut self, order: &Order) -> Result<f64, Reason> {
        if let Some(owner) = self.owners.get(&(order.key().to_owned(), order.knob())) {
            let actuator = &mut self.hands.actuators[*owner];
            return actuator.apply(order).map_err(|error| {
                tracing::warn!(actuator = actuator.name(), "{error}");
                error.reason
            });
        }
        let mut last = Reason::Unsupported;
        for actuator in &mut self.hands.actuators {
            match actuator.apply(order) {
                Ok(read_back) => return Ok(read_back),
                Err(error) => {
                    tracing::warn!(actuator = actuator.name(), "{error}");
                    last = error.reason;
                }
            }
        }
        Err(last)
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

fn refused(decision: &Decision, reason: Reason, at: Timestamp) -> Outcome {
    Outcome { reason: Some(reason), ..blank(decision, Verdict::Refused, at) }
}
