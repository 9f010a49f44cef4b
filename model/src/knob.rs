//! Knobs: what can be turned, how far, and the order that turns it.
use crate::device::DeviceId;
use crate::error::{ActuateError, Reason};
use crate::units::{Cores, Hertz, Watts};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What on a device can be turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knob {
    /// The power limit of a board or of a processor package, in watts.
    #[default]
    PowerLimit,
    /// The highest clock that a board may use, in hertz.
    ClockMax,
    /// The processor time that a control group may use, in cores.
    CpuQuota,
}

impl Knob {
    /// Every knob.
    pub const ALL: [Self; 3] = [Self::PowerLimit, Self::ClockMax, Self::CpuQuota];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PowerLimit => "power_limit",
            Self::ClockMax => "clock_max",
            Self::CpuQuota => "cpu_quota",
        }
    }

    /// Positions this close are the same, in the knob's unit: devices round. NVML rounds limits to 1 W on some boards, an
    /// A100 has a clock every 15 MHz (logs in GPU_Power_Benchmark), and a quota is written in whole microseconds.
    pub const fn slack(self) -> f64 {
        match self {
            Self::PowerLimit => 1.0,
            Self::ClockMax => 15e6,
            Self::CpuQuota => 0.001,
        }
    }

    /// Refuses every knob but one, for an actuator that turns only that one of the device with this key.
    ///
    /// # Errors
    /// `Unsupported`, when this is another knob.
    pub fn only(self, one: Self, key: &str) -> Result<(), ActuateError> {
        let other = || ActuateError::new(format!("turn {} of {key}", self.as_str()), Reason::Unsupported);
        if self == one { Ok(()) } else { Err(other()) }
    }

    /// A position in words, with its unit.
    pub fn say(self, value: f64) -> String {
        match self {
            Self::PowerLimit => Watts(value).to_string(),
            Self::ClockMax => Hertz(value).to_string(),
            Self::CpuQuota => Cores(value).to_string(),
        }
    }
}

/// What becomes of a cap when its keeper goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// It keeps a budget and is held: lifting it is how a breaker trips.
    #[default]
    Safety,
    /// It tunes, as an operator or a policy asked, and is given back.
    Tuning,
}

impl Keep {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Tuning => "tuning",
        }
    }
}

/// What a device accepts, in watts. Exists only when it makes sense: `0 < min <= default <= max`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    min: Watts,
    max: Watts,
    default: Watts,
}

impl Range {
    /// A range from what the device says; `None` when the numbers contradict each other.
    pub fn new(min: Watts, max: Watts, default: Watts) -> Option<Self> {
        (min.0 > 0.0 && min <= default && default <= max && max.0.is_finite()).then_some(Self {
            min,
            max,
            default,
        })
    }

    /// The smallest limit.
    pub fn min(self) -> Watts {
        self.min
    }

    /// The largest limit.
    pub fn max(self) -> Watts {
        self.max
    }

    /// The limit after a reset.
    pub fn default(self) -> Watts {
        self.default
    }

    /// The nearest limit inside.
    pub fn clamp(self, limit: Watts) -> Watts {
        limit.max(self.min).min(self.max)
    }

    /// The same as positions of the knob.
    pub fn span(self) -> Span {
        Span { min: self.min.0, max: self.max.0 }
    }
}

/// The positions that a knob has, in its unit. Exists only when it makes sense: `0 < min <= max`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    min: f64,
    max: f64,
}

impl Span {
    /// A span from what the device says; `None` when the numbers contradict each other.
    pub fn new(min: f64, max: f64) -> Option<Self> {
        (min > 0.0 && min <= max && max.is_finite()).then_some(Self { min, max })
    }

    /// The lowest position.
    pub fn min(self) -> f64 {
        self.min
    }

    /// The highest position.
    pub fn max(self) -> f64 {
        self.max
    }

    /// The nearest position inside; what is no number becomes the lowest.
    pub fn clamp(self, value: f64) -> f64 {
        value.max(self.min).min(self.max)
    }
}

/// A knob and its new position. It cannot be made outside the device's range.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    device: DeviceId,
    key: Arc<str>,
    knob: Knob,
    value: f64,
}

impl Order {
    /// An order for a knob of a device; the value, in the knob's unit, is brought inside its span.
    pub fn new(device: DeviceId, key: Arc<str>, (knob, value): (Knob, f64), span: Span) -> Self {
        Self { device, key, knob, value: span.clamp(value) }
    }

    /// An order for the power limit of a device; the limit is brought inside the range.
    pub fn power_limit(device: DeviceId, key: Arc<str>, limit: Watts, range: Range) -> Self {
        Self::new(device, key, (Knob::PowerLimit, limit.0), range.span())
    }

    /// The device.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The device's stable key, by which actuators address it.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The knob.
    pub fn knob(&self) -> Knob {
        self.knob
    }

    /// The new position, in the knob's unit.
    pub fn value(&self) -> f64 {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DeviceInfo, DeviceKind, DeviceTable};

    #[test]
    fn an_order_outside_the_range_cannot_be_made() {
        let mut table = DeviceTable::default();
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        let range = Range::new(Watts(200.0), Watts(700.0), Watts(700.0)).unwrap();
        for (asked, got) in [(0.0, 200.0), (350.0, 350.0), (9e9, 700.0)] {
            assert_eq!(Order::power_limit(device, "GPU-a".into(), Watts(asked), range).value(), got);
        }
    }

    #[test]
    fn a_range_that_contradicts_itself_does_not_exist() {
        assert!(Range::new(Watts(0.0), Watts(700.0), Watts(500.0)).is_none());
        assert!(Range::new(Watts(300.0), Watts(200.0), Watts(250.0)).is_none());
        assert!(Range::new(Watts(100.0), Watts(200.0), Watts(250.0)).is_none());
    }
}
