//! The plan: which victim meets which antagonist, how hard and where, in an order that a seed gives.
use super::part::{Load, Work};
use serde::{Deserialize, Serialize};

/// Shares of the time that an antagonist presses.
pub(super) const INTENSITIES: [f64; 3] = [0.25, 0.5, 1.0];
/// Shares of its own full rate that a victim is asked for while it is alone.
pub(super) const DUTIES: [f64; 4] = [1.0, 0.75, 0.5, 0.25];
/// The share of encounters in which the victim is asked for half of its rate.
pub(super) const HALF_SHARE: f64 = 0.3;

/// Where antagonists run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// One thread on the victim's processor.
    Same,
    /// One thread on another processor.
    Other,
    /// As many threads as there are processors, wherever the kernel puts them.
    Free,
}

impl Placement {
    /// Every placement.
    pub const ALL: [Self; 3] = [Self::Same, Self::Other, Self::Free];

    /// The name in data sets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Other => "other",
            Self::Free => "free",
        }
    }
}

/// One antagonist that a victim meets for some windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Encounter {
    pub(super) load: Load,
    pub(super) intensity: f64,
    pub(super) placement: Placement,
    /// The share of its full rate that the victim is asked for.
    pub(super) duty: f64,
}

/// A sequence of pseudo-random numbers (SplitMix64, Steele et al. 2014).
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }

    pub(super) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The encounters of one victim in a campaign: of each antagonist a third of the combinations of intensity and placement,
/// so that three campaigns in a row have them all.
pub(super) fn encounters(victim: Work, campaign: u64, seed: u64) -> Vec<Encounter> {
    let mut dice = Dice(seed ^ (victim as u64) << 32 ^ campaign << 16);
    let mut list = Vec::new();
    for load in Load::ALL {
        for (row, intensity) in INTENSITIES.into_iter().enumerate() {
            for (column, placement) in Placement::ALL.into_iter().enumerate() {
                // A Latin square: every intensity and every placement once a campaign.
                if (row + column + load as usize + victim as usize) as u64 % 3 == campaign % 3 {
                    let duty = if dice.share() < HALF_SHARE { 0.5 } else { 1.0 };
                    list.push(Encounter { load, intensity, placement, duty });
                }
            }
        }
    }
    dice.shuffle(&mut list);
    list
}

/// The victims of a campaign in order.
pub(super) fn victims(campaign: u64, seed: u64) -> Vec<Work> {
    let mut order = Work::ALL.to_vec();
    Dice(seed ^ campaign).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn three_campaigns_in_a_row_have_every_encounter_once() {
        for victim in Work::ALL {
            let mut met = BTreeSet::new();
            for campaign in 4..7 {
                for encounter in encounters(victim, campaign, 9) {
                    let key = (encounter.load, encounter.placement, (encounter.intensity * 4.0) as u32);
                    assert!(met.insert(key), "{victim:?} met {key:?} twice");
                }
            }
            assert_eq!(met.len(), Load::ALL.len() * INTENSITIES.len() * Placement::ALL.len());
        }
    }

    #[test]
    fn a_seed_gives_one_order() {
        assert_eq!(encounters(Work::Chase, 1, 5), encounters(Work::Chase, 1, 5));
        assert_ne!(encounters(Work::Chase, 1, 5), encounters(Work::Chase, 1, 6));
        assert_eq!(victims(2, 5).len(), Work::ALL.len());
    }
}
