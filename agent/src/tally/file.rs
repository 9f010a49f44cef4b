//! The tally's files: replaced whole by a rename, locked against a second writer, put aside when they are damaged.
//!
//! Days that are over are written before the counts, so that a day which ends in a crash is in one of the files or in both,
//! and then its number says which is the later.
use super::days::{DAYS_MAX, Day};
use model::{Reason, Timestamp, Workload};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file in the state directory.
const FILE: &str = "energy.json";
/// The lock that keeps a second writer out.
const LOCK: &str = "energy.lock";
/// The format that is written.
const VERSION: u32 = 2;
/// The oldest format that is read: the counts without the day.
const VERSION_OLDEST: u32 = 1;
/// The days that are over.
const DAYS_FILE: &str = "energy-days.json";
/// The format of days that is written and read.
const DAYS_VERSION: u32 = 1;
/// The largest file that is read: several times what a full tally takes.
const LENGTH_MAX: u64 = 64 << 20;

/// The counts cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum TallyError {
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
    /// Another agent counts.
    #[error("another agent keeps its counts at {path}; stop it, or set another state.directory")]
    Locked {
        /// The lock.
        path: PathBuf,
    },
}

impl TallyError {
    pub(super) fn reason(&self) -> Reason {
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

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) version: u32,
    pub(super) devices: Vec<SavedDevice>,
    /// The day that lasts; none in the oldest format.
    #[serde(default)]
    pub(super) today: Option<Day>,
    /// The days that are over, which have a file of their own, and how often they have changed.
    #[serde(skip)]
    pub(super) past: Vec<Arc<Day>>,
    #[serde(skip)]
    pub(super) revision: u64,
}

/// What the file of days holds.
#[derive(Debug, Serialize, Deserialize)]
struct SavedDays {
    version: u32,
    days: Vec<Arc<Day>>,
}

impl SavedDays {
    fn sound(&self) -> bool {
        self.version == DAYS_VERSION && self.days.len() <= DAYS_MAX && self.days.iter().all(|day| day.sound())
    }
}

/// One accelerator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedDevice {
    pub(super) device: String,
    pub(super) idle_w: Option<f64>,
    pub(super) open_j: f64,
    pub(super) departed_j: f64,
    pub(super) last_ms: i64,
    pub(super) workloads: Vec<SavedEntry>,
}

/// One workload on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedEntry {
    pub(super) workload: Arc<Workload>,
    pub(super) energy_j: f64,
    pub(super) last_ms: i64,
}

impl Saved {
    pub(super) fn new(devices: Vec<SavedDevice>, today: Day) -> Self {
        Self { version: VERSION, devices, today: Some(today), ..Self::default() }
    }

    /// Whether the numbers can be counted on from.
    fn sound(&self) -> bool {
        let count = |joules: &f64| joules.is_finite() && *joules >= 0.0;
        let device = |device: &SavedDevice| {
            let own = [device.open_j, device.departed_j].iter().all(count) && device.idle_w.iter().all(count);
            own && device.workloads.iter().all(|entry| count(&entry.energy_j))
        };
        let version = (VERSION_OLDEST..=VERSION).contains(&self.version);
        version && self.devices.iter().all(device) && self.today.iter().all(Day::sound)
    }
}

/// The state directory.
#[derive(Debug)]
pub(super) struct Home {
    directory: PathBuf,
    /// Held while it lives; `None` until the directory is there.
    lock: Option<File>,
    /// The change of the days that is on disk.
    revision: u64,
}

/// The counts, and the days that are over.
pub(super) type Kept = (Saved, Vec<Arc<Day>>);

