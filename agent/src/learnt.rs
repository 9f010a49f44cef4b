//! What detectors have learnt, kept in the state directory over a restart: one file a detector, written whole or not at all, by
//! one agent alone.
use flate2::Crc;
use model::Timestamp;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a file begins with; the last byte is the version of the frame around the detector's own bytes.
const MAGIC: &[u8; 8] = b"wklearn\x01";
/// Magic, checksum, length.
const HEAD: usize = 8 + 4 + 8;
/// The most bytes of a file that are read: several times what is ever written.
const READ_MAX: u64 = 64 << 20;
/// The lock that keeps a second writer out.
const LOCK: &str = "learnt.lock";
/// Seconds from one writing to the next.
const EVERY_S: f64 = 600.0;

/// Why a file gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum LearntError {
    /// It cannot be read or written.
    #[error("could not {operation} {path} (key state.directory): {source}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is cut off, damaged, or of another version.
    #[error("{path} is {fault}; it was put aside as {path}.bad")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        fault: &'static str,
    },
    /// Another agent writes there.
    #[error(
        "another agent keeps what its detectors learn at {path}; stop it, or set another state.directory"
    )]
    Locked {
        /// The lock.
        path: PathBuf,
    },
}

/// The files of one state directory, and when they are due.
#[derive(Debug)]
pub struct Shelf {
    directory: PathBuf,
    written: Timestamp,
}

impl Shelf {
    /// The shelf in a directory. Nothing is touched yet.
    pub fn new(directory: &Path, now: Timestamp) -> Self {
        Self { directory: directory.to_owned(), written: now }
    }

    /// Whether it is time to write; asked once a beat.
    pub fn due(&mut self, now: Timestamp) -> bool {
        let due = now.seconds_since(self.written) >= EVERY_S;
        if due {
            self.written = now;
        }
        due
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of a detector.
    pub fn path(&self, detector: &str) -> PathBuf {
        self.directory.join(format!("learnt-{detector}.bin"))
    }

    /// What a detector had learnt; `None` when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or makes no sense; then it is put aside.
    pub fn read(&self, detector: &str) -> Result<Option<Vec<u8>>, LearntError> {
        let path = self.path(detector);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(io_error("open", &path))?,
        };
        let mut bytes = Vec::new();
        file.take(READ_MAX).read_to_end(&mut bytes).map_err(io_error("read", &path))?;
        match body(&bytes) {
            Ok(body) => Ok(Some(body.to_vec())),
            Err(fault) => Err(self.put_aside(detector, fault)),
        }
    }

    /// Lets somebody take back what it had learnt, where there is something; what makes no sense is put aside and said.
    pub fn recall(&self, name: &str, take: impl FnOnce(&[u8]) -> Result<(), &'static str>) {
        let recalled = self.read(name).and_then(|bytes| match bytes {
            Some(bytes) => take(&bytes).map_err(|fault| self.put_aside(name, fault)),
            None => Ok(()),
        });
        if let Err(error) = recalled {
            tracing::warn!(of = name, %error, "what was learnt is lost: it is learnt anew");
        }
    }

    /// Puts a file out of the way, so that it can be looked at and is not met again.
    pub fn put_aside(&self, detector: &str, fault: &'static str) -> LearntError {
        let path = self.path(detector);
        let aside = PathBuf::from(format!("{}.bad", path.display()));
        match fs::rename(&path, &aside) {
            Ok(()) => LearntError::Unusable { path, fault },
            Err(source) => LearntError::Io { operation: "put aside", path, source },
        }
    }
}

/// Writes what a detector has learnt: a draft, synced, then renamed, so that a crash leaves the old file or the new.
///
/// # Errors
/// When the disk refuses; the old file stays.
pub fn write(path: &Path, learnt: &[u8]) -> Result<(), LearntError> {
    let mut crc = Crc::new();
    crc.update(learnt);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(io_error("make", directory))?;
    }
    let (sum, length) = (crc.sum().to_le_bytes(), (learnt.len() as u64).to_le_bytes());
    crate::durable::replace(path, &[MAGIC, &sum, &length, learnt])
        .map_err(|failed| io_error(failed.operation, path)(failed.source))
}

/// Writes files one after the other, and says once that the disk refuses and once that it takes them again. A writing that
/// finds another one under way leaves it to that one.
#[derive(Debug, Clone, Default)]
pub struct Clerk(Arc<Mutex<Desk>>);

#[derive(Debug, Default)]
struct Desk {
    /// Whether the last writing failed.
    failing: bool,
    /// Held while it lives; `None` until it was needed.
    lock: Option<File>,
}

impl Desk {
    fn hold(&mut self, directory: &Path) -> Result<(), LearntError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let path = directory.join(LOCK);
        match crate::durable::hold(&path) {
            Ok(lock) => self.lock = Some(lock),
            Err(failed) if failed.source.kind() == io::ErrorKind::WouldBlock => {
                return Err(LearntError::Locked { path });
            }
            Err(failed) => return Err(io_error(failed.operation, &path)(failed.source)),
        }
        Ok(())
    }

    /// Notes how a writing ended, and says where that is news.
    fn note(&mut self, fault: Option<&LearntError>) {
        match fault {
            Some(error) if !self.failing => {
                tracing::warn!(%error, "what detectors have learnt is kept in memory only");
            }
            None if self.failing => tracing::info!("what detectors have learnt is on disk again"),
            Some(_) | None => {}
        }
        self.failing = fault.is_some();
    }
}

