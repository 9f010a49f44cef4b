//! The injectors' clock: the only place among them that reads time or waits for it.
use rustix::thread::{ClockId as WaitClock, clock_nanosleep_absolute};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of the monotonic clock.
pub(crate) fn mono_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // The monotonic clock starts at zero and never runs backwards.
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

/// Milliseconds since 1970, as beats are stamped.
pub(crate) fn wall_ms() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// Waits until the monotonic clock reaches `mono_ns`.
pub(crate) fn wait_until(mono_ns: u64) {
    let (seconds, rest) = (mono_ns / 1_000_000_000, mono_ns % 1_000_000_000);
    let until = Timespec { tv_sec: seconds.cast_signed(), tv_nsec: rest.cast_signed() };
    while clock_nanosleep_absolute(WaitClock::Monotonic, &until).is_err() {}
}
