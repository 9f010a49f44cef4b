//! Hands: what the keeper turns knobs and feels power with. What answers at once is called directly; devices whose driver can
//! hang have a thread each, are asked all at once, and one that is late holds up none of the others.
mod apart;
mod bell;
mod grip;
mod hand;

pub use apart::{Apart, Patience};
pub use grip::{Grip, Open};
pub use hand::Returned;

use grip::{Done, Task, written};
use model::{Actuator, Batch, Collector, Knob, Metric, Order, Reason, Span, Timestamp, Watts};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A knob of a device, by the device's key.
type Name = (Arc<str>, Knob);

/// Where a knob is, in its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// What is in force, after every limiter.
    pub enforced: f64,
    /// What was asked of it, where that was asked for: at least what is in force.
    pub requested: f64,
}

/// A question for the position of a knob.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The device.
    pub key: Arc<str>,
    /// The knob.
    pub knob: Knob,
    /// Whether the position that was asked of it counts as well.
    pub requested: bool,
}

impl Ask {
    /// For what is in force.
    pub fn enforced(key: &str, knob: Knob) -> Self {
        Self { key: Arc::from(key), knob, requested: false }
    }
}

/// Actuators and sources of instantaneous power.
#[derive(Default)]
pub struct Hands {
    /// Everything that turns a knob and cannot hang.
    pub actuators: Vec<Box<dyn Actuator>>,
    /// Sources of instantaneous power that cannot hang.
    pub fast: Vec<Box<dyn Collector>>,
    /// The devices that have a thread each.
    pub apart: Apart,
    /// Which of the actuators turns a knob of a device.
    owners: BTreeMap<Name, usize>,
    batches: Vec<Batch>,
}

impl Hands {
    /// Hands that are called directly.
    pub fn direct(actuators: Vec<Box<dyn Actuator>>, fast: Vec<Box<dyn Collector>>) -> Self {
        Self { actuators, fast, ..Self::default() }
    }

    /// What has returned since it was called late, each told once.
    pub fn returned(&mut self) -> Vec<Returned> {
        self.apart.returned()
    }

    /// Whether a call for this device has not returned in time.
    pub fn is_late(&self, key: &str) -> bool {
        self.apart.is_late(key)
    }

    /// Whether an order for this knob is under way whose end is not known.
    pub fn is_writing(&self, key: &str, knob: Knob) -> bool {
        self.apart.is_writing(key, knob)
    }

    /// Whether a call for any device has not returned in its time.
    pub fn is_hung(&self, now: Timestamp) -> bool {
        self.apart.is_hung(now)
    }

    /// Whether any call is late, or what came of it has not been taken.
    pub fn any_late(&self) -> bool {
        self.apart.any_late()
    }

    /// Where knobs are, in the order of the questions.
    pub fn look(&mut self, asks: &[Ask], now: Timestamp) -> Vec<Result<Position, Reason>> {
        let mut answers: Vec<Result<Position, Reason>> = asks.iter().map(|ask| self.look_here(ask)).collect();
        let errand = |ask: &Ask| Task::Look { knob: ask.knob, requested: ask.requested };
        let others = self.others(&answers, asks, |ask| (Arc::clone(&ask.key), ask.knob, errand(ask)));
        for (place, answer) in self.volley(others, now) {
            answers[place] = answer.and_then(|done| match done {
                Done::Position(position) => Ok(position),
                _ => Err(Reason::Malformed),
            });
        }
        answers
    }

    /// Where one knob is, if that can be told.
    pub fn enforced(&mut self, key: &str, knob: Knob, now: Timestamp) -> Result<f64, Reason> {
        let answer = self.look(&[Ask::enforced(key, knob)], now).pop();
        answer.unwrap_or(Err(Reason::Lost)).map(|position| position.enforced)
    }

    /// Carries orders out and gives what is read back, in their order. Devices apart are written to at the same time, so that
    /// what must land first is to be given out first.
    pub fn write(&mut self, orders: &[&Order], now: Timestamp) -> Vec<Result<f64, Reason>> {
        let mut answers: Vec<_> = orders.iter().map(|order| self.write_here(order)).collect();
        let errand = |order: &&Order| (Arc::from(order.key()), order.knob(), Task::Write((*order).clone()));
        let others = self.others(&answers, orders, errand);
        for (place, answer) in self.volley(others, now) {
            answers[place] = answer.and_then(written);
        }
        answers
    }

    /// The positions that a knob has.
    ///
    /// # Errors
    /// `Late` when the device does not answer in time; else why it has none.
    pub fn span(&mut self, key: &Arc<str>, knob: Knob, now: Timestamp) -> Result<Span, Reason> {
        let here = self.actuators.iter_mut().find_map(|actuator| actuator.span(key, knob).ok());
        let answer = here.ok_or(Reason::Unsupported);
        let asks = [(Arc::clone(key), knob)];
        let others = self.others(&[answer], &asks, |(key, knob)| (Arc::clone(key), *knob, Task::Span(*knob)));
        match self.volley(others, now).pop() {
            None => answer,
            Some((_, Ok(Done::Span(span)))) => Ok(span),
            Some((_, Ok(_))) => Err(Reason::Malformed),
            Some((_, Err(reason))) => Err(reason),
        }
    }

