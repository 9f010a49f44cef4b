//! Restoring: originals go back when nothing is to be enforced, when a cap expires, and at the end; each by itself.
use super::Keeper;
use super::audit::Entry as Line;
use super::late::Flight;
use crate::hands::{Ask, Position};
use model::{
    Action, DeviceId, DeviceInfo, DeviceKind, DeviceTable, Keep, Knob, Order, Reason, Span, Timestamp,
    Verdict, Why,
};
use policy::ledger::{Entry, Written};
use std::sync::Arc;
use std::time::Duration;

/// A knob of a device, by the device's key.
pub(super) type Name = (String, Knob);

/// How long a knob that could not be given back is left alone.
const RETRY: Duration = Duration::from_secs(10);
/// How long one whose original is above what its device takes, unless the device takes it again: that may be never.
const RETRY_ABOVE: Duration = Duration::from_secs(3600);

/// When something that failed is tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    due: Timestamp,
    /// Why giving back failed; none where it was something else.
    reason: Option<Reason>,
}

/// A handle for a device of which nothing but its key is known; actuators go by the key.
fn stranger() -> Option<DeviceId> {
    DeviceTable::default().register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "unknown"))).ok()
}

impl Keeper {
    /// Takes the journal's originals into the ledger.
    pub(super) fn take_over(&mut self) {
        if let Ok(journal) = self.state.journal() {
            for (key, knob, original) in journal.originals() {
                self.ledger.open(key, knob, original.value);
                if original.keep == Keep::Tuning {
                    self.stale.push((key.to_owned(), knob));
                }
            }
        }
    }

    /// Gives every original back, each by itself. Says whether all went well; what did not stays in the journal.
    pub fn stop(&mut self, now: Timestamp) -> bool {
        let names: Vec<Name> = self.ledger.iter().map(|(key, knob, _)| (key.to_owned(), knob)).collect();
        let given = self.give_back(&names, now);
        // What is gone has nothing that could be given back.
        let done = |(name, given): (&Name, Result<f64, Reason>)| {
            given.is_ok() || self.ledger.get(&name.0, name.1).is_none()
        };
        names.iter().zip(given).all(done)
    }

    /// Brings the ledger in line with what is to be done.
    ///
    /// Under enforcement a position that a predecessor left, or whose write ended in doubt, becomes a cap as it is; a
    /// cap that has expired goes, and so does one that a predecessor left that was there to tune. Without enforcement
    /// every cap goes.
    pub(super) fn mend(&mut self, now: Timestamp) {
        if !self.briefed || self.ledger.is_empty() {
            return;
        }
        self.drop_vanished(now);
        self.fresh = false;
        let busy = self.busy();
        let expired = |written: Written| written.expires.is_some_and(|expiry| expiry <= now);
        let stale = std::mem::take(&mut self.stale);
        // Nobody is there to renew a cap, and its end would be a loosening that nobody decided.
        let orphaned = self.orphan.is_some();
        let ends = |name: &Name, entry: &Entry| {
            !busy
                || !orphaned && entry.written.is_some_and(expired)
                || entry.written.is_none() && stale.contains(name)
        };
        let there = |key: &str| self.brief.all().any(|known| *known.key == *key);
        let ready = |name: &Name| {
            let due = |retry: &Retry| {
                retry.due <= now || retry.reason == Some(Reason::Refused) && !self.is_above(name)
            };
            there(&name.0) && self.retries.get(name).is_none_or(due) && !self.flights.contains_key(name)
        };
        let work: Vec<(Name, bool)> = self
            .ledger
            .iter()
            .map(|(key, knob, entry)| ((key.to_owned(), knob), entry))
            .filter(|(name, entry)| ready(name) && (ends(name, entry) || entry.written.is_none()))
            .map(|(name, entry)| (name.clone(), ends(&name, entry)))
            .collect();
        self.stale = stale;
        let (ending, doubtful): (Vec<_>, Vec<_>) = work.into_iter().partition(|(_, ends)| *ends);
        let [ending, doubtful] =
            [ending, doubtful].map(|list| list.into_iter().map(|(name, _)| name).collect::<Vec<Name>>());
        let given = self.give_back(&ending, now);
        let given: Vec<_> = given.into_iter().map(|given| given.err().map(Some)).collect();
        let adopted = self.adopt(&doubtful, now);
        let adopted = adopted.into_iter().map(|adopted| (!adopted).then_some(None));
        for (name, failed) in ending.into_iter().zip(given).chain(doubtful.into_iter().zip(adopted)) {
            let Some(reason) = failed else {
                self.stale.retain(|stale| *stale != name);
                self.retries.remove(&name);
                continue;
            };
            let above = reason == Some(Reason::Refused) && self.is_above(&name);
            let due = now.after(if above { RETRY_ABOVE } else { RETRY });
            self.retries.insert(name, Retry { due, reason });
        }
    }

