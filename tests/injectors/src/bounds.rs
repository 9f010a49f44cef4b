//! What an injector may take at most, and how the kernel is told to hold it to that.
use rustix::process::{Resource, Rlimit, setrlimit};

/// Seconds that a run lasts at most.
pub(crate) const SECONDS_MAX: u64 = 120;
/// Bytes of memory that a run fills at most.
pub(crate) const MEMORY_MAX: usize = 1 << 30;
/// Bytes that a run has on disk at most, at any time.
pub(crate) const DISK_MAX: u64 = 512 << 20;
/// Bytes that a run writes to disk at most, one over the other.
pub(crate) const WRITTEN_MAX: u64 = 32 << 30;
/// Bytes that a run sends over the loopback interface at most.
pub(crate) const SENT_MAX: u64 = 32 << 30;
/// Threads that a run has at work at most.
pub(crate) const THREADS_MAX: usize = 64;

/// Bytes of the program itself, its stacks included.
const OWN: u64 = 192 << 20;
/// Seconds after the end at which a run that hangs in the kernel is killed.
const GRACE_S: u32 = 5;

/// Has the kernel refuse what is above the bounds and end the run if it does not end itself.
pub(crate) fn enforce(seconds: u64) -> std::io::Result<()> {
    let limit = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Data, limit(MEMORY_MAX as u64 + OWN))?;
    setrlimit(Resource::Fsize, limit(DISK_MAX))?;
    setrlimit(Resource::Core, limit(0))?;
    // SAFETY: alarm takes a plain number and touches no memory of ours; nothing here handles SIGALRM, so it ends the run.
    unsafe { libc::alarm(seconds.min(SECONDS_MAX) as u32 + GRACE_S) };
    Ok(())
}
