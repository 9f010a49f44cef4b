//! The report of energy: days added up, as JSON; `text` has it as a table.
use super::Book;
use crate::tally::days::{DAY_MS, Day, EngineDay};
use dashboards::format;
use model::{Workload, WorkloadKind};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Seconds of a day.
const DAY_S: f64 = 86_400.0;
/// Joules of a kilowatt-hour.
pub(super) const KWH_J: f64 = 3.6e6;
/// Seconds by which a day that counts as whole may be short: the restart of an agent takes no longer.
const WHOLE_SHORT_S: f64 = 120.0;

/// What is told as saved, in words that stand beside the figure. It is negative where caps made work dearer.
pub(super) const SAVED_IS: &str = "an estimate of what the same work would have cost more without caps";

/// Energy over some days.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub(super) book: Book,
    pub(super) source: String,
    /// The first day asked for, in days since 1970-01-01.
    pub(super) first: i64,
    /// The days asked for that are known.
    pub(super) days: Vec<Arc<Day>>,
}

/// Something that used energy.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sum {
    pub(super) name: String,
    pub(super) energy_j: f64,
    /// Time for which its energy is known, in seconds.
    pub(super) covered_s: f64,
    pub(super) saved_j: Option<f64>,
}

/// What one day comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DaySum {
    pub(super) day: i64,
    pub(super) sum: Sum,
    /// The longest time for which an accelerator's energy is known.
    pub(super) known_s: f64,
    /// Generated tokens of all engines; `None` where there is no engine.
    pub(super) tokens: Option<f64>,
    pub(super) per_token_j: Option<f64>,
}

impl Report {
    /// The days of a book from `since` before it was made, whole days of UTC. `source`: who says so.
    pub fn of(book: Book, since: Duration, source: String) -> Self {
        let since_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let first = book.at_ms.saturating_sub(since_ms).div_euclid(DAY_MS);
        let days = book.days.iter().filter(|day| day.day >= first).cloned().collect();
        Self { book, source, first, days }
    }

    /// The day on which the report is made.
    pub(super) fn today(&self) -> i64 {
        self.book.at_ms.div_euclid(DAY_MS)
    }

    /// The time that passed of a day until the report was made, in seconds.
    pub(super) fn passed_s(&self, day: i64) -> f64 {
        let passed_ms = self.book.at_ms.saturating_sub(day.saturating_mul(DAY_MS));
        (passed_ms as f64 / 1e3).clamp(0.0, DAY_S)
    }

    /// Whether less is known of a day than the whole of it.
    pub(super) fn partial(&self, day: &DaySum) -> bool {
        day.day >= self.today() || day.known_s < DAY_S - WHOLE_SHORT_S
    }

    /// Accelerators, in the order of their names.
    pub(super) fn devices(&self) -> Vec<Sum> {
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        for device in self.days.iter().flat_map(|day| &day.devices) {
            let sum = sums.entry(&device.device).or_default();
            let name = if device.name.is_empty() { &device.device } else { &device.name };
            sum.name.clone_from(name);
            sum.energy_j += device.energy_j;
            sum.covered_s += device.covered_s;
            add(&mut sum.saved_j, device.saved_j);
        }
        let mut sums: Vec<_> = sums.into_values().collect();
        // gpu10 behind gpu9.
        sums.sort_by(|a, b| (a.name.len(), &a.name).cmp(&(b.name.len(), &b.name)));
        sums
    }

    /// Workloads, those that used most first; then others that are not told apart, and what is nobody's.
    pub(super) fn workloads(&self) -> Vec<Sum> {
        let mut sums: BTreeMap<(WorkloadKind, String), Sum> = BTreeMap::new();
        for day in self.days.iter().flat_map(|day| &day.workloads) {
            let name = name(&day.workload);
            let sum = sums.entry((day.workload.kind, name.clone())).or_default();
            (sum.name, sum.energy_j) = (name, sum.energy_j + day.energy_j);
        }
        let mut sums: Vec<_> = sums.into_values().collect();
        sums.sort_by(|a, b| b.energy_j.total_cmp(&a.energy_j));
        let others_j: f64 = self.days.iter().map(|day| day.others_j).sum();
        let named_j: f64 = sums.iter().map(|sum| sum.energy_j).sum();
        let rest = |name: &str, energy_j| Sum { name: name.into(), energy_j, ..Sum::default() };
        if others_j > 0.0 {
            sums.push(rest("(others)", others_j));
        }
        sums.push(rest("(nobody)", (self.total().energy_j - named_j - others_j).max(0.0)));
        sums
    }

