//! What was heard twice: an XID reaches us from the driver's own events and from the kernel's log, and is one error.
use crate::clock::Timestamp;
use crate::device::DeviceId;

/// Seconds within which driver and log speak of the same error. Ours: both are written by one interrupt handler, and each is read
/// once a beat.
const WINDOW_S: f64 = 5.0;
/// Errors remembered at most; in a storm of more the oldest are forgotten and may count twice.
const ERRORS_MAX: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Error {
    device: DeviceId,
    code: u32,
    logged: bool,
    at: Timestamp,
}

/// The latest errors, each until the other side has spoken of it too.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    errors: Vec<Error>,
}

impl Heard {
    /// Whether the other side has told of this error already: each telling of one answers one of the other, so that an
    /// error that happens three times counts three times. `logged`: the kernel's log tells of it, not the driver.
    pub(crate) fn twice(&mut self, (device, code): (DeviceId, u32), logged: bool, now: Timestamp) -> bool {
        self.errors.retain(|error| now.seconds_since(error.at) <= WINDOW_S);
        let same = |e: &Error| e.device == device && e.code == code && e.logged != logged;
        if let Some(place) = self.errors.iter().position(same) {
            self.errors.remove(place);
            return true;
        }
        if self.errors.len() >= ERRORS_MAX {
            self.errors.remove(0);
        }
        self.errors.push(Error { device, code, logged, at: now });
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn second(n: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(n))
    }

    #[test]
    fn what_driver_and_log_both_tell_counts_once_and_what_one_repeats_counts_again() {
        let (gpu, mut heard) = ((DeviceId(3), 79), Heard::default());
        assert!(!heard.twice(gpu, false, second(10)), "the driver tells of it");
        assert!(heard.twice(gpu, true, second(12)), "the log tells of the same");
        assert!(!heard.twice(gpu, true, second(12)), "the log tells of another");
        assert!(!heard.twice(gpu, true, second(13)), "and another");
        assert!(heard.twice(gpu, false, second(13)) && heard.twice(gpu, false, second(13)));
    }

    #[test]
    fn other_devices_other_codes_and_other_times_are_other_errors() {
        let mut heard = Heard::default();
        assert!(!heard.twice((DeviceId(3), 79), false, second(10)));
        assert!(!heard.twice((DeviceId(4), 79), true, second(10)));
        assert!(!heard.twice((DeviceId(3), 48), true, second(10)));
        assert!(!heard.twice((DeviceId(3), 79), true, second(16)));
    }

    #[test]
    fn a_storm_is_remembered_in_part() {
        let mut heard = Heard::default();
        for code in 0..1000 {
            assert!(!heard.twice((DeviceId(0), code), false, second(1)));
        }
        assert_eq!(heard.errors.len(), ERRORS_MAX);
        assert!(heard.twice((DeviceId(0), 999), true, second(1)));
    }
}
