//! The archive's file: one incident a line, a later line of the same number in place of an earlier one. Written whole anew
//! when it has grown long, when it was damaged, and after a failure.
use model::{Incident, Reason, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file in the state directory.
pub(super) const FILE: &str = "incidents.jsonl";
/// The lock that keeps a second writer out.
const LOCK: &str = "incidents.lock";
/// The format that is written.
const VERSION: u32 = 1;
/// The length from which the file is written anew.
const LENGTH_MAX: u64 = 4 << 20;
/// The most bytes that are read of a file: several times what is ever written.
const READ_MAX: u64 = 16 << 20;

/// Incidents cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file cannot be read or written.
    #[error("could not {operation} {path} (key state.directory): {source}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent writes there.
    #[error("another agent keeps its incidents at {path}; stop it, or set another state.directory")]
    Locked {
        /// The lock.
        path: PathBuf,
    },
}

impl ArchiveError {
    /// Why, as a label.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Io { source, .. } => Reason::of_io(source),
            Self::Locked { .. } => Reason::Busy,
        }
    }

    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}

/// What a state directory holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Past {
    /// From when on incidents are known, in wall-clock milliseconds.
    pub from_ms: i64,
    /// The incidents, oldest first.
    pub incidents: Vec<Incident>,
    /// Lines that could not be read: torn, or of another version.
    pub skipped: usize,
}

/// One line: where the file begins, or an incident.
#[derive(Debug, Serialize, Deserialize)]
struct Written<I> {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_ms: Option<i64>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    incident: Option<I>,
}

fn none<I>() -> Option<I> {
    None
}

/// Reads what a state directory holds; `None` where there is nothing. Takes no lock, so that `diagnose` may look too.
///
/// # Errors
/// When the file is there and cannot be read. A damaged line is no error: it is left out and counted.
pub fn read(directory: &Path) -> Result<Option<Past>, ArchiveError> {
    let path = directory.join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ArchiveError::io("read", &path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(READ_MAX).read_to_end(&mut bytes).map_err(ArchiveError::io("read", &path))?;
    let mut past = Past::default();
    let mut from_ms = None;
    let mut latest = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice::<Written<Incident>>(line) {
            Ok(written) if written.version == VERSION => {
                from_ms = from_ms.or(written.from_ms);
                latest.extend(written.incident.map(|incident| (incident.id, incident)));
            }
            Ok(_) | Err(_) => past.skipped += 1,
        }
    }
    // A file without its beginning reaches back to the oldest that it tells of.
    let oldest = latest.values().map(|incident| incident.since.wall_ms).min();
    past.from_ms = from_ms.or(oldest).unwrap_or(i64::MAX);
    past.incidents = latest.into_values().collect();
    past.incidents.sort_by_key(|incident| (incident.cleared.unwrap_or(incident.last).wall_ms, incident.id));
    Ok(Some(past))
}

/// The state directory.
#[derive(Debug)]
pub(super) struct Home {
    directory: PathBuf,
    /// Held while it lives; `None` until the directory is there.
    lock: Option<File>,
    /// The file and its length; `None` until it has been written anew.
    file: Option<(File, u64)>,
}

impl Home {
    /// Opens a directory and reads what is there. One that is not there yet is made when first written to.
    ///
    /// # Errors
    /// When it cannot be read, or another agent writes there.
    pub(super) fn open(directory: &Path, now: Timestamp) -> Result<(Self, Past), ArchiveError> {
        let mut home = Self { directory: directory.to_owned(), lock: None, file: None };
        let nothing = Past { from_ms: now.wall_ms, ..Past::default() };
        if !directory.is_dir() {
            return Ok((home, nothing));
        }
        home.hold()?;
        let mut past = read(directory)?.unwrap_or(nothing);
        past.from_ms = past.from_ms.min(now.wall_ms);
        Ok((home, past))
    }

    fn hold(&mut self) -> Result<(), ArchiveError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let path = self.directory.join(LOCK);
        match crate::durable::hold(&path) {
            Ok(lock) => self.lock = Some(lock),
            Err(failed) if failed.source.kind() == io::ErrorKind::WouldBlock => {
                return Err(ArchiveError::Locked { path });
            }
            Err(failed) => return Err(ArchiveError::io(failed.operation, &path)(failed.source)),
        }
        Ok(())
    }

    /// Whether lines may be added: the file is whole and not too long.
    pub(super) fn takes_lines(&self) -> bool {
        self.file.as_ref().is_some_and(|(_, length)| *length < LENGTH_MAX)
    }

    /// Adds incidents; returns when they are on disk.
    ///
    /// # Errors
    /// When they are not; then the file is to be written anew.
    pub(super) fn add(&mut self, incidents: &[Arc<Incident>]) -> Result<(), ArchiveError> {
        let path = self.directory.join(FILE);
        let text = lines(None, incidents.iter().map(|incident| &**incident));
        let Some((mut file, length)) = self.file.take() else { return Ok(()) };
        let written = file.write_all(&text).and_then(|()| file.sync_data());
        written.map_err(ArchiveError::io("write", &path))?;
        self.file = Some((file, length + text.len() as u64));
        Ok(())
    }

    /// Writes the file anew; what was there before stays until that is on disk.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub(super) fn replace<'a>(
        &mut self,
        from_ms: i64,
        incidents: impl Iterator<Item = &'a Incident>,
    ) -> Result<(), ArchiveError> {
        self.hold()?;
        self.file = None;
        let path = self.directory.join(FILE);
        let text = lines(Some(from_ms), incidents);
        crate::durable::replace(&path, &[&text])
            .map_err(|failed| ArchiveError::io(failed.operation, &path)(failed.source))?;
        let file = File::options().append(true).open(&path).map_err(ArchiveError::io("open", &path))?;
        self.file = Some((file, text.len() as u64));
        Ok(())
    }
}

/// Incidents as lines, after a first one that says from when on they are known.
fn lines<'a>(from_ms: Option<i64>, incidents: impl Iterator<Item = &'a Incident>) -> Vec<u8> {
    let head = from_ms.map(|from_ms| Written { version: VERSION, from_ms: Some(from_ms), incident: None });
    let body =
        incidents.map(|incident| Written { version: VERSION, from_ms: None, incident: Some(incident) });
    let mut text = Vec::new();
    for line in head.into_iter().chain(body) {
        // Every part of an incident serialises; writing to memory does not fail.
        if serde_json::to_writer(&mut text, &line).is_ok() {
            text.push(b'\n');
        }
    }
    text
}
