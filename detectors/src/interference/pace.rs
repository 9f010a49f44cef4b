//! The pace of applications: from what an application counts of itself, how fast it is against its own quiet pace.
//!
//! An application shows, page by page, how many steps it did (tokens, requests) and how long its clients waited for them in all.
//! Time a step at as many at once is what neighbours change and offered load does not: less demand means fewer at once, more
//! contention means more time for each.
use model::{Device, DeviceId, DeviceInfo, DeviceKind, DeviceTable, Frame, Metric, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Steps of a lap below which their mean time says little. Ours.
const STEPS_MIN: f64 = 20.0;
/// A lap is at least and at most this long, in seconds: a page is read anew every second to minute.
const LAP_S: (f64, f64) = (0.5, 120.0);
/// Loads that are told apart: half octaves of steps under way at once.
const BINS: usize = 24;
/// The load that the lowest bin ends at.
const LOWEST: f64 = 0.1;
/// Quiet laps at a load before it is compared with.
const LAPS_MIN: u16 = 3;
/// Quiet laps after which older ones are forgotten, slowly: five minutes of pages of 5 s.
const LAPS_MEMORY: u16 = 60;
/// How far a load may lie beside all that are known, as a logarithm: a quarter. Ours.
const BESIDE: f64 = 0.22;
/// How far the share of prompts may lie from the quiet one, as a logarithm: twice as many or few. Prompts are worked on between
/// tokens and slow them like a neighbour would.
const PROMPTS: f64 = std::f64::consts::LN_2;
/// Prompt tokens a step below which they do not matter.
const PROMPTS_FLOOR: f64 = 0.5;

/// What an application did between two of its pages.
#[derive(Debug, Clone)]
pub(super) struct Lap {
    /// The application.
    pub(super) of: Arc<DeviceInfo>,
    /// How long that was, in seconds.
    pub(super) lasted_s: f64,
    /// Time that its steps took, summed over steps, in seconds.
    pub(super) spent_s: f64,
    /// How many steps.
    pub(super) steps: f64,
    /// Prompt tokens that it worked on meanwhile; 0 where it does not say.
    pub(super) prompts: f64,
}

impl Lap {
    /// Steps under way at once, and the speed of each (Little's law), as logarithms; `None` when it says too little.
    fn logs(&self) -> Option<[f64; 3]> {
        let long = (LAP_S.0..=LAP_S.1).contains(&self.lasted_s);
        let sound = long && self.steps >= STEPS_MIN && self.spent_s > 0.0;
        let prompts = (self.prompts / self.steps + PROMPTS_FLOOR).ln();
        sound.then(|| [(self.spent_s / self.lasted_s).ln(), (self.steps / self.spent_s).ln(), prompts])
    }
}

/// What an application counted when its page was last seen to be new.
#[derive(Debug, Clone)]
struct Counted {
    of: Arc<DeviceInfo>,
    at: Timestamp,
    spent_s: f64,
    steps: f64,
    prompts: f64,
}

/// Follows the pages of all applications; at most as many as there are devices of engines.
#[derive(Debug, Default)]
pub(super) struct Applications {
    counted: BTreeMap<DeviceId, Counted>,
    /// Laps that ended with this frame, by control group.
    laps: BTreeMap<DeviceId, Lap>,
}

impl Applications {
    /// Takes a frame.
    pub(super) fn take(&mut self, frame: &Frame) {
        self.laps.clear();
        self.counted.retain(|device, _| !frame.devices.get(*device).gone);
        for device in frame.devices.of_kind(DeviceKind::Engine) {
            let value = |metric| frame.value(device.id, metric);
            let Some((spent_s, steps)) = value(Metric::EngineStepTime).zip(value(Metric::EngineSteps)) else {
                // A page that was not there breaks the lap: nobody knows when what it counts next was done.
                self.counted.remove(&device.id);
                continue;
            };
            let prompts = value(Metric::EngineTokensPrompt).unwrap_or(0.0);
            let now = Counted { of: Arc::clone(&device.info), at: frame.at, spent_s, steps, prompts };
            // Between two readings of a page the last one stands.
            if self.counted.get(&device.id).is_some_and(|last| last.steps == steps && last.spent_s == spent_s)
            {
                continue;
            }
            let Some(last) = self.counted.insert(device.id, now.clone()) else { continue };
            let lap = lap(&last, &now);
            if let Some((group, lap)) = group_of(frame, device).zip(lap) {
                // Of two applications in one group the first one counts.
                self.laps.entry(group).or_insert(lap);
            }
        }
    }

    /// What the application of a control group did, when that was told with this frame.
    pub(super) fn lap(&self, group: DeviceId) -> Option<&Lap> {
        self.laps.get(&group)
    }
}

/// What was done between two pages; `None` over a restart, or when it is another application.
fn lap(last: &Counted, now: &Counted) -> Option<Lap> {
    let same = last.of.key == now.of.key && last.of.model == now.of.model;
    let grew = now.steps >= last.steps && now.spent_s >= last.spent_s && now.prompts >= last.prompts;
    (same && grew).then(|| Lap {
        of: Arc::clone(&now.of),
        lasted_s: now.at.seconds_since(last.at),
        spent_s: now.spent_s - last.spent_s,
        steps: now.steps - last.steps,
        prompts: now.prompts - last.prompts,
    })
}

/// The control group of an application: the one that the operator names, else the only one whose processes are on the
/// accelerators that it has to itself.
fn group_of(frame: &Frame, engine: &Device) -> Option<DeviceId> {
    let table = &*frame.devices;
    let attribute = |name: &str| engine.info.attributes.get(name);
    if let Some(name) = attribute("group") {
        return only(groups(table).filter(|group| is_called(&group.info, name)).map(|group| group.id));
    }
    let names = attribute("devices")?;
    let named = |id: DeviceId| {
        let info = &table.get(table.whole(id)).info;
        names.split(',').any(|name| name == info.name || name == info.key)
    };
    let workloads = frame.processes.iter().filter(|process| named(process.device));
    only(
        workloads
            .map(|process| {
                let workload = process.workload.as_ref()?;
                only(groups(table).filter(|group| is_of(&group.info, workload)).map(|group| group.id))
            })
            .map(|found| found.unwrap_or(engine.id)),
    )
    .filter(|found| *found != engine.id)
}

fn groups(table: &DeviceTable) -> impl Iterator<Item = &Device> {
    table.of_kind(DeviceKind::Cgroup)
}

/// The one that all of them are; `None` of none, or of different ones.
fn only(mut all: impl Iterator<Item = DeviceId>) -> Option<DeviceId> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

fn is_called(group: &DeviceInfo, name: &str) -> bool {
    group.key == name || group.name == name || group.attributes.get("container").is_some_and(|id| id == name)
}

/// Whether a control group is that of a workload: its container's, or the only one of its pod, or the unit's.
fn is_of(group: &DeviceInfo, workload: &model::Workload) -> bool {
    let is = |attribute: &str, value: &str| group.attributes.get(attribute).is_some_and(|own| own == value);
    let container = workload.key.rsplit('/').next().unwrap_or(&workload.key);
    let pod = !workload.pod_uid.is_empty() && is("pod", &workload.pod_uid);
    is("container", container)
        || pod
        || workload.kind == model::WorkloadKind::Unit && group.name == workload.key
}

/// The quiet pace at one load, in logarithms.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    laps: u16,
    load: f32,
    speed: f32,
    prompts: f32,
}

