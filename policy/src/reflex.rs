//! The reflex: ten times a second, on instantaneous power, and only ever tighter.
use model::{DeviceId, Watts};
use serde::{Deserialize, Serialize};

/// Ticks for which the last reading of a device stands in for a missing one; after that it counts at its worst.
const STALE_TICKS: u32 = 3;
/// Ticks after which the brake is pulled again while power is still above the budget: a write may have failed.
const RETRY_TICKS: u32 = 10;

/// What the last beat knew, for ticks between beats.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Footing {
    /// The budget; `None`: the reflex does nothing.
    pub budget: Option<Watts>,
    /// Power of everything but the accelerators.
    pub rest: Watts,
    /// What a sensor may read too low, as a share.
    pub gain_margin: f64,
    /// Each accelerator with what it is counted at when ticks cannot read it.
    pub devices: Vec<(DeviceId, Watts)>,
}

impl Footing {
    /// Takes over another footing, reusing this one's memory.
    pub fn copy_from(&mut self, other: &Self) {
        (self.budget, self.rest, self.gain_margin) = (other.budget, other.rest, other.gain_margin);
        self.devices.clone_from(&other.devices);
    }
}

#[derive(Debug, Clone, Copy)]
struct Felt {
    device: DeviceId,
    power: Watts,
    /// Ticks since it was read.
    age: u32,
}

/// The law of the reflex: above the budget, every device goes to its floor at once. Loosening is a beat's decision.
#[derive(Debug, Default)]
pub struct Reflex {
    felt: Vec<Felt>,
    /// Ticks since the brake was pulled, while power stays above the budget.
    braked: Option<u32>,
}

impl Reflex {
    /// Looks at one tick: `power` gives a device's instantaneous reading. Says whether to bring every device to its
    /// floor now: on the first tick above the budget, and again every second that it lasts.
    ///
    /// Where no device could ever be read this fast the answer is no, and the beat alone holds the budget. Allocates
    /// only when a device is new.
    pub fn tick(&mut self, footing: &Footing, power: impl Fn(DeviceId) -> Option<Watts>) -> bool {
        let Some(budget) = footing.budget else {
            *self = Self::default();
            return false;
        };
        self.feel(footing, power);
        let total =
            footing.devices.iter().map(|device| self.counted(footing, *device)).sum::<Watts>() + footing.rest;
        if total <= budget || self.felt.is_empty() {
            self.braked = None;
            return false;
        }
        let again = self.braked.is_none_or(|ticks| ticks + 1 >= RETRY_TICKS);
        self.braked = Some(if again { 0 } else { self.braked.map_or(0, |ticks| ticks + 1) });
        again
    }

    fn feel(&mut self, footing: &Footing, power: impl Fn(DeviceId) -> Option<Watts>) {
        self.felt.retain(|felt| footing.devices.iter().any(|(device, _)| *device == felt.device));
        for (device, _) in &footing.devices {
            let known = self.felt.iter_mut().find(|felt| felt.device == *device);
            match (known, power(*device).filter(|watts| *watts > Watts::ZERO)) {
                (Some(felt), Some(power)) => (felt.power, felt.age) = (power, 0),
                (Some(felt), None) => felt.age = felt.age.saturating_add(1),
                (None, Some(power)) => self.felt.push(Felt { device: *device, power, age: 0 }),
                (None, None) => {}
            }
        }
    }

    fn counted(&self, footing: &Footing, (device, worst): (DeviceId, Watts)) -> Watts {
        let felt = self.felt.iter().find(|felt| felt.device == device && felt.age <= STALE_TICKS);
        felt.map_or(worst, |felt| felt.power * (1.0 + footing.gain_margin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, DeviceTable};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn footing(devices: usize) -> Footing {
        let mut table = DeviceTable::default();
        let mut add =
            |n| table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}")))).unwrap();
        let devices = (0..devices).map(|n| (add(n), Watts(840.0))).collect();
        Footing { budget: Some(Watts(1000.0)), rest: Watts(400.0), gain_margin: 0.0, devices }
    }

    #[test]
    fn a_reading_over_the_budget_brakes_on_that_very_tick() {
        let (mut reflex, footing) = (Reflex::default(), footing(1));
        assert!(!reflex.tick(&footing, |_| Some(Watts(599.0))));
        assert!(reflex.tick(&footing, |_| Some(Watts(601.0))));
        assert!(!reflex.tick(&footing, |_| Some(Watts(601.0))), "power needs a moment to fall");
        assert!(!reflex.tick(&footing, |_| Some(Watts(300.0))));
        assert!(reflex.tick(&footing, |_| Some(Watts(601.0))));
    }

    #[test]
    fn the_brake_is_pulled_again_each_second_that_power_stays_above_the_budget() {
        let (mut reflex, footing) = (Reflex::default(), footing(1));
        let pulled: Vec<_> = (0..25).filter(|_| reflex.tick(&footing, |_| Some(Watts(700.0)))).collect();
        assert_eq!(pulled, [0, 10, 20]);
    }

    #[test]
    fn a_missing_reading_is_bridged_for_three_ticks_and_then_counts_at_its_worst() {
        let (mut reflex, footing) = (Reflex::default(), footing(1));
        assert!(!reflex.tick(&footing, |_| Some(Watts(300.0))));
        let braked = (1..=4).find(|_| reflex.tick(&footing, |_| None));
        assert_eq!(braked, Some(4));
    }

    #[test]
    fn a_device_that_is_never_read_counts_at_its_worst_beside_one_that_is() {
        let (mut reflex, footing) = (Reflex::default(), footing(2));
        let (seen, _) = footing.devices[0];
        assert!(reflex.tick(&footing, |device| (device == seen).then_some(Watts(100.0))));
    }

    #[test]
    fn without_any_fast_source_the_reflex_does_nothing() {
        let (mut reflex, footing) = (Reflex::default(), footing(8));
        assert!((0..50).all(|_| !reflex.tick(&footing, |_| None)));
    }

    proptest! {
        #[test]
        fn losing_readings_never_delays_the_brake(powers in prop::collection::vec(50.0..300.0_f64, 2..8), lost in 0_usize..8) {
            let footing = Footing { budget: Some(Watts(1500.0)), ..footing(powers.len()) };
            let read = |device: DeviceId| Some(Watts(powers[device.index()]));
            let (mut full, mut part) = (Reflex::default(), Reflex::default());
            prop_assert_eq!(full.tick(&footing, read), part.tick(&footing, read));
            for _ in 0..30 {
                let sees_less = |device: DeviceId| read(device).filter(|_| device.index() != lost);
                let (full, part) = (full.tick(&footing, read), part.tick(&footing, sees_less));
                prop_assert!(part || !full || powers.iter().sum::<f64>() + 400.0 > 1500.0);
            }
        }
    }
}
