//! The tally's file: replaced whole by a rename, locked against a second writer, put aside when it is damaged.
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
const VERSION: u32 = 1;
/// The largest file that is read: several times what a full tally takes.
const LENGTH_MAX: u64 = 16 << 20;

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
    version: u32,
    pub(super) devices: Vec<SavedDevice>,
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
    pub(super) fn new(devices: Vec<SavedDevice>) -> Self {
        Self { version: VERSION, devices }
    }

    /// Whether the numbers can be counted on from.
    fn sound(&self) -> bool {
        let count = |joules: &f64| joules.is_finite() && *joules >= 0.0;
        let device = |device: &SavedDevice| {
            let own = [device.open_j, device.departed_j].iter().all(count) && device.idle_w.iter().all(count);
            own && device.workloads.iter().all(|entry| count(&entry.energy_j))
        };
        self.version == VERSION && self.devices.iter().all(device)
    }
}

/// The state directory.
#[derive(Debug)]
pub(super) struct Home {
    directory: PathBuf,
    /// Held while it lives; `None` until the directory is there.
    lock: Option<File>,
}

impl Home {
    /// Opens a directory and reads what was counted. One that is not there yet is made when first written to.
    ///
    /// # Errors
    /// When it cannot be read, or another agent counts there. A damaged file is no error: it is put aside.
    pub(super) fn open(directory: &Path, now: Timestamp) -> Result<(Self, Saved), TallyError> {
        let mut home = Self { directory: directory.to_owned(), lock: None };
        if !directory.is_dir() {
            return Ok((home, Saved::default()));
        }
        home.hold()?;
        let saved = home.load(now)?;
        Ok((home, saved))
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

    fn load(&self, now: Timestamp) -> Result<Saved, TallyError> {
        let path = self.directory.join(FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Saved::default()),
            Err(error) => return Err(TallyError::io("read", &path)(error)),
        };
        let mut bytes = Vec::new();
        file.take(LENGTH_MAX + 1).read_to_end(&mut bytes).map_err(TallyError::io("read", &path))?;
        let read = serde_json::from_slice::<Saved>(&bytes).ok().filter(Saved::sound);
        if let Some(saved) = read.filter(|_| bytes.len() as u64 <= LENGTH_MAX) {
            return Ok(saved);
        }
        let aside = self.directory.join(format!("energy.damaged-{}.json", now.wall_ms / 1000));
        fs::rename(&path, &aside).map_err(TallyError::io("put aside", &path))?;
        tracing::error!(
            path = %path.display(), kept = %aside.display(),
            "the energy counts are damaged; counting begins at 0, and what was there is kept aside"
        );
        Ok(Saved::default())
    }

    /// Puts counts on disk; returns when they are there.
    ///
    /// # Errors
    /// When they could not be made durable; then what was there before is still there.
    pub(super) fn save(&mut self, saved: &Saved) -> Result<(), TallyError> {
        self.hold()?;
        let path = self.directory.join(FILE);
        let text =
            serde_json::to_vec(saved).map_err(io::Error::from).map_err(TallyError::io("write", &path))?;
        crate::durable::replace(&path, &[&text])
            .map_err(|failed| TallyError::io(failed.operation, &path)(failed.source))
    }
}
