//! Finding machines below a folder, and reading them one at a time: `smd/*.npz`, `asd/*.npz`, `nab/data/*.csv` and their labels.
mod arrays;
mod error;
mod interpretation;
mod nab;

pub use error::{DataError, Wrong};

use super::machine::{Dataset, Machine, Segment, runs};
use std::path::{Path, PathBuf};

/// A machine that was found and not read yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The set it belongs to.
    pub dataset: Dataset,
    /// Its name: the file's without the ending.
    pub name: String,
    file: PathBuf,
    /// The labels' file: an interpretation, which may be missing, or NAB's windows.
    labels: PathBuf,
}

/// The machines of one set below `dir`, by name; nothing where the set is not there.
///
/// # Errors
/// A folder that is there and cannot be listed.
pub fn find(dir: &Path, dataset: Dataset) -> Result<Vec<Found>, DataError> {
    let (folder, ending) = match dataset {
        Dataset::Smd | Dataset::Asd => (dir.join(dataset.as_str()), "npz"),
        Dataset::Nab => (dir.join("nab/data"), "csv"),
    };
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let unreadable = |error| DataError::new(&folder, Wrong::Unreadable(error));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let Some(name) = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else { continue };
        if file.extension().is_none_or(|found| found != ending) {
            continue;
        }
        let labels = match dataset {
            Dataset::Nab => dir.join("nab/labels/combined_windows.json"),
            _ => dir.join(format!("{}_interpretation/{name}.txt", dataset.as_str())),
        };
        found.push(Found { dataset, name, file, labels });
    }
    found.sort();
    Ok(found)
}

impl Found {
    /// Reads the machine.
    ///
    /// # Errors
    /// The first fault of its files.
    pub fn read(&self) -> Result<Machine, DataError> {
        if self.dataset == Dataset::Nab {
            return nab::read(self);
        }
        let arrays = arrays::read(&self.file)?;
        let known = interpretation::read(&self.labels, self.dataset, arrays.test.ncols())?;
        let segments = runs(&arrays.label)
            .into_iter()
            .map(|rows| Segment { channels: interpretation::channels(&known, &rows), rows })
            .collect();
        let (dataset, name) = (self.dataset, self.name.clone());
        let arrays::Arrays { train, test, label } = arrays;
        Ok(Machine { dataset, name, train, test, label, segments, step_s: dataset.step_s() })
    }
}

#[cfg(test)]
mod tests;