/// What a directory holds, without taking it over; `None` where it holds no counts.
///
/// # Errors
/// When a file cannot be read or is damaged, in words.
pub(super) fn look(directory: &Path) -> Result<Option<Kept>, String> {
    let damaged = |file: &str| format!("{} is damaged", directory.join(file).display());
    let bytes = |file: &str| read(&directory.join(file)).map_err(|error| error.to_string());
    let Some(text) = bytes(FILE)? else { return Ok(None) };
    let saved = parse(&text, Saved::sound).ok_or_else(|| damaged(FILE))?;
    let Some(text) = bytes(DAYS_FILE)? else { return Ok(Some((saved, Vec::new()))) };
    let past = parse(&text, SavedDays::sound).ok_or_else(|| damaged(DAYS_FILE))?;
    Ok(Some((saved, past.days)))
}

/// The bytes of a file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, TallyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TallyError::io("read", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(LENGTH_MAX + 1).read_to_end(&mut bytes).map_err(TallyError::io("read", path))?;
    Ok(Some(bytes))
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8], sound: impl Fn(&T) -> bool) -> Option<T> {
    let whole = bytes.len() as u64 <= LENGTH_MAX;
    serde_json::from_slice::<T>(bytes).ok().filter(|read| whole && sound(read))
}

impl Home {
    /// Opens a directory and reads what was counted. One that is not there yet is made when first written to.
    ///
    /// # Errors
    /// When it cannot be read, or another agent counts there. A damaged file is no error: it is put aside.
    pub(super) fn open(directory: &Path, now: Timestamp) -> Result<(Self, Kept), TallyError> {
        let mut home = Self { directory: directory.to_owned(), lock: None, revision: 0 };
        if !directory.is_dir() {
            return Ok((home, Kept::default()));
        }
        home.hold()?;
        let saved = home.load(FILE, now, Saved::sound)?.unwrap_or_default();
        let days = home.load(DAYS_FILE, now, SavedDays::sound)?;
        if !saved.devices.is_empty() && saved.today.is_none() {
            tracing::info!(
                "the energy counts are of an older version without days; days are counted from now on"
            );
        }
        Ok((home, (saved, days.map_or_else(Vec::new, |days| days.days))))
    }

    fn hold(&mut self) -> Result<(), TallyError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let path = self.directory.join(LOCK);
        match crate::durable::hold(&path) {
            Ok(lock) => self.lock = Some(lock),
            Err(failed) if failed.source.kind() == io::ErrorKind::WouldBlock => {
                return Err(TallyError::Locked { path });
            }
            Err(failed) => return Err(TallyError::io(failed.operation, &path)(failed.source)),
        }
        Ok(())
    }

    /// What a file holds; one that is damaged is put aside.
    fn load<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        now: Timestamp,
        sound: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, TallyError> {
        let path = self.directory.join(name);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        if let Some(kept) = parse(&bytes, sound) {
            return Ok(Some(kept));
        }
        let stem = name.trim_end_matches(".json");
        let aside = self.directory.join(format!("{stem}.damaged-{}.json", now.wall_ms / 1000));
        fs::rename(&path, &aside).map_err(TallyError::io("put aside", &path))?;
        tracing::error!(
            path = %path.display(), kept = %aside.display(),
            "the energy counts are damaged; counting begins at 0, and what was there is kept aside"
        );
        Ok(None)
    }

    /// Puts counts on disk; returns when they are there.
    ///
    /// # Errors
    /// When they could not be made durable; then what was there before is still there.
    pub(super) fn save(&mut self, saved: &Saved) -> Result<(), TallyError> {
        self.hold()?;
        if saved.revision != self.revision {
            self.replace(DAYS_FILE, &SavedDays { version: DAYS_VERSION, days: saved.past.clone() })?;
            self.revision = saved.revision;
        }
        self.replace(FILE, saved)
    }

    fn replace(&self, name: &str, content: &impl Serialize) -> Result<(), TallyError> {
        let path = self.directory.join(name);
        let text =
            serde_json::to_vec(content).map_err(io::Error::from).map_err(TallyError::io("write", &path))?;
        crate::durable::replace(&path, &[&text])
            .map_err(|failed| TallyError::io(failed.operation, &path)(failed.source))
    }
}
