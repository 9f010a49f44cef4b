//! The model of interference that the agent judges by: the operator's, else the one that is built in.
use crate::config::Config;
use detectors::interference::{Frozen, FrozenError};
use std::path::{Path, PathBuf};

/// Trained by the lab on a machine of ours; `detectors/data/interference/CARD.md` says on what, and what it is good for.
const BUILT_IN: &str = include_str!("../../detectors/data/interference/model.json");
/// Bytes of a model's file at most.
const BYTES_MAX: u64 = 8 << 20;

/// A model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// The file is no model.
    #[error("{}: is no model of interference: {error}; write one with `wattkeeper lab --train`", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: serde_json::Error,
    },
    /// It is of another version or feature set.
    #[error("{}: {error}", .path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: FrozenError,
    },
}

/// The model that the configuration names.
///
/// # Errors
/// When the operator's file cannot be read or is not of this version.
pub fn model(config: &Config) -> Result<Frozen, ModelError> {
    match &config.interference_model {
        Some(path) => {
            let failed = |error| ModelError::Io { path: path.clone(), error };
            if std::fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
                return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
            }
            parse(path, &std::fs::read_to_string(path).map_err(failed)?)
        }
        None => parse(Path::new("the built-in model"), BUILT_IN),
    }
}

fn parse(path: &Path, text: &str) -> Result<Frozen, ModelError> {
    let frozen: Frozen =
        serde_json::from_str(text).map_err(|error| ModelError::Malformed { path: path.to_owned(), error })?;
    frozen.check().map_err(|error| ModelError::Unfit { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        parse(Path::new("m.json"), text).unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_model_is_of_this_version() {
        parse(Path::new("built in"), BUILT_IN).unwrap();
    }

    #[test]
    fn a_model_of_another_version_or_of_other_features_is_refused_with_the_remedy() {
        assert!(said("{}").contains("is no model of interference"));
        let other = BUILT_IN.replacen("\"version\":2", "\"version\":99", 1);
        assert!(said(&other).contains("version 99") && said(&other).contains("lab --train"));
        let other = BUILT_IN.replacen("WaitPerRun", "Astrology", 1);
        assert!(said(&other).contains("Astrology"), "{}", said(&other));
    }
}
