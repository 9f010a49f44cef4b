//! What the runs came to, as a table and as JSON.
use super::Done;
use super::case::{CASES, Case, Shows};
use super::run::{Healthy, Told, Trial};
use model::{FaultKind, Severity};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The figures of one fault.
#[derive(Debug)]
pub struct Row {
    /// The fault.
    pub case: &'static Case,
    /// How often it was injected.
    pub trials: usize,
    /// How often it was told of the right device under a right name; of what is no fault, how often it was told of at all.
    pub detected: usize,
    /// How often the worst event was then on the right device.
    pub first: usize,
    /// Delays in seconds, in order.
    pub delays: Vec<u64>,
    /// How many trials raised events of each kind.
    pub kinds: BTreeMap<FaultKind, usize>,
    /// Seeds in which it was missed.
    pub missed: Vec<u64>,
}

impl Row {
    fn quantile(&self, share: f64) -> Option<u64> {
        let last = self.delays.len().checked_sub(1)?;
        self.delays.get((last as f64 * share).round() as usize).copied()
    }

    /// The median delay in seconds.
    pub fn median(&self) -> Option<u64> {
        self.quantile(0.5)
    }

    /// The delay in seconds within which 95 % were told.
    pub fn p95(&self) -> Option<u64> {
        self.quantile(0.95)
    }
}

/// False episodes over healthy time.
#[derive(Debug, Default)]
pub struct Quiet {
    /// Healthy seconds.
    pub seconds: u64,
    /// Episodes by kind and severity.
    pub episodes: BTreeMap<(FaultKind, Severity), u64>,
    /// The first of them, with their seeds.
    pub told: Vec<(u64, Told)>,
}

impl Quiet {
    fn take(&mut self, seed: u64, seconds: u64, told: &[Told]) {
        self.seconds += seconds;
        for one in told {
            *self.episodes.entry((one.fault, one.severity)).or_default() += 1;
            self.told.push((seed, one.clone()));
        }
    }

    fn days(&self) -> f64 {
        self.seconds as f64 / 86_400.0
    }
}

/// The whole.
#[derive(Debug)]
pub struct Report {
    /// A row a fault.
    pub rows: Vec<Row>,
    /// The healthy runs.
    pub healthy: Quiet,
    /// The healthy time before faults.
    pub lead: Quiet,
}

/// The 95 % interval of a Poisson count (Garwood, by Wilson and Hilferty's approximation of chi-square); none seen bounds it at 3.
fn poisson(count: f64) -> (f64, f64) {
    let quantile = |degrees: f64, z: f64| {
        let share = 2.0 / (9.0 * degrees);
        0.5 * degrees * (1.0 - share + z * share.sqrt()).powi(3)
    };
    if count == 0.0 {
        return (0.0, 3.0);
    }
    (quantile(2.0 * count, -1.96), quantile(2.0 * count + 2.0, 1.96))
}

impl Report {
    pub(super) fn new(done: &[Done]) -> Self {
        let (mut healthy, mut lead) = (Quiet::default(), Quiet::default());
        let mut trials: BTreeMap<&str, Vec<&Trial>> = BTreeMap::new();
        for one in done {
            match one {
                Done::Fault(case, trial) => {
                    trials.entry(case.name).or_default().push(trial);
                    lead.take(trial.seed, trial.healthy_s, &trial.before);
                }
                Done::Healthy(Healthy { seed, seconds, told }) => healthy.take(*seed, *seconds, told),
            }
        }
        let rows = CASES.iter().filter_map(|case| Some(row(case, trials.get(case.name)?))).collect();
        Self { rows, healthy, lead }
    }

