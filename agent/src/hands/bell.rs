//! The bell: wakes whoever has given out errands once all of them are answered, and not for each.
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
struct State {
    /// The errands that were given out together last.
    volley: u64,
    /// How many of them are not answered.
    left: usize,
}

/// Rung by hands, waited for by their owner.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a volley of so many errands and gives its number. Answers to earlier ones count no more.
    pub(super) fn begin(&self, errands: usize) -> u64 {
        let mut state = self.lock();
        (state.volley, state.left) = (state.volley + 1, errands);
        state.volley
    }

    /// Says that an errand is answered, or was never given out.
    pub(super) fn ring(&self, volley: u64) {
        let mut state = self.lock();
        if state.volley == volley && state.left > 0 {
            state.left -= 1;
            if state.left == 0 {
                self.rung.notify_one();
            }
        }
    }

    /// Waits until every errand of the volley is answered, no longer than the patience.
    pub(super) fn wait(&self, patience: Duration) {
        let waiting = |state: &mut State| state.left > 0;
        drop(self.rung.wait_timeout_while(self.lock(), patience, waiting));
    }
}
