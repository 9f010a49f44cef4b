//! The keeper without a disk: guard, ledger and reflex in the order in which `actuate` has them, over the plant's knobs.
//!
//! What the journal keeps is a map here; a crash loses everything else. Deaths between two writes are a fuse.
use super::check::{Breach, Breaches};
use model::stages::{Caps, Reach};
use model::{
    Absence, Action, Decision, DeviceId, Keep, Knob, Mode, Order, Outcome, Range, Reason, Span, Timestamp,
    Verdict, Watts, Why,
};
use policy::guard::{Guard, Subject};
use policy::ledger::{Ledger, Written};
use policy::reflex::{Footing, Reflex};
use sim::plant::Plant;
use sim::profile::H100;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The knobs of a board that the plant has.
const KNOBS: [Knob; 2] = [Knob::PowerLimit, Knob::ClockMax];
/// How long a board whose limit could not be adopted or given back is left alone.
const RETRY: Duration = Duration::from_secs(10);

/// A knob of a device, by the device's key.
type Name = (Arc<str>, Knob);

/// What survives a crash: the positions before our first writes, and what becomes of each cap then.
pub(super) type Journal = BTreeMap<Name, (f64, Keep)>;

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
    pub(super) caps: Caps,
    pub(super) reaches: Vec<Reach>,
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
    retries: BTreeMap<Name, Timestamp>,
    /// Knobs that a predecessor turned to tune, to be given back.
    stale: Vec<Name>,
}

