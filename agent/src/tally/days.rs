//! Energy by UTC day: of each accelerator and workload, and the tokens of each engine.
//!
//! A beat counts wholly for the day in which it began. A day that the clock leaves and comes back to is taken up again, so a
//! stepped clock makes no day twice; what it skips stays uncounted and shows as a partial day.
use model::Workload;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// Days kept; the oldest go first.
pub const DAYS_MAX: usize = 400;
/// Workloads told apart while a day lasts; the energy of further ones counts for others.
pub const WORKLOADS_MAX: usize = 1024;
/// Workloads told apart once a day is over: those that used most.
pub const WORKLOADS_KEPT: usize = 64;
/// Accelerators and engines told apart in a day; further ones are not counted by day.
pub const DEVICES_MAX: usize = 256;

/// What was counted on one UTC day.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Day {
    /// Days since 1970-01-01.
    pub day: i64,
    /// How often it was taken up again: of two accounts of one day the one with the larger number is the later.
    #[serde(default)]
    pub part: u32,
    /// By key.
    pub devices: Vec<DeviceDay>,
    /// By kind and key.
    pub workloads: Vec<WorkloadDay>,
    /// Energy of workloads that are not told apart, in joules.
    pub others_j: f64,
    /// By key.
    #[serde(default)]
    pub engines: Vec<EngineDay>,
}

/// One accelerator on one day.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DeviceDay {
    /// Its identity.
    pub device: String,
    /// Its short name when it was last seen that day.
    pub name: String,
    /// Energy, in joules.
    pub energy_j: f64,
    /// Time for which its energy is known, in seconds.
    pub covered_s: f64,
    /// Energy that caps saved, in joules, by whoever estimates it; `None` where nobody does.
    #[serde(default)]
    pub saved_j: Option<f64>,
}

/// One workload on one day, over all accelerators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadDay {
    /// Who.
    pub workload: Arc<Workload>,
    /// Energy, in joules.
    pub energy_j: f64,
}

/// One inference engine on one day.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EngineDay {
    /// Its identity.
    pub engine: String,
    /// Its short name.
    pub name: String,
    /// The model that it served last.
    pub model: String,
    /// Tokens of prompts.
    pub prompt_tokens: f64,
    /// Tokens generated.
    pub generated_tokens: f64,
    /// Tokens generated while the energy was known.
    pub metered_tokens: f64,
    /// The energy of that time, in joules.
    pub metered_j: f64,
}

impl EngineDay {
    /// Energy for each generated token, in joules; `None` where it is not known.
    pub fn per_token_j(&self) -> Option<f64> {
        (self.metered_tokens > 0.0).then(|| self.metered_j / self.metered_tokens)
    }
}

/// What one accelerator used.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Use {
    /// Energy, in joules.
    pub energy_j: f64,
    /// The time it is known for, in seconds.
    pub covered_s: f64,
}

impl Day {
    fn new(day: i64) -> Self {
        Self { day, ..Self::default() }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.workloads.is_empty() && self.engines.is_empty()
    }

    /// Adds what an accelerator used.
    pub fn add_device(&mut self, key: &str, name: &str, used: Use) {
        let Some(device) = self.device(key) else { return };
        device.energy_j += used.energy_j;
        device.covered_s += used.covered_s;
        if device.name != name {
            name.clone_into(&mut device.name);
        }
    }

    /// Adds energy that caps saved on an accelerator.
    pub fn add_saved(&mut self, key: &str, saved_j: f64) {
        if let Some(device) = self.device(key) {
            device.saved_j = Some(device.saved_j.unwrap_or(0.0) + saved_j);
        }
    }

    fn device(&mut self, key: &str) -> Option<&mut DeviceDay> {
        let place = match self.devices.binary_search_by(|device| device.device.as_str().cmp(key)) {
            Ok(place) => place,
            Err(_) if self.devices.len() >= DEVICES_MAX => return None,
            Err(place) => {
                self.devices.insert(place, DeviceDay { device: key.to_owned(), ..DeviceDay::default() });
                place
            }
        };
        self.devices.get_mut(place)
    }

    /// Adds energy of a workload.
    pub fn add_workload(&mut self, workload: &Arc<Workload>, energy_j: f64) {
        match place(&self.workloads, workload) {
            Ok(place) => self.workloads[place].energy_j += energy_j,
            Err(_) if self.workloads.len() >= WORKLOADS_MAX => self.others_j += energy_j,
            Err(place) => {
                self.workloads.insert(place, WorkloadDay { workload: Arc::clone(workload), energy_j });
            }
        }
    }

    /// The account of an engine; `None` when there are too many.
    pub fn engine(&mut self, key: &str) -> Option<&mut EngineDay> {
        let place = match self.engines.binary_search_by(|engine| engine.engine.as_str().cmp(key)) {
            Ok(place) => place,
            Err(_) if self.engines.len() >= DEVICES_MAX => return None,
            Err(place) => {
                self.engines.insert(place, EngineDay { engine: key.to_owned(), ..EngineDay::default() });
                place
            }
        };
        self.engines.get_mut(place)
    }

