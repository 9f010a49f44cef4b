//! The keeper: owns every knob. Decisions become orders through the guard, originals are journalled first, every write is
//! read back, and between beats the reflex may tighten.
pub mod audit;
pub mod journal;
mod late;
mod orders;
mod orphan;
mod reach;
mod restore;
mod thread;

use crate::hands::Hands;
use audit::{Audit, Evidence};
use journal::{JournalError, StateDirectory};
use model::snapshot::Settled;
use model::stages::{Caps, Reach};
use model::{
    Decision, Device, DeviceId, DeviceKind, Frame, Mode, Outcome, Range, Reason, Timestamp, Watts, Why,
};
use policy::guard::Guard;
use policy::ledger::Ledger;
use policy::reflex::{Footing, Reflex};
use reach::Reaches;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use orders::refuse_all;
pub use orphan::{Row, Terms};
pub use thread::{Errand, KeeperThread};

/// Decisions that wait for a hung keeper or guardian; older ones are dropped, since a beat repeats what still holds.
pub const PENDING_MAX: usize = 64;
/// Outcomes that wait for a beat; older ones are dropped.
const OUTCOMES_MAX: usize = 512;

/// A device as the keeper knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The handle in frames.
    pub device: DeviceId,
    /// The stable key.
    pub key: Arc<str>,
    /// What its limit may be, of an accelerator; the actuator says it of others.
    pub range: Option<Range>,
}

/// What a beat tells the keeper.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Brief {
    /// Decisions to carry out, decreases first.
    pub decisions: Vec<Decision>,
    /// The accelerators.
    pub devices: Vec<Known>,
    /// Processor packages and containers, which neither reflex nor fallback touches.
    #[serde(default)]
    pub hosts: Vec<Known>,
    /// What the reflex goes by until the next beat.
    pub footing: Footing,
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// What decisions rest on.
    pub evidence: Option<Evidence>,
    /// What is done if no further brief comes.
    pub terms: Terms,
    /// The number under which a guardian attached who sent this; 0 within one process.
    #[serde(skip)]
    pub attached: u64,
}

impl Brief {
    /// Everything that may be turned.
    pub fn all(&self) -> impl Iterator<Item = &Known> {
        self.devices.iter().chain(&self.hosts)
    }

    /// Takes over a newer brief, which is left without decisions. Of decisions that wait the newest are kept.
    pub fn absorb(&mut self, newer: &mut Self, decisions_max: usize) {
        if self.attached != newer.attached {
            self.decisions.clear();
        }
        self.decisions.append(&mut newer.decisions);
        let surplus = self.decisions.len().saturating_sub(decisions_max);
        self.decisions.drain(..surplus);
        self.devices.clone_from(&newer.devices);
        self.hosts.clone_from(&newer.hosts);
        self.footing.copy_from(&newer.footing);
        (self.mode, self.terms, self.attached) = (newer.mode, newer.terms, newer.attached);
        self.evidence = newer.evidence;
    }
}

/// What the keeper tells the beat. Outcomes are added, the rest is the present state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// What became of decisions since the last report, those of the reflex (number 0) included.
    pub outcomes: Vec<Outcome>,
    /// What the reflex decided by itself since the last report, with number 0, and what became of it.
    pub taken: Vec<Settled>,
    /// Our caps in force.
    pub caps: Caps,
    /// What devices can be made to do beside their power limit.
    pub reaches: Vec<Reach>,
    /// Times the reflex braked since the start.
    pub brakes: u64,
    /// Why nothing can be enforced, if so.
    pub refused: Option<Reason>,
    /// The number under which a guardian attached who this is for; 0 within one process.
    #[serde(skip)]
    pub attached: u64,
}

