//! Time: simulated time follows the machine's monotonic clock, which every process shares, unless a test holds or hurries it.
use rustix::thread::nanosleep;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Simulated time runs as fast as the machine's.
pub(crate) const AS_REAL: u64 = 1000;

/// How simulated time follows the machine's, plain old data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Time {
    /// A moment of the machine's clock, in nanoseconds.
    base_real_ns: u64,
    /// The moment of simulated time that belongs to it, in nanoseconds.
    base_ns: u64,
    /// Simulated seconds in a thousand real ones; 0 stands still.
    pace: u64,
}

impl Time {
    /// Time that runs with the machine's.
    pub(crate) fn running(real_ns: u64) -> Self {
        Self { base_real_ns: real_ns, base_ns: real_ns, pace: AS_REAL }
    }

    /// The simulated moment at a real one.
    pub(crate) fn at(&self, real_ns: u64) -> u64 {
        let passed = u128::from(real_ns.saturating_sub(self.base_real_ns)) * u128::from(self.pace) / 1000;
        self.base_ns.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// Changes the pace from now on.
    pub(crate) fn set_pace(&mut self, real_ns: u64, pace: u64) {
        *self = Self { base_real_ns: real_ns, base_ns: self.at(real_ns), pace };
    }

    /// Jumps forward.
    pub(crate) fn advance(&mut self, by_ns: u64) {
        self.base_ns = self.base_ns.saturating_add(by_ns);
    }
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    // Neither clock is ever negative.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// The machine's monotonic clock.
pub(crate) fn real_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// The machine's wall clock, in microseconds since 1970.
pub(crate) fn wall_us() -> u64 {
    nanoseconds(ClockId::Realtime) / 1000
}

/// Blocks the calling thread, as a slow driver does.
pub(crate) fn sleep(ns: u64) {
    // Both parts are far below i64::MAX.
    let (seconds, rest) = ((ns / 1_000_000_000).cast_signed(), (ns % 1_000_000_000).cast_signed());
    let _ = nanosleep(&Timespec { tv_sec: seconds, tv_nsec: rest });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_can_be_held_hurried_and_pushed_and_never_goes_back() {
        let mut time = Time::running(500);
        assert_eq!(time.at(1500), 1500);
        time.set_pace(2000, 0);
        assert_eq!((time.at(2000), time.at(9000)), (2000, 2000));
        time.advance(70);
        assert_eq!(time.at(9000), 2070);
        time.set_pace(9000, 10 * AS_REAL);
        assert_eq!((time.at(9000), time.at(9100), time.at(8000)), (2070, 3070, 2070));
    }
}
