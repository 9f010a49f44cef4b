//! `evaluate --interference`: how far estimates of interference are off, on a data set of the lab, over splits that keep back what
//! the model shall not have seen.
//!
//! `lessons` makes windows into what estimators see → a `method` learns and answers → `figures` measure → `report` prints.
mod figures;
mod lessons;
mod methods;
mod noise;
mod placed;
mod report;
mod streamed;

pub use figures::Figures;
pub use lessons::{Case, cases};
pub(crate) use methods::victims;
pub use methods::{Method, train};
pub use placed::Placed;
pub use report::Report;
pub use streamed::{Learner, Streamed};

use super::EvaluateError;
use crate::cli::Evaluate;
use crate::lab::{TABLE, table};
use detectors::interference::Training;
use figures::Answer;
use std::path::{Path, PathBuf};

/// What is kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Every fifth window, at random: flatters, since the others of its encounter are known.
    Random,
    /// A kind of antagonist.
    Antagonist,
    /// A victim.
    Victim,
    /// A campaign.
    Campaign,
}

impl Split {
    /// Every split.
    pub const ALL: [Self; 4] = [Self::Antagonist, Self::Victim, Self::Campaign, Self::Random];

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Antagonist => "unseen antagonist",
            Self::Victim => "unseen victim",
            Self::Campaign => "unseen campaign",
        }
    }

    /// Which fold a case is kept back in; `None` for one that is in none.
    fn fold(self, number: usize, case: &Case) -> Option<String> {
        match self {
            // A multiplicative hash of the number (Knuth), so that neighbours part.
            Self::Random => Some(((number.wrapping_mul(2_654_435_761) >> 7) % 5).to_string()),
            Self::Antagonist => Some(case.antagonist.clone()).filter(|name| !name.is_empty()),
            Self::Victim => Some(case.victim.clone()),
            Self::Campaign => Some(case.campaign.to_string()),
        }
    }
}

/// Evaluates a data set. With `--json` the file is written as well.
///
/// # Errors
/// When the folder has no table, it is of other columns, or holds too little, or the file for JSON cannot be written.
pub fn evaluate(flags: &Evaluate) -> Result<Report, EvaluateError> {
    let folder = flags.data.as_deref().unwrap_or(Path::new("."));
    let path = find(folder)?;
    let windows = table::read(&path).map_err(EvaluateError::Table)?;
    let json = flags.json.as_deref().map(super::open).transpose()?;
    let (cases, dropped) = cases(&windows);
    let report = Report {
        windows: windows.len(),
        dropped,
        placement: placed::measure(&windows),
        streamed: streamed::SPLITS
            .into_iter()
            .map(|split| (split, streamed::measure(split, &cases)))
            .collect(),
        splits: Split::ALL.into_iter().map(|split| (split, run(split, &cases))).collect(),
    };
    if let Some((path, file)) = json {
        super::write_json(path, file, &report.json())?;
    }
    Ok(report)
}

/// The table in a folder, or in its folder `interference`.
fn find(folder: &Path) -> Result<PathBuf, EvaluateError> {
    let places = [folder.join(TABLE), folder.join("interference").join(TABLE)];
    places.into_iter().find(|path| path.is_file()).ok_or_else(|| EvaluateError::NoTable(folder.to_owned()))
}

/// Every method over every fold of a split.
fn run(split: Split, cases: &[Case]) -> Vec<(Method, Figures)> {
    let fold = |number: usize| split.fold(number, &cases[number]);
    let mut folds: Vec<String> = (0..cases.len()).filter_map(fold).collect();
    folds.sort();
    folds.dedup();
    let mut answers: Vec<Vec<Answer>> = Method::ALL.iter().map(|_| Vec::new()).collect();
    for name in folds.iter().filter(|_| folds.len() > 1) {
        let held = |number: &usize| fold(*number).as_ref() == Some(name);
        // Windows of a control are kept out of all training, and are asked of every model where the split does not place them.
        let train: Vec<&Case> =
            (0..cases.len()).filter(|n| !held(n)).map(|n| &cases[n]).filter(|case| case.trains()).collect();
        let asked = |n: &usize| held(n) || fold(*n).is_none() && !cases[*n].trains();
        let test: Vec<&Case> = (0..cases.len()).filter(asked).map(|n| &cases[n]).collect();
        for (method, answers) in Method::ALL.iter().zip(&mut answers) {
            answers.extend(method.answer(&train, &test, Training::default()));
        }
    }
    Method::ALL.into_iter().zip(answers.iter().map(|answers| Figures::of(answers))).collect()
}

#[cfg(test)]
mod tests;