    /// Days in order.
    pub(super) fn by_day(&self) -> Vec<DaySum> {
        self.days.iter().map(|day| day_sum(day)).collect()
    }

    /// Engines in the order of their keys.
    pub(super) fn engines(&self) -> Vec<EngineDay> {
        let mut sums: BTreeMap<&str, EngineDay> = BTreeMap::new();
        for engine in self.days.iter().flat_map(|day| &day.engines) {
            let sum = sums.entry(&engine.engine).or_default();
            (sum.engine, sum.name) = (engine.engine.clone(), engine.name.clone());
            sum.model.clone_from(&engine.model);
            sum.prompt_tokens += engine.prompt_tokens;
            sum.generated_tokens += engine.generated_tokens;
            sum.metered_tokens += engine.metered_tokens;
            sum.metered_j += engine.metered_j;
        }
        sums.into_values().collect()
    }

    /// Everything together.
    pub(super) fn total(&self) -> Sum {
        let mut all = Sum { name: "all".into(), ..Sum::default() };
        for device in self.days.iter().flat_map(|day| &day.devices) {
            all.energy_j += device.energy_j;
            all.covered_s += device.covered_s;
            add(&mut all.saved_j, device.saved_j);
        }
        all
    }

    /// The report as one object. Energies are in joules, and in kilowatt-hours beside; what is not known is null.
    pub fn json(&self) -> serde_json::Value {
        let sum = |sum: &Sum| {
            json!({
                "name": sum.name, "energy_j": sum.energy_j, "energy_kwh": sum.energy_j / KWH_J,
                "covered_s": sum.covered_s, "saved_j": sum.saved_j,
            })
        };
        let workload = |sum: &Sum| json!({ "name": sum.name, "energy_j": sum.energy_j, "energy_kwh": sum.energy_j / KWH_J });
        let engine = |engine: &EngineDay| {
            let mut value = json!(engine);
            value["energy_per_token_j"] = json!(engine.per_token_j());
            value
        };
        let day = |day: &Arc<Day>| {
            let total = day_sum(day);
            let mut value = json!(**day);
            value["date"] = format::day(day.day).into();
            value["energy_j"] = total.sum.energy_j.into();
            value["saved_j"] = total.sum.saved_j.into();
            value["partial"] = self.partial(&total).into();
            value["engines"] = day.engines.iter().map(engine).collect();
            value
        };
        json!({
            "host": self.book.host, "rig": self.book.rig, "at_ms": self.book.at_ms, "source": self.source,
            "from": format::day(self.first), "to": format::day(self.today()),
            "total": sum(&self.total()),
            "devices": self.devices().iter().map(sum).collect::<Vec<_>>(),
            "workloads": self.workloads().iter().map(workload).collect::<Vec<_>>(),
            "engines": self.engines().iter().map(engine).collect::<Vec<_>>(),
            "days": self.days.iter().map(day).collect::<Vec<_>>(),
            "curves": self.book.curves,
            "saved_is": SAVED_IS,
        })
    }
}

fn add(sum: &mut Option<f64>, more: Option<f64>) {
    *sum = match (*sum, more) {
        (Some(sum), more) => Some(sum + more.unwrap_or(0.0)),
        (None, more) => more,
    };
}

fn day_sum(day: &Day) -> DaySum {
    let mut sum = Sum { name: format::day(day.day), ..Sum::default() };
    for device in &day.devices {
        sum.energy_j += device.energy_j;
        sum.covered_s += device.covered_s;
        add(&mut sum.saved_j, device.saved_j);
    }
    let known_s = day.devices.iter().map(|device| device.covered_s).fold(0.0, f64::max);
    let total = |of: fn(&EngineDay) -> f64| day.engines.iter().map(of).sum::<f64>();
    let tokens = (!day.engines.is_empty()).then(|| total(|engine| engine.generated_tokens));
    let metered = total(|engine| engine.metered_tokens);
    let per_token_j = (metered > 0.0).then(|| total(|engine| engine.metered_j) / metered);
    DaySum { day: day.day, sum, known_s, tokens, per_token_j }
}

/// A pod as `namespace/pod/container`; anything else as its kind and name.
fn name(workload: &Workload) -> String {
    if workload.kind == WorkloadKind::Pod && !workload.pod.is_empty() {
        return format!("{}/{}/{}", workload.namespace, workload.pod, workload.container);
    }
    format!("{} {}", workload.kind.as_str(), workload.name)
}

#[cfg(test)]
mod tests;
