//! Carrying out without a disk: all originals first, then each order written and read back, as in `actuate`.
use super::check::Breach;
use super::keeper::{Bench, Keeper};
use super::site::{number, span};
use model::{Absence, Action, Decision, Keep, Knob, Order, Outcome, Reason, Timestamp, Verdict, Why};
use policy::guard::Subject;
use policy::ledger::Written;
use std::sync::Arc;

impl Keeper {
    /// Settles decisions in their order: all originals first, then each written and read back. Once a write has failed, no
    /// increase of the same round is carried out.
    pub(super) fn settle(&mut self, decisions: &[Decision], bench: &mut Bench<'_>) {
        let mut plans: Vec<Option<(Order, Option<f64>)>> = Vec::with_capacity(decisions.len());
        for (place, decision) in decisions.iter().enumerate() {
            let same = |other: &Decision| {
                (other.device, other.action.knob()) == (decision.device, decision.action.knob())
            };
            let stale = decisions[place + 1..].iter().any(same);
            let plan = if stale { Err(Reason::Late) } else { self.plan(decision, bench) };
            if let Err(reason) = plan {
                self.tell(decision, Verdict::Refused, Some(reason), bench.now);
            }
            plans.push(plan.ok());
        }
        for (decision, (order, before)) in
            decisions.iter().zip(&plans).filter_map(|(one, plan)| Some((one, plan.as_ref()?)))
        {
            let original = before.and_then(|_| bench.requested(order.device(), order.knob()));
            self.keep(decision, order, original, bench);
        }
        let mut failed = false;
        for (decision, plan) in decisions.iter().zip(plans) {
            let Some((order, before)) = plan else { continue };
            if failed && decision.why == Why::Headroom {
                self.tell(decision, Verdict::Refused, Some(Reason::Refused), bench.now);
                continue;
            }
            if self.fuse == Some(0) {
                self.dead = true;
                return;
            }
            failed |= self.carry_out(decision, &order, before, bench) == Verdict::Failed;
        }
        self.ledger.caps(&mut self.report.caps);
    }

    /// Asks the guard; gives the order and the position before it.
    fn plan(&mut self, decision: &Decision, bench: &Bench<'_>) -> Result<(Order, Option<f64>), Reason> {
        let known = self.known.iter().find(|known| known.device == decision.device && known.there);
        let known = known.ok_or(Reason::Lost)?;
        let knob = decision.action.knob();
        let entry = self.ledger.get(&known.key, knob).copied();
        let enforced = bench.enforced(decision.device, knob);
        let subject = Subject {
            key: Arc::clone(&known.key),
            span: span(known, knob),
            original: entry.map(|entry| entry.original),
            set: entry.and_then(|entry| entry.written).map(|written| written.limit),
            enforced,
            journal: Ok(()),
        };
        let order = self.guard.admit(decision, &subject, bench.now)?;
        Ok((order, enforced))
    }

    /// Journals the original of a knob that is turned for the first time, and that a cap comes to be held.
    fn keep(&mut self, decision: &Decision, order: &Order, original: Option<f64>, bench: &mut Bench<'_>) {
        let name = (Arc::from(order.key()), order.knob());
        if let Some(entry) = bench.journal.get_mut(&name) {
            if decision.keep == Keep::Safety {
                entry.1 = Keep::Safety;
            }
        } else if let Some(original) = original {
            let incarnation = bench.incarnation(order.device());
            bench.journal.insert(name, (original, decision.keep, incarnation));
        }
        if self.ledger.get(order.key(), order.knob()).is_none()
            && let Some(original) = original
        {
            if order.knob() != Knob::ClockMax
                && let Some(asked) = bench.requested(order.device(), order.knob())
            {
                bench.breaches.first_write(number(order.device()), asked, original);
            }
            self.ledger.open(order.key(), order.knob(), original);
        }
    }

    fn carry_out(
        &mut self,
        decision: &Decision,
        order: &Order,
        before: Option<f64>,
        bench: &mut Bench<'_>,
    ) -> Verdict {
        let (knob, ordered) = (order.knob(), order.value());
        let releases = matches!(decision.action, Action::Release(_));
        let unchanged = before == Some(ordered) && !releases;
        let raises = before.is_some_and(|before| ordered > before + knob.slack());
        if raises && !matches!(decision.why, Why::Headroom | Why::Stop) && decision.action != Action::Brake {
            bench.breaches.note(Breach::Raised, bench.now, number(decision.device));
        }
        let entry = self.ledger.get(order.key(), knob).copied();
        if releases && entry.is_some_and(|entry| bench.foreign(order.device(), knob, &entry)) {
            self.forget(order, bench);
            self.tell(decision, Verdict::Applied, None, bench.now);
            return Verdict::Applied;
        }
        let set = entry.and_then(|entry| entry.written).map(|written| written.limit);
        bench.breaches.ordered(order, (before, set), decision.why, bench.now);
        let read_back = if unchanged { Ok(ordered) } else { self.write(order, bench) };
        let verdict = match read_back {
            Ok(limit) if limit > ordered + knob.slack() => Err(Reason::Mismatch),
            other => other,
        };
        let Ok(limit) = verdict else {
            self.ledger.doubt(order.key(), knob);
            self.tell(decision, Verdict::Failed, verdict.err(), bench.now);
            return Verdict::Failed;
        };
        if releases && self.is_whole(order) {
            self.forget(order, bench);
        } else {
            let (device, limit, keep) = (order.device(), ordered.max(limit), decision.keep);
            let written = Written { device, limit, since: bench.now, expires: decision.expires, keep };
            self.ledger.set(order.key(), knob, written);
        }
        let verdict = if unchanged { Verdict::Unchanged } else { Verdict::Applied };
        self.tell(decision, verdict, None, bench.now);
        verdict
    }

    /// Writes and gives what is read back.
    pub(super) fn write(&mut self, order: &Order, bench: &mut Bench<'_>) -> Result<f64, Reason> {
        if let Some(left) = &mut self.fuse {
            *left = left.saturating_sub(1);
        }
        let answer = bench.turn(order.device(), order.knob(), order.value());
        answer.map_err(|absence| match absence {
            Absence::Late => Reason::Late,
            Absence::Lost => Reason::Lost,
            Absence::Denied => Reason::Denied,
            Absence::Implausible => {
                bench.breaches.refused(number(order.device()), bench.now);
                Reason::Library
            }
            Absence::Unsupported | Absence::Disabled => Reason::Unsupported,
        })
    }

    fn tell(&mut self, decision: &Decision, verdict: Verdict, reason: Option<Reason>, at: Timestamp) {
        let outcome = Outcome { decision: decision.id, at, verdict, reason, ordered: None, read_back: None };
        self.report.outcomes.push(outcome);
    }
}
