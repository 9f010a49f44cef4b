//! The dashboard's own short memory: lines for sparklines, and processor time used, from successive snapshots.
use model::{DeviceId, DeviceKind, Metric, Snapshot, Timestamp};
use std::collections::{BTreeMap, VecDeque};

/// Points kept of each line.
pub const POINTS_MAX: usize = 300;

/// What is remembered of an accelerator; of the node only power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// Power in watts.
    Power,
    /// Compute utilisation, 0 to 1.
    Busy,
    /// Temperature of the die in degrees Celsius.
    Heat,
}

type Line = VecDeque<Option<f64>>;

/// Processor time of all cores since they were started, in seconds, and how many values that is the sum of.
#[derive(Debug, Clone, Copy, Default)]
struct CoreTime {
    values: usize,
    idle: f64,
    all: f64,
}

/// Lines by the device's key; the node's under the empty key.
#[derive(Debug, Default)]
pub struct Past {
    lines: BTreeMap<String, [Line; 3]>,
    beat: Option<(u64, i64)>,
    cores: CoreTime,
    busy: Option<f64>,
    groups: BTreeMap<DeviceId, Group>,
    at: Timestamp,
}

/// Processor time of a workload.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// Since its start, in seconds.
    seconds: f64,
    /// Of the table's entry, so that another workload under the same handle is told.
    generation: u32,
    /// Processors used between the last two snapshots; `None` when not known.
    cores: Option<f64>,
}

impl Past {
    /// Takes a snapshot, unless it is the one taken last; says whether it was new.
    pub fn take(&mut self, snapshot: &Snapshot) -> bool {
        let beat = Some((snapshot.vitals.beats, snapshot.frame.at.wall_ms));
        if self.beat == beat {
            return false;
        }
        self.beat = beat;
        let frame = &snapshot.frame;
        let accelerators = || frame.devices.iter().filter(|device| device.info.kind.is_accelerator());
        self.lines.retain(|key, _| key.is_empty() || accelerators().any(|device| device.info.key == *key));
        for device in accelerators() {
            let get = |metric| frame.value(device.id, metric);
            let power = get(Metric::PowerInstant).or(get(Metric::PowerAverage));
            self.push(&device.info.key, [power, get(Metric::Utilization), get(Metric::Temperature)]);
        }
        let node = snapshot.power.as_ref().map(|power| (power.accelerators + power.rest).0);
        self.push("", [node, None, None]);
        self.take_cores(core_time(snapshot));
        self.take_groups(snapshot);
        true
    }

    fn push(&mut self, key: &str, points: [Option<f64>; 3]) {
        let lines = self.lines.entry(key.to_owned()).or_default();
        for (line, point) in lines.iter_mut().zip(points) {
            if line.len() == POINTS_MAX {
                line.pop_front();
            }
            line.push_back(point);
        }
    }

    fn take_cores(&mut self, now: CoreTime) {
        let before = std::mem::replace(&mut self.cores, now);
        let (idle, all) = (now.idle - before.idle, now.all - before.all);
        let comparable = before.values > 0 && before.values == now.values && all > 0.0 && idle >= 0.0;
        self.busy = comparable.then(|| (1.0 - idle / all).clamp(0.0, 1.0));
    }

    fn take_groups(&mut self, snapshot: &Snapshot) {
        let (frame, passed) = (&snapshot.frame, snapshot.frame.at.seconds_since(self.at));
        let group = |device: DeviceId| {
            let generation = frame.devices.get(device).generation;
            let seconds = frame.value(device, Metric::CgroupCpu)?;
            let before = self.groups.get(&device).filter(|before| before.generation == generation);
            let used = before.map(|before| seconds - before.seconds);
            let cores = used.filter(|used| *used >= 0.0 && passed > 0.0).map(|used| used / passed);
            Some((device, Group { seconds, generation, cores }))
        };
        let groups = snapshot.interference.iter().filter_map(|workload| group(workload.device)).collect();
        (self.groups, self.at) = (groups, frame.at);
    }

    /// Processors that a workload used between the last two snapshots; `None` when not known.
    pub fn cores_of(&self, device: DeviceId) -> Option<f64> {
        self.groups.get(&device)?.cores
    }

    /// The newest points of a line, oldest first.
    pub fn line(&self, key: &str, track: Track, count: usize) -> Vec<Option<f64>> {
        let Some(lines) = self.lines.get(key) else { return Vec::new() };
        let line = &lines[track as usize];
        line.iter().skip(line.len().saturating_sub(count)).copied().collect()
    }

    /// Share of all processors' time that was not idle between the last two snapshots; `None` when not known.
    pub fn busy(&self) -> Option<f64> {
        self.busy
    }
}

/// Sums over the cores whose idle time can be read. Guest time is left out: the kernel counts it as user time as well
/// (proc_stat(5)).
fn core_time(snapshot: &Snapshot) -> CoreTime {
    const BUSY: [Metric; 6] = [
        Metric::CoreUser,
        Metric::CoreNice,
        Metric::CoreSystem,
        Metric::CoreIrq,
        Metric::CoreSoftirq,
        Metric::CoreSteal,
    ];
    let mut sum = CoreTime::default();
    for core in snapshot.frame.devices.of_kind(DeviceKind::Core) {
        let get = |metric: &Metric| snapshot.frame.value(core.id, *metric);
        let Some(idle) = get(&Metric::CoreIdle) else { continue };
        let idle: Vec<f64> = [Some(idle), get(&Metric::CoreIowait)].into_iter().flatten().collect();
        let busy: Vec<f64> = BUSY.iter().filter_map(get).collect();
        sum.values += idle.len() + busy.len();
        sum.idle += idle.iter().sum::<f64>();
        sum.all += idle.iter().chain(&busy).sum::<f64>();
    }
    sum
}
