//! Attribution: whether the channels that a detector blames for a segment are those that are known to be wrong.
use crate::evaluate::machine::{Machine, Segment};
use ndarray::Array2;
use serde::Serialize;

/// What blame came to on one segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blamed {
    /// Whether the segment was flagged.
    pub hit: bool,
    /// Share of the true channels among as many of the most blamed.
    pub hit100: f64,
    /// Share of the true channels among one and a half times as many of the most blamed, rounded down.
    pub hit150: f64,
    /// Whether the most blamed channel is a true one.
    pub first: bool,
}

/// Judges the blame of every segment whose channels are known.
///
/// The blame of a segment is the sum over its flagged rows, which is what an operator is shown; over all its rows where none is flagged.
pub fn judge(machine: &Machine, blame: &Array2<f32>, flags: &[bool]) -> Vec<Blamed> {
    machine.segments.iter().filter_map(|segment| judge_one(segment, blame, flags)).collect()
}

fn judge_one(segment: &Segment, blame: &Array2<f32>, flags: &[bool]) -> Option<Blamed> {
    let truth = segment.channels.as_ref().filter(|channels| !channels.is_empty())?;
    let hit = segment.rows.clone().any(|row| flags[row]);
    let mut sums = vec![0.0_f64; blame.ncols()];
    for row in segment.rows.clone().filter(|row| flags[*row] || !hit) {
        sums.iter_mut().zip(blame.row(row)).for_each(|(sum, part)| *sum += f64::from(*part));
    }
    let mut ranked: Vec<usize> = (0..sums.len()).collect();
    ranked.sort_by(|a, b| sums[*b].total_cmp(&sums[*a]));
    let share = |count: usize| {
        let found = ranked.iter().take(count).filter(|channel| truth.contains(channel)).count();
        found as f64 / truth.len() as f64
    };
    let first = ranked.first().is_some_and(|channel| truth.contains(channel));
    Some(Blamed { hit, hit100: share(truth.len()), hit150: share(truth.len() * 3 / 2), first })
}

/// Attribution over many segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Attribution {
    /// Segments that were flagged and whose channels are known.
    pub hit_segments: usize,
    /// Segments whose channels are known.
    pub all_segments: usize,
    /// Mean hit rate at 100 % over flagged segments.
    pub hit100: Option<f64>,
    /// Mean hit rate at 150 % over flagged segments.
    pub hit150: Option<f64>,
    /// Share of flagged segments whose most blamed channel is truly anomalous.
    pub first: Option<f64>,
    /// Mean hit rate at 100 % over all segments.
    pub hit100_all: Option<f64>,
    /// Mean hit rate at 150 % over all segments.
    pub hit150_all: Option<f64>,
    /// Share of all segments whose most blamed channel is truly anomalous.
    pub first_all: Option<f64>,
}

impl Attribution {
    /// Means over segments, each counted alike whatever machine it is on.
    pub fn of(blamed: &[Blamed]) -> Self {
        let hits: Vec<Blamed> = blamed.iter().copied().filter(|blamed| blamed.hit).collect();
        let first = |blamed: &Blamed| f64::from(u8::from(blamed.first));
        Self {
            hit_segments: hits.len(),
            all_segments: blamed.len(),
            hit100: mean(hits.iter().map(|blamed| blamed.hit100)),
            hit150: mean(hits.iter().map(|blamed| blamed.hit150)),
            first: mean(hits.iter().map(first)),
            hit100_all: mean(blamed.iter().map(|blamed| blamed.hit100)),
            hit150_all: mean(blamed.iter().map(|blamed| blamed.hit150)),
            first_all: mean(blamed.iter().map(first)),
        }
    }
}

/// The mean; `None` of nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests;
