//! Units: the closed set a metric may have, and the newtypes that the power path is computed in.
use serde::{Deserialize, Serialize};
use std::ops::{Add, Mul, Sub};

/// The base unit of a metric. Everything inside wattkeeper is in base units; vendors' units end in the collectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Electric power.
    Watts,
    /// Energy.
    Joules,
    /// Temperature.
    Celsius,
    /// Clock rate.
    Hertz,
    /// Amount of data.
    Bytes,
    /// Data rate.
    BytesPerSecond,
    /// Time.
    Seconds,
    /// A share from 0 to 1.
    Ratio,
    /// A speed of rotation, as fans report it.
    Rpm,
    /// Electric potential.
    Volts,
    /// A number of things, or a code.
    Count,
    /// Truth: 0 or 1.
    Flag,
}

impl Unit {
    /// The suffix that an exported metric name must end in (before `_total`), empty for counts and flags.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Watts => "watts",
            Self::Joules => "joules",
            Self::Celsius => "celsius",
            Self::Hertz => "hertz",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes_per_second",
            Self::Seconds => "seconds",
            Self::Ratio => "ratio",
            Self::Rpm => "rpm",
            Self::Volts => "volts",
            Self::Count | Self::Flag => "",
        }
    }

    /// The symbol shown behind a number on a screen.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Watts => "W",
            Self::Joules => "J",
            Self::Celsius => "°C",
            Self::Hertz => "Hz",
            Self::Bytes => "B",
            Self::BytesPerSecond => "B/s",
            Self::Seconds => "s",
            Self::Rpm => "rpm",
            Self::Volts => "V",
            Self::Ratio | Self::Count | Self::Flag => "",
        }
    }
}

/// Electric power in watts. Always finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watts(pub f64);

impl Watts {
    /// No power.
    pub const ZERO: Self = Self(0.0);

    /// From the milliwatts that NVML, HLML and Level Zero speak.
    pub fn from_milliwatts(value: u32) -> Self {
        Self(f64::from(value) / 1e3)
    }

    /// To whole milliwatts, rounded down, so that a limit is never exceeded by rounding. Negative becomes 0.
    pub fn to_milliwatts(self) -> u32 {
        // A float to integer cast saturates, which is the wanted behaviour at both ends.
        (self.0 * 1e3).floor() as u32
    }

    /// The smaller of two.
    pub fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The larger of two.
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

impl Add for Watts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Watts {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul<f64> for Watts {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self(self.0 * factor)
    }
}

impl std::iter::Sum for Watts {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

impl std::fmt::Display for Watts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} W", self.0)
    }
}

/// A clock rate in hertz. Always finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hertz(pub f64);

impl std::fmt::Display for Hertz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} MHz", self.0 / 1e6)
    }
}

/// An amount of processor time in cores: 1 is one core all the time. Always finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cores(pub f64);

impl std::fmt::Display for Cores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} cores", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliwatts_round_down_and_saturate() {
        assert_eq!(Watts(350.0009).to_milliwatts(), 350_000);
        assert_eq!(Watts(-1.0).to_milliwatts(), 0);
        assert_eq!(Watts(1e12).to_milliwatts(), u32::MAX);
    }
}
