//! The keeper without a disk: guard, ledger and reflex in the order in which `actuate` has them, over the plant's knobs.
//!
//! What the journal keeps is a map here; a crash loses everything else. Deaths between two writes are a fuse.
use super::check::{Breach, Breaches};
use model::stages::Cap;
use model::{
    Absence, Action, Decision, DeviceId, Mode, Order, Outcome, Range, Reason, Timestamp, Verdict, Watts, Why,
};
use policy::guard::{Guard, Subject};
use policy::ledger::{Ledger, Written};
use policy::reflex::{Footing, Reflex};
use sim::plant::{BOARDS, Plant};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is read back may differ from what was ordered by rounding; above this it is a mismatch.
const SLACK: Watts = Watts(1.0);
/// How long a board whose limit could not be adopted or given back is left alone.
const RETRY: Duration = Duration::from_secs(10);

/// What survives a crash: the limits before our first writes, by key.
pub(super) type Journal = BTreeMap<Arc<str>, Watts>;

/// A board as the keeper knows it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) device: DeviceId,
    pub(super) key: Arc<str>,
    pub(super) range: Option<Range>,
    /// Whether the driver says that it is there.
    pub(super) there: bool,
}

/// What the keeper tells the beat.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) caps: Vec<Cap>,
}

/// Owns the knobs.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    ledger: Ledger,
    guard: Guard,
    reflex: Reflex,
    pub(super) known: Vec<Known>,
    pub(super) footing: Footing,
    pub(super) pending: Vec<Decision>,
    pub(super) report: Report,
    /// Times that the reflex braked.
    pub(super) brakes: u64,
    /// Writes that are left before it dies.
    pub(super) fuse: Option<u64>,
    /// Whether it has died.
    pub(super) dead: bool,
    retries: BTreeMap<Arc<str>, Timestamp>,
}

impl Keeper {
    /// A keeper that takes over what a predecessor left in the journal.
    pub(super) fn start(journal: &Journal) -> Self {
        let mut keeper = Self::default();
        journal.iter().for_each(|(key, original)| keeper.ledger.open(key, *original));
        keeper
    }

