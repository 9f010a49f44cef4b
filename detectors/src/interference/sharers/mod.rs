//! Sharers: how each process on an accelerator does beside the others there, from the driver's counters, by physics.
//!
//! `sighting` is what a beat shows of a process → `alone` knows it without others → `physics` judges → the busiest other is named.
mod alone;
mod physics;
mod sighting;

pub use alone::Alone;
pub use physics::Limits;
pub use sighting::{OTHERS_MAX, Sighting};

use model::interference::{Abstention, Estimate, Judgement, Sharer};
use model::{DeviceId, Frame, ProcessUse, Resource};
use std::collections::BTreeMap;

/// Processes that are followed at once; further ones are `Crowded`.
const FOLLOWED_MAX: usize = 256;
/// Beats after somebody came or went before a beat is looked at: counters are means over the last second.
const SETTLES: u32 = 2;

/// What is known of one process: about 700 bytes.
#[derive(Debug, Clone, Default)]
struct Followed {
    alone: Alone,
    /// How many others there were, and beats since that changed.
    company: (usize, u32),
}

/// Follows the processes of all accelerators of a node.
#[derive(Debug, Default)]
pub(super) struct Sharers {
    limits: Limits,
    followed: BTreeMap<(DeviceId, u32), Followed>,
    latest: Vec<Sharer>,
}

impl Sharers {
    /// Takes a beat.
    pub(super) fn take(&mut self, frame: &Frame) {
        self.latest.clear();
        let there = |who: &(DeviceId, u32)| {
            frame.processes.iter().any(|process| (process.device, process.pid) == *who)
        };
        self.followed.retain(|who, _| there(who));
        for device in frame.devices.accelerators() {
            let there = frame.processes.iter().filter(|process| process.device == device.id);
            for process in
                there.filter(|process| process.utilization.is_some() || process.memory_bytes.is_some())
            {
                let seen = Sighting::of(frame, device, process);
                let judged = self.follow((device.id, process.pid), &seen);
                self.latest.push(Sharer {
                    device: device.id,
                    pid: process.pid,
                    name: process.name.clone(),
                    workload: process.workload.clone(),
                    judgement: judged.map_or_else(Judgement::Abstained, Judgement::Estimate),
                    culprit: judged.ok().and_then(|estimate| culprit(frame, process, &estimate)),
                });
            }
        }
    }

    fn follow(&mut self, who: (DeviceId, u32), seen: &Sighting) -> Result<Estimate, Abstention> {
        if !self.followed.contains_key(&who) && self.followed.len() >= FOLLOWED_MAX {
            return Err(Abstention::Crowded);
        }
        let followed = self.followed.entry(who).or_default();
        let (count, beats) = &mut followed.company;
        *beats = if *count == seen.count { beats.saturating_add(1) } else { 0 };
        *count = seen.count;
        if *beats < SETTLES {
            return Err(Abstention::Short);
        }
        followed.alone.learn(seen);
        self.limits.judge(seen, &followed.alone)
    }

    /// What the last beat said of each.
    pub(super) fn latest(&self) -> &[Sharer] {
        &self.latest
    }

    pub(super) fn bytes(&self) -> usize {
        self.followed.len() * (size_of::<Followed>() + size_of::<(DeviceId, u32)>())
            + self.latest.capacity() * size_of::<Sharer>()
    }
}

/// The other process that presses most: the one with most of the time, or the only one.
fn culprit(frame: &Frame, victim: &ProcessUse, estimate: &Estimate) -> Option<u32> {
    estimate.resource.filter(|resource| *resource != Resource::Unknown)?;
    let others = || {
        let there = frame.processes.iter().filter(|other| other.device == victim.device);
        there.filter(|other| other.pid != victim.pid && other.memory_bytes.is_some())
    };
    let busiest = others().filter_map(|other| Some((other.utilization?, other.pid)));
    let busiest = busiest.filter(|(share, _)| *share >= sighting::PRESENT).max_by(|a, b| a.0.total_cmp(&b.0));
    let only = others().next().filter(|other| others().count() == 1 && other.utilization.is_none());
    busiest.map(|(_, pid)| pid).or(only.map(|other| other.pid))
}

#[cfg(test)]
mod tests;
