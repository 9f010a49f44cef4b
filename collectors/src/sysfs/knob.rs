//! A power limit in a file of a card's monitor: read and written in microwatts, always of the card that was meant.
use super::cards::{Card, Kind, with_key};
use crate::Roots;
use model::error::Reason;
use model::{ActuateError, Watts};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The limits of the cards of one kind.
#[derive(Debug)]
pub(crate) struct Knobs {
    roots: Roots,
    kind: Kind,
    limit: fn(&Path) -> Option<PathBuf>,
    /// Cards that were found: a brake has no time to look for them.
    found: Vec<(String, Card, PathBuf)>,
}

impl Knobs {
    /// `limit`: the file of the limit, of a card's folder.
    pub(crate) fn new(roots: Roots, kind: Kind, limit: fn(&Path) -> Option<PathBuf>) -> Self {
        Self { roots, kind, limit, found: Vec::new() }
    }

    /// The limit's file of the card with a key, which is checked to be that card still.
    ///
    /// # Errors
    /// `Lost` when no card has the key, `Busy` when several claim it, `Unsupported` when it has no limit.
    pub(crate) fn file(&mut self, key: &str) -> Result<PathBuf, ActuateError> {
        self.found.retain(|(_, card, file)| card.is_there() && file.exists());
        if let Some((_, _, file)) = self.found.iter().find(|(known, ..)| known == key) {
            return Ok(file.clone());
        }
        let card = with_key(self.kind.cards(&self.roots), key).map_err(|count| {
            let reason = if count == 0 { Reason::Lost } else { Reason::Busy };
            ActuateError::new(format!("tell which of {count} cards is {key}"), reason)
        })?;
        let file = (self.limit)(&card.folder)
            .ok_or_else(|| ActuateError::new(format!("find a limit of {key}"), Reason::Unsupported))?;
        self.found.push((key.to_owned(), card, file.clone()));
        Ok(file)
    }

    /// The limit as the file has it.
    ///
    /// # Errors
    /// When the card or the file cannot be read, or holds no number.
    pub(crate) fn read(&mut self, key: &str) -> Result<Watts, ActuateError> {
        let path = self.file(key)?;
        let failed = |error| ActuateError::io(format!("read the limit of {key}"), error);
        let mut attr = super::Attr::new("power limit", path);
        attr.number(&model::Calls::default()).map(|microwatts| Watts(microwatts / 1e6)).map_err(failed)
    }

    /// Writes the limit. What became of it, only reading back tells.
    ///
    /// # Errors
    /// When the card cannot be found or the driver refuses; nothing is ever written that is not above 0.
    pub(crate) fn write(&mut self, key: &str, limit: Watts) -> Result<(), ActuateError> {
        let microwatts = (limit.0 * 1e6).round();
        if !(microwatts.is_finite() && microwatts >= 1.0) {
            return Err(ActuateError::new(
                format!("set the limit of {key} to {} W", limit.0),
                Reason::Refused,
            ));
        }
        let path = self.file(key)?;
        // The kernel takes a whole number in one write. The file is not created: what has none has no such limit.
        let set = std::fs::OpenOptions::new().write(true).truncate(true).open(path);
        set.and_then(|mut file| file.write_all(format!("{microwatts:.0}\n").as_bytes()))
            .map_err(|error| ActuateError::io(format!("set the limit of {key}"), error))
    }
}