    /// Drops the entries of groups that are gone: a quota goes with its group, and the next one of that name is another.
    fn drop_vanished(&mut self, now: Timestamp) {
        let there = |key: &str| self.brief.all().any(|known| *known.key == *key);
        let doubtful = |(key, knob, entry): &(&str, Knob, &Entry)| {
            let retry = || self.retries.get(&((*key).to_owned(), *knob));
            let gone = entry.written.is_none() || !there(key);
            // Once a beat, whether another group of that name has taken its place.
            *knob == Knob::CpuQuota && (self.fresh || gone && retry().is_none_or(|retry| retry.due <= now))
        };
        let names: Vec<Name> =
            self.ledger.iter().filter(doubtful).map(|(key, knob, _)| (key.to_owned(), knob)).collect();
        for name in names {
            if self.vanished(&name.0, name.1) {
                self.drop_entry(&name);
            } else if !self.brief.all().any(|known| *known.key == *name.0) {
                self.retries.insert(name, Retry { due: now.after(RETRY), reason: None });
            }
        }
    }

    /// Whether the group is gone, or another one has its name.
    fn vanished(&mut self, key: &str, knob: Knob) -> bool {
        self.replaced(key, knob) || self.hands.vanished(key, knob)
    }

    /// Whether the group of this name is not the one whose original is in the journal.
    fn replaced(&mut self, key: &str, knob: Knob) -> bool {
        let journal = self.state.journal().ok();
        let own = journal.and_then(|journal| journal.original(key, knob)?.incarnation);
        own.is_some_and(|own| self.hands.incarnation(key, knob).is_some_and(|now| now != own))
    }

    /// Whether somebody else has set a quota since we did. It is the newer wish, tighter or not: it is not ours to change when we
    /// let go.
    pub(super) fn is_foreign(&self, order: &Order, now: Option<f64>) -> bool {
        let (key, knob) = (order.key(), order.knob());
        let entry = self.ledger.get(key, knob).filter(|_| knob == Knob::CpuQuota);
        let written = entry.and_then(|entry| entry.written);
        written.zip(now).is_some_and(|(written, now)| (now - written.limit).abs() > knob.slack())
    }

    /// Lets go of a quota without changing it.
    pub(super) fn leave(&mut self, order: &Order) {
        let (key, knob) = (order.key(), order.knob());
        tracing::info!(
            device = key,
            knob = knob.as_str(),
            "somebody else has set it since: it stays as it is"
        );
        self.forget(key, knob);
    }

    fn drop_entry(&mut self, name: &Name) {
        tracing::info!(
            device = name.0,
            knob = name.1.as_str(),
            "the group is gone, or another one has its name: its quota went with it"
        );
        self.hands.forget(&name.0, name.1);
        self.retries.remove(name);
        self.forget(&name.0, name.1);
    }

    /// Whether an original is above what its device takes now.
    fn is_above(&self, (key, knob): &Name) -> bool {
        let known = self.brief.all().find(|known| *known.key == **key);
        let span = known.and_then(|known| self.span(known, *knob));
        let original = self.ledger.get(key, *knob).map(|entry| entry.original);
        span.zip(original).is_some_and(|(span, original)| span.max() + knob.slack() < original)
    }

    /// Makes caps of ours of the positions that are in force; says of each whether it could be read.
    fn adopt(&mut self, names: &[Name], now: Timestamp) -> Vec<bool> {
        let asks: Vec<Ask> = names.iter().map(|(key, knob)| Ask::enforced(key, *knob)).collect();
        let positions = self.hands.look(&asks, now);
        let mut adopt = |(name, position): (&Name, Result<Position, Reason>)| {
            let known = self.brief.all().find(|known| *known.key == *name.0);
            let Some((known, position)) = known.zip(position.ok()) else { return false };
            let (device, limit, keep) = (known.device, position.enforced, Keep::Safety);
            self.reasons.remove(name);
            self.ledger.set(&name.0, name.1, Written { device, limit, since: now, expires: None, keep });
            true
        };
        names.iter().zip(positions).map(&mut adopt).collect()
    }

