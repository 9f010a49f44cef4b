//! Decisions, orders and outcomes: what a policy wants, what the guard lets through, and what became of it.
use crate::clock::Timestamp;
use crate::device::DeviceId;
use crate::error::Reason;
use crate::event::EventId;
use crate::units::Watts;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How much the work on a device matters. Caps bite from the lowest up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Capped first.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Capped last and released first.
    High,
}

impl Priority {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// What on a device can be turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knob {
    /// The power limit of the board, in watts.
    PowerLimit,
}

impl Knob {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PowerLimit => "power limit",
        }
    }

    /// The sign of its unit.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::PowerLimit => "W",
        }
    }
}

/// What is wanted of a device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Hold the power limit at this many watts.
    Limit(Watts),
    /// Go to the lowest limit the device has, at once.
    Brake,
    /// Give back the original limit.
    Release,
}

impl Action {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit(_) => "limit",
            Self::Brake => "brake",
            Self::Release => "release",
        }
    }
}

/// Whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Only say what would be done.
    #[default]
    Advise,
    /// Do it.
    Enforce,
}

impl Mode {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Advise => "advise",
            Self::Enforce => "enforce",
        }
    }
}

/// Why a decision was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Node power passed the low threshold.
    OverLow,
    /// Node power passed the high threshold.
    OverHigh,
    /// Node power passed the budget.
    OverBudget,
    /// Node power stayed below the threshold for long enough.
    Headroom,
    /// The device's power could not be read, so it is held as if at its limit.
    Blind,
    /// The limit on the device is not the one that was set.
    Drift,
    /// The agent stops, or the operator asked for it.
    Stop,
    /// The agent is gone, and the node is held at its fallback budget until another one comes.
    Fallback,
}

impl Why {
    /// A few words for a screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OverLow => "over low threshold",
            Self::OverHigh => "over high threshold",
            Self::OverBudget => "over budget",
            Self::Headroom => "headroom",
            Self::Blind => "power unreadable",
            Self::Drift => "limit drifted",
            Self::Stop => "stop",
            Self::Fallback => "agent gone",
        }
    }
}

/// What a policy proposes; the agent numbers it and makes it a [`Decision`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// On which device.
    pub device: DeviceId,
    /// What is wanted.
    pub action: Action,
    /// Why.
    pub why: Why,
    /// The event behind it.
    pub event: Option<EventId>,
    /// When the cap loses its force unless renewed; `None`: it holds until released.
    pub expires: Option<Timestamp>,
}

/// A numbered proposal with the mode it was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Its number, rising from 1 in one run of the agent.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// On which device.
    pub device: DeviceId,
    /// What is wanted.
    pub action: Action,
    /// Why.
    pub why: Why,
    /// The event behind it.
    pub event: Option<EventId>,
    /// When the cap loses its force unless renewed.
    pub expires: Option<Timestamp>,
    /// Whether it is carried out.
    pub mode: Mode,
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
}

/// A knob and its new position. It cannot be made outside the device's range.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    device: DeviceId,
    key: Arc<str>,
    knob: Knob,
    limit: Watts,
}

impl Order {
    /// An order for the power limit of a device; the limit is brought inside the range.
    pub fn power_limit(device: DeviceId, key: Arc<str>, limit: Watts, range: Range) -> Self {
        Self { device, key, knob: Knob::PowerLimit, limit: range.clamp(limit) }
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

    /// The new limit.
    pub fn limit(&self) -> Watts {
        self.limit
    }
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was written: decisions are advice.
    Advised,
    /// Written and read back as ordered.
    Applied,
    /// The device already was where it should be.
    Unchanged,
    /// The guard or the journal did not let it through.
    Refused,
    /// Writing failed, or what was read back is not what was ordered.
    Failed,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 5] = [Self::Advised, Self::Applied, Self::Unchanged, Self::Refused, Self::Failed];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Advised => "advised",
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Asked, ordered, set, read back: the whole story of one decision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The decision.
    pub decision: u64,
    /// When it was settled.
    pub at: Timestamp,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it was refused or failed.
    pub reason: Option<Reason>,
    /// The limit that was ordered, after the guard.
    pub ordered: Option<Watts>,
    /// The limit that the device enforces, read back after the write.
    pub read_back: Option<Watts>,
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
            assert_eq!(Order::power_limit(device, "GPU-a".into(), Watts(asked), range).limit(), Watts(got));
        }
    }

    #[test]
    fn a_range_that_contradicts_itself_does_not_exist() {
        assert!(Range::new(Watts(0.0), Watts(700.0), Watts(500.0)).is_none());
        assert!(Range::new(Watts(300.0), Watts(200.0), Watts(250.0)).is_none());
        assert!(Range::new(Watts(100.0), Watts(200.0), Watts(250.0)).is_none());
    }
}
