//! The seam between what is evaluated and how: a scorer takes a machine and gives scores, and alarms where it has its own.
use super::machine::Machine;
use ndarray::Array2;

/// The false episodes a day that recall is measured at; the second is the operator's default.
pub const BUDGETS_PER_DAY: [f64; 3] = [1.0, 0.2, 0.05];
/// The place of the operator's default in [`BUDGETS_PER_DAY`].
pub const DEFAULT_BUDGET: usize = 1;

/// A detector under evaluation.
///
/// It is causal: a test row's score and flags come from rows up to it, and nothing from labels.
pub trait Scorer: Send + Sync {
    /// Its name: the row of the table and the key in JSON.
    fn name(&self) -> &'static str;

    /// Learns from `machine.train` and judges `machine.test`.
    ///
    /// # Errors
    /// When it cannot work on this machine.
    fn run(&self, machine: &Machine) -> Result<Run, Unable>;
}

/// Why a scorer did not judge a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unable {
    /// It compares channels.
    #[error("needs {least} channels")]
    FewChannels {
        /// How many it needs.
        least: usize,
    },
    /// It learns from more rows.
    #[error("needs {least} rows to learn from")]
    FewRows {
        /// How many it needs.
        least: usize,
    },
    /// The decomposition or the clustering it rests on gave nothing.
    #[error("its model could not be fitted")]
    Unfit,
    /// It gave a score that is no number, or not one score a row.
    #[error("gave no finite score for every row")]
    NotFinite,
}

/// What a scorer made of one machine.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Scores of the newest training rows (maybe fewer than there are): what thresholds are taken from.
    pub past: Vec<f32>,
    /// The score that alarms, by test row.
    pub score: Vec<f32>,
    /// The score that ranks, by test row, where it is another one: VUS-PR is measured on it.
    pub ranking: Option<Vec<f32>>,
    /// The alarms themselves, by budget in the order of [`BUDGETS_PER_DAY`] and test row, where the scorer has thresholds of its own;
    /// otherwise the threshold is taken from `past`.
    pub flags: Option<[Vec<bool>; BUDGETS_PER_DAY.len()]>,
    /// How much each channel is to blame, test rows by channels, at least 0. `None`: it does not say.
    pub blame: Option<Array2<f32>>,
    /// Bytes it holds while it runs: the model and the window it looks back on.
    pub bytes: usize,
}

impl Run {
    /// Whether there is one finite score for every test row.
    pub fn fits(&self, machine: &Machine) -> bool {
        let rows = machine.test.nrows();
        let whole = |scores: &Vec<f32>| scores.len() == rows && scores.iter().all(|score| score.is_finite());
        whole(&self.score)
            && self.past.iter().all(|score| score.is_finite())
            && self.ranking.as_ref().is_none_or(whole)
            && self.flags.iter().flatten().all(|flags| flags.len() == rows)
            && self.blame.as_ref().is_none_or(|blame| blame.dim() == machine.test.dim())
    }
}
