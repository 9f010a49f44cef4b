//! Duty: what share of the time a part works, as the lab steers it, and what a victim has got done.
//!
//! Two small files: `steer`, which the lab writes, and `done`, which a victim writes. Reading and writing them costs a
//! microsecond or two, a hundred times a second.
use crate::clock::{MachineClock, wait_until};
use model::Clock as _;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// A period of work and rest, in nanoseconds: short beside a window, long beside an operation.
const PERIOD_NS: u64 = 10_000_000;
/// Periods of work that a victim may be behind before it lets go of what it owes.
const BEHIND_MAX: f64 = 100.0;

/// What a victim had done at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::lab) struct Progress {
    /// Operations.
    pub ops: u64,
    /// Time spent in them, waiting included, in nanoseconds.
    pub busy_ns: u64,
}

/// The files between the lab and one part.
#[derive(Debug)]
pub(in crate::lab) struct Steering {
    steer: File,
    done: File,
    end_ns: u64,
    duty: AtomicU64,
}

fn now_ns() -> u64 {
    MachineClock.now().mono_ns
}

impl Steering {
    /// Opens, or makes, the files in a folder; a part ends after so many seconds at the latest.
    ///
    /// # Errors
    /// When they cannot be made or opened.
    pub(in crate::lab) fn open(folder: &Path, seconds: u64) -> io::Result<Self> {
        let file = |name: &str| {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(name))
        };
        let end_ns = now_ns() + seconds * 1_000_000_000;
        Ok(Self { steer: file("steer")?, done: file("done")?, end_ns, duty: AtomicU64::new(0) })
    }

    /// Says what share of the time the part shall work; a negative one ends it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(in crate::lab) fn steer(&self, duty: f64) -> io::Result<()> {
        self.steer.write_all_at(&duty.to_le_bytes(), 0)
    }

    /// What the victim has done so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(in crate::lab) fn progress(&self) -> io::Result<Progress> {
        let mut bytes = [0; 16];
        match self.done.read_at(&mut bytes, 0)? {
            16 => {}
            _ => return Ok(Progress::default()),
        }
        let word = |from: usize| {
            bytes[from..from + 8].iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
        };
        Ok(Progress { ops: word(0), busy_ns: word(8) })
    }

    fn report(&self, progress: Progress) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&progress.ops.to_le_bytes());
        bytes[8..].copy_from_slice(&progress.busy_ns.to_le_bytes());
        // A report that is lost is made up for by the next.
        let _ = self.done.write_all_at(&bytes, 0);
    }

    /// The share of the time to work; `None` when it is over.
    fn duty(&self, now: u64) -> Option<f64> {
        let mut bytes = [0; 8];
        if self.steer.read_at(&mut bytes, 0).is_ok_and(|read| read == 8) {
            self.duty.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        let duty = f64::from_bits(self.duty.load(Ordering::Relaxed));
        (now < self.end_ns && duty >= 0.0).then_some(duty.min(1.0))
    }

    /// Antagonist: calls `work`, which must return within a millisecond or so, for a share of every period.
    pub(super) fn press(&self, mut work: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let mut period = now_ns();
        while let Some(duty) = self.duty(period) {
            let until = period + (PERIOD_NS as f64 * duty) as u64;
            while now_ns() < until {
                work()?;
            }
            period = (period + PERIOD_NS).max(now_ns());
            wait_until(period);
        }
        Ok(())
    }

    /// Victim: calls `op` as often as it can at a duty of 1, else as often as that share of what it did alone at 1; counts and
    /// times every operation. The pace is learnt in the first second, which must be quiet.
    pub(super) fn count(&self, mut op: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let mut progress = Progress::default();
        let (begin, mut period) = (now_ns(), now_ns());
        let (mut pace, mut owed) = (0.0, 0.0_f64);
        while let Some(duty) = self.duty(period) {
            let until = period + PERIOD_NS;
            let free = duty >= 1.0 || pace == 0.0;
            owed = if free { 0.0 } else { (owed + pace * duty).min(pace * BEHIND_MAX) };
            let mut now = now_ns();
            while now < until && (free || owed >= 1.0) {
                op()?;
                let end = now_ns();
                progress.ops += 1;
                progress.busy_ns += end - now;
                owed -= 1.0;
                now = end;
            }
            self.report(progress);
            if pace == 0.0 && now - begin >= 1_000_000_000 {
                pace = progress.ops as f64 * PERIOD_NS as f64 / progress.busy_ns as f64;
            }
            period = until.max(now);
            if now < until {
                wait_until(until);
            }
        }
        Ok(())
    }
}
