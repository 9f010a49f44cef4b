//! The journal: original positions of knobs on disk before the first write to them, so that they survive a killed agent.
//!
//! One JSON line an original, each with its own checksum, and a last line that says how many there are; the file is replaced whole, by a rename, and both file and
//! directory are synced. An original that is there is never overwritten: it may be the true one.
use model::{Keep, Knob, Reason, Timestamp};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The journal's file in the state directory.
const FILE: &str = "limits.journal";
/// The lock that keeps a second writer out.
const LOCK: &str = "limits.lock";
/// The format that is written: since 2 it names knob and kind of cap.
const VERSION: u32 = 2;
/// A number that changes with every boot, and with it every limit is back at its default (proc(5)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How long a journal that could not be opened is left alone.
const RETRY: Duration = Duration::from_secs(10);

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
    /// A line does not parse, its checksum is wrong, or it is of another format.
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

    /// Why an order is refused for want of a journal: another writer, or the journal.
    pub fn refusal(&self) -> Reason {
        if matches!(self, Self::Locked { .. }) { Reason::Busy } else { Reason::Refused }
    }

    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    version: u32,
    device: String,
    #[serde(default)]
    knob: Knob,
    #[serde(alias = "original_w")]
    original: f64,
    #[serde(default)]
    keep: Keep,
    /// Which of those that had this name it is; absent where names are not given twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incarnation: Option<u64>,
    /// The boot that the limit was read in; empty where the system has no number for it.
    boot: String,
    crc32: u32,
}

impl Line {
    fn new(device: &str, knob: Knob, original: Original, boot: &str) -> Self {
        let line = Self {
            version: VERSION,
            device: device.to_owned(),
            knob,
            original: original.value,
            keep: original.keep,
            incarnation: original.incarnation,
            boot: boot.to_owned(),
            crc32: 0,
        };
        Self { crc32: line.checksum(), ..line }
    }

    fn checksum(&self) -> u32 {
        let numbers = self.version.to_le_bytes().into_iter().chain(self.original.to_bits().to_le_bytes());
        // Version 1 knew power limits that are held, and nothing else.
        let words = if self.version == 1 { ["", ""] } else { [self.knob.as_str(), self.keep.as_str()] };
        let words = words.into_iter().flat_map(str::bytes);
        let words = words.chain(self.incarnation.into_iter().flat_map(u64::to_le_bytes));
        // The zero between the strings keeps a byte from wandering from one to the other unnoticed.
        crc32(numbers.chain(self.device.bytes()).chain([0]).chain(self.boot.bytes()).chain(words))
    }

    fn original(&self) -> Original {
        Original { value: self.original, keep: self.keep, incarnation: self.incarnation }
    }

    fn sound(&self) -> bool {
        (1..=VERSION).contains(&self.version) && self.crc32 == self.checksum()
    }
}

/// The last line: without it lines may be missing, and with them originals.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    version: u32,
    lines: usize,
    /// Over the checksums of all lines.
    crc32: u32,
}

impl End {
    fn of(sums: &[u32]) -> Self {
        let crc32 = crc32([VERSION].iter().chain(sums).flat_map(|sum| sum.to_le_bytes()));
        Self { version: VERSION, lines: sums.len(), crc32 }
    }
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

/// What is journalled of a knob.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Original {
    /// The position before our first write, in the knob's unit.
    pub value: f64,
    /// What becomes of our cap when its keeper goes. Once a safety cap was there it stays one.
    pub keep: Keep,
    /// Which of those that had this name it is, where names are given twice.
    pub incarnation: Option<u64>,
}

/// Originals by the device's key and the knob.
pub type Originals = BTreeMap<(String, Knob), Original>;

/// The open journal. Holds the lock while it lives.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    originals: Originals,
    boot: String,
    _lock: File,
}

