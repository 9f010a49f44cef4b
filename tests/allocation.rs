//! Allocations of a beat: none in observe and decide, few and bounded in collect.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use agent::config::{Override, load};
use agent::engine::build;
use agent::rig::{Assembly, Pace, assemble, idle};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts allocations of the whole process.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
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

fn counted(work: impl FnOnce()) -> u64 {
    let before = COUNT.load(Ordering::Relaxed);
    work();
    COUNT.load(Ordering::Relaxed) - before
}

fn overrides(list: &[(&str, &str)]) -> Vec<Override> {
    let set = |(key, value): &(&str, &str)| Override {
        origin: "test".into(),
        key: (*key).into(),
        value: (*value).into(),
    };
    list.iter().map(set).collect()
}

fn config(list: &[(&str, &str)]) -> agent::config::Config {
    load(None, &overrides(list)).unwrap()
}

/// One test, since the count is of the whole process.
#[test]
fn a_steady_beat_allocates_nothing_in_observe_and_decide_and_little_in_collect() {
    simulated();
    hardware();
}

fn simulated() {
    let config = config(&[("rig.kind", "sim"), ("power.budget", "6 kW"), ("history.span", "2min")]);
    let assembly: Assembly = idle(&config);
    let (clock, node) = (assembly.clock.clone(), assembly.sim.clone().unwrap());
    let Pace::Stepped(steps) = assembly.pace.clone() else { panic!("the simulator has its own time") };
    for board in 0..8 {
        node.lock().set_workload(board, sim::Workload::Training);
    }
    let mut beat = build(&config, assembly).unwrap();
    let (mut think, mut collect) = (0, 0);
    for number in 0..600 {
        let now = clock.now();
        let in_collect = counted(|| beat.collect(now));
        let in_think = counted(|| beat.think());
        beat.fit();
        if number >= 500 {
            think += in_think;
            collect += in_collect;
        }
        beat.govern().tick(now);
        steps.advance(Duration::from_secs(1));
    }
    assert_eq!(think, 0, "allocations of observe and decide in 100 beats");
    assert!(collect <= 100, "{collect} allocations of collect in 100 beats of the simulator");
}

fn hardware() {
    let library = format!("[\"nvml={}\"]", tests::fake_library().display());
    let config = config(&[("collectors.libraries", &library), ("power.budget", "6 kW")]);
    let assembly = assemble(&config).unwrap();
    let clock = assembly.clock.clone();
    let mut beat = build(&config, assembly).unwrap();
    let mut collect = Vec::new();
    for _ in 0..30 {
        let now = clock.now();
        collect.push(counted(|| beat.collect(now)));
        beat.think();
        agent::clock::wait_until(now.after(Duration::from_millis(20)).mono_ns);
    }
    collect.sort_unstable();
    let median = collect[collect.len() / 2];
    // Two process lists a board are the wrapper's own vectors; the rest is kept.
    assert!(
        median <= 40,
        "{median} allocations in the median beat of this host and eight boards: {collect:?}"
    );
}
