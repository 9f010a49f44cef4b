//! `wattkeeper evaluate --simulated`: every detector over faults of the simulator and over healthy hours, as they run in the agent.
mod case;
mod day;
mod report;
mod run;

use crate::cli::Evaluate;
use crate::run::Failed;
pub use case::{CASES, Case};
pub use report::Report;
use run::{Healthy, Trial};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The length of one healthy run, in hours: the residual judges only from the sixth hour on, so a short run flatters it.
const RUN_H: f64 = 50.0;

/// One thing to run.
#[derive(Debug, Clone, Copy)]
enum Task {
    Fault(&'static Case, u64),
    Healthy(u64, f64),
}

/// What came of it.
#[derive(Debug)]
enum Done {
    Fault(&'static Case, Trial),
    Healthy(Healthy),
}

/// Runs what the flags ask for on all processors.
///
/// # Errors
/// When a fault is unknown, a run cannot be set up, or the file cannot be written.
pub fn evaluate(flags: &Evaluate) -> Result<Report, Failed> {
    let mut tasks = Vec::new();
    for name in &flags.fault {
        CASES.iter().find(|case| case.name == *name).ok_or_else(|| format!("there is no fault {name}"))?;
    }
    let seeds = flags.first_seed..flags.first_seed + u64::from(flags.seeds);
    let wanted = |case: &&Case| flags.fault.is_empty() || flags.fault.iter().any(|name| name == case.name);
    for case in CASES.iter().filter(wanted) {
        tasks.extend(seeds.clone().map(|seed| Task::Fault(case, seed)));
    }
    let (mut left_h, mut seed) = (flags.hours.max(0.0), flags.first_seed);
    while left_h > 0.0 {
        // Healthy runs are other ones than those that faults are put into.
        tasks.push(Task::Healthy(10_000 + seed, left_h.min(RUN_H)));
        (left_h, seed) = (left_h - RUN_H, seed + 1);
    }
    let done = run_all(&tasks, flags)?;
    let report = Report::new(&done);
    if let Some(path) = &flags.json {
        std::fs::write(path, format!("{:#}\n", report.json()))
            .map_err(|error| format!("could not write {}: {error}", path.display()))?;
    }
    Ok(report)
}

/// Runs tasks on all processors; the order of what is done is that of the tasks.
fn run_all(tasks: &[Task], flags: &Evaluate) -> Result<Vec<Done>, Failed> {
    let without = &flags.without;
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), String> {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(place) else { return Ok(()) };
            let one = match *task {
                Task::Fault(case, seed) => {
                    let beaten = case.at(flags.beat.unwrap_or(case.beat_s));
                    run::trial(&beaten, seed, without).map(|trial| Done::Fault(case, trial))
                }
                Task::Healthy(seed, hours) => {
                    let beat_s = flags.beat.unwrap_or(1);
                    run::healthy(seed, (hours, beat_s), without).map(Done::Healthy)
                }
            };
            let one = one.map_err(|error| error.to_string())?;
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((place, one));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Err("a run panicked".to_owned())))
    })?;
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, one)| one).collect())
}

#[cfg(test)]
mod tests;
