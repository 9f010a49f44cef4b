//! The plan on an accelerator: victims, antagonists, and who meets whom.
use crate::lab::plan::{Dice, HALF_SHARE, INTENSITIES};
use serde::{Deserialize, Serialize};

/// What a victim does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Arithmetic on all multiprocessors.
    Compute,
    /// A copy from device memory to device memory.
    Stream,
    /// Copies from the host with a short kernel after each.
    Copy,
    /// Many small kernels, each burst waited for.
    Launch,
    /// As token generation: a pass over memory, some small kernels, and a wait.
    Decode,
}

impl Job {
    /// Every victim.
    pub const ALL: [Self; 5] = [Self::Compute, Self::Stream, Self::Copy, Self::Launch, Self::Decode];

    /// The name in data sets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Stream => "stream",
            Self::Copy => "copy",
            Self::Launch => "launch",
            Self::Decode => "decode",
        }
    }
}

/// What an antagonist presses on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Press {
    /// Multiprocessors.
    Compute,
    /// Device memory.
    Memory,
    /// The link to the host.
    Copy,
    /// All of these, as a job of training does.
    Mixed,
    /// Power: a limit that somebody else lowers. Simulated only: the lab turns no knob of a real board.
    Power,
}

impl Press {
    /// Every antagonist.
    pub const ALL: [Self; 5] = [Self::Compute, Self::Memory, Self::Copy, Self::Mixed, Self::Power];

    /// The name in data sets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Memory => "memory",
            Self::Copy => "copy",
            Self::Mixed => "mixed",
            Self::Power => "power",
        }
    }
}

/// How processes share a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sharing {
    /// They take turns, as without MPS.
    Turns,
    /// Their kernels run at once, as with MPS.
    Mps,
}

impl Sharing {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Turns, Self::Mps];

    /// The name in data sets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Turns => "turns",
            Self::Mps => "mps",
        }
    }
}

/// One antagonist that a victim meets for some windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Encounter {
    pub(super) press: Press,
    pub(super) intensity: f64,
    /// The share of its full rate that the victim is asked for.
    pub(super) duty: f64,
}

/// The encounters of one victim in a campaign: of each antagonist one intensity, so that three campaigns in a row have them all.
pub(super) fn encounters(victim: Job, sharing: Sharing, campaign: u64, seed: u64) -> Vec<Encounter> {
    let mut dice = Dice(seed ^ (victim as u64) << 32 ^ (sharing as u64) << 40 ^ campaign << 16);
    let mut list = Vec::new();
    for press in Press::ALL {
        for (row, intensity) in INTENSITIES.into_iter().enumerate() {
            let turn = row + press as usize + victim as usize + sharing as usize;
            if turn as u64 % 3 == campaign % 3 {
                let duty = if dice.share() < HALF_SHARE { 0.5 } else { 1.0 };
                list.push(Encounter { press, intensity, duty });
            }
        }
    }
    dice.shuffle(&mut list);
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn three_campaigns_in_a_row_have_every_encounter_once() {
        for (victim, sharing) in [(Job::Copy, Sharing::Turns), (Job::Decode, Sharing::Mps)] {
            let mut met = BTreeSet::new();
            for campaign in 2..5 {
                for encounter in encounters(victim, sharing, campaign, 9) {
                    assert!(met.insert((encounter.press, (encounter.intensity * 4.0) as u32)));
                }
            }
            assert_eq!(met.len(), Press::ALL.len() * INTENSITIES.len());
        }
    }
}
