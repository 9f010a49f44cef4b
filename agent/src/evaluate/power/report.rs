//! The table of policies, side by side.
use super::check::{Breach, Broken};
use super::contender::Contender;
use super::meter::SETTLING_S;
use super::run::{DAY, Day, Terms};
use serde_json::{Value, json};
use sim::plant::Work;
use sim::plant::host::Chores;
use sim::plant::mishap::{Mishap, RATES};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Seeds that are named where something went wrong.
const NAMED_MAX: usize = 12;
/// Classes of priority, in the order of the table, with their place in [`Day::work`].
const CLASSES: [(&str, usize); 3] = [("high", 2), ("normal", 1), ("low", 0)];

/// The stages of the policy, in the order of [`Day::stages`].
const STAGES: [&str; 4] = ["free", "low trimmed", "all trimmed", "braked"];

/// Lost work of one class, as a share of what the same days did without a policy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Loss {
    /// Over all days together.
    pub mean: f64,
    /// The worst day's.
    pub worst: f64,
    /// How much slower work ran while there was some, over all days: what somebody who waits for an answer sees.
    pub slower: f64,
}

/// The figures of one policy.
#[derive(Debug)]
pub struct Row {
    /// Whose.
    pub contender: Contender,
    /// Node-days.
    pub days: f64,
    /// Times the breaker tripped.
    pub trips: u64,
    /// Seconds above the budget.
    pub over_s: f64,
    /// Seconds above 105 % beyond the settling time.
    pub far_s: f64,
    /// The longest time at a stretch above 105 %, in seconds.
    pub longest_s: f64,
    /// The highest power, as a share of the budget.
    pub worst: f64,
    /// The hottest breaker, 0 to 1.
    pub hottest: f64,
    /// Lost work: high, normal, low. `None` without the days of no policy.
    pub loss: Option<[Loss; 3]>,
    /// Work of the processors that was not done: what can wait, and what feeds the boards.
    pub chores: [f64; 2],
    /// Times everything was brought to its floor.
    pub brakes: u64,
    /// Beats on which something was loosened.
    pub loosenings: u64,
    /// Originals that did not come back.
    pub lost: u64,
    /// Breaches of invariants, by kind.
    pub breaches: [u64; Breach::ALL.len()],
}

/// The whole.
#[derive(Debug)]
pub struct Report {
    /// A row a policy.
    pub rows: Vec<Row>,
    /// The days.
    pub days: Vec<Day>,
    terms: Terms,
    took_s: f64,
}

fn row(contender: Contender, days: &[&Day], free: &BTreeMap<u64, &Day>) -> Row {
    let sum = |of: fn(&Day) -> f64| days.iter().map(|day| of(day)).sum::<f64>();
    let most = |of: fn(&Day) -> f64| days.iter().map(|day| of(day)).fold(0.0, f64::max);
    let count = |of: fn(&Day) -> u64| days.iter().map(|day| of(day)).sum::<u64>();
    Row {
        contender,
        days: sum(|day| day.steps as f64) / DAY as f64,
        trips: count(|day| day.meter.trips),
        over_s: sum(|day| day.meter.over_s),
        far_s: sum(|day| day.meter.far_s),
        longest_s: most(|day| day.meter.longest_s),
        worst: most(|day| day.meter.worst),
        hottest: most(|day| day.meter.hottest),
        loss: (!free.is_empty()).then(|| CLASSES.map(|(_, class)| loss(class, days, free))),
        chores: std::array::from_fn(|kind| {
            let sum = |of: fn(&Chores) -> f64| days.iter().map(|day| of(&day.chores[kind])).sum::<f64>();
            1.0 - sum(|chores| chores.done_s) / sum(|chores| chores.wanted_s).max(f64::MIN_POSITIVE)
        }),
        brakes: count(|day| day.brakes),
        loosenings: count(|day| day.loosenings),
        lost: count(|day| day.lost),
        breaches: std::array::from_fn(|kind| days.iter().map(|day| day.breaches[kind]).sum()),
    }
}

fn loss(class: usize, days: &[&Day], free: &BTreeMap<u64, &Day>) -> Loss {
    let (mut own, mut whole, mut worst) = (Work::default(), Work::default(), 0.0_f64);
    for day in days {
        let Some(other) = free.get(&day.seed) else { continue };
        for (sum, work) in [(&mut own, day.work[class]), (&mut whole, other.work[class])] {
            sum.done_s += work.done_s;
            sum.busy_s += work.busy_s;
            sum.run_s += work.run_s;
        }
        if other.work[class].done_s > 0.0 {
            worst = worst.max(1.0 - day.work[class].done_s / other.work[class].done_s);
        }
    }
    if whole.done_s <= 0.0 || own.busy_s <= 0.0 {
        return Loss::default();
    }
    let slower = 1.0 - (own.run_s / own.busy_s) / (whole.run_s / whole.busy_s);
    Loss { mean: 1.0 - own.done_s / whole.done_s, worst, slower }
}

