//! The trial: every scorer on every machine, machines side by side on all cores.
use super::data::{DataError, Found};
use super::machine::{Dataset, Machine};
use super::metrics::{Figures, measure};
use super::scorer::{Scorer, Unable};
use crate::clock::MachineClock;
use model::Clock as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one scorer came to on one machine.
pub type Entry = (&'static str, Result<Figures, Unable>);

/// What came out of one machine.
#[derive(Debug)]
pub struct Tried {
    /// The set it belongs to.
    pub dataset: Dataset,
    /// Its name.
    pub name: String,
    /// By scorer, in the order given; or why the machine could not be read.
    pub entries: Result<Vec<Entry>, DataError>,
}

/// Runs all scorers on all machines and says on standard error what is done. The order of the machines is kept.
///
/// `scorers[0]` is the random score that the others are read against.
pub fn run(found: &[Found], scorers: &[Box<dyn Scorer>]) -> Vec<Tried> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(found.len()) {
            scope.spawn(|| {
                while let Some(machine) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tried = try_one(machine, scorers);
                    if let Ok(mut done) = done.lock() {
                        done.push(tried);
                        tell(&done, found.len());
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by(|a: &Tried, b: &Tried| (a.dataset, &a.name).cmp(&(b.dataset, &b.name)));
    done
}

fn tell(done: &[Tried], all: usize) {
    let Some(last) = done.last() else { return };
    let (count, set, name) = (done.len(), last.dataset.as_str(), &last.name);
    let mut out = std::io::stderr().lock();
    // Progress is a courtesy: a closed standard error takes nothing from the result.
    let _ = match &last.entries {
        Ok(_) => writeln!(out, "{count}/{all} {set}/{name}"),
        Err(error) => writeln!(out, "{count}/{all} {set}/{name} left out: {error}"),
    };
}

fn try_one(found: &Found, scorers: &[Box<dyn Scorer>]) -> Tried {
    let entries = found.read().map(|machine| {
        let mut random: Option<Figures> = None;
        scorers
            .iter()
            .map(|scorer| {
                let figures = judge(&machine, scorer.as_ref(), random.as_ref());
                random = random.take().or_else(|| figures.as_ref().ok().cloned());
                (scorer.name(), figures)
            })
            .collect()
    });
    Tried { dataset: found.dataset, name: found.name.clone(), entries }
}

/// Runs one scorer on one machine against the clock, and measures what it made.
pub fn judge(machine: &Machine, scorer: &dyn Scorer, random: Option<&Figures>) -> Result<Figures, Unable> {
    let begun = MachineClock.now().mono_ns;
    let run = scorer.run(machine)?;
    let seconds = (MachineClock.now().mono_ns - begun) as f64 / 1e9;
    if !run.fits(machine) {
        return Err(Unable::NotFinite);
    }
    Ok(measure(machine, &run, seconds, random))
}
