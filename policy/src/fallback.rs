//! The fallback: limits that keep a node within its fallback budget when nobody is left who decides.
use model::Watts;

/// A device whose limit can be lowered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Holdable {
    /// The lowest limit it takes.
    pub floor: Watts,
    /// The limit in force.
    pub limit: Watts,
}

/// New limits, one a device, none above the one in force and none below the floor, whose sum fits in `room` if that can be.
///
/// What is lacking is taken from every device in proportion to what it has above its floor, so that whoever was held
/// tighter stays so. Where not even the floors fit, the floors are the answer: the lowest safe state.
pub fn limits(room: Watts, devices: &[Holdable]) -> Vec<Watts> {
    let floors: f64 = devices.iter().map(|device| device.floor.min(device.limit).0).sum();
    let spare: f64 = devices.iter().map(|device| (device.limit - device.floor.min(device.limit)).0).sum();
    let share = if spare > 0.0 { ((room.0 - floors) / spare).clamp(0.0, 1.0) } else { 0.0 };
    let limit = |device: &Holdable| {
        let floor = device.floor.min(device.limit);
        // A share of one gives the limit itself, without rounding.
        if share < 1.0 { floor + (device.limit - floor) * share } else { device.limit }
    };
    devices.iter().map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boards(limits: &[f64]) -> Vec<Holdable> {
        limits.iter().map(|limit| Holdable { floor: Watts(200.0), limit: Watts(*limit) }).collect()
    }

    #[test]
    fn what_fits_stays_and_what_does_not_is_shared_out_above_the_floors() {
        assert_eq!(limits(Watts(1400.0), &boards(&[700.0, 700.0])), [Watts(700.0), Watts(700.0)]);
        assert_eq!(limits(Watts(800.0), &boards(&[700.0, 500.0])), [Watts(450.0), Watts(350.0)]);
        assert_eq!(limits(Watts(100.0), &boards(&[700.0, 500.0])), [Watts(200.0), Watts(200.0)]);
        assert_eq!(limits(Watts(-1.0), &boards(&[150.0])), [Watts(150.0)], "below its floor already");
        assert_eq!(limits(Watts(1.0), &[]), []);
    }

    proptest! {
        #[test]
        fn never_looser_never_below_the_floor_and_within_the_room_if_that_can_be(
            now in prop::collection::vec((50.0..300.0_f64, 0.0..900.0_f64), 0..16), room in -500.0..9000.0_f64,
        ) {
            let devices: Vec<Holdable> = now
                .iter()
                .map(|(floor, above)| Holdable { floor: Watts(*floor), limit: Watts(floor + above) })
                .collect();
            let limits = limits(Watts(room), &devices);
            let floors: f64 = devices.iter().map(|device| device.floor.0).sum();
            let sum: f64 = limits.iter().map(|limit| limit.0).sum();
            prop_assert!(sum <= room.max(floors) + 1e-6);
            for (device, limit) in devices.iter().zip(&limits) {
                prop_assert!(*limit <= device.limit && *limit >= device.floor);
            }
        }
    }
}
