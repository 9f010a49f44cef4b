//! The machine's clocks: the only place in wattkeeper that reads time or waits for it.
use model::{Clock, Timestamp};
use rustix::thread::{ClockId as WaitClock, clock_nanosleep_absolute};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::thread::JoinHandle;

/// From one look at a thread that is to end to the next, in nanoseconds.
const JOIN_STEP_NS: u64 = 2_000_000;

/// `CLOCK_MONOTONIC` and `CLOCK_REALTIME`.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let mono = clock_gettime(ClockId::Monotonic);
        let wall = clock_gettime(ClockId::Realtime);
        Timestamp { mono_ns: nanoseconds(mono), wall_ms: wall.tv_sec * 1000 + wall.tv_nsec / 1_000_000 }
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    // The monotonic clock starts at zero and never runs backwards.
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

/// Blocks the calling thread until the monotonic clock reaches `mono_ns`.
pub fn wait_until(mono_ns: u64) {
    let (seconds, rest) = (mono_ns / 1_000_000_000, mono_ns % 1_000_000_000);
    // Both parts fit: u64 nanoseconds are 584 years.
    let until = Timespec { tv_sec: seconds.cast_signed(), tv_nsec: rest.cast_signed() };
    while clock_nanosleep_absolute(WaitClock::Monotonic, &until).is_err() {}
}

/// Waits for a thread to end, no longer than until `deadline`; says whether it ended by itself and well.
pub fn join_by(thread: JoinHandle<()>, deadline: Timestamp) -> bool {
    while !thread.is_finished() {
        let now = MachineClock.now().mono_ns;
        if now >= deadline.mono_ns {
            return false;
        }
        wait_until(deadline.mono_ns.min(now + JOIN_STEP_NS));
    }
    thread.join().is_ok()
}
