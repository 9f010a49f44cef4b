//! The call account: which driver call a source is in right now, and how many it has made.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Written by the source around each call, read by whoever waits for it. Clones share one account.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Account>);

#[derive(Debug, Default)]
struct Account {
    /// Held for the time of a copy only, so that a reader never waits for a driver.
    present: Mutex<Option<&'static str>>,
    made: AtomicU64,
}

impl Calls {
    /// Makes a call and accounts for it.
    pub fn during<T>(&self, call: &'static str, work: impl FnOnce() -> T) -> T {
        self.0.made.fetch_add(1, Ordering::Relaxed);
        let before = self.swap(Some(call));
        let done = work();
        self.swap(before);
        done
    }

    /// Says that a call is under way, or none, until told otherwise: how a simulated driver hangs in one.
    pub fn pin(&self, call: Option<&'static str>) {
        self.swap(call);
    }

    /// The call that is under way, as the vendor names it.
    pub fn present(&self) -> Option<&'static str> {
        *self.0.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls made since the account was opened.
    pub fn made(&self) -> u64 {
        self.0.made.load(Ordering::Relaxed)
    }

    fn swap(&self, call: Option<&'static str>) -> Option<&'static str> {
        std::mem::replace(&mut *self.0.present.lock().unwrap_or_else(PoisonError::into_inner), call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_call_is_seen_by_others_and_ends_with_it() {
        let calls = Calls::default();
        let other = calls.clone();
        calls.during("nvmlInit_v2", || {
            assert_eq!(other.present(), Some("nvmlInit_v2"));
            calls.during("nvmlDeviceGetCount_v2", || {
                assert_eq!(other.present(), Some("nvmlDeviceGetCount_v2"))
            });
            assert_eq!(other.present(), Some("nvmlInit_v2"));
        });
        assert_eq!((other.present(), other.made()), (None, 2));
    }
}