impl Journal {
    /// Opens the journal of a directory, making the directory where it is missing. Originals from before the last boot
    /// are left out: the boot has undone what we set.
    ///
    /// # Errors
    /// When the directory cannot be written, another process holds the lock, or a line is damaged. A damaged journal is
    /// left as it is.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        Self::open_in(directory, this_boot())
    }

    fn open_in(directory: &Path, boot: String) -> Result<Self, JournalError> {
        fs::create_dir_all(directory).map_err(JournalError::io("create", directory))?;
        let lock = lock(&directory.join(LOCK))?;
        let originals = read(&directory.join(FILE), &boot)?;
        Ok(Self { directory: directory.to_owned(), originals, boot, _lock: lock })
    }

    /// The originals that a directory holds, for a reader who does not need the lock: the file is replaced whole, so that
    /// what is read is what was there at one moment.
    ///
    /// # Errors
    /// When the file cannot be read or a line is damaged.
    pub fn look(directory: &Path) -> Result<Originals, JournalError> {
        read(&directory.join(FILE), &this_boot())
    }

    /// Opens the journal where one may be needed: to enforce, or to give back what a killed agent left.
    pub fn open_if_needed(directory: &Path, enforce: bool) -> StateDirectory {
        let needed = enforce || directory.join(FILE).exists();
        let journal = if needed { Self::open(directory) } else { Err(JournalError::Off) };
        StateDirectory { path: directory.to_owned(), journal, tried: None }
    }

    /// Every original by the device's key and the knob.
    pub fn originals(&self) -> impl Iterator<Item = (&str, Knob, Original)> {
        self.originals.iter().map(|((key, knob), original)| (key.as_str(), *knob, *original))
    }

    /// What is journalled of a knob.
    pub fn original(&self, device: &str, knob: Knob) -> Option<Original> {
        self.originals.get(&(device.to_owned(), knob)).copied()
    }

    /// Puts originals on disk, all at once; returns when they are there. Those that are known already stay as they are,
    /// except that a cap which was there to tune becomes one that is held.
    ///
    /// # Errors
    /// When they could not be made durable; then nothing may be written to the devices.
    pub fn keep<'a>(
        &mut self,
        list: impl IntoIterator<Item = (&'a str, Knob, Original)>,
    ) -> Result<(), JournalError> {
        let mut next = self.originals.clone();
        for (device, knob, original) in list {
            let kept = next.entry((device.to_owned(), knob)).or_insert(original);
            kept.keep = kept.keep.min(original.keep);
        }
        if next != self.originals {
            self.save(&next)?;
            self.originals = next;
        }
        Ok(())
    }

    /// Takes off an original that was given back.
    ///
    /// # Errors
    /// When the file could not be replaced; the original then stays on disk, and is given back once more.
    pub fn forget(&mut self, device: &str, knob: Knob) -> Result<(), JournalError> {
        let there = self.originals.remove(&(device.to_owned(), knob)).is_some();
        if there { self.save(&self.originals) } else { Ok(()) }
    }

    fn save(&self, originals: &Originals) -> Result<(), JournalError> {
        let path = self.directory.join(FILE);
        let line = |((device, knob), original): (&(String, Knob), &Original)| {
            Line::new(device, *knob, *original, &self.boot)
        };
        let lines: Vec<Line> = originals.iter().map(line).collect();
        let sums: Vec<u32> = lines.iter().map(|line| line.crc32).collect();
        let texts = lines.iter().map(serde_json::to_string).chain([serde_json::to_string(&End::of(&sums))]);
        let texts: Result<Vec<String>, _> = texts.collect();
        let text =
            texts.map_err(io::Error::from).map_err(JournalError::io("write", &path))?.join("\n") + "\n";
        crate::durable::replace(&path, &[text.as_bytes()])
            .map_err(|failed| JournalError::io(failed.operation, &path)(failed.source))
    }
}

fn this_boot() -> String {
    fs::read_to_string(BOOT_ID).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The originals of this boot. None may be guessed at: one bad line is an error, and so is one that is missing.
fn read(path: &Path, boot: &str) -> Result<Originals, JournalError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(JournalError::io("read", path)(error)),
    };
    let (mut originals, mut sums) = (BTreeMap::new(), Vec::new());
    // Version 1 wrote no end.
    let (mut ended, mut open_ended) = (false, false);
    for text in text.lines() {
        let damaged = || JournalError::Damaged { path: path.to_owned(), line: sums.len() + 1 };
        if ended {
            return Err(damaged());
        }
        if let Ok(end) = serde_json::from_str::<End>(text) {
            ended = end == End::of(&sums);
            if !ended {
                return Err(damaged());
            }
            continue;
        }
        let line: Line = serde_json::from_str(text).ok().filter(Line::sound).ok_or_else(damaged)?;
        sums.push(line.crc32);
        open_ended |= line.version == 1;
        if line.boot.is_empty() || boot.is_empty() || line.boot == boot {
            let original = line.original();
            originals.insert((line.device, line.knob), original);
        }
    }
    if ended || open_ended {
        return Ok(originals);
    }
    Err(JournalError::Damaged { path: path.to_owned(), line: sums.len() + 1 })
}

fn lock(path: &Path) -> Result<File, JournalError> {
    let file = File::options().create(true).append(true).open(path);
    let file = file.map_err(JournalError::io("open", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(JournalError::Locked { path: path.to_owned() }),
        Err(error) => Err(JournalError::io("lock", path)(error.into())),
    }
}

/// The state directory: its journal, or why it has none and when to try again.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    journal: Result<Journal, JournalError>,
    /// When it was last tried; `None` before the first beat.
    tried: Option<Timestamp>,
}

impl StateDirectory {
    /// The journal, to read.
    pub fn journal(&self) -> Result<&Journal, &JournalError> {
        self.journal.as_ref()
    }

    /// The journal, to write.
    pub fn journal_mut(&mut self) -> Result<&mut Journal, &JournalError> {
        self.journal.as_mut().map_err(|error| &*error)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Itself where its journal is open, else why it is not.
    ///
    /// # Errors
    /// What keeps the journal from being used.
    pub fn into_open(self) -> Result<Self, JournalError> {
        let Self { path, journal, tried } = self;
        Ok(Self { path, journal: Ok(journal?), tried })
    }

    /// Tries again to open a journal that could not be opened, every ten seconds; one that was not needed, as soon as
    /// it is. Says whether it is newly open.
    pub fn reopen(&mut self, needed: bool, now: Timestamp) -> bool {
        let due = match &self.journal {
            Ok(_) => false,
            Err(JournalError::Off) => needed,
            Err(_) => self.tried.get_or_insert(now).after(RETRY) <= now,
        };
        if !due {
            return false;
        }
        self.tried = Some(now);
        let before = self.journal.as_ref().err().map(JournalError::reason);
        self.journal = Journal::open(&self.path);
        match &self.journal {
            Err(error) if Some(error.reason()) != before => {
                tracing::warn!(reason = error.reason().as_str(), "nothing will be enforced: {error}");
            }
            Ok(_) => tracing::info!(path = %self.path.display(), "the journal of original limits is open"),
            Err(_) => {}
        }
        self.journal.is_ok()
    }
}

#[cfg(test)]
mod tests;
