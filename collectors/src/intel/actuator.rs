//! The actuator: writes `power1_max` and reads it back. Writing 0 would take the limit away, so that is never written.
use super::CARDS;
use super::power::{FLOOR_SHARE, channel, hwmon};
use crate::Roots;
use crate::sysfs::knob::Knobs;
use model::Knob;
use model::error::Reason;
use model::{ActuateError, Actuator, Order, Watts};
use std::path::{Path, PathBuf};

/// Sets power limits through hwmon. Needs root. The card follows over seconds, as the limit holds for an average.
#[derive(Debug)]
pub(super) struct IntelActuator {
    limits: Knobs,
    rated: Knobs,
}

impl IntelActuator {
    pub(super) fn new(roots: Roots) -> Self {
        Self { limits: Knobs::new(roots.clone(), CARDS, limit), rated: Knobs::new(roots, CARDS, rated) }
    }

    /// What the card is rated for; 0 in the file says nothing.
    fn rated(&mut self, key: &str) -> Result<Watts, ActuateError> {
        let rated = self.rated.read(key)?;
        let known = rated > Watts(0.0);
        known
            .then_some(rated)
            .ok_or_else(|| ActuateError::new(format!("find what {key} is rated for"), Reason::Unsupported))
    }
}

fn limit(device: &Path) -> Option<PathBuf> {
    let folder = hwmon(device)?;
    Some(folder.join(channel(&folder)?.limit)).filter(|file| file.exists())
}

fn rated(device: &Path) -> Option<PathBuf> {
    let folder = hwmon(device)?;
    Some(folder.join(channel(&folder)?.rated)).filter(|file| file.exists())
}

impl Actuator for IntelActuator {
    fn name(&self) -> &'static str {
        "intel"
    }

    /// A card without a limit is held by what it is rated for.
    fn enforced(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        knob.only(Knob::PowerLimit, key)?;
        let limit = self.limits.read(key)?;
        if limit > Watts(0.0) { Ok(limit.0) } else { self.rated(key).map(|rated| rated.0) }
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        order.knob().only(Knob::PowerLimit, order.key())?;
        let floor = Watts(self.rated(order.key())?.0 * FLOOR_SHARE);
        // A driver that keeps whole units may lose up to a watt of the floor itself.
        if order.value() < floor.0 - 1.0 {
            let what = format!("set the limit of {} below {} W", order.key(), floor.0);
            return Err(ActuateError::new(what, Reason::Refused));
        }
        self.limits.write(order.key(), Watts(order.value()))?;
        let read = self.limits.read(order.key())?;
        let held = read > Watts(0.0);
        held.then_some(read.0).ok_or_else(|| {
            ActuateError::new(
                format!("hold the limit of {}: it was taken away", order.key()),
                Reason::Mismatch,
            )
        })
    }
}
