//! `wattkeeper evaluate --power`: how policies hold a budget on simulated node-days with jobs, traffic and mishaps, side by side.
//!
//! `sim::plant` is the node → `eyes` read it → a `contender` decides → `keeper` acts → `check` and `meter` look on → `report`.
mod baselines;
pub mod check;
pub mod contender;
mod eyes;
mod house;
mod keeper;
pub mod meter;
mod orders;
pub mod report;
pub mod run;
mod site;
mod turn;

use crate::cli::Evaluate;
use crate::clock::MachineClock;
use crate::run::Failed;
use contender::Contender;
use model::Clock as _;
pub use report::Report;
use run::{DAY, Day, Terms, day};
use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Node-days after which a long run says how far it is.
const TOLD_EVERY: usize = 100;

/// Runs the days that the flags ask for, for every policy.
///
/// # Errors
/// When a policy is unknown, or the file cannot be written.
pub fn evaluate(flags: &Evaluate) -> Result<Report, Failed> {
    let known = |name: &String| Contender::ALL.iter().any(|contender| contender.as_str() == name);
    if let Some(name) = flags.policy.iter().find(|name| !known(name)) {
        let names: Vec<_> = Contender::ALL.iter().map(|contender| contender.as_str()).collect();
        return Err(
            format!("--policy {name}: there is no such policy; there are {}", names.join(", ")).into()
        );
    }
    let wanted = |contender: &Contender| {
        // Where processors have little to do there is little to turn.
        let usual = flags.policy.is_empty() && (flags.host || *contender != Contender::Host);
        usual || *contender == Contender::None || flags.policy.iter().any(|name| name == contender.as_str())
    };
    let mut tasks = Vec::new();
    for seed in flags.first_seed..flags.first_seed + u64::from(flags.days) {
        tasks.extend(Contender::ALL.into_iter().filter(wanted).map(|contender| (contender, seed)));
    }
    let terms = Terms { steps: DAY, times: flags.mishaps.max(0.0), crowded: flags.host };
    let report = measure(&tasks, flags.jobs, terms)?;
    if let Some(path) = &flags.json {
        std::fs::write(path, format!("{:#}\n", report.json()))
            .map_err(|error| format!("could not write {}: {error}", path.display()))?;
    }
    Ok(report)
}

/// Runs tasks on so many threads, or on all processors; the report's order is that of the tasks.
fn measure(tasks: &[(Contender, u64)], jobs: Option<usize>, terms: Terms) -> Result<Report, Failed> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::<(usize, f64, Day)>::new()));
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some((contender, seed)) = tasks.get(place).copied() else { return };
            let began = MachineClock.now();
            let one = day(contender, seed, terms);
            let took_s = MachineClock.now().seconds_since(began);
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            done.push((place, took_s, one));
            if done.len().is_multiple_of(TOLD_EVERY) {
                let _ = writeln!(io::stderr(), "{} of {} node-days", done.len(), tasks.len());
            }
        }
    };
    let threads =
        jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a day panicked"))
    })?;
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(place, ..)| *place);
    let took_s = done.iter().map(|(_, took_s, _)| took_s).sum();
    Ok(Report::new(done.into_iter().map(|(.., one)| one).collect(), terms, took_s))
}

#[cfg(test)]
mod tests;
