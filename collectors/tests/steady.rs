//! What a steady beat of control groups and performance counters costs: no allocation once their groups are known.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot be set up has failed")]
use collectors::{Options, Roots, host};
use model::{Batch, Collector, Timestamp};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

/// Counts the allocations of each thread, so that tests beside this one do not matter.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator unchanged; counting neither allocates nor panics. `realloc` is
// the default one, which calls `alloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: by the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: by the contract of this function.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of one hundred beats that all lie within one second, after a few to warm up.
fn allocations(source: &mut dyn Collector) -> u64 {
    let mut batch = Batch::default();
    let mut beat = |number: u64| {
        batch.begin();
        source.collect(Timestamp::default().after(Duration::from_millis(number)), &mut batch).unwrap();
        assert!(!batch.readings().is_empty(), "something is read");
    };
    (0..4).for_each(&mut beat);
    let before = COUNT.get();
    (4..104).for_each(&mut beat);
    COUNT.get() - before
}

fn options(roots: Roots) -> Options {
    Options { roots, cgroups_max: 16, ..Options::default() }
}

#[test]
fn a_steady_beat_of_control_groups_allocates_nothing() {
    for tree in ["intel-2s", "amd-2s"] {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures").join(tree);
        let mut source = host::cgroup::open(&options(Roots::below(&tree))).unwrap().unwrap();
        assert_eq!(allocations(source.as_mut()), 0, "{}", tree.display());
    }
}

#[test]
fn a_steady_beat_of_resctrl_allocates_nothing() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures/intel-2s");
    let mut source = host::resctrl::open(&options(Roots::below(&tree))).unwrap().unwrap();
    assert_eq!(allocations(source.as_mut()), 0);
}

#[test]
fn a_steady_beat_of_a_group_with_tasks_allocates_nothing() {
    let home = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let group = "sys/fs/cgroup/lab.slice/victim.service";
    write("sys/fs/cgroup/cgroup.controllers", "cpu io memory\n");
    write("proc/uptime", "10.00 1.00\n");
    for list in ["cgroup.threads", "cgroup.procs"] {
        write(&format!("{group}/{list}"), "7\n8\n");
    }
    write(&format!("{group}/io.stat"), "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n");
    for task in [7, 8] {
        write(&format!("proc/{task}/schedstat"), "1 2 3\n");
        write(&format!("proc/{task}/io"), "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\n");
    }
    let mut source = host::cgroup::open(&options(Roots::below(home.path()))).unwrap().unwrap();
    assert_eq!(allocations(source.as_mut()), 0);
}

#[test]
fn a_steady_beat_of_performance_counters_allocates_nothing() {
    match host::perf::open(&options(Roots::default())) {
        Ok(Some(mut source)) => assert_eq!(allocations(source.as_mut()), 0),
        Ok(None) => eprintln!("NOTICE: skipped, because this machine has no counters"),
        Err(error) => eprintln!("NOTICE: skipped, because counters cannot be opened here: {error}"),
    }
}

#[test]
fn the_counter_counts() {
    let before = COUNT.get();
    drop(std::hint::black_box(vec![1_u8]));
    assert!(COUNT.get() > before);
}
