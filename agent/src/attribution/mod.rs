//! Attribution: who works on each accelerator, and what part of its power, energy and memory is theirs.
mod claims;
mod naming;

use crate::cluster::{Cluster, PodName};
use crate::config::Config;
use crate::energy::meter::Meter as Engines;
use crate::tally::Tally;
use crate::tally::days::{Day, Use};
use claims::{Claimant, Claims};
use collectors::workload::{Blocked, Processes};
use model::snapshot::{Cost, Rig, SourceHealth};
use model::{
    Absence, Device, DeviceId, DeviceKind, Frame, Holding, Metric, Reading, Share, Timestamp, Watts,
    Workload, WorkloadKind,
};
use naming::Naming;
use policy::attribution::{Part, Splitter, Whole};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The largest mean power that a step of an energy counter may stand for, in watts: the catalogue's own bound on power.
const POWER_MAX_W: f64 = 5000.0;

/// An accelerator's energy counter on the last beat on which it was read.
#[derive(Debug, Clone, Copy, Default)]
struct Meter {
    generation: u32,
    turn: u64,
    at: Timestamp,
    energy_j: Option<f64>,
}

/// What an accelerator used since the beat before, in joules.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Used {
    /// By those who are there now.
    beat_j: Option<f64>,
    /// In a gap before, of which nobody knows who was there.
    gap_j: f64,
    /// The time for which that is known, the gap included, in seconds.
    covered_s: f64,
}

/// Says who works where and what that takes. In the steady state nothing is allocated, but for the
/// look at the node's processes every ten seconds.
#[derive(Debug)]
pub struct Attribution {
    /// `None` where the processes are not this machine's: in the simulator and in recordings.
    processes: Option<Processes>,
    /// The same for those that wait in the kernel.
    blocked: Option<Blocked>,
    /// The accelerators whose processes are listed.
    listed: Vec<DeviceId>,
    naming: Naming,
    claims: Claims,
    splitter: Splitter,
    parts: Vec<Part>,
    meters: Vec<Meter>,
    /// What each accelerator used on this beat by device index, in joules; `None` where that is not known.
    used: Vec<Option<f64>>,
    engines: Engines,
    tally: Tally,
    /// By device: its generation, and what was saved there by the last estimate, in joules.
    saved: Vec<(u32, f64)>,
    shares: Vec<Share>,
    departed: Arc<Workload>,
    turn: u64,
}

impl Attribution {
    /// An attribution that knows nobody yet. On this machine it starts the thread that asks the kubelet.
    pub fn new(config: &Config) -> Self {
        let machine = config.rig.kind == Rig::Hardware;
        let roots = config.collectors.roots();
        let cluster = machine.then(|| Cluster::start(&config.cluster)).and_then(|started| {
            started
                .inspect_err(|error| tracing::warn!("pods have no names: no thread to ask for them: {error}"))
                .ok()
        });
        Self {
            processes: machine.then(|| Processes::new(&roots)),
            blocked: machine.then(|| Blocked::new(&roots)),
            listed: Vec::new(),
            naming: Naming::new(cluster),
            claims: Claims::default(),
            splitter: Splitter::default(),
            parts: Vec::new(),
            meters: Vec::new(),
            used: Vec::new(),
            engines: Engines::default(),
            tally: Tally::default(),
            saved: Vec::new(),
            shares: Vec::new(),
            departed: Arc::new(Workload::new(WorkloadKind::Departed, "")),
            turn: 0,
        }
    }

    /// Takes over the energy counts of a state directory and keeps them there from now on.
    pub fn keep_in(&mut self, directory: &Path, now: Timestamp) {
        self.tally.keep_in(directory, now);
    }

    /// Fills in who the processes are, and splits every accelerator over them.
    pub fn attribute(&mut self, frame: &mut Frame) {
        self.turn += 1;
        self.naming.begin(frame);
        self.identify(frame);
        self.find_blocked(frame);
        for (old, new) in self.naming.end() {
            self.tally.rename(&old, &new);
        }
        self.claims.gather(frame);
        self.shares.clear();
        self.used.clear();
        self.used.resize(frame.devices.len(), None);
        for device in frame.devices.accelerators() {
            self.split(device, frame);
        }
        self.engines.turn(frame, &self.used, self.tally.day(frame.at.wall_ms));
        self.tally.turn(frame.at);
    }

