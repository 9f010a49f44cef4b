//! The engine of the fake GPU: what was begun, and the turns that processes take to get it done.
use rustix::fs::{FlockOperation, flock};
use rustix::thread::nanosleep;
use rustix::time::Timespec;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Length of a turn, in nanoseconds.
const TURN_NS: u64 = 2_000_000;
/// Between two turns of one process, in nanoseconds: whoever waits comes in.
const BETWEEN_NS: u64 = 150_000;
/// The first address of device memory.
const FIRST: u64 = 0x7f00_0000_0000;

/// Kernels that it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Arithmetic,
    Stream,
}

impl Engine {
    pub(crate) const ALL: [Self; 2] = [Self::Arithmetic, Self::Stream];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Arithmetic => "arithmetic",
            Self::Stream => "stream",
        }
    }
}

/// What the driver knows of this process.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) started: bool,
    pub(crate) retained: u32,
    pub(crate) current: bool,
    pub(crate) kernels: String,
    /// Device memory by address, and pinned memory of the host.
    pub(crate) buffers: BTreeMap<u64, usize>,
    pub(crate) host: Vec<Vec<u8>>,
    /// Time of what was begun, in picoseconds.
    begun_ps: u64,
}

impl State {
    pub(crate) fn take(&mut self, bytes: usize, most: usize) -> Option<u64> {
        let taken: usize = self.buffers.values().sum();
        let end = self.buffers.last_key_value().map_or(FIRST, |(place, bytes)| place + *bytes as u64);
        let place = end.next_multiple_of(256);
        (bytes > 0 && taken + bytes <= most).then(|| {
            self.buffers.insert(place, bytes);
            place
        })
    }

    pub(crate) fn holds(&self, address: u64, bytes: usize) -> bool {
        let before = self.buffers.range(..=address).next_back();
        before.is_some_and(|(place, size)| address + bytes as u64 <= place + *size as u64)
    }

    pub(crate) fn queue(&mut self, time_ps: u64) {
        self.begun_ps += time_ps;
    }

    /// The time of what was begun, in nanoseconds; nothing is left of it.
    pub(crate) fn due(&mut self) -> u64 {
        std::mem::take(&mut self.begun_ps) / 1000
    }
}

pub(crate) fn state() -> MutexGuard<'static, State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    STATE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gets so much done, in turns with every other process that names the same file.
pub(crate) fn run(mut due_ns: u64) {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = std::env::var_os("WATTKEEPER_FAKE_CUDA")?;
        File::options().create(true).truncate(false).write(true).open(path).ok()
    });
    while due_ns > 0 {
        let turn = due_ns.min(TURN_NS);
        let locked = file.as_ref().map(|file| flock(file, FlockOperation::LockExclusive));
        rest(turn);
        if let (Some(file), Some(Ok(()))) = (file, locked) {
            let _ = flock(file, FlockOperation::Unlock);
        }
        rest(BETWEEN_NS);
        due_ns -= turn;
    }
}

fn rest(time_ns: u64) {
    // Far below a second.
    let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: time_ns.cast_signed() });
}
