//! Metrics: what a run on one machine came to, and the mean over machines. None of them is point-adjusted.
pub mod alarms;
pub mod attribution;
mod average;
pub mod vus;

pub use average::average;

use super::machine::Machine;
use super::scorer::{BUDGETS_PER_DAY, DEFAULT_BUDGET, Run};
use alarms::{Tally, oracle, shifted_recall, tally};
use attribution::{Attribution, Blamed, judge};
use serde::{Serialize, Serializer};
use vus::{THRESHOLDS, THRESHOLDS_COARSE, vus_pr};

/// What a detector came to on one machine, or on the mean over machines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Days of the test part; of all machines for a mean.
    pub days: f64,
    /// Labelled segments; of all machines for a mean.
    pub segments: usize,
    /// The VUS-PR of a detector that knows nothing: the share of labelled test rows. `None` where nothing is labelled.
    pub chance: Option<f64>,
    /// VUS-PR of the ranking score. `None` where nothing is labelled.
    pub vus_pr: Option<f64>,
    /// The same over 100 thresholds: to be compared with the tables of baselines beside the data.
    pub vus_pr_coarse: Option<f64>,
    /// Alarms at thresholds from past data only, by budget.
    #[serde(serialize_with = "by_budget")]
    pub deployable: [Alarms; BUDGETS_PER_DAY.len()],
    /// Alarms at the best threshold in hindsight, by budget.
    #[serde(serialize_with = "by_budget")]
    pub oracle: [Alarms; BUDGETS_PER_DAY.len()],
    /// Attribution on the deployable alarms of the default budget; `None` where the detector blames no channel.
    pub attribution: Option<Attribution>,
    /// Microseconds of learning and scoring for each row that was learnt from or scored.
    pub us_per_sample: f64,
    /// Bytes it holds while it runs.
    pub bytes: f64,
    /// These bytes for each row that was learnt from or scored.
    pub bytes_per_sample: f64,
    /// What the segments' blame was, for the mean.
    #[serde(skip)]
    blamed: Vec<Blamed>,
}

/// Alarms at one budget of false episodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alarms {
    /// Share of labelled segments with a flag inside. `None` where nothing is labelled.
    pub recall: Option<f64>,
    /// Strict false episodes a day that it cost.
    pub false_per_day: f64,
    /// The machine with the most of them, for a mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst: Option<Worst>,
    /// Median of the samples from a segment's start to its first flag, over segments with a flag.
    pub delay_median: Option<f64>,
    /// 95 % of these delays are no longer.
    pub delay_p95: Option<f64>,
    /// The recall of a uniform random score under the same budget.
    pub recall_random: Option<f64>,
    /// The recall of these flags moved at random.
    pub recall_shifted: Option<f64>,
    /// The delays, for the mean.
    #[serde(skip)]
    delays: Vec<usize>,
}

fn by_budget<S: Serializer>(alarms: &[Alarms], out: S) -> Result<S::Ok, S::Error> {
    out.collect_map(BUDGETS_PER_DAY.iter().map(f64::to_string).zip(alarms))
}

/// The machine with the most strict false episodes a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worst {
    /// Its name.
    pub machine: String,
    /// Strict false episodes a day.
    pub false_per_day: f64,
}

impl Alarms {
    fn of(machine: &Machine, flags: &[bool]) -> Self {
        let tally: Tally = tally(machine, flags);
        let recall = tally.recall();
        let delays: Vec<usize> = tally.delays.into_iter().flatten().collect();
        Self {
            recall,
            false_per_day: tally.false_per_day,
            worst: None,
            delay_median: quantile(&delays, 0.5),
            delay_p95: quantile(&delays, 0.95),
            recall_random: None,
            recall_shifted: shifted_recall(machine, flags),
            delays,
        }
    }
}

/// Measures a run that took `seconds`. `random` is what the random score came to on the same machine.
pub fn measure(machine: &Machine, run: &Run, seconds: f64, random: Option<&Figures>) -> Figures {
    let ranges: Vec<_> = machine.segments.iter().map(|segment| segment.rows.clone()).collect();
    let labelled = machine.label.iter().filter(|label| **label).count();
    let rows = machine.train.nrows() + machine.test.nrows();
    let flags: [Vec<bool>; BUDGETS_PER_DAY.len()] = match &run.flags {
        Some(flags) => flags.clone(),
        None => BUDGETS_PER_DAY.map(|budget| past_flags(machine, run, budget)),
    };
    let mut deployable = flags.each_ref().map(|flags| Alarms::of(machine, flags));
    let mut oracle = BUDGETS_PER_DAY.map(|budget| Alarms::of(machine, &oracle(machine, &run.score, budget)));
    for place in 0..BUDGETS_PER_DAY.len() {
        deployable[place].recall_random = random.and_then(|random| random.deployable[place].recall);
        oracle[place].recall_random = random.and_then(|random| random.oracle[place].recall);
    }
    let ranking = run.ranking.as_ref().unwrap_or(&run.score);
    let blamed = run.blame.as_ref().map(|blame| judge(machine, blame, &flags[DEFAULT_BUDGET]));
    Figures {
        days: machine.days(machine.test.nrows()),
        segments: ranges.len(),
        chance: (labelled > 0).then(|| labelled as f64 / machine.label.len() as f64),
        vus_pr: vus_pr(&ranges, ranking, THRESHOLDS),
        vus_pr_coarse: vus_pr(&ranges, ranking, THRESHOLDS_COARSE),
        deployable,
        oracle,
        attribution: blamed.as_ref().map(|blamed| Attribution::of(blamed)),
        us_per_sample: seconds * 1e6 / rows as f64,
        bytes: run.bytes as f64,
        bytes_per_sample: run.bytes as f64 / rows as f64,
        blamed: blamed.unwrap_or_default(),
    }
}

/// Flags where the score passes the extreme-value threshold of the past.
fn past_flags(machine: &Machine, run: &Run, budget: f64) -> Vec<bool> {
    let days = machine.days(run.past.len());
    let threshold = detectors::extreme::threshold(&run.past, days, budget).unwrap_or(f32::INFINITY);
    run.score.iter().map(|score| *score > threshold).collect()
}

/// The value that the share `share` of the values does not pass, by the nearest rank; `None` of nothing.
fn quantile(values: &[usize], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map(|value| *value as f64)
}

#[cfg(test)]
mod tests;