    fn rename(&mut self, old: &Workload, new: &Arc<Workload>) {
        if let Ok(place) = place(&self.workloads, old) {
            let energy_j = self.workloads.remove(place).energy_j;
            self.add_workload(new, energy_j);
        }
    }

    /// Lets go of the names of all but the workloads that used most.
    fn trim(&mut self) {
        if self.workloads.len() <= WORKLOADS_KEPT {
            return;
        }
        self.workloads.sort_by(|a, b| b.energy_j.total_cmp(&a.energy_j));
        self.others_j += self.workloads.drain(WORKLOADS_KEPT..).map(|w| w.energy_j).sum::<f64>();
        self.workloads.sort_by(|a, b| order(&a.workload).cmp(&order(&b.workload)));
    }

    /// Whether the numbers can be counted on from.
    pub(super) fn sound(&self) -> bool {
        let count = |number: &f64| number.is_finite() && *number >= 0.0;
        let device = |d: &DeviceDay| {
            [d.energy_j, d.covered_s].iter().all(count) && d.saved_j.is_none_or(f64::is_finite)
        };
        let engine = |e: &EngineDay| {
            [e.prompt_tokens, e.generated_tokens, e.metered_tokens, e.metered_j].iter().all(count)
        };
        let limits = self.devices.len() <= DEVICES_MAX
            && self.workloads.len() <= WORKLOADS_MAX
            && self.engines.len() <= DEVICES_MAX;
        let ordered = self.devices.is_sorted_by(|a, b| a.device < b.device)
            && self.workloads.is_sorted_by(|a, b| order(&a.workload) < order(&b.workload))
            && self.engines.is_sorted_by(|a, b| a.engine < b.engine);
        let workloads = self.workloads.iter().all(|w| count(&w.energy_j)) && count(&self.others_j);
        limits && ordered && workloads && self.devices.iter().all(device) && self.engines.iter().all(engine)
    }
}

fn order(workload: &Workload) -> (model::WorkloadKind, &str) {
    (workload.kind, workload.key.as_str())
}

fn place(workloads: &[WorkloadDay], workload: &Workload) -> Result<usize, usize> {
    workloads.binary_search_by(|other| order(&other.workload).cmp(&order(workload)))
}

/// Every day that is kept.
#[derive(Debug, Clone, Default)]
pub struct Days {
    /// In order, each day once. May hold an older account of today.
    past: Vec<Arc<Day>>,
    today: Day,
    /// Goes up with every change of the past.
    revision: u64,
}

impl Days {
    /// Goes on from what was kept. Of two accounts of one day the later one holds.
    pub(super) fn resume(past: Vec<Arc<Day>>, today: Option<Day>) -> Self {
        let mut days = Self::default();
        past.into_iter().for_each(|day| days.keep(day));
        if let Some(today) = today {
            let older = |day: &Arc<Day>| day.day != today.day || day.part < today.part;
            if days.past.iter().all(older) {
                days.today = today;
            }
        }
        days
    }

    /// Begins a beat: at the turn of a day, or when the clock was stepped to another one, a new day begins.
    pub fn turn(&mut self, wall_ms: i64) {
        let day = wall_ms.div_euclid(DAY_MS);
        if day == self.today.day {
            return;
        }
        let again = self.past.iter().find(|past| past.day == day);
        let next =
            again.map_or_else(|| Day::new(day), |past| Day { part: past.part + 1, ..(**past).clone() });
        let mut done = std::mem::replace(&mut self.today, next);
        if !done.is_empty() {
            done.trim();
            self.keep(Arc::new(done));
        }
    }

    fn keep(&mut self, day: Arc<Day>) {
        self.revision += 1;
        match self.past.binary_search_by_key(&day.day, |past| past.day) {
            Ok(place) if self.past[place].part > day.part => {}
            Ok(place) => self.past[place] = day,
            Err(place) => self.past.insert(place, day),
        }
        let excess = self.past.len().saturating_sub(DAYS_MAX);
        self.past.drain(..excess);
    }

    /// The day that lasts, to count in.
    pub fn today(&mut self) -> &mut Day {
        &mut self.today
    }

    /// The day that lasts.
    pub fn current(&self) -> &Day {
        &self.today
    }

    /// Carries a workload's energy of today over to its better name.
    pub(super) fn rename(&mut self, old: &Workload, new: &Arc<Workload>) {
        self.today.rename(old, new);
    }

    /// The days that are over, and how often they have changed.
    pub(super) fn past(&self) -> (&[Arc<Day>], u64) {
        (&self.past, self.revision)
    }

    /// Every day in order, today among them.
    pub fn all(&self) -> Vec<Arc<Day>> {
        let mut all: Vec<_> = self.past.iter().filter(|day| day.day != self.today.day).cloned().collect();
        if !self.today.is_empty() {
            let place = all.partition_point(|day| day.day < self.today.day);
            all.insert(place, Arc::new(self.today.clone()));
        }
        all
    }
}

#[cfg(test)]
mod tests;
