//! VUS-PR: the volume under the surface of precision over recall, over thresholds and over how tolerant the labels are.
//!
//! As TSB-AD's evaluation defines it (Paparrizos et al., VLDB 2022; NeurIPS 2024): labels get soft flanks of growing width, recall is
//! weighted by the share of events that are touched at all, and the areas for widths 0 to 100 are averaged.
use std::ops::Range;

/// The widest tolerance, in samples: the figure that TSB-AD fixes for tables that are compared.
const WINDOW: usize = 100;
/// How many thresholds, evenly spaced in rank: what TSB-AD's evaluation takes by itself.
pub const THRESHOLDS: usize = 250;
/// What the tables of baselines beside the data were computed with. Short segments gain with more thresholds, so compare like with like.
pub const THRESHOLDS_COARSE: usize = 100;

/// VUS-PR of `score` against the labelled `segments` over so many `thresholds`; `None` without a segment.
///
/// To be read against its chance level, the share of labelled rows.
pub fn vus_pr(segments: &[Range<usize>], score: &[f32], thresholds: usize) -> Option<f64> {
    if segments.is_empty() || thresholds < 2 {
        return None;
    }
    let steps = Steps::new(score, thresholds);
    let mut hard = vec![false; score.len()];
    segments.iter().for_each(|segment| hard[segment.clone()].fill(true));
    let sum: f64 = (0..=WINDOW).map(|window| area((segments, &hard), &steps, window)).sum();
    Some(sum / (WINDOW + 1) as f64)
}

/// The thresholds, and at which of them each row is first flagged.
struct Steps {
    /// By row.
    first: Vec<usize>,
    /// Rows flagged, by threshold.
    flagged: Vec<f64>,
}

impl Steps {
    fn new(score: &[f32], count: usize) -> Self {
        let mut sorted = score.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let last = sorted.len() - 1;
        let step = last as f64 / (count - 1) as f64;
        let mut thresholds: Vec<f32> =
            (0..count).map(|n| sorted[((n as f64 * step) as usize).min(last)]).collect();
        thresholds[count - 1] = sorted[last];
        let first: Vec<usize> =
            score.iter().map(|score| thresholds.partition_point(|threshold| threshold > score)).collect();
        let flagged = summed(count, first.iter().map(|step| (*step, 1.0)));
        Self { first, flagged }
    }
}

/// Sums of weights by step, each with all before it.
fn summed(count: usize, weights: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    weights.for_each(|(step, weight)| sums[step] += weight);
    for step in 1..count {
        sums[step] += sums[step - 1];
    }
    sums
}

/// The area under precision over recall for labels with flanks of `window / 2` samples.
fn area((segments, hard): (&[Range<usize>], &[bool]), steps: &Steps, window: usize) -> f64 {
    let (rows, count) = (steps.first.len(), steps.flagged.len());
    let soft = soft_labels(segments, rows, window);
    let events = merged(segments, rows, window / 2);
    let labelled: f64 = segments.iter().map(|segment| segment.len() as f64).sum();
    let weights = |row: usize| (steps.first[row], soft[row]);
    let inside = events.iter().cloned().flatten();
    let found = summed(count, inside.clone().map(weights));
    let flanks = summed(count, inside.filter(|row| !hard[*row]).map(weights));
    let touched = summed(
        count,
        events.iter().map(|event| {
            let first = event.clone().map(|row| steps.first[row]).min();
            (first.unwrap_or(count - 1), 1.0)
        }),
    );
    let mut sum = 0.0;
    let mut before = 0.0;
    for step in 0..count {
        // Flanks count as positives only where they were flagged, and by half: a tolerance, not a duty.
        let positives = labelled + flanks[step] / 2.0;
        let recall = (found[step] / positives).min(1.0) * touched[step] / events.len() as f64;
        sum += (recall - before) * found[step] / steps.flagged[step];
        before = recall;
    }
    sum
}

/// 1 inside segments, and a flank on either side that falls as a square root over half the window.
fn soft_labels(segments: &[Range<usize>], rows: usize, window: usize) -> Vec<f64> {
    let mut soft = vec![0.0_f64; rows];
    segments.iter().for_each(|segment| soft[segment.clone()].fill(1.0));
    let height = |distance: usize| (1.0 - distance as f64 / window as f64).sqrt();
    for segment in segments {
        let last = segment.end - 1;
        let after = soft[segment.end..(last + window / 2 + 1).min(rows).max(segment.end)].iter_mut();
        after.enumerate().for_each(|(n, value)| *value += height(n + 1));
        let before = soft[segment.start.saturating_sub(window / 2)..segment.start].iter_mut().rev();
        before.enumerate().for_each(|(n, value)| *value += height(n + 1));
    }
    soft.iter_mut().for_each(|value| *value = value.min(1.0));
    soft
}

/// Segments with their flanks; those whose flanks meet are one event.
fn merged(segments: &[Range<usize>], rows: usize, half: usize) -> Vec<Range<usize>> {
    let mut events: Vec<Range<usize>> = Vec::new();
    for segment in segments {
        let flanked = segment.start.saturating_sub(half)..(segment.end + half).min(rows);
        // Ends are exclusive here: flanks meet when one begins no later than the row on which the other ends.
        match events.last_mut().filter(|last| flanked.start < last.end) {
            Some(last) => last.end = flanked.end,
            None => events.push(flanked),
        }
    }
    events
}

#[cfg(test)]
mod tests;
