//! A memory leak: pages that are filled, bit by bit, and never given back while the run lasts.
use crate::bounds::MEMORY_MAX;
use crate::clock::{mono_ns, wait_until};
use crate::pace::Pace;

/// Bytes leaked at a time.
const STEP: usize = 4 << 20;
/// Nanoseconds from one step to the next at the earliest.
const TICK_NS: u64 = 50_000_000;

/// Leaks evenly over the run; the intensity is the share of [`MEMORY_MAX`] that is gone at its end.
pub(crate) fn leak(pace: Pace, intensity: f64) -> u64 {
    let most = MEMORY_MAX as f64 * intensity;
    let mut held: Vec<Vec<u8>> = Vec::new();
    while pace.goes_on() {
        let due = (most * pace.passed()) as usize / STEP;
        while held.len() < due {
            // Ones, since pages of zeros need not exist.
            held.push(vec![1; STEP]);
        }
        wait_until(mono_ns() + TICK_NS);
    }
    (held.len() * STEP) as u64
}
