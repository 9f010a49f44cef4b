//! What a row of the catalogue says about a metric, and the families that are exported beside the readings.
use crate::catalogue::{CATALOGUE, COLUMN, Metric};
use crate::device::DeviceKind;
use crate::frame::{Absence, Reading};
use crate::units::Unit;
use serde::{Deserialize, Serialize};

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Goes up and down; its series holds the values.
    Gauge,
    /// Only grows, until something resets it; its series holds the rate per second.
    Counter,
    /// A limit or a size that hardly ever changes; it has no series, only its last value.
    Constant,
}

/// One row of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The metric.
    pub metric: Metric,
    /// The exported name.
    pub family: &'static str,
    /// Labels that tell metrics of one family apart.
    pub labels: &'static [(&'static str, &'static str)],
    /// The base unit.
    pub unit: Unit,
    /// How it moves.
    pub kind: MetricKind,
    /// The smallest value that can be true.
    pub low: f64,
    /// The largest value that can be true.
    pub high: f64,
    /// The devices that can have it.
    pub subjects: &'static [DeviceKind],
    /// One sentence for people.
    pub help: &'static str,
}

/// A family that the agent exports beside the catalogue: what it decided, found and is.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// The exported name.
    pub name: &'static str,
    /// The base unit.
    pub unit: Unit,
    /// How it moves.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence for people.
    pub help: &'static str,
}

impl Metric {
    /// How many metrics there are.
    pub const COUNT: usize = CATALOGUE.len();

    /// The position in the catalogue.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// What the catalogue says.
    pub const fn row(self) -> &'static Row {
        &CATALOGUE[self as usize]
    }

    /// Every metric, in the order of the catalogue.
    pub fn all() -> impl Iterator<Item = Self> {
        CATALOGUE.iter().map(|row| row.metric)
    }

    /// The position among the metrics of a kind of device; `None` when such devices never have it.
    pub fn column(self, kind: DeviceKind) -> Option<usize> {
        let column = COLUMN[kind as usize][self as usize];
        (column != u16::MAX).then_some(usize::from(column))
    }

    /// Makes a reading of a raw value: out of the plausible range, or not finite, is [`Absence::Implausible`].
    pub fn reading(self, value: f64) -> Reading {
        let row = self.row();
        if value.is_finite() && value >= row.low && value <= row.high {
            Reading::Value(value)
        } else {
            Reading::Absent(Absence::Implausible)
        }
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let row = self.row();
        f.write_str(row.family.strip_prefix("wattkeeper_").unwrap_or(row.family))?;
        for (position, (name, value)) in row.labels.iter().enumerate() {
            write!(f, "{}{name}={value}", if position == 0 { "{" } else { "," })?;
        }
        f.write_str(if row.labels.is_empty() { "" } else { "}" })
    }
}
