//! The keeper: owns every knob. Decisions become orders through the guard, originals are journalled first, every write is
//! read back, and between beats the reflex may tighten.
pub mod journal;
mod thread;

use crate::rig::Hands;
use journal::{Journal, JournalError};
use model::stages::Cap;
use model::{
    Action, Batch, Decision, DeviceId, Frame, Metric, Mode, Order, Outcome, Range, Reason, Timestamp,
    Verdict, Watts, Why,
};
use policy::guard::{Subject, admit};
use policy::ledger::{Entry, Ledger};
use policy::reflex::{Footing, Reflex};
use std::sync::Arc;

pub use thread::KeeperThread;

/// What is read back may differ from what was ordered by the device's own rounding; above this it is a mismatch.
const READ_BACK_SLACK: Watts = Watts(1.0);

/// An accelerator as the keeper knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The handle in frames.
    pub device: DeviceId,
    /// The stable key.
    pub key: Arc<str>,
    /// What its limit may be.
    pub range: Option<Range>,
}

/// What a beat tells the keeper.
#[derive(Debug, Clone, Default)]
pub struct Brief {
    /// Decisions to carry out, decreases first.
    pub decisions: Vec<Decision>,
    /// The accelerators.
    pub devices: Vec<Known>,
    /// What the reflex goes by until the next beat.
    pub footing: Footing,
    /// Whether decisions are carried out.
    pub mode: Mode,
}

/// What the keeper tells the beat. Outcomes are taken, the rest is the present state.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What became of decisions since the last report.
    pub outcomes: Vec<Outcome>,
    /// Our caps in force.
    pub caps: Vec<Cap>,
    /// Times the reflex braked since the start.
    pub brakes: u64,
    /// Why nothing can be enforced, if so.
    pub refused: Option<Reason>,
}