impl Report {
    /// Of days that took `took_s` seconds in all.
    pub(super) fn new(days: Vec<Day>, terms: Terms, took_s: f64) -> Self {
        let free = days.iter().filter(|day| day.contender == Contender::None);
        let free: BTreeMap<u64, &Day> = free.map(|day| (day.seed, day)).collect();
        let of = |contender: Contender| days.iter().filter(move |day| day.contender == contender);
        let rows = Contender::ALL.into_iter().filter_map(|contender| {
            let own: Vec<&Day> = of(contender).collect();
            (!own.is_empty()).then(|| row(contender, &own, &free))
        });
        Self { rows: rows.collect(), terms, took_s, days }
    }

    /// The row of a policy.
    pub fn row(&self, contender: Contender) -> Option<&Row> {
        self.rows.iter().find(|row| row.contender == contender)
    }

    /// 0 where wattkeeper held what it promises, else 1.
    pub fn exit_code(&self) -> u8 {
        let held = |row: &Row| {
            row.trips == 0
                && row.far_s == 0.0
                && row.lost == 0
                && row.breaches.iter().all(|count| *count == 0)
        };
        u8::from(!self.rows.iter().filter(|row| row.contender.is_ours()).all(held))
    }

    /// The table.
    pub fn text(&self) -> String {
        let seeds: std::collections::BTreeSet<u64> = self.days.iter().map(|day| day.seed).collect();
        let days: f64 = self.days.iter().map(|day| day.steps as f64).sum::<f64>() / DAY as f64;
        let mut text = format!(
            "Simulated: eight boards like an H100, {} seeds, {days:.1} node-days in all, {:.1} s a node-day on one thread. \
             Budget {} % of all limits and the reserve; mishaps at {} times real rates. High, normal, low: percent of work lost over all days, on the worst day, and how much slower it ran, against \
             the same seeds without a policy; far over is above 105 % beyond {SETTLING_S:.0} s of settling. A breaker that trips is closed again at \
             once.\n",
            seeds.len(),
            self.took_s / days.max(f64::MIN_POSITIVE),
            if self.terms.crowded { "50" } else { "80" },
            self.terms.times,
        );
        let _ = writeln!(
            text,
            "{:<27}{:>6}{:>11}{:>11}{:>9}{:>8}{:>8}{:>19}{:>19}{:>19}{:>8}{:>10}{:>6}{:>9}",
            "policy",
            "trips",
            "over s",
            "far over s",
            "longest",
            "worst",
            "heat",
            "high % (worst)",
            "normal %",
            "low %",
            "brakes",
            "loosened",
            "lost",
            "breaches",
        );
        for row in &self.rows {
            let breaches: u64 = row.breaches.iter().sum();
            let loss = |place: usize| match row.loss {
                Some(loss) => {
                    let Loss { mean, worst, slower } = loss[place];
                    format!("{:.2}/{:.2}/{:.2}", 100.0 * mean, 100.0 * worst, 100.0 * slower)
                }
                None => "-".to_owned(),
            };
            let _ = writeln!(
                text,
                "{:<27}{:>6}{:>11.1}{:>11.1}{:>9.1}{:>8.3}{:>8.2}{:>19}{:>19}{:>19}{:>8}{:>10}{:>6}{breaches:>9}",
                row.contender.as_str(),
                row.trips,
                row.over_s,
                row.far_s,
                row.longest_s,
                row.worst,
                row.hottest,
                loss(0),
                loss(1),
                loss(2),
                row.brakes,
                row.loosenings,
                row.lost,
            );
        }
        text.push_str(&self.chores_text());
        text.push_str(&self.stages_text());
        text.push_str(&self.mishaps_text());
        text.push_str(&self.failures_text());
        text
    }

    /// What processors did not do, where they have much to do.
    fn chores_text(&self) -> String {
        let one = |row: &Row| {
            let [waits, feeds] = row.chores.map(|lost| 100.0 * lost);
            format!("{} {waits:.2} / {feeds:.2} %", row.contender.as_str())
        };
        let all: Vec<_> = self.rows.iter().map(one).collect();
        let what = "work of processors not done, what can wait / what feeds boards";
        if self.terms.crowded { format!("{what}: {}\n", all.join(", ")) } else { String::new() }
    }