    /// The tables.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "fault           shows      trials  found  first  median   p95  events in trials (times in s; what shows never must not be found)\n",
        );
        for row in &self.rows {
            let shows = match row.case.shows {
                Shows::AtOnce => "at once",
                Shows::OverTime => "over time",
                Shows::ToNoRule => "to no rule",
                Shows::Never => "never",
            };
            let kinds: Vec<_> = row.kinds.iter().map(|(kind, n)| format!("{} {n}", kind.as_str())).collect();
            let beats = |beats: Option<u64>| beats.map_or("-".to_owned(), |beats| beats.to_string());
            let never = row.case.shows == Shows::Never;
            let missed = if never || row.missed.is_empty() || row.missed.len() == row.trials {
                String::new()
            } else {
                format!("; missed by seeds {:?}", row.missed)
            };
            let _ = writeln!(
                text,
                "{:<15} {shows:<10} {:>6} {:>6} {:>6} {:>7} {:>5}  {}{missed}",
                row.case.name,
                row.trials,
                row.detected,
                row.first,
                beats(row.median()),
                beats(row.p95()),
                kinds.join(", "),
            );
        }
        for (name, quiet) in [("healthy runs", &self.healthy), ("before faults", &self.lead)] {
            text.push_str(&quiet_text(name, quiet));
        }
        text
    }

    /// The same as one object.
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "trials": row.trials, "found": row.detected, "right_device_first": row.first,
                "delay_beats_median": row.median(), "delay_beats_p95": row.p95(),
                "events": row.kinds.iter().map(|(kind, n)| (kind.as_str().to_owned(), json!(n))).collect::<serde_json::Map<_, _>>(),
                "missed_seeds": row.missed,
            })
        };
        let quiet = |quiet: &Quiet| {
            let count: u64 = quiet.episodes.values().sum();
            let (low, high) = poisson(count as f64);
            let days = quiet.days().max(f64::MIN_POSITIVE);
            let kinds = quiet.episodes.iter().map(|((kind, severity), n)| {
                json!({"fault": kind.as_str(), "severity": severity.as_str(), "episodes": n})
            });
            json!({
                "node_hours": quiet.days() * 24.0, "episodes": count, "a_day": count as f64 / days,
                "a_day_95": [low / days, high / days], "by_kind": kinds.collect::<Vec<_>>(),
            })
        };
        let rows = self.rows.iter().map(|one| (one.case.name.to_owned(), row(one)));
        json!({
            "faults": rows.collect::<serde_json::Map<_, _>>(),
            "healthy": quiet(&self.healthy), "before_faults": quiet(&self.lead),
        })
    }
}

fn quiet_text(name: &str, quiet: &Quiet) -> String {
    let mut text = String::new();
    if quiet.seconds == 0 {
        return text;
    }
    let (count, days) = (quiet.episodes.values().sum::<u64>(), quiet.days());
    let (low, high) = poisson(count as f64);
    let _ = writeln!(
        text,
        "{name}: {:.1} node-hours, {count} false episodes, {:.3} a node-day (95 %: {:.3} to {:.3})",
        days * 24.0,
        count as f64 / days,
        low / days,
        high / days
    );
    for ((kind, severity), count) in &quiet.episodes {
        let _ = writeln!(text, "  {count} {} ({})", kind.as_str(), severity.as_str());
    }
    for (seed, told) in quiet.told.iter().take(20) {
        let (fault, severity) = (told.fault.as_str(), told.severity.as_str());
        let _ = writeln!(text, "  seed {seed} at {} s: {fault} on {} ({severity})", told.at_s, told.device);
    }
    text
}

fn row(case: &'static Case, trials: &[&Trial]) -> Row {
    let mut delays: Vec<u64> = trials.iter().filter_map(|trial| trial.delay).collect();
    delays.sort_unstable();
    let mut kinds = BTreeMap::new();
    for trial in trials {
        let mut seen: Vec<FaultKind> = trial.told.iter().map(|told| told.fault).collect();
        seen.sort_unstable();
        seen.dedup();
        seen.into_iter().for_each(|kind| *kinds.entry(kind).or_default() += 1);
    }
    let missed = trials.iter().filter(|trial| trial.delay.is_none()).map(|trial| trial.seed).collect();
    Row {
        case,
        trials: trials.len(),
        detected: delays.len(),
        first: trials.iter().filter(|trial| trial.first).count(),
        delays,
        kinds,
        missed,
    }
}
