//! The grip: what turns the knobs of one device and feels its power, and the errands that are done with it.
use super::Position;
use model::{Actuator, Batch, Calls, Collector, Knob, Metric, OpenError, Order, Reason, Span, Timestamp};
use std::sync::Arc;

/// What turns the knobs of a device and feels its power.
pub struct Grip {
    /// Turns its knobs.
    pub actuator: Box<dyn Actuator>,
    /// Reads its instantaneous power, where it has any.
    pub fast: Option<Box<dyn Collector>>,
}

/// Opens the grip of the device with a key, accounting for calls; `None`: this host has no such devices.
pub type Open = Arc<dyn Fn(&str, &Calls) -> Result<Option<Grip>, OpenError> + Send + Sync>;

/// One errand of a hand.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Task {
    /// Reads power.
    Feel(Timestamp),
    /// Reads the position of a knob; `requested`: also the one that was asked of it.
    Look { knob: Knob, requested: bool },
    /// Asks for the positions that a knob has.
    Span(Knob),
    /// Carries an order out and reads back.
    Write(Order),
}

/// What came of an errand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Done {
    /// The power in watts, where the device shows it.
    Felt(Option<f64>),
    /// Where a knob is.
    Position(Position),
    /// The positions that a knob has.
    Span(Span),
    /// What was read back.
    Written(f64),
}

/// What came of it, or why nothing did.
pub(super) type Answer = Result<Done, Reason>;

/// What was read back by a write.
pub(super) fn written(done: Done) -> Result<f64, Reason> {
    match done {
        Done::Written(value) => Ok(value),
        _ => Err(Reason::Malformed),
    }
}

impl Grip {
    /// Does an errand for the device with this key.
    pub(super) fn carry_out(&mut self, key: &str, task: &Task, batch: &mut Batch) -> Answer {
        let actuator = &mut self.actuator;
        match task {
            Task::Feel(now) => self.feel(key, *now, batch),
            Task::Look { knob, requested } => {
                let enforced = actuator.enforced(key, *knob).map_err(|error| error.reason)?;
                let asked = requested.then(|| actuator.requested(key, *knob).unwrap_or(enforced));
                let requested = asked.map_or(enforced, |asked| asked.max(enforced));
                Ok(Done::Position(Position { enforced, requested }))
            }
            Task::Span(knob) => actuator.span(key, *knob).map(Done::Span).map_err(|error| error.reason),
            Task::Write(order) => actuator.apply(order).map(Done::Written).map_err(|error| {
                tracing::warn!(actuator = actuator.name(), "{error}");
                error.reason
            }),
        }
    }

    fn feel(&mut self, key: &str, now: Timestamp, batch: &mut Batch) -> Answer {
        let Some(fast) = &mut self.fast else { return Ok(Done::Felt(None)) };
        batch.begin();
        fast.collect(now, batch).map_err(|error| error.reason)?;
        let own = batch.devices().find(|(_, info)| info.key == key);
        let power = own.and_then(|(slot, _)| batch.reading(slot, Metric::PowerInstant)?.value());
        Ok(Done::Felt(power))
    }
}
