//! The journal: original limits on disk before the first write to a device, so that they survive a killed agent.
//!
//! One JSON line an original, each with its own checksum; the file is replaced whole, by a rename, and both file and
//! directory are synced. An original that is there is never overwritten: it may be the true one.
use model::{Reason, Watts};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The journal's file in the state directory.
const FILE: &str = "limits.journal";
/// The lock that keeps a second writer out.
const LOCK: &str = "limits.lock";

/// The journal cannot be used, so nothing may be enforced.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory or a file in it cannot be read or written.
    #[error("the journal of original limits cannot {operation} {path} (key state.directory): {source}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line does not parse or its checksum is wrong.
    #[error(
        "line {line} of the journal {path} is damaged; compare the devices' limits by hand, then remove the file"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Nothing is to be enforced, so no journal was opened.
    #[error("power.enforce is false")]
    Off,
    /// Another process holds the lock.
    #[error("another agent enforces from {path}; stop it, or set another state.directory")]
    Locked {
        /// The lock.
        path: PathBuf,
    },
}

impl JournalError {
    /// The label.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Io { source, .. } => Reason::of_io(source),
            Self::Damaged { .. } => Reason::Malformed,
            Self::Off => Reason::Refused,
            Self::Locked { .. } => Reason::Busy,
        }
    }
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    device: String,
    original_w: f64,
    crc32: u32,
}

impl Line {
    fn new(device: &str, original: Watts) -> Self {
        Self { device: device.to_owned(), original_w: original.0, crc32: checksum(device, original) }
    }
}

fn checksum(device: &str, original: Watts) -> u32 {
    let bits = original.0.to_bits().to_le_bytes();
    crc32(device.bytes().chain(bits))
}

/// CRC-32 as in IEEE 802.3, bit by bit: lines are few and short.
fn crc32(bytes: impl Iterator<Item = u8>) -> u32 {
    let step = |crc: u32, byte: u8| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    };
    !bytes.fold(u32::MAX, step)
}

/// The open journal. Holds the lock while it lives.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    originals: BTreeMap<String, Watts>,
    _lock: File,
}

impl Journal {
    /// Opens the journal of a directory, making the directory where it is missing.
    ///
    /// # Errors
    /// When the directory cannot be written, another process holds the lock, or a line is damaged. A damaged journal is
    /// left as it is.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        let io = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { operation, path, source }
        };
        fs::create_dir_all(directory).map_err(io("create", directory))?;
        let lock_path = directory.join(LOCK);
        let lock =
            File::options().create(true).append(true).open(&lock_path).map_err(io("open", &lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| JournalError::Locked { path: lock_path })?;
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io("read", &path)(error)),
        };
        let mut originals = BTreeMap::new();
        for (number, text) in text.lines().enumerate() {
            let line: Option<Line> = serde_json::from_str(text).ok();
            let sound = line.filter(|line| checksum(&line.device, Watts(line.original_w)) == line.crc32);
            let line = sound.ok_or_else(|| JournalError::Damaged { path: path.clone(), line: number + 1 })?;
            originals.insert(line.device, Watts(line.original_w));
        }
        Ok(Self { directory: directory.to_owned(), originals, _lock: lock })
    }

    /// Opens the journal where one may be needed: to enforce, or to give back what a killed agent left.
    ///
    /// # Errors
    /// [`JournalError::Off`] where neither is so; else as [`Journal::open`].
    pub fn open_if_needed(directory: &Path, enforce: bool) -> Result<Self, JournalError> {
        if enforce || directory.join(FILE).exists() { Self::open(directory) } else { Err(JournalError::Off) }
    }

    /// Every original by the device's key.
    pub fn originals(&self) -> impl Iterator<Item = (&str, &Watts)> {
        self.originals.iter().map(|(key, original)| (key.as_str(), original))
    }

    /// Puts an original on disk; returns when it is there. One that is known already stays as it is.
    ///
    /// # Errors
    /// When it could not be made durable; then nothing may be written to the device.
    pub fn keep(&mut self, device: &str, original: Watts) -> Result<(), JournalError> {
        if self.originals.contains_key(device) {
            return Ok(());
        }
        self.originals.insert(device.to_owned(), original);
        self.save().inspect_err(|_| {
            self.originals.remove(device);
        })
    }

    /// Takes off an original that was given back.
    ///
    /// # Errors
    /// When the file could not be replaced; the original then stays on disk.
    pub fn forget(&mut self, device: &str) -> Result<(), JournalError> {
        self.originals.remove(device).map_or(Ok(()), |_| self.save())
    }

    fn save(&self) -> Result<(), JournalError> {
        let path = self.directory.join(FILE);
        let draft = self.directory.join(format!("{FILE}.draft"));
        let io = |operation| {
            let path = path.clone();
            move |source| JournalError::Io { operation, path, source }
        };
        let mut text = String::new();
        for (device, original) in &self.originals {
            let line = serde_json::to_string(&Line::new(device, *original))
                .map_err(io::Error::from)
                .map_err(io("write"))?;
            text.push_str(&line);
            text.push('\n');
        }
        let mut file = File::create(&draft).map_err(io("write"))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write"))?;
        fs::rename(&draft, &path).map_err(io("replace"))?;
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(io("sync the directory of"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_original_survives_and_is_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(home.path()).unwrap();
        journal.keep("GPU-a", Watts(700.0)).unwrap();
        journal.keep("GPU-a", Watts(350.0)).unwrap();
        drop(journal);
        let journal = Journal::open(home.path()).unwrap();
        assert_eq!(journal.originals().collect::<Vec<_>>(), [("GPU-a", &Watts(700.0))]);
    }

    #[test]
    fn every_single_flipped_bit_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE);
        Journal::open(home.path()).unwrap().keep("GPU-a", Watts(700.0)).unwrap();
        let sound = fs::read(&path).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut bad = sound.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bad).unwrap();
            if let Ok(journal) = Journal::open(home.path()) {
                // A flip may leave the meaning as it was (a digit past the number's precision cannot, white space can).
                assert_eq!(journal.originals().collect::<Vec<_>>(), [("GPU-a", &Watts(700.0))], "bit {bit}");
            }
        }
    }

    #[test]
    fn a_second_writer_is_kept_out_until_the_first_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let first = Journal::open(home.path()).unwrap();
        assert_eq!(Journal::open(home.path()).unwrap_err().reason(), Reason::Busy);
        drop(first);
        assert!(Journal::open(home.path()).is_ok());
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789".iter().copied()), 0xcbf4_3926);
    }
}