    fn stages_text(&self) -> String {
        let own = self.days.iter().filter(|day| day.contender == Contender::Wattkeeper);
        let beats = own.fold([0; STAGES.len()], |mut sum, day| {
            sum.iter_mut().zip(day.stages).for_each(|(sum, beats)| *sum += beats);
            sum
        });
        let all = beats.iter().sum::<u64>().max(1) as f64;
        let one = |(name, beats): (&&str, &u64)| format!("{name} {:.1} %", 100.0 * *beats as f64 / all);
        let shares: Vec<_> = STAGES.iter().zip(&beats).map(one).collect();
        if beats == [0; STAGES.len()] {
            String::new()
        } else {
            format!("wattkeeper's time: {}\n", shares.join(", "))
        }
    }

    /// What went wrong, once a seed: the days of one policy tell.
    fn mishaps(&self) -> BTreeMap<Mishap, u64> {
        let mut counts = BTreeMap::new();
        let Some(first) = self.rows.first().map(|row| row.contender) else { return counts };
        for day in self.days.iter().filter(|day| day.contender == first) {
            day.mishaps.iter().for_each(|mishap| *counts.entry(*mishap).or_default() += 1);
        }
        counts
    }

    fn mishaps_text(&self) -> String {
        let counts = self.mishaps();
        let one = |rate: &sim::plant::mishap::Rate| {
            format!("{} {}", rate.mishap.as_str(), counts.get(&rate.mishap).copied().unwrap_or(0))
        };
        format!("mishaps: {}\n", RATES.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    /// Where one of ours failed: seed, moment, cause.
    fn failures_text(&self) -> String {
        let mut text = String::new();
        for day in self.failed().take(NAMED_MAX) {
            let seed = day.seed;
            for (at_s, mishaps) in &day.far {
                let names = names(mishaps).join(", ");
                let _ =
                    writeln!(text, "  seed {seed} at {at_s:.1} s: far over for too long; under way: {names}");
            }
            for Broken { breach, at_s, board, under_way } in &day.broken {
                let (what, names) = (breach.as_str(), names(under_way).join(", "));
                let _ = writeln!(
                    text,
                    "  seed {seed} at {at_s:.1} s: {what} (board {board}); under way: {names}"
                );
            }
        }
        text
    }

    /// The days on which wattkeeper did not hold what it promises.
    fn failed(&self) -> impl Iterator<Item = &Day> {
        let failed = |day: &&Day| !day.far.is_empty() || !day.broken.is_empty() || day.meter.trips > 0;
        self.days.iter().filter(|day| day.contender.is_ours()).filter(failed)
    }

    /// The same as one object.
    pub fn json(&self) -> Value {
        let loss = |row: &Row| {
            let of = |(place, (name, _)): (usize, &(&str, usize))| {
                let loss = row.loss.map(|loss| json!({"mean": loss[place].mean, "worst": loss[place].worst, "slower": loss[place].slower}));
                ((*name).to_owned(), json!(loss))
            };
            CLASSES.iter().enumerate().map(of).collect::<serde_json::Map<_, _>>()
        };
        let breaches = |counts: &[u64]| {
            let named = Breach::ALL.iter().zip(counts);
            named
                .map(|(breach, count)| (breach.as_str().to_owned(), json!(count)))
                .collect::<serde_json::Map<_, _>>()
        };
        let row_json = |row: &Row| {
            json!({
                "node_days": row.days, "trips": row.trips, "over_s": row.over_s, "far_over_s": row.far_s,
                "longest_far_over_s": row.longest_s, "worst_share": row.worst, "breaker_heat": row.hottest, "loss": loss(row),
                "brakes": row.brakes, "loosenings": row.loosenings, "lost_originals": row.lost, "processor_work_lost": row.chores, "breaches": breaches(&row.breaches),
            })
        };
        let failures = self.failed().map(failure_json);
        json!({
            "simulated": true, "mishap_factor": self.terms.times, "crowded": self.terms.crowded,
            "mishaps": self.mishaps().iter().map(|(mishap, count)| (mishap.as_str().to_owned(), json!(count)))
                .collect::<serde_json::Map<_, _>>(),
            "policies": self.rows.iter().map(|row| (row.contender.as_str().to_owned(), row_json(row)))
                .collect::<serde_json::Map<_, _>>(),
            "failures": failures.collect::<Vec<_>>(),
        })
    }
}

fn failure_json(day: &Day) -> Value {
    let far = day.far.iter().map(|(at_s, mishaps)| json!({"at_s": at_s, "under_way": names(mishaps)}));
    let broken = day.broken.iter().map(|one| {
        json!({
            "breach": one.breach.as_str(), "at_s": one.at_s, "board": one.board, "under_way": names(&one.under_way),
        })
    });
    json!({
        "seed": day.seed, "trips": day.meter.trips, "far_over": far.collect::<Vec<_>>(), "breaches": broken.collect::<Vec<_>>(),
    })
}

fn names(mishaps: &[Mishap]) -> Vec<&'static str> {
    mishaps.iter().map(|mishap| mishap.as_str()).collect()
}
