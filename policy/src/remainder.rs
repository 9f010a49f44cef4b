//! The remainder: fans, disks, network and losses, from a meter of the whole node where there is one.
use model::{DeviceKind, Frame, Metric, Watts};

/// Sensors that measure the whole node: what the kernel's acpi_power_meter calls its chip (DCMI through ACPI).
const METERS: &str = "power_meter";
/// Time over which the meter and the parts are averaged before they are compared, in seconds: a BMC averages over seconds, and parts
/// are read at other moments. An assumption.
const SMOOTH_S: f64 = 30.0;
/// Beats of the meter after which the fit is believed: four times the averaging.
const SEEN_MIN: u32 = 120;
/// What the fit forgets a beat: a thousandth.
const KEPT: f64 = 0.999;
/// Standard errors that the remainder is counted above the fit, so that 98 of 100 normal errors are below it.
const ERRORS: f64 = 2.0;
/// The steepest fall of the remainder by rising parts that a meter of the whole can show. One that does not cover the accelerators
/// shows a fall as large as their rise.
const FALL_MAX: f64 = -0.2;
/// The largest remainder that is believed, as the largest that can be configured.
const MOST_W: f64 = 20_000.0;

/// A straight line of the remainder over the measured parts, by recursive least squares, with its error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remainder {
    /// Averages of the meter and of the parts, in kilowatts.
    smooth: Option<(f64, f64)>,
    /// Intercept and slope.
    line: [f64; 2],
    spread: [[f64; 2]; 2],
    /// Mean square of what the line missed.
    missed: f64,
    seen: u32,
}

impl Default for Remainder {
    fn default() -> Self {
        Self { smooth: None, line: [0.0; 2], spread: [[100.0, 0.0], [0.0, 100.0]], missed: 0.0, seen: 0 }
    }
}

impl Remainder {
    /// Takes one beat: what the parts draw, `None` where one of them cannot be read, and the time that passed.
    pub(crate) fn see(&mut self, frame: &Frame, parts: Option<Watts>, passed_s: f64) {
        let (Some(meter), Some(parts)) = (meter(frame), parts) else {
            self.smooth = None;
            return;
        };
        let (meter, parts) = (meter.0 / 1000.0, parts.0 / 1000.0);
        let (before, new) = (self.smooth.unwrap_or((meter, parts)), (passed_s / SMOOTH_S).clamp(0.0, 1.0));
        let smooth = (before.0 + (meter - before.0) * new, before.1 + (parts - before.1) * new);
        self.smooth = Some(smooth);
        let rest = smooth.0 - smooth.1;
        if rest.abs() <= MOST_W / 1000.0 {
            self.fit(smooth.1, rest);
        }
    }

    fn fit(&mut self, x: f64, rest: f64) {
        let [[a, b], [_, d]] = self.spread;
        let reach = [a + b * x, b + d * x];
        let scale = KEPT + reach[0] + reach[1] * x;
        let gain = [reach[0] / scale, reach[1] / scale];
        let missed = rest - (self.line[0] + self.line[1] * x);
        self.line = [self.line[0] + gain[0] * missed, self.line[1] + gain[1] * missed];
        let next = |place: f64, one: f64, other: f64| ((place - one * other) / KEPT).clamp(-1e3, 1e3);
        let across = next(b, gain[0], reach[1]);
        self.spread = [[next(a, gain[0], reach[0]), across], [across, next(d, gain[1], reach[1])]];
        self.seen = self.seen.saturating_add(1);
        // The first lines are no lines yet.
        if self.seen > SEEN_MIN / 2 {
            self.missed += (missed * missed - self.missed) * (1.0 - KEPT).max(1.0 / f64::from(self.seen));
        }
    }

    /// The remainder at these parts with its error on the safe side; `None` where no meter of the whole node was seen for long enough.
    pub(crate) fn of(&self, parts: Watts) -> Option<Watts> {
        let [at_zero, slope] = self.line;
        if self.seen < SEEN_MIN || slope < FALL_MAX {
            return None;
        }
        let rest = 1000.0 * (at_zero + slope * parts.0 / 1000.0 + ERRORS * self.missed.sqrt());
        (rest > 0.0 && rest <= MOST_W).then_some(Watts(rest))
    }
}

/// What the meter of the whole node shows.
fn meter(frame: &Frame) -> Option<Watts> {
    let meters =
        frame.devices.of_kind(DeviceKind::Sensor).filter(|sensor| sensor.info.key.starts_with(METERS));
    let shown =
        meters.filter_map(|sensor| frame.value(sensor.id, Metric::SensorPower)).filter(|watts| *watts > 0.0);
    // Several are of several supplies.
    shown.map(Watts).reduce(|one, other| one + other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, Reading, Timestamp};
    use std::sync::Arc;

    fn watched(rest: impl Fn(f64) -> f64, key: &str) -> Remainder {
        let mut frame = Frame::default();
        let sensor = DeviceInfo::new(DeviceKind::Sensor, key);
        let sensor = Arc::make_mut(&mut frame.devices).register(&Arc::new(sensor)).unwrap();
        let mut one = Remainder::default();
        for beat in 0..1200_u32 {
            let parts = if (beat / 200).is_multiple_of(2) { 2000.0 } else { 5000.0 };
            frame.begin(Timestamp::default());
            frame.put(sensor, Metric::SensorPower, Reading::Value(rest(parts)));
            one.see(&frame, Some(Watts(parts)), 1.0);
        }
        one
    }

    #[test]
    fn a_meter_of_the_whole_node_gives_the_remainder_with_what_fans_add() {
        let one = watched(|parts| parts + 350.0 + 0.03 * parts, "power_meter-ACPI000D:00/power1");
        for (parts, expected) in [(2000.0, 410.0), (5000.0, 500.0)] {
            let rest = one.of(Watts(parts)).unwrap().0;
            assert!((rest - expected).abs() < 20.0, "{rest} W, not {expected}");
        }
    }

    #[test]
    fn a_meter_that_leaves_the_accelerators_out_and_another_sensor_are_not_believed() {
        assert_eq!(watched(|_| 900.0, "power_meter-ACPI000D:00/power1").of(Watts(2000.0)), None);
        assert_eq!(watched(|parts| parts + 400.0, "nvme-pci/power1").of(Watts(2000.0)), None);
        assert_eq!(watched(|_| 0.0, "power_meter-x/power1").of(Watts(2000.0)), None);
    }

    #[test]
    fn an_uncertain_meter_counts_for_more_than_a_sure_one() {
        let key = "power_meter-ACPI000D:00/power1";
        let sure = watched(|parts| parts + 400.0, key).of(Watts(3000.0)).unwrap();
        let bent = watched(
            |parts| parts + if parts > 3000.0 { 400.0 } else { 520.0 } + 40.0 * (parts / 700.0).sin(),
            key,
        );
        assert!(bent.of(Watts(3000.0)).unwrap() > sure);
    }

    #[test]
    fn before_enough_was_seen_and_without_parts_nothing_is_said() {
        let mut one = Remainder::default();
        one.see(&Frame::default(), None, 1.0);
        assert_eq!(one.of(Watts(3000.0)), None);
    }
}
