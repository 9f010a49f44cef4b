//! What the probe needs of the machine: two clocks, and a place on a processor.
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::io;

/// A machine on which the calling thread is moved about and timed.
pub(super) trait Machine: Send {
    /// Takes note of where the thread may run. Called before any [`Machine::pin`] of a beat.
    fn begin(&mut self);

    /// Whether the thread may run on a processor: an operator who keeps the agent off some means it.
    fn is_allowed(&self, cpu: usize) -> bool;

    /// Moves the thread to a processor; it runs there when this returns.
    ///
    /// # Errors
    /// When the kernel refuses, as for a processor outside the cpuset.
    fn pin(&mut self, cpu: usize) -> io::Result<()>;

    /// Lets the thread run wherever it could before.
    fn unpin(&mut self);

    /// Time that passes, in nanoseconds.
    fn wall_ns(&mut self) -> u64;

    /// Processor time of the thread, in nanoseconds: what others ran meanwhile is not in it.
    fn cpu_ns(&mut self) -> u64;
}

/// This machine, and the thread that calls.
#[derive(Default)]
pub(super) struct This {
    /// Where the thread may run; none where the kernel does not say.
    home: Option<CpuSet>,
}

impl Machine for This {
    fn begin(&mut self) {
        self.home = sched_getaffinity(None).ok();
    }

    fn is_allowed(&self, cpu: usize) -> bool {
        cpu < CpuSet::MAX_CPU && self.home.is_some_and(|home| home.is_set(cpu))
    }

    fn pin(&mut self, cpu: usize) -> io::Result<()> {
        let mut only = CpuSet::new();
        only.set(cpu);
        Ok(sched_setaffinity(None, &only)?)
    }

    fn unpin(&mut self) {
        // What could be set before can be set again; a cpuset that changed meanwhile has moved the thread already.
        if let Some(home) = &self.home {
            let _ = sched_setaffinity(None, home);
        }
    }

    fn wall_ns(&mut self) -> u64 {
        nanoseconds(ClockId::Monotonic)
    }

    fn cpu_ns(&mut self) -> u64 {
        nanoseconds(ClockId::ThreadCPUTime)
    }
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Both clocks start at zero and never run backwards.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
