//! The world behind the library: the node's state in a mapped file, one caller at a time, stepped to the present by each.
use crate::abi::{INVALID_ARGUMENT, SUCCESS};
use rustix::fs::{FlockOperation, flock};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use rustix::time::{ClockId, Timespec, clock_gettime};
use sim::{Node, Profile};
use std::ffi::c_uint;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The variable that names the shared file.
pub(crate) const VARIABLE: &str = "WATTKEEPER_FAKE_NVML";
/// Functions that can be made to fail at once.
const FAILURES_MAX: usize = 8;
/// From one look to the next while a call hangs or an event is awaited: rare enough to cost next to nothing.
const POLL_NS: i64 = 50_000_000;

/// Everything that is shared, plain old data.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Shared {
    pub(crate) node: Node,
    /// Whether every call on a device hangs.
    pub(crate) hang: u64,
    /// Whether setters are refused.
    pub(crate) read_only: u64,
    /// Pairs of a function's hash and the code it returns; a hash of 0 is a free place.
    pub(crate) failures: [[u64; 2]; FAILURES_MAX],
}

impl Shared {
    fn new(profile: &Profile, boards: usize, seed: u64) -> Self {
        let node = Node::new(profile, boards, seed, now_ns());
        Self { node, hang: 0, read_only: 0, failures: [[0; 2]; FAILURES_MAX] }
    }

    /// The code that a function was made to return.
    fn failure(&self, function: &str) -> Option<c_uint> {
        let hash = hash(function);
        self.failures.iter().find(|[known, _]| *known == hash).map(|[_, code]| *code as c_uint)
    }
}

/// A function's name as a number that is never 0 (FNV-1a).
pub(crate) fn hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        | 1
}

/// The monotonic clock, which all processes of a machine share.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}

pub(crate) fn pause() {
    let _ = rustix::thread::nanosleep(&Timespec { tv_sec: 0, tv_nsec: POLL_NS });
}

/// The mapped state.
#[derive(Debug)]
pub(crate) struct World {
    file: Option<File>,
    shared: Mutex<Pointer>,
}

#[derive(Debug)]
struct Pointer(*mut Shared);

// SAFETY: the pointer is only followed under the mutex and the file's lock.
unsafe impl Send for Pointer {}

/// The state for the time of one call; the file's lock is given up on drop, or by the kernel when the process dies.
pub(crate) struct Entered<'a> {
    pointer: MutexGuard<'a, Pointer>,
    file: Option<&'a File>,
}

impl std::ops::Deref for Entered<'_> {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        // SAFETY: the mapping is as large as Shared, aligned to a page, and lives as long as the process; both locks are held.
        unsafe { &*self.pointer.0 }
    }
}

impl std::ops::DerefMut for Entered<'_> {
    fn deref_mut(&mut self) -> &mut Shared {
        // SAFETY: as above; the guard is borrowed mutably, so this is the only reference.
        unsafe { &mut *self.pointer.0 }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.file {
            let _ = flock(file, FlockOperation::Unlock);
        }
    }
}

impl World {
    /// Maps a shared file, making it where it is missing or of another layout.
    pub(crate) fn open(path: &Path, profile: &Profile, boards: usize, seed: u64) -> io::Result<Self> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        let size = size_of::<Shared>();
        let fresh = file.metadata()?.len() != size as u64;
        file.set_len(size as u64)?;
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping of a file of exactly this size; nothing else in this process knows its address.
        let pointer =
            unsafe { mmap(std::ptr::null_mut(), size, protection, flags, &file, 0) }?.cast::<Shared>();
        // SAFETY: the mapping is readable, and any bytes are a valid u64.
        let layout = unsafe { (*pointer).node.layout };
        if fresh || layout != sim::node::LAYOUT {
            // SAFETY: the mapping is writable, large enough and aligned to a page; the file's lock is held.
            unsafe { pointer.write(Shared::new(profile, boards, seed)) };
        }
        flock(&file, FlockOperation::Unlock)?;
        Ok(Self { file: Some(file), shared: Mutex::new(Pointer(pointer)) })
    }

    fn private() -> io::Result<Self> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new anonymous mapping; nothing else knows its address.
        let pointer =
            unsafe { mmap_anonymous(std::ptr::null_mut(), size_of::<Shared>(), protection, flags) }?
                .cast::<Shared>();
        // SAFETY: the mapping is writable, large enough and aligned to a page.
        unsafe { pointer.write(Shared::new(&sim::profile::H100, 8, 1)) };
        Ok(Self { file: None, shared: Mutex::new(Pointer(pointer)) })
    }

    /// The state, stepped to the present.
    pub(crate) fn enter(&self) -> Entered<'_> {
        let pointer = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            let _ = flock(file, FlockOperation::LockExclusive);
        }
        let mut entered = Entered { pointer, file: self.file.as_ref() };
        entered.node.step_to(now_ns());
        entered
    }
}

/// The world of this process: the file that the environment names, or one of its own.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
        let opened = match path {
            Some(path) => World::open(Path::new(&path), &sim::profile::H100, 8, 1),
            None => World::private(),
        };
        opened.unwrap_or_else(|error| panic!("the fake NVML's state cannot be mapped: {error}"))
    })
}

/// Runs one call: waits while the driver hangs, returns the code the function was made to return, else does the work.
pub(crate) fn call(function: &str, work: impl FnOnce(&mut Shared) -> c_uint) -> c_uint {
    loop {
        let mut shared = world().enter();
        if shared.hang != 0 {
            drop(shared);
            pause();
            continue;
        }
        return shared.failure(function).unwrap_or_else(|| work(&mut shared));
    }
}

/// Writes a result through a caller's pointer.
///
/// # Safety
/// `out` is null or valid for writes of `T`, as NVML demands of its callers.
pub(crate) unsafe fn put<T>(out: *mut T, value: T) -> c_uint {
    if out.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and valid by the contract above.
    unsafe { out.write(value) };
    SUCCESS
}