    /// Names the processes that sources know by pid alone. What a source knows itself stays.
    fn identify(&mut self, frame: &mut Frame) {
        let Some(processes) = &mut self.processes else {
            return;
        };
        processes.turn();
        for process in frame.processes.iter_mut().filter(|p| p.workload.is_none() || p.name.is_empty()) {
            let Some(found) = processes.get(process.pid) else {
                continue;
            };
            if process.name.is_empty() {
                process.name = Arc::clone(&found.name);
            }
            if process.workload.is_none() {
                process.workload = Some(self.naming.of(&found.workload));
            }
        }
    }

    /// Says for how long processes have waited in the kernel: of each accelerator whose processes are listed, and of the
    /// node's driver.
    fn find_blocked(&mut self, frame: &mut Frame) {
        let Some(blocked) = &mut self.blocked else { return };
        let (at, devices) = (frame.at, Arc::clone(&frame.devices));
        blocked.turn(at);
        let listed = |device: &&Device| frame.value(device.id, Metric::Processes).is_some();
        self.listed.clear();
        self.listed.extend(devices.accelerators().filter(listed).map(|device| device.id));
        for &device in &self.listed {
            let own = frame.processes.iter().filter(|process| devices.whole(process.device) == device);
            let (mut longest, mut unseen) = (0.0, false);
            for process in own {
                let blocked_s = blocked.of(process.pid, at);
                longest = f64::max(longest, blocked_s.unwrap_or(0.0));
                unseen |= blocked_s.is_none();
            }
            // A process that cannot be seen is not known to be well.
            let known = longest > 0.0 || !unseen;
            let reading = if known {
                Metric::ProcessBlocked.reading(longest)
            } else {
                Reading::Absent(Absence::Denied)
            };
            frame.put(device, Metric::ProcessBlocked, reading);
        }
        if let Some(node) = devices.of_kind(DeviceKind::Node).next() {
            let own = blocked.driver().map_or_else(Reading::Absent, |s| Metric::DriverBlocked.reading(s));
            frame.put(node.id, Metric::DriverBlocked, own);
        }
    }

    fn split(&mut self, device: &Device, frame: &Frame) {
        let value = |metric| frame.value(device.id, metric);
        let power_w = value(Metric::PowerInstant).or_else(|| value(Metric::PowerAverage));
        let utilization = value(Metric::Utilization);
        let limit_w = value(Metric::PowerLimitMax).or_else(|| value(Metric::PowerLimitDefault));
        let used = self.take_used(device, frame, power_w);
        self.used[device.id.index()] = used.beat_j.map(|beat| beat + used.gap_j);
        let account = self.tally.account(&device.info.key, frame.at.wall_ms);
        account.idle.observe(power_w, utilization);
        let idle_w = account.idle.level_w(limit_w.or_else(|| value(Metric::PowerLimitEnforced)));
        let whole = Whole { power_w, energy_j: used.beat_j, beat_s: frame.beat_s, idle_w, utilization };
        let (claimants, claims) = self.claims.of(device.id, frame, &self.naming);
        self.splitter.split(&whole, claims, &mut self.parts);
        account_day(self.tally.day(frame.at.wall_ms), device, &used, (claimants, &self.parts));
        let account = self.tally.account(&device.info.key, frame.at.wall_ms);

        let first = self.shares.len();
        let mut open = (Claimant::default(), self.parts.last().copied().unwrap_or_default());
        open.1.energy_j += used.gap_j;
        for (claimant, part) in claimants.iter().zip(&self.parts) {
            let Some(workload) = &claimant.workload else {
                claims::join(&mut open.0, claimant);
                open.1.power_w = open.1.power_w.zip(part.power_w).map(|(all, own)| all + own);
                open.1.energy_j += part.energy_j;
                continue;
            };
            let energy_j = account.add(workload, part.energy_j, frame.at.wall_ms);
            let own = share(device, claimant, part.power_w, energy_j);
            match self.shares[first..].iter_mut().find(|share| share.workload.as_ref() == Some(workload)) {
                Some(share) => join(share, &own),
                None => self.shares.push(own),
            }
        }
        account.open_j += open.1.energy_j;
        self.shares.push(share(device, &open.0, open.1.power_w, account.open_j));
        // Those that left keep their counts in sight for a while, so that a last scrape finds them.
        for entry in account.entries().iter().filter(|entry| entry.last_ms != frame.at.wall_ms) {
            self.shares.push(past(device, &entry.workload, entry.energy_j));
        }
        if account.departed_j > 0.0 {
            self.shares.push(past(device, &self.departed, account.departed_j));
        }
    }