    /// Restores originals, each by itself, and gives what is read back of each.
    pub(super) fn give_back(&mut self, names: &[Name], now: Timestamp) -> Vec<Result<f64, Reason>> {
        let orders: Vec<Result<Order, Reason>> = names.iter().map(|name| self.return_of(name)).collect();
        let asks = names.iter().zip(&orders).filter(|(_, order)| order.is_ok());
        let asks: Vec<Ask> = asks.map(|((key, knob), _)| Ask::enforced(key, *knob)).collect();
        let positions = self.hands.look(&asks, now);
        let orders_of: Vec<&Order> = orders.iter().flatten().collect();
        let late = |position: &Result<Position, Reason>| *position == Err(Reason::Late);
        let foreign: Vec<bool> = orders_of
            .iter()
            .zip(&positions)
            .map(|(order, position)| self.is_foreign(order, position.ok().map(|position| position.enforced)))
            .collect();
        let written = orders_of.iter().zip(positions.iter().zip(&foreign));
        let written = written.filter(|(_, (position, foreign))| !late(position) && !**foreign);
        let written: Vec<&Order> = written.map(|(order, _)| *order).collect();
        let mut read_back = self.hands.write(&written, now).into_iter();
        let mut positions = positions.into_iter().zip(foreign);
        let mut end = |order: &Result<Order, Reason>| {
            let order = order.as_ref().map_err(|reason| *reason)?;
            let (position, foreign) = positions.next().unwrap_or((Err(Reason::Lost), false));
            if foreign {
                self.leave(order);
                return position.map(|position| position.enforced);
            }
            let answer = if late(&position) { None } else { read_back.next() };
            let before = position.ok().map(|position| position.enforced);
            self.end(order, before, answer.unwrap_or(Err(Reason::Late)), now)
        };
        orders.iter().map(&mut end).collect()
    }

    /// The order that gives an original back.
    fn return_of(&mut self, name: &Name) -> Result<Order, Reason> {
        let (key, knob) = (name.0.as_str(), name.1);
        let original = self.ledger.get(key, knob).map(|entry| entry.original).ok_or(Reason::Missing)?;
        if self.vanished(key, knob) {
            self.drop_entry(name);
            return Err(Reason::Lost);
        }
        let known = self.brief.all().find(|known| *known.key == *key).cloned();
        // Nobody has said what the device takes: it took its original, so exactly that is asked of it.
        let span = known.as_ref().and_then(|known| self.span(known, knob)).or(Span::new(original, original));
        let device = known.map(|known| known.device).or_else(stranger).ok_or(Reason::Full)?;
        Ok(Order::new(device, Arc::from(key), (knob, original), span.ok_or(Reason::Malformed)?))
    }

    /// Sees to what came of giving an original back, which is what it gives.
    pub(super) fn end(
        &mut self,
        order: &Order,
        before: Option<f64>,
        read_back: Result<f64, Reason>,
        now: Timestamp,
    ) -> Result<f64, Reason> {
        let (key, knob) = (order.key(), order.knob());
        let is_whole = self.is_whole(order);
        let written = if is_whole { read_back } else { read_back.and(Err(Reason::Refused)) };
        self.audit.write(&Line {
            at_ms: now.wall_ms,
            device: key.to_owned(),
            knob,
            decision: 0,
            action: Action::Release(knob).as_str().to_owned(),
            why: Why::Stop.as_str().to_owned(),
            evidence: self.brief.evidence,
            before,
            ordered: Some(order.value()),
            read_back: written.ok(),
            verdict: if written.is_ok() { Verdict::Applied } else { Verdict::Failed },
            reason: written.err(),
        });
        match written {
            // A lower limit than the original is somebody else's, out of band; it is not ours to lift.
            Ok(read_back) => {
                tracing::info!(
                    device = key,
                    knob = knob.as_str(),
                    now = knob.say(read_back),
                    "original restored"
                );
                self.forget(key, knob);
            }
            Err(reason) => self.tell_kept(order, reason),
        }
        written
    }

    /// Says that an original was not given back; once, where it stays so.
    fn tell_kept(&mut self, order: &Order, reason: Reason) {
        let (key, knob) = (order.key(), order.knob());
        if reason == Reason::Late && self.is_under_way(order, Flight::Return) {
            self.ledger.doubt(key, knob);
        }
        let name = (key.to_owned(), knob);
        let told = self.retries.get(&name).is_some_and(|retry| retry.reason == Some(reason));
        if told && reason != Reason::Refused {
            return tracing::debug!(device = key, reason = reason.as_str(), "original still not restored");
        }
        let original = self.ledger.get(key, knob).map_or(order.value(), |entry| entry.original);
        tracing::error!(
            device = key,
            reason = reason.as_str(),
            knob = knob.as_str(),
            original = knob.say(original),
            above = self.is_above(&name),
            "original not restored"
        );
    }

    /// Whether an order that gives back reaches the original. While a device takes less than it did, it cannot, and the
    /// original must not be forgotten.
    pub(super) fn is_whole(&self, order: &Order) -> bool {
        let entry = self.ledger.get(order.key(), order.knob());
        entry.is_none_or(|entry| order.value() + order.knob().slack() >= entry.original)
    }

    /// Closes ledger and journal for a device whose original limit is back.
    pub(super) fn forget(&mut self, key: &str, knob: Knob) {
        self.ledger.close(key, knob);
        self.reasons.remove(&(key.to_owned(), knob));
        if let Ok(journal) = self.state.journal_mut()
            && let Err(error) = journal.forget(key, knob)
        {
            tracing::warn!("the journal keeps an original that was given back: {error}");
        }
    }
}
