//! A clock that is moved by hand, for rigs whose time does not pass by itself.
use model::{Clock, Timestamp};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The simulator's or the recording's time.
#[derive(Debug)]
pub struct SteppedClock(Mutex<Timestamp>);

impl SteppedClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves the clock on and gives the new time.
    pub fn advance(&self, step: Duration) -> Timestamp {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.after(step);
        *now
    }

    /// Moves the clock to a later moment; an earlier one is ignored.
    pub fn reach(&self, moment: Timestamp) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (*now).max(moment);
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
