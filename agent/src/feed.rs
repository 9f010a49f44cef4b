//! The feed: every source of a rig, read once a beat into the frame, and measured like any other device.
use crate::line::{Line, Place};
use crate::source::{Opened, retire_all};
use crate::worker::Worker;
use detectors::Kin;
use model::snapshot::SourceHealth;
use model::source::SourceMap;
use model::{
    Absence, Arrival, Batch, Clock, DeviceInfo, DeviceKind, Frame, LateCall, Metric, Reason, Slot, Timestamp,
};
use std::sync::Arc;
use std::time::Duration;

/// A source of the rig and the sources of the devices that it met.
#[derive(Debug)]
struct Root {
    line: Line,
    /// The devices that are read apart, in order of arrival.
    children: Vec<Child>,
    own: Slot,
    /// Calls made by children that are no more, so that the count never falls.
    calls_gone: u64,
    /// Collectors given up so far.
    losses: u64,
}

/// The source of one device.
#[derive(Debug)]
struct Child {
    key: String,
    line: Line,
}

/// Every source of a rig.
pub struct Feed {
    roots: Vec<Root>,
    /// Sources of devices that were dropped while a call had not returned. Until it does, their device is not read by
    /// another thread, so that threads cannot pile up behind a driver that hangs.
    stranded: Vec<(String, Worker)>,
    /// The sources as devices.
    own: Batch,
    own_map: SourceMap,
    /// How long a beat waits for workers.
    patience: Duration,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("roots", &self.roots).finish_non_exhaustive()
    }
}

impl Feed {
    /// A feed of these sources, read in this order. The clock shares the patience among workers.
    pub fn new(places: Vec<Place>, patience: Duration, clock: Arc<dyn Clock>) -> Self {
        let mut own = Batch::default();
        let root = |place: Place| {
            let line = Line::new(place);
            let slot = own.device(DeviceInfo::new(DeviceKind::Source, line.name().as_ref()));
            Root { line, children: Vec::new(), own: slot, calls_gone: 0, losses: 0 }
        };
        let roots = places.into_iter().map(root).collect();
        Self { roots, stranded: Vec::new(), own, own_map: SourceMap::default(), patience, clock }
    }

    /// Reads every source into the frame. Workers collect while the inline sources are read.
    pub fn collect(&mut self, now: Timestamp, frame: &mut Frame) {
        frame.begin(now);
        self.stranded.retain(|(_, worker)| worker.is_busy());
        for root in &mut self.roots {
            root.line.ask(now);
            root.children.iter_mut().for_each(|child| child.line.ask(now));
        }
        for turn in [false, true] {
            for place in 0..self.roots.len() {
                if self.roots[place].line.is_worker() == turn {
                    self.read(place, now, frame);
                }
            }
        }
        self.measure(now);
        frame.merge(&self.own, &mut self.own_map, false);
        for root in &self.roots {
            let device = self.own_map.device(root.own);
            let late = root.line.late_since().zip(device);
            frame.late.extend(late.map(|(since, device)| LateCall { device, call: root.line.call(), since }));
        }
    }

    /// Reads one source and the devices that it met, those that arrive on this beat included.
    fn read(&mut self, place: usize, now: Timestamp, frame: &mut Frame) {
        let left = |clock: &dyn Clock, patience: Duration| patience.saturating_sub(clock.now().since(now));
        let Self { roots, stranded, patience, clock, .. } = self;
        let root = &mut roots[place];
        let arrivals = root.line.collect(now, left(clock.as_ref(), *patience), frame);
        let losses = root.line.account().losses;
        if root.losses != losses {
            root.losses = losses;
            for child in std::mem::take(&mut root.children) {
                root.calls_gone += dismiss(child, now, frame, stranded);
            }
        }
        for arrival in arrivals {
            let key = arrival.key.clone();
            // Dropping the arrival tells the source that met the device to look for it again later.
            let taken = stranded.iter().any(|(known, _)| *known == key)
                || root.children.iter().any(|child| child.key == key);
            if let Some(line) = (!taken).then(|| settle(arrival, &root.line, clock)).flatten() {
                root.children.push(Child { key, line });
            }
        }
        let mut place = 0;
        while let Some(child) = root.children.get_mut(place) {
            child.line.collect(now, left(clock.as_ref(), *patience), frame);
            if child.line.account().ended {
                let child = root.children.remove(place);
                root.calls_gone += dismiss(child, now, frame, stranded);
                continue;
            }
            tell_late(&child.line, now, frame);
            place += 1;
        }
    }

