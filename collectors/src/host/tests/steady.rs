//! What a steady beat costs: the sources of the host's own files allocate nothing once they know their devices.
use super::{capture, options};
use crate::{BUILT_IN, Roots};
use model::{Batch, Collector, Timestamp};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

/// Counts the allocations of each thread, so that tests beside this one do not matter.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is handed to the system's allocator unchanged; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: by the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: by the contract of this function.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: by the contract of this function.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The sources under test; control groups and performance counters have their own.
const SOURCES: [&str; 9] =
    ["cpu", "memory", "pressure", "disk", "network", "infiniband", "thermal", "rapl", "edac"];

fn sources(roots: &Roots) -> Vec<(Box<dyn Collector>, Batch)> {
    let options = options(roots.clone());
    let entries = BUILT_IN.iter().filter(|entry| SOURCES.contains(&entry.name));
    entries.filter_map(|entry| Some(((entry.open)(&options).ok()??, Batch::default()))).collect()
}

fn beats(source: &mut dyn Collector, batch: &mut Batch, count: u64) {
    for second in 0..count {
        batch.begin();
        source.collect(Timestamp::default().after(Duration::from_secs(second)), batch).unwrap();
    }
}

#[test]
fn a_steady_beat_of_the_host_allocates_nothing() {
    for tree in ["intel-2s", "amd-2s"] {
        let mut sources = sources(&Roots::below(&capture(tree)));
        assert!(sources.len() >= 8, "{tree} has sources");
        for (source, batch) in &mut sources {
            beats(source.as_mut(), batch, 4);
            let before = COUNT.get();
            beats(source.as_mut(), batch, 100);
            assert_eq!(COUNT.get() - before, 0, "allocations of {} on {tree} in 100 beats", source.name());
            assert!(!batch.readings().is_empty(), "{} read something", source.name());
        }
    }
}

#[test]
fn the_counter_counts() {
    let before = COUNT.get();
    drop(std::hint::black_box(vec![1_u8]));
    assert!(COUNT.get() > before);
}