    /// What an accelerator used since the beat before: by its own counter, else by its power.
    fn take_used(&mut self, device: &Device, frame: &Frame, power_w: Option<f64>) -> Used {
        let index = device.id.index();
        if self.meters.len() <= index {
            self.meters.resize(index + 1, Meter::default());
        }
        let energy_j = frame.value(device.id, Metric::Energy);
        let now = Meter { generation: device.generation, turn: self.turn, at: frame.at, energy_j };
        let before = self.meters[index];
        let same = before.turn > 0 && before.generation == device.generation;
        // While the counter is not read, the last reading stands, so that the gap is counted when it ends.
        if energy_j.is_some() || !same {
            self.meters[index] = now;
        }
        let by_power = power_w.map(|power| power * frame.beat_s);
        let apart = Used { beat_j: by_power, gap_j: 0.0, covered_s: by_power.map_or(0.0, |_| frame.beat_s) };
        let Some((old, new)) = before.energy_j.zip(energy_j).filter(|_| same) else {
            return apart;
        };
        let (step, covered_s) = (new - old, frame.at.seconds_since(before.at));
        let sound = step >= 0.0 && step <= POWER_MAX_W * covered_s;
        match (sound, before.turn + 1 == self.turn) {
            (false, _) => apart,
            (true, true) => Used { beat_j: Some(step), gap_j: 0.0, covered_s },
            (true, false) => {
                let beat = by_power.unwrap_or(0.0).min(step);
                Used { beat_j: Some(beat), gap_j: step - beat, covered_s }
            }
        }
    }

    /// Counts what caps of ours saved since the last beat, by the estimates of the policy, which are totals since its start.
    pub fn add_saved(&mut self, frame: &Frame, costs: &[Cost]) {
        self.saved.resize(frame.devices.len(), (0, 0.0));
        for cost in costs {
            let device = frame.devices.get(cost.device);
            let last = &mut self.saved[cost.device.index()];
            // A device that came back is estimated from nothing.
            let before = if last.0 == device.generation { last.1 } else { 0.0 };
            *last = (device.generation, cost.saved_j);
            if cost.saved_j != before {
                self.tally.day(frame.at.wall_ms).add_saved(&device.info.key, cost.saved_j - before);
            }
        }
    }

    /// What each workload had of each accelerator on the last beat.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// Every day that is kept, in order, today among them.
    pub fn days(&self) -> Vec<Arc<Day>> {
        self.tally.days()
    }

    /// Who was given which accelerator.
    pub fn holdings(&self) -> &[Holding] {
        self.naming.holdings()
    }

    /// Names of the pods on this node by uid, as far as they are known.
    pub fn pod_names(&self) -> &BTreeMap<String, PodName> {
        self.naming.pod_names()
    }

    /// How the kubelet answers; `None` where there is none.
    pub fn health(&self) -> Option<SourceHealth> {
        self.naming.health()
    }
}

/// Counts what an accelerator used, and by whom, for the day.
fn account_day(day: &mut Day, device: &Device, used: &Used, (claimants, parts): (&[Claimant], &[Part])) {
    if let Some(beat_j) = used.beat_j {
        let used = Use { energy_j: beat_j + used.gap_j, covered_s: used.covered_s };
        day.add_device(&device.info.key, &device.info.name, used);
    }
    for (claimant, part) in claimants.iter().zip(parts) {
        if let Some(workload) = &claimant.workload {
            day.add_workload(workload, part.energy_j);
        }
    }
}

fn share(device: &Device, claimant: &Claimant, power_w: Option<f64>, energy_j: f64) -> Share {
    Share {
        device: device.id,
        workload: claimant.workload.clone(),
        power: power_w.map(Watts),
        energy_j,
        memory_bytes: claimant.memory_bytes,
        utilization: claimant.utilization.map(|utilization| utilization.min(1.0)),
        processes: claimant.processes,
    }
}

/// Adds what a workload has of another partition of the same accelerator. Its energy is counted for both together.
fn join(share: &mut Share, more: &Share) {
    let sum = |a: Option<f64>, b: Option<f64>| a.map_or(b, |a| Some(a + b.unwrap_or(0.0)));
    share.power = sum(share.power.map(|p| p.0), more.power.map(|p| p.0)).map(Watts);
    share.energy_j = more.energy_j;
    share.memory_bytes =
        share.memory_bytes.map_or(more.memory_bytes, |a| Some(a + more.memory_bytes.unwrap_or(0)));
    share.utilization = sum(share.utilization, more.utilization).map(|utilization| utilization.min(1.0));
    share.processes += more.processes;
}

fn past(device: &Device, workload: &Arc<Workload>, energy_j: f64) -> Share {
    let nobody = Claimant { workload: Some(Arc::clone(workload)), ..Claimant::default() };
    share(device, &nobody, None, energy_j)
}

#[cfg(test)]
mod tests;