impl Report {
    /// Takes over a newer report, which is left without outcomes. What nobody fetches is dropped, oldest first.
    pub fn absorb(&mut self, newer: &mut Self) {
        if self.attached != newer.attached {
            self.outcomes.clear();
            self.taken.clear();
        }
        self.outcomes.append(&mut newer.outcomes);
        self.taken.append(&mut newer.taken);
        self.outcomes.drain(..self.outcomes.len().saturating_sub(OUTCOMES_MAX));
        self.taken.drain(..self.taken.len().saturating_sub(OUTCOMES_MAX));
        self.caps.clone_from(&newer.caps);
        self.reaches.clone_from(&newer.reaches);
        (self.brakes, self.refused, self.attached) = (newer.brakes, newer.refused, newer.attached);
    }
}

/// Owns actuators, journal and ledger. One keeper a process, one writer a state directory.
pub struct Keeper {
    hands: Hands,
    state: StateDirectory,
    ledger: Ledger,
    guard: Guard,
    reflex: Reflex,
    brief: Brief,
    /// Whether a beat has said what is to be done; nothing is restored on a guess.
    briefed: bool,
    /// Whether a beat has spoken since the ledger was last compared with what is there.
    fresh: bool,
    pending: Vec<Decision>,
    report: Report,
    powers: Vec<(DeviceId, Watts)>,
    /// Orders that were called late and whose driver call has not returned.
    flights: BTreeMap<restore::Name, late::Flight>,
    /// The newest tightening for a knob whose device is late.
    owed: BTreeMap<restore::Name, Decision>,
    /// When a knob that could not be given back is tried again.
    retries: BTreeMap<restore::Name, restore::Retry>,
    reaches: Reaches,
    /// Knobs that a predecessor had turned to tune, to be given back.
    stale: Vec<restore::Name>,
    audit: Audit,
    /// Why a knob is where it is.
    reasons: BTreeMap<restore::Name, Why>,
    /// What it does by itself since no brief comes any more.
    orphan: Option<orphan::Orphan>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Keeper {
    /// A keeper with these hands. Originals that a killed predecessor left in the journal are taken over: with the first
    /// brief they become caps of ours, or are given back where nothing is to be enforced.
    pub fn new(hands: Hands, state: StateDirectory, now: Timestamp) -> Self {
        match state.journal() {
            Ok(_) | Err(JournalError::Off) => {}
            Err(error) => {
                tracing::warn!(
                    reason = error.reason().as_str(),
                    at_ms = now.wall_ms,
                    "nothing will be enforced: {error}"
                );
            }
        }
        let audit = Audit::new(state.path());
        let mut keeper = Self {
            hands,
            audit,
            reasons: BTreeMap::new(),
            state,
            ledger: Ledger::default(),
            guard: Guard::default(),
            reflex: Reflex::default(),
            brief: Brief::default(),
            briefed: false,
            fresh: false,
            pending: Vec::new(),
            report: Report::default(),
            powers: Vec::new(),
            flights: BTreeMap::new(),
            owed: BTreeMap::new(),
            retries: BTreeMap::new(),
            reaches: Reaches::default(),
            stale: Vec::new(),
            orphan: None,
        };
        keeper.take_over();
        keeper
    }

    /// Takes over what a beat says. Decisions are carried out by the next tick.
    pub fn brief(&mut self, brief: &mut Brief) {
        if brief.attached != self.brief.attached {
            self.meet(brief);
        }
        self.orphan = None;
        self.brief.absorb(brief, usize::MAX);
        self.pending.append(&mut self.brief.decisions);
        (self.briefed, self.fresh) = (true, true);
    }

    /// Whether there is something to do on every tick.
    pub fn busy(&self) -> bool {
        self.brief.mode == Mode::Enforce && self.brief.footing.budget.is_some()
    }

    /// One tick: takes what late devices came to, mends what is left over, carries out what is pending, then lets the reflex look.
    pub fn tick(&mut self, now: Timestamp) {
        self.take_back(now);
        if self.briefed && self.state.reopen(self.busy(), now) {
            self.take_over();
        }
        if self.busy() {
            self.reaches.look(&mut self.hands, &self.brief, now);
        }
        self.mend(now);
        self.pay(now);
        let pending = std::mem::take(&mut self.pending);
        let outcomes = self.settle(&pending, now);
        self.report.outcomes.extend(outcomes);
        if self.busy() && self.state.journal().is_ok() {
            self.hold_on(now);
            self.feel(now);
            let Self { reflex, brief, powers, .. } = self;
            let power = |device| powers.iter().find(|(d, _)| *d == device).map(|(_, power)| *power);
            if reflex.tick(&brief.footing, power) {
                self.brake(now);
            }
        }
    }

    /// Moves what is to be told into the report.
    pub fn report(&mut self, report: &mut Report) {
        report.outcomes.append(&mut self.report.outcomes);
        report.taken.clear();
        report.taken.append(&mut self.report.taken);
        self.ledger.caps(&mut report.caps);
        report.reaches.clone_from(&self.reaches.list);
        report.brakes = self.report.brakes;
        report.attached = self.brief.attached;
        report.refused = self.refused().filter(|_| self.busy());
    }

    /// Why nothing can be enforced, if so.
    pub fn refused(&self) -> Option<Reason> {
        self.state.journal().err().map(JournalError::reason)
    }

    /// Lines of the audit log that could not be written.
    pub fn audit_lost(&self) -> u64 {
        self.audit.lost()
    }

    /// Whether nothing of ours is in force.
    pub fn is_clear(&self) -> bool {
        self.ledger.is_empty()
    }

    /// Reads instantaneous power. What is not read in time is left out, and the reflex knows what that means.
    fn feel(&mut self, now: Timestamp) {
        let Self { hands, brief, powers, .. } = self;
        powers.clear();
        let keys: Vec<&Arc<str>> = brief.devices.iter().map(|known| &known.key).collect();
        hands.feel(&keys, now, |place, power| powers.push((brief.devices[place].device, power)));
    }

    /// Meets the devices of the journal with the patience for a driver that opens slowly, where nothing else waits.
    pub fn greet(&mut self, now: Timestamp) {
        let keys: BTreeMap<&str, ()> = self.ledger.iter().map(|(key, ..)| (key, ())).collect();
        let keys: Vec<Arc<str>> = keys.into_keys().map(Arc::from).collect();
        self.hands.meet(&keys, now);
    }
}

/// The accelerators of a frame, as the keeper needs to know them. Keys are shared with the list's earlier state.
pub fn known_devices(frame: &Frame, known: &mut Vec<Known>) {
    let accelerators = frame.devices.accelerators();
    remember(frame, accelerators.map(|device| (device, policy::budget::range(frame, device.id))), known);
}

/// The same of processor packages and containers. Parts of a package have no limit of their own, and services and slices are the
/// system's.
pub fn known_hosts(frame: &Frame, known: &mut Vec<Known>) {
    let package = |device: &&Device| !device.info.key.contains('/');
    let packages = frame.devices.of_kind(DeviceKind::Zone).filter(package);
    let container = |device: &&Device| device.info.attributes.contains_key("container");
    let containers = frame.devices.of_kind(DeviceKind::Cgroup).filter(container);
    remember(frame, packages.chain(containers).map(|device| (device, None)), known);
}

fn remember<'a>(
    frame: &Frame,
    there: impl Iterator<Item = (&'a Device, Option<Range>)>,
    known: &mut Vec<Known>,
) {
    known.retain(|old| {
        let device = frame.devices.get(old.device);
        !device.gone && device.info.key == *old.key
    });
    for (device, range) in there {
        match known.iter_mut().find(|old| old.device == device.id) {
            // A range that cannot be read on this beat is the one that was read before.
            Some(old) => old.range = range.or(old.range),
            None => known.push(Known { device: device.id, key: Arc::from(device.info.key.as_str()), range }),
        }
    }
}

#[cfg(test)]
mod tests;
