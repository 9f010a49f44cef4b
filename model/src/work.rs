//! Works: what an accelerator is doing, judged from its counters alone.
use crate::clock::Timestamp;
use crate::device::DeviceId;
use serde::{Deserialize, Serialize};

/// What an accelerator is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Nothing.
    #[default]
    Idle,
    /// A job fills device memory and computes little yet.
    Load,
    /// Training: near full power, in step with other boards.
    Training,
    /// Inference that is mostly prompt processing: bound by computing, in bursts to full power.
    Prefill,
    /// Inference that is mostly token generation: bound by memory, far below full power.
    Decode,
    /// It waits for the host's processors.
    HostBound,
}

impl Work {
    /// Every work.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Load, Self::Training, Self::Prefill, Self::Decode, Self::HostBound];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Load => "load",
            Self::Training => "training",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::HostBound => "host_bound",
        }
    }

    /// Whether it computes and is not held up, so that it can be compared with others that do.
    pub const fn computes(self) -> bool {
        matches!(self, Self::Training | Self::Prefill | Self::Decode)
    }
}

/// What one accelerator is doing, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WorkState {
    /// Which accelerator.
    pub device: DeviceId,
    /// What it does.
    pub work: Work,
    /// How sure, 0 to 1: how far this work is ahead of the next likely one, less for every counter that is missing.
    pub confidence: f64,
    /// Since when.
    pub since: Timestamp,
}
