//! Measures the probe on this machine: what it costs, how much its readings vary while nobody is in the way, and what they do
//! beside work that wants the cache or the way to memory.
//!
//! Collectors are to be built as they ship, and the machine is to be quiet:
//! `cargo test -p collectors --lib --config 'profile.dev.package.collectors.opt-level=3' -- --ignored --nocapture probe_costs`
use super::*;
use std::hint::black_box;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

/// What the antagonist does.
const STEPS: [&str; 3] = ["quiet", "cache", "bandwidth"];
/// Beats of each step. The chase comes round after 64 beats: what a step finds in its second half it has left there itself.
const BEATS: usize = 128;
/// Rounds through the steps.
const ROUNDS: usize = 2;
/// From beat to beat, in nanoseconds.
const BEAT_NS: i64 = 250_000_000;
/// Bytes that the antagonist of the cache writes over, and of each buffer of that of memory: as the lab's.
const BYTES: usize = 32 << 20;

/// What the beats of a step found.
#[derive(Default)]
struct Found {
    latencies: Vec<f64>,
    copies: Vec<f64>,
    costs: Vec<f64>,
    missed: usize,
}

/// Presses as it is told, on the machine's last processor, until told 255.
fn press(what: &AtomicU8, cpu: usize) {
    let mut only = rustix::thread::CpuSet::new();
    only.set(cpu);
    rustix::thread::sched_setaffinity(None, &only).unwrap();
    let (mut from, mut to) = (vec![1_u64; BYTES / 8], vec![2_u64; BYTES / 8]);
    let mut place = 0;
    loop {
        match what.load(Ordering::Relaxed) {
            0 => wait(10_000_000),
            1 => {
                for _ in 0..100_000 {
                    place = (place + 8 * 40_503) % from.len();
                    from[place] = from[place].wrapping_add(1);
                }
                black_box(&mut from);
            }
            2 => {
                to.copy_from_slice(&from);
                black_box(&mut to);
                std::mem::swap(&mut from, &mut to);
            }
            _ => return,
        }
    }
}

fn wait(ns: i64) {
    let time = rustix::time::Timespec { tv_sec: 0, tv_nsec: ns };
    let _ = rustix::thread::nanosleep(&time);
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted.get(((sorted.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}

fn told(name: &str, scale: f64, values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share| quantile(values, share) * scale;
    format!("{name} {:.1} ({:.1} to {:.1})", at(0.5), at(0.1), at(0.9))
}

/// One beat into what its step found.
fn beat(probe: &mut dyn Collector, batch: &mut Batch, spent_s: &mut f64, found: &mut Found) {
    batch.begin();
    probe.collect(Timestamp::default(), batch).unwrap();
    let get = |metric| {
        let mut of_it = batch.readings().iter().filter(|reading| reading.metric == metric);
        of_it.next().and_then(|reading| reading.reading.value())
    };
    let spent = get(Metric::ProbeSeconds).unwrap();
    found.costs.push(spent - *spent_s);
    *spent_s = spent;
    match get(Metric::ProbeLatency).zip(get(Metric::ProbeCopy)) {
        Some((latency, copy)) => {
            found.latencies.push(latency);
            found.copies.push(copy);
        }
        None => found.missed += 1,
    }
}

/// What a run costs, without asking whether the processor is idle: where it is not, runs that lost it are not counted.
#[test]
#[ignore = "measures"]
fn what_a_run_of_the_probe_costs() {
    let (mut machine, mut work) = (This::default(), Work::new());
    let [mut costs, mut walls, mut latencies, mut copies] = [const { Vec::new() }; 4];
    let mut lost = 0;
    for _ in 0..400 {
        let (cpu_ns, begin_ns) = (machine.cpu_ns(), machine.wall_ns());
        machine.begin();
        machine.pin(0).unwrap();
        let sample = work.run(&mut machine);
        machine.unpin();
        let (cpu_ns, wall_ns) = (machine.cpu_ns() - cpu_ns, machine.wall_ns() - begin_ns);
        match sample {
            Some(sample) => {
                costs.push(cpu_ns as f64);
                walls.push(wall_ns as f64);
                latencies.push(sample.latency_s);
                copies.push(sample.copy_bytes_per_s);
            }
            None => lost += 1,
        }
        wait(20_000_000);
    }
    eprintln!(
        "{}; {}; {}; {}; {lost} runs lost; load {}",
        told("processor time us", 1e-3, &mut costs),
        told("passed us", 1e-3, &mut walls),
        told("latency ns", 1e9, &mut latencies),
        told("copy GB/s", 1e-9, &mut copies),
        fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
    );
}

#[test]
#[ignore = "measures for three minutes"]
fn what_the_probe_costs_and_what_it_sees() {
    let mut probe = open(&Options { probe: true, ..Options::default() }).unwrap().unwrap();
    let (what, mut batch, mut spent_s) = (AtomicU8::new(0), Batch::default(), 0.0);
    let load = || fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let last = thread::available_parallelism().unwrap().get() - 1;
    eprintln!("load before {}", load().trim());
    thread::scope(|scope| {
        scope.spawn(|| press(&what, last));
        for round in 0..ROUNDS {
            for (step, name) in STEPS.iter().enumerate() {
                what.store(step as u8, Ordering::Relaxed);
                wait(900_000_000);
                let mut found = Found::default();
                for _ in 0..BEATS {
                    beat(probe.as_mut(), &mut batch, &mut spent_s, &mut found);
                    wait(BEAT_NS);
                }
                eprintln!(
                    "round {round} {name}: {}; {}; {}; {} of {BEATS} beats without a sample; load {}",
                    told("latency ns", 1e9, &mut found.latencies),
                    told("copy GB/s", 1e-9, &mut found.copies),
                    told("own processor time us", 1e6, &mut found.costs),
                    found.missed,
                    load().split(' ').next().unwrap_or("?"),
                );
            }
        }
        what.store(255, Ordering::Relaxed);
    });
}