/// The quiet pace of an application over its loads: 400 bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Quiet {
    bins: [Bin; BINS],
}

impl Quiet {
    /// Learns from a lap in which nobody was in the way.
    pub(super) fn learn(&mut self, lap: &Lap) {
        let Some([load, speed, prompts]) = lap.logs() else { return };
        let place = ((load.exp() / LOWEST).log2() * 2.0).ceil().clamp(0.0, (BINS - 1) as f64) as usize;
        let bin = &mut self.bins[place];
        bin.laps = (bin.laps + 1).min(LAPS_MEMORY);
        for (mean, now) in [(&mut bin.load, load), (&mut bin.speed, speed), (&mut bin.prompts, prompts)] {
            *mean += (now as f32 - *mean) / f32::from(bin.laps);
        }
    }

    /// Pace over quiet pace with as many steps at once, at most 1; `None` where that is not known.
    pub(super) fn compare(&self, lap: &Lap) -> Option<f64> {
        let [load, speed, prompts] = lap.logs()?;
        let [quiet, usual] = self.at(load)?;
        let alike = (prompts - usual).abs() <= PROMPTS;
        alike.then(|| (speed - quiet).exp().min(1.0))
    }

    /// Speed and share of prompts at a load, between the two known ones around it.
    fn at(&self, load: f64) -> Option<[f64; 2]> {
        let known = || self.bins.iter().filter(|bin| bin.laps >= LAPS_MIN);
        let of = |bin: &Bin| [f64::from(bin.load), f64::from(bin.speed), f64::from(bin.prompts)];
        let below = known().rfind(|bin| f64::from(bin.load) <= load).map(of);
        let above = known().find(|bin| f64::from(bin.load) > load).map(of);
        match (below, above) {
            (Some(below), Some(above)) => {
                let share = (load - below[0]) / (above[0] - below[0]).max(f64::EPSILON);
                let between = |place: usize| below[place] + share * (above[place] - below[place]);
                Some([between(1), between(2)])
            }
            (Some(near), None) | (None, Some(near)) => {
                ((load - near[0]).abs() <= BESIDE).then_some([near[1], near[2]])
            }
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests;
