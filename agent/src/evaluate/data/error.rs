//! What can be wrong with a file of data, told with the file and the remedy.
use std::path::{Path, PathBuf};

/// A fault of one file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {wrong}; {}", .file.display(), .wrong.remedy())]
pub struct DataError {
    file: PathBuf,
    wrong: Wrong,
}

impl DataError {
    /// A fault of `file`.
    pub fn new(file: &Path, wrong: Wrong) -> Self {
        Self { file: file.to_owned(), wrong }
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    /// It is not an archive of numpy arrays.
    #[error("is no npz archive: {0}")]
    NoArchive(String),
    /// An array is missing or of another type or number of dimensions.
    #[error("array `{key}` cannot be read as {expected}: {reason}")]
    Array {
        /// The array.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What the reader says.
        reason: String,
    },
    /// Shapes do not belong together, or are empty.
    #[error("train is {train:?}, test is {test:?} and label has {label} rows")]
    Shapes {
        /// Rows and channels.
        train: (usize, usize),
        /// Rows and channels.
        test: (usize, usize),
        /// Rows.
        label: usize,
    },
    /// A value is no number.
    #[error("row {row} of `{key}` holds a value that is not finite")]
    NotFinite {
        /// The array or column.
        key: &'static str,
        /// From 0.
        row: usize,
    },
    /// A line does not say what it should.
    #[error("line {number} is not {expected}")]
    Line {
        /// From 1.
        number: usize,
        /// What it should be.
        expected: String,
    },
    /// It is no JSON of the right shape.
    #[error("is not what it should be: {0}")]
    Json(String),
    /// Nothing is said about this series.
    #[error("says nothing about {0}")]
    NoWindows(String),
    /// There is too little.
    #[error("has {rows} rows, at least {least} are needed")]
    Short {
        /// How many there are.
        rows: usize,
        /// How many are needed.
        least: usize,
    },
}

impl Wrong {
    const fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "check the path and its permissions",
            Self::NoArchive(_) => "write it again with numpy.savez_compressed(train=, test=, label=)",
            Self::Array { .. } => "keep train and test float32, label uint8, without pickled objects",
            Self::Shapes { .. } => {
                "train and test need rows and the same channels, and label a row for each of test"
            }
            Self::NotFinite { .. } => "fill or cut gaps before evaluating",
            Self::Line { .. } => "correct or remove the line",
            Self::Json(_) => "give an object from series to lists of [start, end] timestamps",
            Self::NoWindows(_) => "add the series with its windows, or an empty list",
            Self::Short { .. } => "give a longer series or remove the file",
        }
    }
}
