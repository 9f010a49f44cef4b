//! The reflex: ten times a second, on instantaneous power, and only ever tighter.
use model::{DeviceId, Watts};

/// What the last beat knew, for ticks between beats.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Footing {
    /// The budget; `None`: the reflex does nothing.
    pub budget: Option<Watts>,
    /// Power of everything but the accelerators.
    pub rest: Watts,
    /// What a sensor may read too low, as a share.
    pub gain_margin: f64,
    /// Each accelerator with what it is counted at when the tick cannot read it.
    pub devices: Vec<(DeviceId, Watts)>,
}

impl Footing {
    /// Takes over another footing, reusing this one's memory.
    pub fn copy_from(&mut self, other: &Self) {
        (self.budget, self.rest, self.gain_margin) = (other.budget, other.rest, other.gain_margin);
        self.devices.clone_from(&other.devices);
    }
}

/// The law of the reflex. It brakes; releasing is a beat's decision.
#[derive(Debug, Default)]
pub struct Reflex {
    braked: bool,
}

impl Reflex {
    /// Looks at one tick: `power` gives a device's instantaneous reading. Says whether to brake now, once per brake.
    pub fn tick(&mut self, footing: &Footing, power: impl Fn(DeviceId) -> Option<Watts>) -> bool {
        let Some(budget) = footing.budget else { return false };
        let counted = |(device, blind): &(DeviceId, Watts)| {
            power(*device).map_or(*blind, |p| p * (1.0 + footing.gain_margin))
        };
        let total = footing.devices.iter().map(counted).sum::<Watts>() + footing.rest;
        let over = total > budget;
        let brake = over && !self.braked;
        self.braked = over;
        brake
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, DeviceTable};
    use std::sync::Arc;

    #[test]
    fn a_reading_over_the_budget_brakes_on_that_very_tick_and_once() {
        let mut table = DeviceTable::default();
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        let footing = Footing {
            budget: Some(Watts(1000.0)),
            rest: Watts(400.0),
            gain_margin: 0.0,
            devices: vec![(device, Watts(700.0))],
        };
        let mut reflex = Reflex::default();
        assert!(!reflex.tick(&footing, |_| Some(Watts(599.0))));
        assert!(reflex.tick(&footing, |_| Some(Watts(601.0))));
        assert!(!reflex.tick(&footing, |_| Some(Watts(601.0))), "said once");
        assert!(!reflex.tick(&footing, |_| Some(Watts(300.0))));
        assert!(reflex.tick(&footing, |_| None), "what cannot be read counts at its worst");
    }
}
