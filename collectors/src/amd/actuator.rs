//! The actuator: writes `power1_cap` and reads it back, since amdgpu may clip what it is given, or take it and do nothing.
use super::CARDS;
use super::card::hwmon;
use crate::Roots;
use crate::sysfs::knob::Knobs;
use model::Knob;
use model::{ActuateError, Actuator, Order, Watts};
use std::path::{Path, PathBuf};

/// Sets power limits through hwmon. Needs root.
#[derive(Debug)]
pub(super) struct AmdActuator {
    knobs: Knobs,
}

impl AmdActuator {
    pub(super) fn new(roots: Roots) -> Self {
        Self { knobs: Knobs::new(roots, CARDS, limit) }
    }
}

/// The file of a card's limit.
fn limit(device: &Path) -> Option<PathBuf> {
    hwmon(device).map(|folder| folder.join("power1_cap")).filter(|file| file.exists())
}

impl Actuator for AmdActuator {
    fn name(&self) -> &'static str {
        "amd"
    }

    fn enforced(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        knob.only(Knob::PowerLimit, key)?;
        self.knobs.read(key).map(|limit| limit.0)
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        order.knob().only(Knob::PowerLimit, order.key())?;
        self.knobs.write(order.key(), Watts(order.value()))?;
        self.knobs.read(order.key()).map(|limit| limit.0)
    }
}