/// Owns actuators, journal and ledger. One keeper a process, one writer a state directory.
pub struct Keeper {
    hands: Hands,
    journal: Result<Journal, JournalError>,
    ledger: Ledger,
    reflex: Reflex,
    brief: Brief,
    pending: Vec<Decision>,
    outcomes: Vec<Outcome>,
    brakes: u64,
    batches: Vec<Batch>,
    powers: Vec<(DeviceId, Watts)>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Keeper {
    /// A keeper with these hands. Originals that a killed predecessor left in the journal are taken over: with the first
    /// beat they become caps of ours, or are given back where nothing is to be enforced.
    pub fn new(hands: Hands, journal: Result<Journal, JournalError>, now: Timestamp) -> Self {
        let mut ledger = Ledger::default();
        match &journal {
            Ok(journal) => {
                for (key, original) in journal.originals() {
                    ledger
                        .open(key, Entry { device: None, original: *original, limit: *original, since: now });
                }
            }
            Err(JournalError::Off) => {}
            Err(error) => {
                tracing::warn!(reason = error.reason().as_str(), "nothing will be enforced: {error}")
            }
        }
        let batches = hands.fast.iter().map(|_| Batch::default()).collect();
        Self {
            hands,
            journal,
            ledger,
            reflex: Reflex::default(),
            brief: Brief::default(),
            pending: Vec::new(),
            outcomes: Vec::new(),
            brakes: 0,
            batches,
            powers: Vec::new(),
        }
    }

    /// Takes over what a beat says. Decisions are carried out by the next tick.
    pub fn brief(&mut self, brief: &mut Brief) {
        self.pending.append(&mut brief.decisions);
        self.brief.devices.clone_from(&brief.devices);
        self.brief.footing.copy_from(&brief.footing);
        self.brief.mode = brief.mode;
    }

    /// Opens the journal when enforcement was switched on while running.
    pub fn open_when_needed(&mut self, directory: &std::path::Path) {
        if self.busy() && matches!(self.journal, Err(JournalError::Off)) {
            self.journal = Journal::open(directory);
        }
    }

    /// Whether there is something to do on every tick.
    pub fn busy(&self) -> bool {
        self.brief.mode == Mode::Enforce && self.brief.footing.budget.is_some()
    }

    /// One tick: carries out what is pending, then lets the reflex look.
    pub fn tick(&mut self, now: Timestamp) {
        self.adopt(now);
        for decision in std::mem::take(&mut self.pending) {
            let outcome = self.settle(&decision, now);
            self.outcomes.push(outcome);
        }
        if self.busy() && self.journal.is_ok() {
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
        report.outcomes.append(&mut self.outcomes);
        self.ledger.caps(&mut report.caps);
        report.brakes = self.brakes;
        report.refused = self.journal.as_ref().err().filter(|_| self.busy()).map(JournalError::reason);
    }

    /// Gives every original back, each by itself. Says whether all went well; what did not stays in the journal.
    pub fn stop(&mut self, now: Timestamp) -> bool {
        let keys: Vec<String> = self.ledger.iter().map(|(key, _)| key.to_owned()).collect();
        let mut all = true;
        for key in keys {
            all &= self.give_back(&key, now);
        }
        all
    }

    /// Ties originals of a predecessor to devices that are there: kept as caps under enforcement, else given back.
    fn adopt(&mut self, now: Timestamp) {
        if self.ledger.is_empty() {
            return;
        }
        let orphan = |known: &&Known| self.ledger.get(&known.key).is_some_and(|entry| entry.device.is_none());
        let orphans: Vec<Known> = self.brief.devices.iter().filter(orphan).cloned().collect();
        for known in orphans {
            if self.busy() {
                if let Some(limit) = self.enforced(&known.key) {
                    self.ledger.set(&known.key, known.device, limit, now);
                }
            } else {
                self.give_back(&known.key, now);
            }
        }
    }

    fn settle(&mut self, decision: &Decision, now: Timestamp) -> Outcome {
        let blank = Outcome {
            decision: decision.id,
            at: now,
            verdict: Verdict::Advised,
            reason: None,
            ordered: None,
            read_back: None,
        };
        if decision.mode == Mode::Advise {
            return blank;
        }
        match self.carry_out(decision, now) {
            Ok((ordered, read_back, verdict)) => {
                Outcome { verdict, ordered: Some(ordered), read_back: Some(read_back), ..blank }
            }
            Err((verdict, reason)) => Outcome { verdict, reason: Some(reason), ..blank },
        }
    }

    /// Guard, journal, write, read back.
    fn carry_out(
        &mut self,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<(Watts, Watts, Verdict), (Verdict, Reason)> {
        let refused = |reason| (Verdict::Refused, reason);
        let known = self.brief.devices.iter().find(|known| known.device == decision.device).cloned();
        let known = known.ok_or(refused(Reason::Lost))?;
        let present = self.enforced(&known.key);
        let original = self.ledger.get(&known.key).map(|entry| entry.original);
        let subject =
            Subject { key: Arc::clone(&known.key), range: known.range, original, enforced: present };
        let order = admit(decision, &subject).map_err(refused)?;
        if original.is_none() {
            let original = present.ok_or(refused(Reason::Lost))?;
            self.keep(&known.key, original, now).map_err(refused)?;
        }
        if present == Some(order.limit()) && decision.action != Action::Release {
            self.ledger.set(&known.key, known.device, order.limit(), now);
            return Ok((order.limit(), order.limit(), Verdict::Unchanged));
        }
        let read_back = self.write(&order).map_err(|reason| (Verdict::Failed, reason))?;
        if read_back > order.limit() + READ_BACK_SLACK {
            return Err((Verdict::Failed, Reason::Mismatch));
        }
        if decision.action == Action::Release {
            self.forget(&known.key);
        } else {
            self.ledger.set(&known.key, known.device, read_back, now);
        }
        Ok((order.limit(), read_back, Verdict::Applied))
    }

    /// Journals an original before the first write.
    fn keep(&mut self, key: &str, original: Watts, now: Timestamp) -> Result<(), Reason> {
        let journal = self.journal.as_mut().map_err(|error| error.reason())?;
        journal.keep(key, original).map_err(|error| {
            tracing::error!("not enforced: {error}");
            error.reason()
        })?;
        self.ledger.open(key, Entry { device: None, original, limit: original, since: now });
        Ok(())
    }

    fn forget(&mut self, key: &str) {
        self.ledger.close(key);
        if let Ok(journal) = &mut self.journal
            && let Err(error) = journal.forget(key)
        {
            tracing::warn!("the journal keeps an original that was given back: {error}");
        }
    }

    /// Restores one original; one device that fails does not stop the others.
    fn give_back(&mut self, key: &str, now: Timestamp) -> bool {
        let Some(original) = self.ledger.get(key).map(|entry| entry.original) else { return true };
        let known = self.brief.devices.iter().find(|known| *known.key == *key);
        let Some((device, range)) = known.and_then(|known| known.range.map(|range| (known.device, range)))
        else {
            return false;
        };
        let order = Order::power_limit(device, Arc::from(key), original, range);
        match self.write(&order) {
            // A lower limit than the original is somebody else's, out of band; it is not ours to lift.
            Ok(read_back) => {
                tracing::info!(device = key, limit_w = read_back.0, "original limit restored");
                self.forget(key);
                true
            }
            Err(reason) => {
                tracing::error!(
                    device = key,
                    reason = reason.as_str(),
                    at_ms = now.wall_ms,
                    "original limit not restored"
                );
                false
            }
        }
    }

    fn enforced(&mut self, key: &str) -> Option<Watts> {
        self.hands.actuators.iter_mut().find_map(|actuator| actuator.enforced(key).ok())
    }

    fn write(&mut self, order: &Order) -> Result<Watts, Reason> {
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

    /// Reads instantaneous power from the fast sources.
    fn feel(&mut self, now: Timestamp) {
        self.powers.clear();
        let Self { hands, batches, brief, powers, .. } = self;
        for (source, batch) in hands.fast.iter_mut().zip(batches) {
            batch.begin();
            // A failed reading leaves the devices out, and the reflex counts those at their worst.
            let _ = source.collect(now, batch);
            for reading in batch.readings().iter().filter(|r| r.metric == Metric::PowerInstant) {
                let info = batch.info(reading.slot);
                let known = brief.devices.iter().find(|known| *known.key == *info.key);
                if let (Some(known), Some(value)) = (known, reading.reading.value()) {
                    powers.push((known.device, Watts(value)));
                }
            }
        }
    }

    /// Brings every device to its floor, at once.
    fn brake(&mut self, now: Timestamp) {
        self.brakes += 1;
        let devices: Vec<DeviceId> = self.brief.devices.iter().map(|known| known.device).collect();
        for device in devices {
            let action = Action::Brake;
            let (why, mode) = (Why::OverBudget, Mode::Enforce);
            let decision = Decision { id: 0, at: now, device, action, why, event: None, expires: None, mode };
            let outcome = self.settle(&decision, now);
            self.outcomes.push(outcome);
        }
    }
}

/// The accelerators of a frame, as the keeper needs to know them. Keys are shared with the list's earlier state.
pub fn known_devices(frame: &Frame, known: &mut Vec<Known>) {
    known.retain(|old| {
        let device = frame.devices.get(old.device);
        !device.gone && device.info.key == *old.key
    });
    for device in frame.devices.accelerators() {
        let range = policy::budget::range(frame, device.id);
        match known.iter_mut().find(|old| old.device == device.id) {
            // A range that cannot be read on this beat is the one that was read before.
            Some(old) => old.range = range.or(old.range),
            None => known.push(Known { device: device.id, key: Arc::from(device.info.key.as_str()), range }),
        }
    }
}

#[cfg(test)]
mod tests;
