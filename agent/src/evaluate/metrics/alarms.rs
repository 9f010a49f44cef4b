//! Alarms against segments: strict false episodes, recall, delay, and what the same number of alarms finds by luck.
use crate::evaluate::machine::{Machine, Segment, runs};
use detectors::extreme::GAP;
use std::ops::Range;

/// Flagged rows so shortly before a segment are forgiven.
const LEAD: usize = 5;
/// Flagged rows so shortly after a segment are forgiven.
const TRAIL: usize = 20;
/// How often flags are shifted at random.
const SHIFTS: u64 = 200;
/// A shift moves flags at least so far, so that a shifted alarm does not sit on its own segment.
const SHIFT_MIN: usize = 100;
const SECONDS_PER_HOUR: f64 = 3600.0;

/// What a series of flags came to on one machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Strict false episodes a day.
    pub false_per_day: f64,
    /// For each segment the samples from its start to its first flag; `None` where it has none.
    pub delays: Vec<Option<usize>>,
}

impl Tally {
    /// Share of segments with a flag inside; `None` without segments.
    pub fn recall(&self) -> Option<f64> {
        let hits = self.delays.iter().flatten().count();
        (!self.delays.is_empty()).then(|| hits as f64 / self.delays.len() as f64)
    }
}

/// Counts a series of flags over the test rows of a machine.
pub fn tally(machine: &Machine, flags: &[bool]) -> Tally {
    let delay = |segment: &Segment| segment.rows.clone().position(|row| flags[row]);
    let false_per_day = strict_episodes(machine, flags) as f64 / machine.days(flags.len());
    Tally { false_per_day, delays: machine.segments.iter().map(delay).collect() }
}

/// Strict false episodes: flagged rows outside [start - 5, end + 20) of every segment, grouped over gaps of at most 10 rows. A group
/// counts 1, and 1 for each full hour it lasts: an alarm that never ends is not one alarm.
pub fn strict_episodes(machine: &Machine, flags: &[bool]) -> usize {
    let mut stray = flags.to_vec();
    for Range { start, end } in machine.segments.iter().map(|segment| segment.rows.clone()) {
        stray[start.saturating_sub(LEAD)..(end + TRAIL).min(flags.len())].fill(false);
    }
    let mut groups: Vec<Range<usize>> = Vec::new();
    for run in runs(&stray) {
        match groups.last_mut().filter(|last| run.start - (last.end - 1) <= GAP) {
            Some(last) => last.end = run.end,
            None => groups.push(run),
        }
    }
    let hours = |group: &Range<usize>| (group.len() as f64 * machine.step_s / SECONDS_PER_HOUR) as usize;
    groups.iter().map(|group| 1 + hours(group)).sum()
}

/// The flags with the most recall that a fixed threshold can have at no more than `budget` strict false episodes a day.
///
/// It looks at the labels: nobody can run it. Recall changes only at the highest score inside a segment, so only these are tried.
pub fn oracle(machine: &Machine, score: &[f32], budget: f64) -> Vec<bool> {
    let peak = |segment: &Segment| segment.rows.clone().map(|row| score[row]).max_by(f32::total_cmp);
    let mut peaks: Vec<f32> = machine.segments.iter().filter_map(peak).collect();
    peaks.sort_by(f32::total_cmp);
    peaks.dedup();
    let at = |threshold: &f32| score.iter().map(|score| score >= threshold).collect::<Vec<bool>>();
    let allowed = |flags: &Vec<bool>| tally(machine, flags).false_per_day <= budget;
    // The lowest peak finds most.
    peaks.iter().map(at).find(allowed).unwrap_or_else(|| vec![false; score.len()])
}

/// The mean recall of the same flags moved by random distances around the end: what alarms of this shape find by luck.
///
/// `None` without segments, or where the test part is too short to be moved.
pub fn shifted_recall(machine: &Machine, flags: &[bool]) -> Option<f64> {
    let rows = flags.len();
    if machine.segments.is_empty() || rows <= 2 * SHIFT_MIN {
        return None;
    }
    let mut before = vec![0_u32; 2 * rows + 1];
    for row in 0..2 * rows {
        before[row + 1] = before[row] + u32::from(flags[row % rows]);
    }
    let span = (rows - 2 * SHIFT_MIN) as u64;
    let hits = |draw: u64| {
        let shift = SHIFT_MIN + (sim::noise::word(0, 1, draw) % span) as usize;
        let hit = |segment: &&Segment| before[segment.rows.end + shift] > before[segment.rows.start + shift];
        machine.segments.iter().filter(hit).count()
    };
    let sum: usize = (0..SHIFTS).map(hits).sum();
    Some(sum as f64 / (SHIFTS as f64 * machine.segments.len() as f64))
}

#[cfg(test)]
mod tests;
