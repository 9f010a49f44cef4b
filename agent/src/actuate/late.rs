//! Late devices: what their calls come to once they return, and what is owed to them meanwhile.
use super::orders::Carried;
use super::restore::Name;
use super::{Keeper, Known};
use crate::hands::Returned;
use model::{
    Action, Cores, Decision, Hertz, Knob, Mode, Order, Outcome, Reason, Timestamp, Verdict, Watts, Why,
};

/// An order whose driver call has not returned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Flight {
    /// One of a decision, with the position before it.
    Order(Decision, Option<f64>),
    /// One that gives an original back.
    Return,
}

impl Keeper {
    /// Remembers an order that the driver has begun with and whose end is not known; says whether it is that.
    pub(super) fn is_under_way(&mut self, order: &Order, flight: Flight) -> bool {
        let name = (order.key().to_owned(), order.knob());
        let under_way = self.hands.is_writing(order.key(), order.knob()) && !self.flights.contains_key(&name);
        if under_way {
            self.flights.insert(name, flight);
        }
        under_way
    }

    /// Takes what late calls came to that have returned.
    pub(super) fn take_back(&mut self, now: Timestamp) {
        for Returned { key, written } in self.hands.returned() {
            self.retries.retain(|(device, _), _| **device != *key);
            // The node may fit in its fallback budget better now.
            if let Some(orphan) = self.orphan.as_mut() {
                orphan.look_at(now);
            }
            if let Some((order, read_back)) = written {
                self.land(&order, read_back, now);
            }
        }
    }

    fn land(&mut self, order: &Order, read_back: Result<f64, Reason>, now: Timestamp) {
        let name = (order.key().to_owned(), order.knob());
        match self.flights.remove(&name) {
            Some(Flight::Order(decision, before)) => {
                let carried = Carried { decision: &decision, order, before };
                let outcome = self.conclude(&carried, read_back, now);
                self.log(&decision, &outcome, before);
                self.tell(decision, outcome);
                self.undo(name, &decision, before);
            }
            Some(Flight::Return) => {
                let _ = self.end(order, None, read_back, now);
            }
            // It was for another agent, whose handles nobody knows any more: the knob is adopted where it is.
            None => self.ledger.doubt(&name.0, name.1),
        }
    }

    /// A loosening that comes into force late rests on what was known long ago: it is taken back, and decided anew. What was owed
    /// meanwhile is tighter and knew more.
    fn undo(&mut self, name: Name, decision: &Decision, before: Option<f64>) {
        let Some(before) = before.filter(|_| self.busy() && decision.why == Why::Headroom) else { return };
        let (id, why, expires) = (0, Why::Drift, None);
        let action = action(name.1, before);
        self.owed.entry(name).or_insert(Decision { id, action, why, expires, ..*decision });
    }

    /// Keeps what is owed to a late device up to date with a decision that was settled.
    pub(super) fn owe(&mut self, decision: &Decision, outcome: &Outcome) {
        if decision.mode == Mode::Advise
            || outcome.verdict == Verdict::Refused && outcome.reason == Some(Reason::Late)
        {
            return;
        }
        let Some(known) = self.brief.all().find(|known| known.device == decision.device) else { return };
        let name = (known.key.to_string(), decision.action.knob());
        let late = outcome.verdict == Verdict::Failed && outcome.reason == Some(Reason::Late);
        let tightens = !matches!(decision.why, Why::Headroom | Why::Stop)
            && !matches!(decision.action, Action::Release(_));
        let own = |flight: &Flight| matches!(flight, Flight::Order(other, _) if other == decision);
        if late && tightens && !self.flights.get(&name).is_some_and(own) {
            self.owed.insert(name, *decision);
        } else {
            self.owed.remove(&name);
        }
    }

    /// Settles what is owed to devices that answer again. The guard sees it as any decision; what is pending knows more.
    pub(super) fn pay(&mut self, now: Timestamp) {
        if !self.busy() {
            return self.owed.clear();
        }
        let device = |known: &Known, key: &str| *known.key == *key;
        let pending = |name: &Name| {
            let known = self.brief.all().find(|known| device(known, &name.0));
            let same = |one: &Decision| {
                known.is_some_and(|known| known.device == one.device) && one.action.knob() == name.1
            };
            self.pending.iter().any(same)
        };
        let free = |name: &Name| !self.hands.is_late(&name.0) && !pending(name);
        let due: Vec<Decision> =
            self.owed.iter().filter(|(name, _)| free(name)).map(|(_, owed)| *owed).collect();
        if due.is_empty() {
            return;
        }
        let outcomes = self.settle(&due, now);
        for (decision, outcome) in due.into_iter().zip(outcomes) {
            self.tell(decision, outcome);
        }
    }

    /// Puts an outcome into the report: with its decision where that was made here.
    fn tell(&mut self, decision: Decision, outcome: Outcome) {
        if decision.id == 0 {
            self.note(vec![decision], &[outcome]);
        } else {
            self.report.outcomes.push(outcome);
        }
    }

    /// Forgets what was under way and owed for whoever decided before.
    pub(super) fn forget_late(&mut self) {
        self.owed.clear();
        self.flights.retain(|_, flight| matches!(flight, Flight::Return));
    }

    /// Whether there is something to do on every tick though nothing is enforced: a call that is late may return.
    pub fn waits(&self) -> bool {
        self.hands.any_late()
    }
}

/// What brings a knob to a position.
fn action(knob: Knob, position: f64) -> Action {
    match knob {
        Knob::PowerLimit => Action::Limit(Watts(position)),
        Knob::ClockMax => Action::Clock(Hertz(position)),
        Knob::CpuQuota => Action::Quota(Cores(position)),
    }
}
