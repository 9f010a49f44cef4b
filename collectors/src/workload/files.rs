//! The files of procfs that say what a process is, read into one buffer.
use crate::roots::Roots;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// Bytes of a file that are read at most: version 1 has a line for each of a dozen hierarchies, and a path may have 4096.
const LENGTH_MAX: usize = 64 * 1024;

/// What `stat` says of a process.
pub(super) struct Stat<'a> {
    /// When it started, in clock ticks since boot.
    pub(super) started: u64,
    /// Its state, such as `R`, `S` or `D`.
    pub(super) state: u8,
    /// Its command name.
    pub(super) name: Cow<'a, str>,
}

/// Reads files of processes.
#[derive(Debug)]
pub(super) struct Files {
    proc: PathBuf,
    /// Whether this is procfs itself, whose open files are bound to their process, and not a copy.
    pub(super) bound: bool,
    path: String,
    bytes: Vec<u8>,
    length: usize,
}

impl Files {
    pub(super) fn new(roots: &Roots) -> Self {
        let bound =
            rustix::fs::statfs(&roots.proc).is_ok_and(|system| system.f_type == rustix::fs::PROC_SUPER_MAGIC);
        Self { proc: roots.proc.clone(), bound, path: String::new(), bytes: vec![0; 4096], length: 0 }
    }

    fn named(&mut self, pid: u32, name: &str) -> Option<File> {
        self.path.clear();
        // Writing to a text does not fail.
        let _ = write!(self.path, "{}/{pid}/{name}", self.proc.display());
        File::open(&self.path).ok()
    }

    /// Reads a file. One that does not fill the buffer is at its end: the kernel makes these files in one piece, and would
    /// make the whole of it again for a second read that finds nothing.
    fn fill(&mut self, file: &File) -> Option<()> {
        self.length = 0;
        loop {
            if self.length == self.bytes.len() {
                if self.length >= LENGTH_MAX {
                    return Some(());
                }
                self.bytes.resize(2 * self.length, 0);
            }
            match file.read_at(&mut self.bytes[self.length..], self.length as u64) {
                Ok(0) => return Some(()),
                Ok(read) => {
                    self.length += read;
                    if self.length < self.bytes.len() {
                        return Some(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Start time, state and command name, which stands in brackets and may hold any character.
    pub(super) fn stat(&mut self, pid: u32) -> Option<Stat<'_>> {
        let file = self.named(pid, "stat")?;
        self.fill(&file)?;
        let bytes = &self.bytes[..self.length];
        let open = bytes.iter().position(|byte| *byte == b'(')?;
        let close = bytes.iter().rposition(|byte| *byte == b')')?;
        let name = String::from_utf8_lossy(bytes.get(open + 1..close)?);
        // Field 22 is the start time; the state, field 3, comes first behind the name.
        let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let started = fields.nth(18)?.parse().ok()?;
        Some(Stat { started, state, name })
    }

    /// Opens the `cgroup` file of a process.
    pub(super) fn open(&mut self, pid: u32) -> Option<File> {
        self.named(pid, "cgroup")
    }

    /// Reads a `cgroup` file and gives its hash; `None` when the process has ended.
    pub(super) fn groups(&mut self, file: &File) -> Option<u64> {
        self.fill(file)?;
        // FNV-1a: short, and nobody gains from a collision.
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Some(self.bytes[..self.length].iter().fold(0xcbf2_9ce4_8422_2325, step))
    }

    /// What was read last.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.length]).into_owned()
    }
}
