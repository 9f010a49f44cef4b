//! The world behind the library: the node's state in a mapped file, one caller at a time, stepped to the present by each.
use crate::abi::{INVALID_ARGUMENT, LIB_RM_VERSION_MISMATCH, SUCCESS, UNINITIALIZED};
use crate::extra::Extra;
use crate::time::{self, Time};
use rustix::fs::{FlockOperation, flock};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use sim::{Node, Profile};
use std::ffi::c_uint;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The variable that names the shared file.
pub(crate) const VARIABLE: &str = "WATTKEEPER_FAKE_NVML";
/// Functions that can be made to fail at once.
const FAILURES_MAX: usize = 8;
/// From one look to the next while a call hangs or an event is awaited: rare enough to cost next to nothing.
const POLL_NS: u64 = 50_000_000;

/// Functions that hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Starting the library and finding devices.
    Start,
    /// Reading a device.
    Read,
    /// Changing a device.
    Write,
    /// Registering for events and waiting for them.
    Events,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 4] = [Self::Start, Self::Read, Self::Write, Self::Events];

    /// The word by which tools name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Read => "read",
            Self::Write => "write",
            Self::Events => "events",
        }
    }

    /// The group with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.as_str() == name)
    }

    pub(crate) const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// The group of a function, by its name.
    pub fn of(function: &str) -> Self {
        let one_of = |starts: &[&str]| starts.iter().any(|start| function.starts_with(start));
        if one_of(&["nvmlDeviceSet", "nvmlDeviceReset"]) {
            Self::Write
        } else if one_of(&["nvmlEvent", "nvmlDeviceRegisterEvents", "nvmlDeviceGetSupportedEventTypes"]) {
            Self::Events
        } else if one_of(&["nvmlInit", "nvmlSystem", "nvmlDeviceGetCount", "nvmlDeviceGetHandle"]) {
            Self::Start
        } else {
            Self::Read
        }
    }
}

/// Everything that is shared, plain old data.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Shared {
    pub(crate) node: Node,
    /// How simulated time follows the machine's.
    pub(crate) time: Time,
    /// Bits of the groups of functions that hang.
    pub(crate) hang: u64,
    /// How much longer every call takes, in nanoseconds.
    pub(crate) slow_ns: u64,
    /// Whether setters are refused.
    pub(crate) read_only: u64,
    /// Pairs of a function's hash and the code it returns; a hash of 0 is a free place.
    pub(crate) failures: [[u64; 2]; FAILURES_MAX],
    /// What the fake knows beyond the simulator.
    pub(crate) extra: Extra,
}

impl Shared {
    /// A node of idle boards at the present moment, with nothing wrong.
    pub(crate) fn new(profile: &Profile, boards: usize, seed: u64) -> Self {
        let now_ns = time::real_ns();
        let (node, time) = (Node::new(profile, boards, seed, now_ns), Time::running(now_ns));
        Self {
            node,
            time,
            hang: 0,
            slow_ns: 0,
            read_only: 0,
            failures: [[0; 2]; FAILURES_MAX],
            extra: Extra::default(),
        }
    }

    /// The code that a function was made to return.
    pub(crate) fn failure(&self, function: &str) -> Option<c_uint> {
        if self.failures.iter().all(|[known, _]| *known == 0) {
            return None;
        }
        let hash = hash(function);
        self.failures.iter().find(|[known, _]| *known == hash).map(|[_, code]| *code as c_uint)
    }

    /// Whether a function hangs.
    pub(crate) fn hung(&self, function: &str) -> bool {
        self.hang != 0 && self.hang & Group::of(function).bit() != 0
    }
}

/// A function's name as a number that is never 0 (FNV-1a).
pub(crate) fn hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        | 1
}

/// Waits until it is worth looking again.
pub(crate) fn pause() {
    time::sleep(POLL_NS);
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

impl Drop for Pointer {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this size, and whoever followed the pointer borrowed the world that ends here.
        let _ = unsafe { munmap(self.0.cast(), size_of::<Shared>()) };
    }
}

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
        let now_ns = entered.time.at(time::real_ns());
        entered.node.step_to(now_ns);
        entered
    }
}

/// The world of this process: the file that the environment names, or one of its own.
pub(crate) fn world() -> &'static World {
    WORLD.get_or_init(|| {
        let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
        let opened = match path {
            Some(path) => World::open(Path::new(&path), &sim::profile::H100, 8, 1),
            None => World::private(),
        };
        opened.unwrap_or_else(|error| panic!("the fake NVML's state cannot be mapped: {error}"))
    })
}

/// The driver that this copy of the library was made for: the one that was there when it was loaded.
static MADE_FOR: OnceLock<u64> = OnceLock::new();

/// Gives mapping and file back when the library is unloaded. At the end of a process that has not ended the library first,
/// threads may still be inside, and the kernel gives everything back.
extern "C" fn unload() {
    if STARTED.load(Ordering::SeqCst) > 0 {
        return;
    }
    if let Some(world) = WORLD.get() {
        // SAFETY: nobody calls a library that is ended and unloaded, and statics are not dropped otherwise.
        unsafe { std::ptr::drop_in_place(std::ptr::from_ref(world).cast_mut()) };
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static UNLOAD: extern "C" fn() = unload;

static WORLD: OnceLock<World> = OnceLock::new();

/// How often this process has started the library and not ended it.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Counts a start of the library.
pub(crate) fn started() {
    STARTED.fetch_add(1, Ordering::SeqCst);
}

/// Counts an end of the library; without a start there is nothing to end.
pub(crate) fn ended() -> c_uint {
    let less = |count: u32| count.checked_sub(1);
    STARTED.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).map_or(UNINITIALIZED, |_| SUCCESS)
}

/// Runs one call: waits while the driver hangs, returns the code the function was made to return, else does the work.
pub(crate) fn call(function: &str, work: impl FnOnce(&mut Shared) -> c_uint) -> c_uint {
    if STARTED.load(Ordering::SeqCst) == 0 {
        return UNINITIALIZED;
    }
    first_call(function, work)
}

/// The same for a call that may be the first one.
pub(crate) fn first_call(function: &str, work: impl FnOnce(&mut Shared) -> c_uint) -> c_uint {
    loop {
        let mut shared = world().enter();
        if shared.hung(function) {
            drop(shared);
            pause();
            continue;
        }
        let known = *MADE_FOR.get_or_init(|| shared.extra.driver) == shared.extra.driver;
        let failure = if known { shared.failure(function) } else { Some(LIB_RM_VERSION_MISMATCH) };
        let code = failure.unwrap_or_else(|| work(&mut shared));
        let slow_ns = shared.slow_ns;
        drop(shared);
        if slow_ns > 0 {
            time::sleep(slow_ns);
        }
        return code;
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