impl Clerk {
    /// Keeps other agents from a directory that is there. Where another keeps this one out it says so, and `false` is given: what
    /// lies there is the other's, and is neither read nor written until it ends.
    pub fn hold(&self, directory: &Path) -> bool {
        let Ok(mut desk) = self.0.try_lock() else { return false };
        if !directory.is_dir() {
            return true;
        }
        let held = desk.hold(directory);
        if let Err(error) = &held {
            desk.note(Some(error));
        }
        !matches!(held, Err(LearntError::Locked { .. }))
    }

    /// Writes each file of a directory with what a detector has learnt.
    pub fn write(&self, directory: &Path, files: &[(PathBuf, Vec<u8>)]) {
        let Ok(mut desk) = self.0.try_lock() else { return };
        let mut fault = desk.hold(directory).err();
        if fault.is_none() {
            for (path, learnt) in files {
                fault = write(path, learnt).err().or(fault);
            }
        }
        desk.note(fault.as_ref());
    }

    /// Whether the last writing failed.
    pub fn is_failing(&self) -> bool {
        self.0.try_lock().is_ok_and(|desk| desk.failing)
    }
}

fn body(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let (head, body) = bytes.split_at_checked(HEAD).ok_or("cut off")?;
    if &head[..8] != MAGIC {
        return Err("of another version");
    }
    let mut crc = Crc::new();
    crc.update(body);
    let [sum @ .., _, _, _, _, _, _, _, _] = &head[8..] else { return Err("cut off") };
    if head[12..] != (body.len() as u64).to_le_bytes() {
        return Err("cut off");
    }
    if *sum != crc.sum().to_le_bytes() { Err("damaged") } else { Ok(body) }
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LearntError {
    let path = path.to_owned();
    move |source| LearntError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_damage_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path(), Timestamp::default());
        assert!(shelf.read("residual").unwrap().is_none(), "nothing was kept yet");
        let path = shelf.path("residual");
        write(&path, b"what it knows").unwrap();
        assert_eq!(shelf.read("residual").unwrap().unwrap(), b"what it knows");
        let whole = fs::read(&path).unwrap();
        for (bytes, fault) in [
            (whole[..7].to_vec(), "cut off"),
            (whole[..whole.len() - 1].to_vec(), "cut off"),
            ([&whole[..whole.len() - 1], b"?"].concat(), "damaged"),
            ([b"wklearn\x02", &whole[8..]].concat(), "of another version"),
            (Vec::new(), "cut off"),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = shelf.read("residual").unwrap_err();
            assert!(error.to_string().contains(fault), "{error}");
            assert!(shelf.read("residual").unwrap().is_none(), "it is out of the way");
        }
    }

    #[test]
    fn a_disk_that_refuses_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("learnt-x.bin");
        write(&path, b"old").unwrap();
        // A folder in the draft's place refuses every write.
        fs::create_dir(path.with_extension("bin.draft")).unwrap();
        assert!(write(&path, b"new").is_err());
        assert_eq!(body(&fs::read(&path).unwrap()).unwrap(), b"old");
    }

    #[test]
    fn a_full_disk_is_borne_until_it_has_room_again() {
        let (clerk, full) = (Clerk::default(), PathBuf::from("/dev/full/learnt-x.bin"));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made").join("learnt-x.bin");
        let home = directory.path().join("made");
        clerk.write(&home, &[(path.clone(), b"one".to_vec()), (full, b"two".to_vec())]);
        assert!(clerk.is_failing());
        assert_eq!(body(&fs::read(&path).unwrap()).unwrap(), b"one", "the others are written all the same");
        clerk.write(&home, &[(path.clone(), b"three".to_vec())]);
        assert!(!clerk.is_failing());
        assert_eq!(body(&fs::read(&path).unwrap()).unwrap(), b"three");
    }

    #[test]
    fn a_second_agent_leaves_the_files_of_the_first_alone_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (Clerk::default(), Clerk::default());
        let path = directory.path().join("learnt-x.bin");
        assert!(first.hold(directory.path()) && !second.hold(directory.path()));
        assert!(second.is_failing(), "it says so");
        first.write(directory.path(), &[(path.clone(), b"first".to_vec())]);
        second.write(directory.path(), &[(path.clone(), b"second".to_vec())]);
        assert_eq!(body(&fs::read(&path).unwrap()).unwrap(), b"first");
        drop(first);
        second.write(directory.path(), &[(path.clone(), b"second".to_vec())]);
        assert_eq!(body(&fs::read(&path).unwrap()).unwrap(), b"second");
        assert!(!second.is_failing());
    }

    #[test]
    fn it_is_due_every_ten_minutes() {
        let start = Timestamp::default();
        let mut shelf = Shelf::new(Path::new("/"), start);
        let at = |seconds| start.after(std::time::Duration::from_secs(seconds));
        assert!(!shelf.due(at(599)) && shelf.due(at(600)) && !shelf.due(at(601)) && shelf.due(at(1200)));
    }
}
