//! The keeper without a disk: guard, ledger and reflex in the order in which `actuate` has them, over the plant's knobs.
//!
//! What the journal keeps is a map here; a crash loses everything else. Deaths between two writes are a fuse.
use super::check::{Breach, Breaches};
use super::site::{Site, number, span};
use model::stages::{Caps, Reach};
use model::{Action, Decision, DeviceId, Keep, Knob, Mode, Order, Outcome, Range, Timestamp, Watts, Why};
use policy::fallback::{Holdable, limits};
use policy::guard::Guard;
use policy::ledger::{Ledger, Written};
use policy::reflex::{Footing, Reflex};
use sim::plant::Plant;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a board whose limit could not be adopted or given back is left alone.
const RETRY: Duration = Duration::from_secs(10);

/// A knob of a device, by the device's key.
type Name = (Arc<str>, Knob);

/// What survives a crash: the positions before our first writes, what becomes of each cap then, and which of the groups of that name
/// it was.
pub(super) type Journal = BTreeMap<Name, (f64, Keep, u64)>;

/// A device as the keeper knows it.
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
    pub(super) ledger: Ledger,
    pub(super) guard: Guard,
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
        for ((key, knob), (original, keep, _)) in journal {
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

    /// What devices can be made to do beside a board's power limit.
    pub(super) fn reach(&mut self) {
        let told = |device: DeviceId, knob: Knob| {
            knob != Knob::PowerLimit || !matches!(Site::of(device), Some(Site::Board(_)))
        };
        let reach = |known: &Known, knob: Knob| {
            let span = span(known, knob).filter(|_| told(known.device, knob))?;
            Some(Reach { device: known.device, knob, span })
        };
        self.report.reaches.clear();
        for known in self.known.iter().filter(|known| known.there) {
            self.report.reaches.extend(Knob::ALL.into_iter().filter_map(|knob| reach(known, knob)));
        }
    }

    /// Gives every original back, each by itself; what could not be given back stays in the journal.
    pub(super) fn stop(&mut self, bench: &mut Bench<'_>) {
        self.drop_vanished(bench);
        for known in self.known.clone() {
            for knob in Knob::ALL {
                self.give_back(&known, knob, bench);
            }
        }
        self.ledger.caps(&mut self.report.caps);
    }

    fn give_back(&mut self, known: &Known, knob: Knob, bench: &mut Bench<'_>) -> bool {
        let Some(entry) = self.ledger.get(&known.key, knob) else { return true };
        let Some(span) = span(known, knob) else { return false };
        let order = Order::new(known.device, Arc::clone(&known.key), (knob, entry.original), span);
        if bench.foreign(known.device, knob, entry) {
            self.forget(&order, bench);
            return true;
        }
        let done = self.write(&order, bench).is_ok() && self.is_whole(&order);
        if done {
            self.forget(&order, bench);
        }
        done
    }

    /// Whether an order that gives back reaches the original, as `actuate` asks.
    pub(super) fn is_whole(&self, order: &Order) -> bool {
        let entry = self.ledger.get(order.key(), order.knob());
        entry.is_none_or(|entry| order.value() + order.knob().slack() >= entry.original)
    }

    /// Brings boards down until their limits fit in the budget, as the guardian does when the agent is gone.
    pub(super) fn fall_back(&mut self, margin: f64, bench: &mut Bench<'_>) {
        let Some(budget) = self.footing.budget else { return };
        let board = |known: &Known| {
            let range = known.range.filter(|_| known.there)?;
            let limit = bench.enforced(known.device, Knob::PowerLimit).map_or(range.max(), Watts);
            Some((known.device, Holdable { floor: range.min(), limit }))
        };
        let (devices, boards): (Vec<_>, Vec<_>) = self.known.iter().filter_map(board).unzip();
        let limits = limits((budget - self.footing.rest) * margin.recip(), &boards);
        let tighter =
            devices.into_iter().zip(limits).zip(boards).filter(|((_, limit), now)| *limit < now.limit);
        let orders = tighter.map(|((device, limit), _)| (device, Action::Limit(limit))).collect();
        self.order(orders, Why::Fallback, bench);
    }

    fn brake(&mut self, bench: &mut Bench<'_>) {
        self.brakes += 1;
        let capable = self.known.iter().filter(|known| known.there && known.range.is_some());
        let orders = capable.map(|known| (known.device, Action::Brake)).collect();
        self.order(orders, Why::OverBudget, bench);
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

    fn order(&mut self, orders: Vec<(DeviceId, Action)>, why: Why, bench: &mut Bench<'_>) {
        let at = bench.now;
        let decide = |(device, action): (DeviceId, Action)| Decision {
            id: 0,
            at,
            device,
            action,
            why,
            event: None,
            expires: None,
            keep: Keep::Safety,
            mode: Mode::Enforce,
        };
        let decisions: Vec<Decision> = orders.into_iter().map(decide).collect();
        self.settle(&decisions, bench);
    }

    /// Makes caps of ours of positions that a predecessor left, or whose write ended in doubt, and gives back what it tuned.
    fn mend(&mut self, bench: &mut Bench<'_>) {
        self.drop_vanished(bench);
        if self.ledger.iter().all(|(.., entry)| entry.written.is_some()) {
            return;
        }
        for place in 0..self.known.len() {
            for knob in Knob::ALL {
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
        let Some(limit) = bench.enforced(device, name.1) else { return false };
        let written = Written { device, limit, since: bench.now, expires: None, keep: Keep::Safety };
        self.ledger.set(&name.0, name.1, written);
        true
    }

    /// Drops the entries of groups that are gone, or that others of the same name have taken the place of.
    fn drop_vanished(&mut self, bench: &mut Bench<'_>) {
        if self.ledger.is_empty() {
            return;
        }
        for known in self.known.iter().filter(|known| matches!(Site::of(known.device), Some(Site::Group(_))))
        {
            let name = (Arc::clone(&known.key), Knob::CpuQuota);
            let now = bench.incarnation(known.device);
            let there = bench.is_there(known.device);
            if bench.journal.get(&name).is_some_and(|(.., own)| !there || *own != now) {
                self.ledger.close(&name.0, name.1);
                bench.journal.remove(&name);
                bench.breaches.vanished(number(known.device));
            }
        }
        self.ledger.caps(&mut self.report.caps);
    }

    pub(super) fn forget(&mut self, order: &Order, bench: &mut Bench<'_>) {
        self.ledger.close(order.key(), order.knob());
        bench.journal.remove(&(Arc::from(order.key()), order.knob()));
        if order.knob() != Knob::ClockMax {
            bench.breaches.given_back(order.device(), bench.plant, bench.now);
        }
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
