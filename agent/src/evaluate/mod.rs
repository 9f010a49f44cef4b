//! `wattkeeper evaluate`: every detector and baseline over public data sets, causally, with thresholds from past data only.
//!
//! `data` finds and reads machines → a `scorer` (`baselines`) judges each → `metrics` measure what it made → `report` prints it.
pub mod baselines;
pub mod data;
pub mod interference;
pub mod machine;
pub mod metrics;
pub mod power;
mod product;
pub mod report;
pub mod scorer;
pub mod sharers;
pub mod simulated;
pub mod trial;

pub use report::Report;

use crate::cli::Evaluate;
use data::{DataError, Found, find};
use machine::Dataset;
use scorer::Scorer;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Why nothing was evaluated, or the result was not written.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The file for JSON cannot be opened or written.
    #[error("--json {}: cannot be written: {error}; give a path in a folder that you may write to", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The folder has none of the layouts.
    #[error("--data {}: no smd/*.npz, asd/*.npz or nab/data/*.csv below it; give the folder that holds `smd`, `asd` or `nab`", .0.display())]
    NoData(PathBuf),
    /// A folder of a set cannot be listed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The folder has no table of the lab's.
    #[error(
        "--data {}: no windows.csv.gz (with --gpu: gpu-windows.csv.gz or gpu-simulated.csv.gz) there or in `interference` below it; give \
         a folder that `wattkeeper lab` wrote",
        .0.display()
    )]
    NoTable(PathBuf),
    /// The lab's table cannot be read.
    #[error(transparent)]
    Table(crate::lab::table::TableError),
    /// A name that a flag gives is none.
    #[error("--{flag} {name}: there is no such {flag}; there are {known}")]
    Unknown {
        /// The flag.
        flag: &'static str,
        /// What it said.
        name: String,
        /// What it may say.
        known: String,
    },
}

/// Evaluates what the flags ask for. Progress goes to standard error; with `--json` the file is written as well.
///
/// # Errors
/// Before the run: nothing to evaluate, an unknown name, a file for JSON that cannot be written. Machines whose files are at fault do
/// not stop the others: the report tells.
pub fn evaluate(flags: &Evaluate) -> Result<Report, EvaluateError> {
    let scorers = chosen_scorers(&flags.detector)?;
    let found = chosen_machines(flags.data.as_deref().unwrap_or(Path::new(".")), &flags.machine)?;
    let json = flags.json.as_deref().map(open).transpose()?;
    let report = Report::new(trial::run(&found, &scorers));
    if let Some((path, file)) = json {
        write_json(path, file, &report.json())?;
    }
    Ok(report)
}

/// Writes what was opened before the run. The file keeps what it held until there is something to put in its place.
fn write_json(path: PathBuf, mut file: File, json: &serde_json::Value) -> Result<(), EvaluateError> {
    file.set_len(0)
        .and_then(|()| file.write_all(format!("{json:#}\n").as_bytes()))
        .map_err(|error| EvaluateError::Json { path, error })
}

/// Every scorer, the random score first.
fn scorers() -> Vec<Box<dyn Scorer>> {
    let mut scorers = baselines::all();
    scorers.push(Box::new(product::Product));
    scorers
}

/// The scorers of these names, all where there are none; the random score always, as the others are read against it.
fn chosen_scorers(names: &[String]) -> Result<Vec<Box<dyn Scorer>>, EvaluateError> {
    let mut scorers = scorers();
    let known: Vec<&str> = scorers.iter().map(|scorer| scorer.name()).collect();
    known_names("detector", names, &known)?;
    let first = known[0];
    let wanted = |name: &str| names.is_empty() || name == first || names.iter().any(|wanted| wanted == name);
    scorers.retain(|scorer| wanted(scorer.name()));
    Ok(scorers)
}

/// The machines of these names in all sets, all where there are none. A set that is missing is told of.
fn chosen_machines(dir: &Path, names: &[String]) -> Result<Vec<Found>, EvaluateError> {
    let mut found = Vec::new();
    for dataset in Dataset::ALL {
        let machines = find(dir, dataset)?;
        if machines.is_empty() {
            let _ = writeln!(io::stderr(), "{}: not below {}, left out", dataset.as_str(), dir.display());
        }
        found.extend(machines);
    }
    if found.is_empty() {
        return Err(EvaluateError::NoData(dir.to_owned()));
    }
    let known: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
    known_names("machine", names, &known)?;
    found.retain(|found| names.is_empty() || names.contains(&found.name));
    Ok(found)
}

fn known_names(flag: &'static str, names: &[String], known: &[&str]) -> Result<(), EvaluateError> {
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(EvaluateError::Unknown { flag, name: name.clone(), known: known.join(", ") }),
        None => Ok(()),
    }
}

/// Opens the file for JSON before the long run, so that a wrong path is told at once.
fn open(path: &Path) -> Result<(PathBuf, File), EvaluateError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    match file {
        Ok(file) => Ok((path.to_owned(), file)),
        Err(error) => Err(EvaluateError::Json { path: path.to_owned(), error }),
    }
}

#[cfg(test)]
mod tests;
