//! Standings: what a detector can say of a device right now, and why it keeps silent where it does.
use crate::device::DeviceId;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why nothing is judged for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// The enforced power limit changed: our own cap, or another's, is no anomaly.
    PowerCap,
    /// A process came or went on the device.
    Job,
    /// The clock jumped, or beats came so unevenly that lags mean nothing.
    Clock,
    /// A load was met that was never learnt.
    NovelLoad,
    /// Too few siblings do like work, so there is nothing to compare with.
    Alone,
}

impl Mask {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PowerCap => "power_cap",
            Self::Job => "job",
            Self::Clock => "clock",
            Self::NovelLoad => "novel_load",
            Self::Alone => "alone",
        }
    }
}

/// What a detector can say of a device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Stand {
    /// It has not seen enough yet.
    Learning {
        /// The share of what it needs, 0 to 1.
        progress: f64,
    },
    /// It judges every beat.
    Watching,
    /// It does not judge for now.
    Masked {
        /// Why.
        mask: Mask,
        /// Seconds until it judges again, if nothing more happens.
        left_s: f64,
    },
}

impl Stand {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Learning { .. } => "learning",
            Self::Watching => "watching",
            Self::Masked { .. } => "masked",
        }
    }
}

/// The standing of one detector towards one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Which detector.
    pub detector: Cow<'static, str>,
    /// Towards which device.
    pub device: DeviceId,
    /// What it can say.
    #[serde(flatten)]
    pub stand: Stand,
}