    /// Reads instantaneous power of these devices: those that answer in time, by their place in the list.
    pub fn feel(&mut self, keys: &[&Arc<str>], now: Timestamp, mut put: impl FnMut(usize, Watts)) {
        let Self { fast, batches, .. } = self;
        batches.resize_with(fast.len(), Batch::default);
        for (source, batch) in fast.iter_mut().zip(batches) {
            batch.begin();
            // A failed reading leaves the devices out, and the reflex knows what that means.
            let _ = source.collect(now, batch);
            for reading in batch.readings().iter().filter(|reading| reading.metric == Metric::PowerInstant) {
                let place = keys.iter().position(|key| ***key == *batch.info(reading.slot).key);
                if let (Some(place), Some(value)) = (place, reading.reading.value()) {
                    put(place, Watts(value));
                }
            }
        }
        if self.apart.is_empty() {
            return;
        }
        let asks: Vec<_> = keys.iter().map(|key| (Arc::clone(key), Task::Feel(now))).collect();
        let answers = self.apart.volley(&asks, self.apart.patience.feel, now);
        for (place, answer) in answers.into_iter().enumerate() {
            if let Ok(Done::Felt(Some(power))) = answer {
                put(place, Watts(power));
            }
        }
    }

    /// Whether a control group is gone, as the one who turns its quota says. A device that does not answer is not: it comes back
    /// as it was left.
    pub fn vanished(&mut self, key: &str, knob: Knob) -> bool {
        let mut lost = false;
        for actuator in self.actuators.iter_mut().filter(|_| knob == Knob::CpuQuota) {
            match actuator.enforced(key, knob) {
                Ok(_) => return false,
                Err(error) => lost |= error.reason == Reason::Lost,
            }
        }
        lost
    }

    /// Which of those that had this name stands there now, as the one who turns its quota says.
    pub fn incarnation(&mut self, key: &str, knob: Knob) -> Option<u64> {
        self.actuators.iter_mut().find_map(|actuator| actuator.incarnation(key, knob))
    }

    /// Forgets who turns a knob.
    pub fn forget(&mut self, key: &str, knob: Knob) {
        self.owners.remove(&(Arc::from(key), knob));
    }

    /// Waits for the first answer of these devices for as long as a driver may take to open, where nothing else waits.
    pub fn meet(&mut self, keys: &[Arc<str>], now: Timestamp) {
        let look = Task::Look { knob: Knob::PowerLimit, requested: false };
        let asks: Vec<_> = keys.iter().map(|key| (Arc::clone(key), look.clone())).collect();
        if !asks.is_empty() && !self.apart.is_empty() {
            self.apart.volley(&asks, self.apart.patience.open, now);
        }
    }

    /// Of the questions that found no answer here those that are for devices apart, with their places. Quotas are the kernel's.
    fn others<A, T>(
        &self,
        answers: &[Result<A, Reason>],
        asks: &[T],
        errand: impl Fn(&T) -> (Arc<str>, Knob, Task),
    ) -> Vec<(usize, Arc<str>, Task)> {
        if self.apart.is_empty() {
            return Vec::new();
        }
        let open = answers.iter().zip(asks).enumerate().filter(|(_, (answer, _))| answer.is_err());
        let errands = open.map(|(place, (_, ask))| (place, errand(ask)));
        let apart = errands.filter(|(_, (key, knob, _))| {
            *knob != Knob::CpuQuota && !self.owners.contains_key(&(Arc::clone(key), *knob))
        });
        apart.map(|(place, (key, _, task))| (place, key, task)).collect()
    }

    fn volley(
        &mut self,
        errands: Vec<(usize, Arc<str>, Task)>,
        now: Timestamp,
    ) -> Vec<(usize, Result<Done, Reason>)> {
        if errands.is_empty() {
            return Vec::new();
        }
        let (places, asks): (Vec<usize>, Vec<_>) =
            errands.into_iter().map(|(place, key, task)| (place, (key, task))).unzip();
        let answers = self.apart.volley(&asks, self.apart.patience.call, now);
        places.into_iter().zip(answers).collect()
    }

    /// Asks the actuators that are called directly: the one that turns the knob, else each.
    fn look_here(&mut self, ask: &Ask) -> Result<Position, Reason> {
        if self.apart.has(&ask.key) {
            return Err(Reason::Lost);
        }
        let name = (Arc::clone(&ask.key), ask.knob);
        let Self { actuators, owners, .. } = self;
        let (key, knob) = (&*ask.key, ask.knob);
        let known = owners.get(&name).and_then(|owner| {
            let enforced = actuators[*owner].enforced(key, knob).ok()?;
            Some((*owner, enforced))
        });
        let found = known.or_else(|| {
            let mut each = actuators.iter_mut().enumerate();
            each.find_map(|(owner, actuator)| Some((owner, actuator.enforced(key, knob).ok()?)))
        });
        let (owner, enforced) = found.ok_or(Reason::Lost)?;
        owners.insert(name, owner);
        let asked = ask.requested.then(|| actuators[owner].requested(key, knob).unwrap_or(enforced));
        Ok(Position { enforced, requested: asked.map_or(enforced, |asked| asked.max(enforced)) })
    }

    /// Writes through the actuator that turns the knob, or the first that takes the order.
    fn write_here(&mut self, order: &Order) -> Result<f64, Reason> {
        if self.apart.has(order.key()) {
            return Err(Reason::Lost);
        }
        let owner = self.owners.get(&(Arc::from(order.key()), order.knob()));
        let mut last = Reason::Unsupported;
        let each = match owner {
            Some(owner) => &mut self.actuators[*owner..=*owner],
            None => &mut self.actuators[..],
        };
        for actuator in each {
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

#[cfg(test)]
mod tests;