    /// Sets the metrics of the sources themselves; a source's own devices count with it.
    fn measure(&mut self, now: Timestamp) {
        self.own.begin();
        for root in &mut self.roots {
            let (own, slot, account) = (&mut self.own, root.own, root.line.account());
            let missing = account.failure.as_ref().is_some_and(|f| f.reason == Reason::Unsupported);
            if missing {
                own.absent(slot, Metric::SourceUp, Absence::Unsupported);
                continue;
            }
            let late = root.line.late_since().map_or(0.0, |since| now.seconds_since(since));
            let lines = || std::iter::once(&root.line).chain(root.children.iter().map(|child| &child.line));
            let (values, absences) = lines().map(Line::readings).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
            let duration_s = lines().map(|line| line.account().duration_s).fold(0.0, f64::max);
            let calls: u64 = lines().map(|line| line.calls_made()).sum();
            own.flag(slot, Metric::SourceUp, account.up && root.line.late_since().is_none());
            own.set(slot, Metric::SourceDuration, duration_s);
            own.set(slot, Metric::SourceLate, late);
            // Counts are far below 2^53, so the conversion is exact.
            own.set(slot, Metric::SourceCollections, account.collections as f64);
            let reopens: u64 = lines().map(|line| line.account().reopens).sum();
            own.set(slot, Metric::SourceReopens, (reopens) as f64);
            own.set(slot, Metric::SourceReadings, values as f64);
            own.set(slot, Metric::SourceAbsences, absences as f64);
            let all = root.calls_gone + lines().map(|line| line.calls_before()).sum::<u64>() + calls;
            if all > 0 {
                own.set(slot, Metric::SourceCalls, calls as f64);
                own.set(slot, Metric::SourceCallsAll, all as f64);
            }
            root.line.count_calls();
            root.children.iter_mut().for_each(|child| child.line.count_calls());
        }
    }

    /// Says which source reads which device.
    pub fn kin(&self, kin: &mut Kin) {
        for root in &self.roots {
            let Some(source) = self.own_map.device(root.own) else { continue };
            let lines = std::iter::once(&root.line).chain(root.children.iter().map(|child| &child.line));
            lines.flat_map(Line::devices).for_each(|device| kin.read_by(device, source));
        }
    }

    /// How each source is, and each device that is read apart and not well.
    pub fn health(&self, now: Timestamp) -> Vec<SourceHealth> {
        let of = |root: &Root| {
            let own = root.line.health(now);
            let sick = root.children.iter().map(|child| child.line.health(now)).filter(|health| !health.up);
            std::iter::once(own).chain(sick).collect::<Vec<_>>()
        };
        self.roots.iter().flat_map(of).collect()
    }

    /// Devices that found no place in the table, since the start.
    pub fn refused(&self) -> u64 {
        let of = |root: &Root| {
            root.line.refused() + root.children.iter().map(|child| child.line.refused()).sum::<u64>()
        };
        self.roots.iter().map(of).sum()
    }
}

/// Gives an arrival a line of its own, where its source runs; `None` when the system has no thread to give.
fn settle(arrival: Arrival, root: &Line, clock: &Arc<dyn Clock>) -> Option<Line> {
    let source = Opened::arrived(arrival, Arc::clone(clock));
    if !root.is_worker() {
        return Some(Line::new(Place::Inline(Box::new(source))));
    }
    let name = Arc::clone(source.name());
    match Worker::spawn(source) {
        Ok(worker) => Some(Line::new(Place::Worker(worker))),
        Err(error) => {
            tracing::warn!(source = &*name, "could not start its thread: {error}");
            None
        }
    }
}

/// Ends the source of a device: what it read is gone. Gives the calls it made.
fn dismiss(child: Child, now: Timestamp, frame: &mut Frame, stranded: &mut Vec<(String, Worker)>) -> u64 {
    let Child { key, mut line } = child;
    let calls = line.calls_before() + line.calls_made();
    line.retire(now, frame, retire_all);
    if let Some(worker) = line.into_worker().filter(Worker::is_busy) {
        stranded.push((key, worker));
    }
    calls
}

/// Says of each accelerator of a line how long a call for it has not returned.
fn tell_late(line: &Line, now: Timestamp, frame: &mut Frame) {
    let since = line.late_since();
    for device in line.devices() {
        if !frame.devices.get(device).info.kind.is_accelerator() {
            continue;
        }
        let late_s = since.map_or(0.0, |since| now.seconds_since(since));
        frame.put(device, Metric::CallLate, Metric::CallLate.reading(late_s));
        frame.late.extend(since.map(|since| LateCall { device, call: line.call(), since }));
    }
}

#[cfg(test)]
mod tests;