impl Keeper {
    /// A keeper that takes over what a predecessor left in the journal.
    pub(super) fn start(journal: &Journal) -> Self {
        let mut keeper = Self::default();
        for ((key, knob), (original, keep)) in journal {
            keeper.ledger.open(key, *knob, *original);
            if *keep == Keep::Tuning {
                keeper.stale.push((Arc::clone(key), *knob));
            }
        }
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

    /// What boards can be made to do beside their power limit.
    pub(super) fn reach(&mut self) {
        let reach = |known: &Known| {
            Some(Reach { device: known.device, knob: Knob::ClockMax, span: span(known, Knob::ClockMax)? })
        };
        self.report.reaches.clear();
        self.report.reaches.extend(self.known.iter().filter(|known| known.there).filter_map(reach));
    }

    /// Gives every original back, each by itself; what could not be given back stays in the journal.
    pub(super) fn stop(&mut self, bench: &mut Bench<'_>) {
        for known in self.known.clone() {
            for knob in KNOBS {
                self.give_back(&known, knob, bench);
            }
        }
        self.ledger.caps(&mut self.report.caps);
    }

    fn give_back(&mut self, known: &Known, knob: Knob, bench: &mut Bench<'_>) -> bool {
        let Some(entry) = self.ledger.get(&known.key, knob) else { return true };
        let Some(span) = span(known, knob) else { return false };
        let order = Order::new(known.device, Arc::clone(&known.key), (knob, entry.original), span);
        let done = self.write(&order, bench).is_ok();
        if done {
            self.forget(known.device.index(), &order, bench);
        }
        done
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
        let capable = |known: &&Known| known.there && known.range.is_some();
        for known in self.known.iter().filter(capable) {
            let board = known.device.index();
            let least = known.range.map_or(Watts::ZERO, Range::min);
            let low =
                |now: f64| now <= least.0.max(bench.plant.boards[board].range_w.0) + Knob::PowerLimit.slack();
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
            keep: Keep::Safety,
            mode: Mode::Enforce,
        };
        let decisions: Vec<Decision> = capable.map(decide).collect();
        self.settle(&decisions, bench);
    }

    /// Settles decisions in their order: all originals first, then each written and read back. Once a write has failed, no
    /// increase of the same round is carried out.
    fn settle(&mut self, decisions: &[Decision], bench: &mut Bench<'_>) {
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
            self.keep(decision, order, *before, bench);
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
        let enforced = bench.enforced(decision.device.index(), knob);
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
    fn keep(&mut self, decision: &Decision, order: &Order, before: Option<f64>, bench: &mut Bench<'_>) {
        let name = (Arc::from(order.key()), order.knob());
        if let Some(entry) = bench.journal.get_mut(&name) {
            if decision.keep == Keep::Safety {
                entry.1 = Keep::Safety;
            }
        } else if let Some(before) = before {
            bench.journal.insert(name, (before, decision.keep));
        }
        if self.ledger.get(order.key(), order.knob()).is_none()
            && let Some(before) = before
        {
            let board = order.device().index();
            if order.knob() == Knob::PowerLimit {
                bench.breaches.first_write(board, bench.plant.boards[board].requested_w, Watts(before));
            }
            self.ledger.open(order.key(), order.knob(), before);
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
            bench.breaches.note(Breach::Raised, bench.now, decision.device.index());
        }
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
        if releases {
            self.forget(order.device().index(), order, bench);
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
    fn write(&mut self, order: &Order, bench: &mut Bench<'_>) -> Result<f64, Reason> {
        if let Some(left) = &mut self.fuse {
            *left = left.saturating_sub(1);
        }
        let board = order.device().index();
        let answer = match order.knob() {
            Knob::PowerLimit => bench.plant.set_limit(board, order.value()),
            Knob::ClockMax => bench.plant.set_clock(board, order.value()),
            Knob::CpuQuota => Err(Absence::Unsupported),
        };
        answer.map_err(|absence| match absence {
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

    /// Makes caps of ours of positions that a predecessor left, or whose write ended in doubt, and gives back what it tuned.
    fn mend(&mut self, bench: &mut Bench<'_>) {
        if self.ledger.is_empty() {
            return;
        }
        for place in 0..self.known.len() {
            for knob in KNOBS {
                let known = &self.known[place];
                let doubtful = self.ledger.get(&known.key, knob).is_some_and(|entry| entry.written.is_none());
                if !known.there || !doubtful {
                    continue;
                }
                let name = (Arc::clone(&known.key), knob);
                if self.retries.get(&name).is_some_and(|retry| *retry > bench.now) {
                    continue;
                }
                if self.adopt(place, &name, bench) {
                    self.retries.remove(&name);
                } else {
                    self.retries.insert(name, bench.now.after(RETRY));
                }
            }
        }
        self.ledger.caps(&mut self.report.caps);
    }

    fn adopt(&mut self, place: usize, name: &Name, bench: &mut Bench<'_>) -> bool {
        if self.stale.contains(name) {
            let known = self.known[place].clone();
            let done = self.give_back(&known, name.1, bench);
            self.stale.retain(|stale| !done || stale != name);
            return done;
        }
        let device = self.known[place].device;
        let Some(limit) = bench.enforced(device.index(), name.1) else { return false };
        let written = Written { device, limit, since: bench.now, expires: None, keep: Keep::Safety };
        self.ledger.set(&name.0, name.1, written);
        true
    }

    fn forget(&mut self, board: usize, order: &Order, bench: &mut Bench<'_>) {
        self.ledger.close(order.key(), order.knob());
        bench.journal.remove(&(Arc::from(order.key()), order.knob()));
        if order.knob() == Knob::PowerLimit {
            bench.breaches.given_back(board, &bench.plant.boards[board], bench.now);
        }
    }

    fn tell(&mut self, decision: &Decision, verdict: Verdict, reason: Option<Reason>, at: Timestamp) {
        let outcome = Outcome { decision: decision.id, at, verdict, reason, ordered: None, read_back: None };
        self.report.outcomes.push(outcome);
    }
}

/// The positions of a knob of a board.
fn span(known: &Known, knob: Knob) -> Option<Span> {
    match knob {
        Knob::PowerLimit => known.range.map(Range::span),
        Knob::ClockMax => Span::new(H100.clock_min_hz, H100.clock_max_hz),
        Knob::CpuQuota => None,
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

impl Bench<'_> {
    /// The position of a knob that is in force.
    fn enforced(&self, board: usize, knob: Knob) -> Option<f64> {
        match knob {
            Knob::PowerLimit => self.plant.enforced_w(board).ok(),
            Knob::ClockMax => self.plant.clock_bound(board).ok(),
            Knob::CpuQuota => None,
        }
    }
}
