//! Decisions and outcomes: what a policy wants, and what became of it.
use crate::clock::Timestamp;
use crate::device::DeviceId;
use crate::error::Reason;
use crate::event::EventId;
use crate::knob::{Keep, Knob};
use crate::units::{Cores, Hertz, Watts};
use serde::{Deserialize, Serialize};

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

/// What is wanted of a device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Hold the power limit at this many watts.
    Limit(Watts),
    /// Hold the highest clock at this rate.
    Clock(Hertz),
    /// Hold the processor time at this many cores.
    Quota(Cores),
    /// Go to the lowest power limit the device has, at once.
    Brake,
    /// Give back the original position of a knob.
    Release(Knob),
}

impl Action {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit(_) => "limit",
            Self::Clock(_) => "clock",
            Self::Quota(_) => "quota",
            Self::Brake => "brake",
            Self::Release(_) => "release",
        }
    }

    /// The knob it is about.
    pub const fn knob(self) -> Knob {
        match self {
            Self::Limit(_) | Self::Brake => Knob::PowerLimit,
            Self::Clock(_) => Knob::ClockMax,
            Self::Quota(_) => Knob::CpuQuota,
            Self::Release(knob) => knob,
        }
    }

    /// The position that is asked for, in the knob's unit; `None`: the lowest, or the original.
    pub const fn value(self) -> Option<f64> {
        match self {
            Self::Limit(limit) => Some(limit.0),
            Self::Clock(clock) => Some(clock.0),
            Self::Quota(quota) => Some(quota.0),
            Self::Brake | Self::Release(_) => None,
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limit(limit) => write!(f, "limit {limit}"),
            Self::Clock(clock) => write!(f, "clock {clock}"),
            Self::Quota(quota) => write!(f, "quota {quota}"),
            Self::Brake => f.write_str("to the floor"),
            Self::Release(Knob::PowerLimit) => f.write_str("release"),
            Self::Release(Knob::ClockMax) => f.write_str("free clock"),
            Self::Release(Knob::CpuQuota) => f.write_str("free quota"),
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
    /// The work is done with less energy, within the slowdown that the operator allows.
    Efficiency,
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
            Self::Efficiency => "efficiency",
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
    /// What becomes of the cap when its keeper goes.
    pub keep: Keep,
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
    /// What becomes of the cap when its keeper goes.
    #[serde(default)]
    pub keep: Keep,
    /// Whether it is carried out.
    pub mode: Mode,
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
    /// The position that was ordered, after the guard, in the knob's unit.
    pub ordered: Option<f64>,
    /// The position that the device enforces, read back after the write, in the knob's unit.
    pub read_back: Option<f64>,
}
