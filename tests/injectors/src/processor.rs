//! Load on processors, caches and the memory bus: work that is nothing but work.
use crate::bounds::{MEMORY_MAX, THREADS_MAX};
use crate::pace::Pace;
use std::hint::black_box;

/// Bytes of a pair of arrays for the cache: as much as the last level of a server's processor has.
const CACHE_BYTES: usize = 32 << 20;
/// Bytes of a pair of arrays for the memory bus: more than any cache holds.
const BUS_BYTES: usize = MEMORY_MAX / 2;
/// Bytes copied between two looks at the clock.
const STRIDE: usize = 256 << 10;

/// Keeps every processor busy for a share of the time, with arithmetic that needs no memory.
pub(crate) fn occupy(pace: Pace, intensity: f64) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(move || pace.share(intensity, spin));
        }
    });
}

fn spin() {
    let mut x = black_box(1_u64);
    for _ in 0..100_000 {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    black_box(x);
}

/// Copies to and fro within the last-level cache on one processor; the intensity is the share of [`CACHE_BYTES`] used.
pub(crate) fn cache(pace: Pace, intensity: f64) {
    copy(pace, (CACHE_BYTES as f64 * intensity) as usize, 1.0);
}

/// Copies to and fro through the memory bus on one processor; the intensity is the share of the time.
pub(crate) fn bandwidth(pace: Pace, intensity: f64) {
    copy(pace, BUS_BYTES, intensity);
}

fn copy(pace: Pace, bytes: usize, share: f64) {
    let half = (bytes / 2).max(STRIDE);
    let (mut from, mut to) = (vec![1_u8; half], vec![2_u8; half]);
    let mut at = 0;
    pace.share(share, || {
        let end = (at + STRIDE).min(half);
        to[at..end].copy_from_slice(&from[at..end]);
        black_box(&mut to);
        at = end;
        if at == half {
            std::mem::swap(&mut from, &mut to);
            at = 0;
        }
    });
}