    /// One tick: mends, carries out what is pending, then lets the reflex look.
    pub(super) fn tick(&mut self, bench: &mut Bench<'_>) {
        self.mend(bench);
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.settle(&pending, bench);
            self.pending = pending;
            self.pending.clear();
        }
        if self.dead {
            return;
        }
        let plant = &*bench.plant;
        let power = |device: DeviceId| {
            let shown = plant.answers(device.index()).ok().map(|()| plant.boards[device.index()].instant_w());
            shown.and_then(|watts| model::Metric::PowerInstant.reading(watts).value()).map(Watts)
        };
        if self.reflex.tick(&self.footing, power) {
            self.brake(bench);
        }
    }

    /// Gives every original back, each by itself; what could not be given back stays in the journal.
    pub(super) fn stop(&mut self, bench: &mut Bench<'_>) {
        for known in self.known.clone() {
            let Some(entry) = self.ledger.get(&known.key) else { continue };
            let Some(range) = known.range else { continue };
            let order = Order::power_limit(known.device, Arc::clone(&known.key), entry.original, range);
            if self.write(&order, bench).is_ok() {
                self.forget(&known.key, bench);
            }
        }
        self.ledger.caps(&mut self.report.caps);
    }

    /// Brings every board down to these watts, as the guardian does when the agent is gone.
    pub(super) fn fall_back(&mut self, limit: Watts, bench: &mut Bench<'_>) {
        self.all(Action::Limit(limit), Why::OverBudget, bench);
    }

    fn brake(&mut self, bench: &mut Bench<'_>) {
        self.brakes += 1;
        self.all(Action::Brake, Why::OverBudget, bench);
        if self.dead {
            return;
        }
        let floor = |known: &&Known| known.there && known.range.is_some();
        for known in self.known.iter().filter(floor) {
            let board = known.device.index();
            let least = known.range.map_or(Watts::ZERO, Range::min);
            let low = |now: f64| now <= least.0.max(bench.plant.boards[board].range_w.0) + SLACK.0;
            if bench.plant.may_write(board).is_ok() && !bench.plant.enforced_w(board).is_ok_and(low) {
                bench.breaches.note(Breach::Standstill, bench.now, board);
            }
        }
    }

    fn all(&mut self, action: Action, why: Why, bench: &mut Bench<'_>) {
        let at = bench.now;
        let capable = self.known.iter().filter(|known| known.there && known.range.is_some());
        let decide = |known: &Known| Decision {
            id: 0,
            at,
            device: known.device,
            action,
            why,
            event: None,
            expires: None,
            mode: Mode::Enforce,
        };
        let decisions: Vec<Decision> = capable.map(decide).collect();
        self.settle(&decisions, bench);
    }

    /// Settles decisions in their order: all originals first, then each written and read back. Once a write has failed, no
    /// increase of the same round is carried out.
    fn settle(&mut self, decisions: &[Decision], bench: &mut Bench<'_>) {
        let mut plans: [Option<(Order, Option<Watts>)>; BOARDS] = std::array::from_fn(|_| None);
        for (place, decision) in decisions.iter().enumerate() {
            let stale = decisions[place + 1..].iter().any(|other| other.device == decision.device);
            let plan = if stale { Err(Reason::Late) } else { self.plan(decision, bench) };
            match plan {
                Ok(plan) => plans[decision.device.index()] = Some(plan),
                Err(reason) => self.tell(decision, Verdict::Refused, Some(reason), bench.now),
            }
        }
        for (order, before) in plans.iter().flatten() {
            if self.ledger.get(order.key()).is_none()
                && let Some(before) = before
            {
                bench.journal.entry(Arc::from(order.key())).or_insert(*before);
                let board = order.device().index();
                bench.breaches.first_write(board, bench.plant.boards[board].requested_w, *before);
                self.ledger.open(order.key(), *before);
            }
        }
        let mut failed = false;
        for decision in decisions {
            let Some((order, before)) = plans[decision.device.index()].take() else { continue };
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

    /// Asks the guard; gives the order and the limit before it.
    fn plan(&mut self, decision: &Decision, bench: &Bench<'_>) -> Result<(Order, Option<Watts>), Reason> {
        let known = self.known.iter().find(|known| known.device == decision.device && known.there);
        let known = known.ok_or(Reason::Lost)?;
        let entry = self.ledger.get(&known.key).copied();
        let enforced = bench.plant.enforced_w(decision.device.index()).ok().map(Watts);
        let subject = Subject {
            key: Arc::clone(&known.key),
            range: known.range,
            original: entry.map(|entry| entry.original),
            set: entry.and_then(|entry| entry.written).map(|written| written.limit),
            enforced,
            journal: Ok(()),
        };
        let order = self.guard.admit(decision, &subject, bench.now)?;
        Ok((order, enforced))
    }

    fn carry_out(
        &mut self,
        decision: &Decision,
        order: &Order,
        before: Option<Watts>,
        bench: &mut Bench<'_>,
    ) -> Verdict {
        let (ordered, releases) = (order.limit(), decision.action == Action::Release);
        let unchanged = before == Some(ordered) && !releases;
        let raises = before.is_some_and(|before| ordered > before + SLACK);
        if raises && !matches!(decision.why, Why::Headroom | Why::Stop) && decision.action != Action::Brake {
            bench.breaches.note(Breach::Raised, bench.now, decision.device.index());
        }
        let read_back = if unchanged { Ok(ordered) } else { self.write(order, bench) };
        let verdict = match read_back {
            Ok(limit) if limit > ordered + SLACK => Err(Reason::Mismatch),
            other => other,
        };
        let Ok(limit) = verdict else {
            self.ledger.doubt(order.key());
            self.tell(decision, Verdict::Failed, verdict.err(), bench.now);
            return Verdict::Failed;
        };
        if releases {
            self.forget(order.key(), bench);
        } else {
            let written = Written {
                device: order.device(),
                limit: ordered.max(limit),
                since: bench.now,
                expires: decision.expires,
            };
            self.ledger.set(order.key(), written);
        }
        let verdict = if unchanged { Verdict::Unchanged } else { Verdict::Applied };
        self.tell(decision, verdict, None, bench.now);
        verdict
    }

    /// Writes and gives what is read back.
    fn write(&mut self, order: &Order, bench: &mut Bench<'_>) -> Result<Watts, Reason> {
        if let Some(left) = &mut self.fuse {
            *left = left.saturating_sub(1);
        }
        let board = order.device().index();
        bench.plant.set_limit(board, order.limit().0).map(Watts).map_err(|absence| match absence {
            Absence::Late => Reason::Late,
            Absence::Lost => Reason::Lost,
            Absence::Denied => Reason::Denied,
            Absence::Implausible => {
                bench.breaches.refused(board, bench.now);
                Reason::Library
            }
            Absence::Unsupported | Absence::Disabled => Reason::Unsupported,
        })
    }

    /// Makes caps of ours of limits that a predecessor left, or whose write ended in doubt.
    fn mend(&mut self, bench: &Bench<'_>) {
        for known in self.known.iter().filter(|known| known.there) {
            let doubtful = self.ledger.get(&known.key).is_some_and(|entry| entry.written.is_none());
            if !doubtful || self.retries.get(&known.key).is_some_and(|retry| *retry > bench.now) {
                continue;
            }
            match bench.plant.enforced_w(known.device.index()) {
                Ok(watts) => {
                    let (device, limit) = (known.device, Watts(watts));
                    self.ledger.set(&known.key, Written { device, limit, since: bench.now, expires: None });
                    self.retries.remove(&known.key);
                }
                Err(_) => {
                    self.retries.insert(Arc::clone(&known.key), bench.now.after(RETRY));
                }
            }
        }
        if !self.ledger.is_empty() {
            self.ledger.caps(&mut self.report.caps);
        }
    }

    fn forget(&mut self, key: &str, bench: &mut Bench<'_>) {
        self.ledger.close(key);
        bench.journal.remove(key);
        if let Some(known) = self.known.iter().find(|known| *known.key == *key) {
            let board = known.device.index();
            bench.breaches.given_back(board, &bench.plant.boards[board], bench.now);
        }
    }

    fn tell(&mut self, decision: &Decision, verdict: Verdict, reason: Option<Reason>, at: Timestamp) {
        let outcome = Outcome { decision: decision.id, at, verdict, reason, ordered: None, read_back: None };
        self.report.outcomes.push(outcome);
    }
}

/// What the keeper works on in one step.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) now: Timestamp,
    pub(super) plant: &'a mut Plant,
    pub(super) journal: &'a mut Journal,
    pub(super) breaches: &'a mut Breaches,
}
