//! Pushes of the hardware metrics of OpenTelemetry (`hw.*`) to a collector, as OTLP over HTTP with protobuf.
//!
//! A push is made of the last published snapshot, on the main thread's own runtime: neither the beat nor the server waits
//! for a collector. What cannot be sent waits in a short queue; the oldest is dropped first, and counted.
mod client;
mod compose;
mod instruments;
mod push;

pub use client::{Client, PushError};
pub use compose::Composer;
pub use push::{Push, Pushing};

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Pushes by what became of them, since the start.
#[derive(Debug, Default)]
pub struct Tally {
    ok: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Tally {
    /// The counts by the label of the outcome.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let all = [("ok", &self.ok), ("failed", &self.failed), ("dropped", &self.dropped)];
        all.map(|(outcome, count)| (outcome.to_owned(), count.load(Relaxed))).into()
    }

    fn add(count: &AtomicU64) {
        count.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
