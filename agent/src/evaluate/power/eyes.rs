//! Eyes: the plant as a frame shows it, with the metrics that policies of power read.
use super::keeper::Known;
use super::site::{NAMES, ZONES};
use model::{
    Absence, DeviceId, DeviceInfo, DeviceKind, Frame, History, Metric, Reading, Timestamp, Watts,
    work::{Work, WorkState},
};
use sim::plant::host::{CORES, Group, PACKAGES};
use sim::plant::job::{Job, Kind};
use sim::plant::{BOARDS, Plant, STEPS_A_SECOND};
use std::sync::Arc;

/// Beats that the history holds: policies look back over seconds.
const PAST: usize = 128;
/// How long it takes to see what a job does, in steps. An assumption; the agent needs tens of seconds.
const JUDGED: u64 = 30 * STEPS_A_SECOND;

/// Reads the plant.
#[derive(Debug)]
pub(super) struct Eyes {
    pub(super) frame: Frame,
    pub(super) history: History,
    infos: Vec<Arc<DeviceInfo>>,
    devices: Vec<DeviceId>,
    zones: Vec<DeviceId>,
    groups: Vec<(DeviceId, Arc<DeviceInfo>)>,
}

impl Eyes {
    /// Eyes that have seen which boards and zones there are.
    pub(super) fn new() -> Self {
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let info = |kind: DeviceKind, key: String| Arc::new(DeviceInfo::new(kind, key));
        let infos: Vec<_> = (0..BOARDS).map(|board| info(DeviceKind::Gpu, format!("GPU-{board}"))).collect();
        let zones: Vec<_> = ZONES.iter().map(|key| info(DeviceKind::Zone, (*key).to_owned())).collect();
        let container = |name: &&str| {
            let mut info = DeviceInfo::new(DeviceKind::Cgroup, *name);
            info.attributes.insert("container".into(), (*name).into());
            Arc::new(info)
        };
        let groups: Vec<_> = NAMES.iter().map(container).collect();
        // Fifteen devices fit into any table.
        let mut register = |info: &Arc<DeviceInfo>| table.register(info).ok();
        let devices = infos.iter().filter_map(&mut register).collect();
        let zones = zones.iter().filter_map(&mut register).collect();
        let groups =
            groups.into_iter().filter_map(|info| Some((table.register(&info).ok()?, info))).collect();
        Self { frame, history: History::new(PAST), infos, devices, zones, groups }
    }

    /// Looks at one beat.
    pub(super) fn look(&mut self, plant: &Plant, now: Timestamp) {
        for (board, info) in self.infos.iter().enumerate() {
            meet(&mut self.frame, self.devices[board], info, plant.boards[board].lost);
        }
        for ((device, info), group) in self.groups.iter().zip(&plant.host().groups) {
            meet(&mut self.frame, *device, info, !group.there);
        }
        self.frame.begin(now);
        for (board, device) in self.devices.iter().copied().enumerate() {
            match plant.answers(board) {
                Ok(()) => read(&mut self.frame, device, plant, board),
                Err(Absence::Lost) => {}
                Err(absence) => self.frame.fill(device, absence),
            }
        }
        for (place, zone) in self.zones.iter().enumerate() {
            let reading = match plant.rapl_j() {
                Some(joules) => Metric::ZoneEnergy.reading(joules[place]),
                None => Reading::Absent(Absence::Denied),
            };
            self.frame.put(*zone, Metric::ZoneEnergy, reading);
        }
        for (zone, package) in self.zones.iter().take(PACKAGES).zip(&plant.host().packages) {
            self.frame.put(*zone, Metric::ZoneLimitLong, Reading::Value(package.limit_w));
        }
        for ((device, _), group) in self.groups.iter().zip(&plant.host().groups) {
            read_group(&mut self.frame, *device, group);
        }
        for job in plant.jobs().iter().filter(|job| plant.steps() >= job.since + JUDGED) {
            let since = Timestamp { mono_ns: job.since * 100_000_000, ..now };
            let state = |board: usize| WorkState {
                device: self.devices[board],
                work: work(job),
                confidence: 0.8,
                since,
            };
            self.frame.works.extend(job.range().map(state));
        }
        self.history.append(&self.frame);
    }

    /// The devices as the keeper must know them.
    pub(super) fn know(&self, known: &mut Vec<Known>) {
        if known.is_empty() {
            let new = |(device, info): (&DeviceId, &Arc<DeviceInfo>)| Known {
                device: *device,
                key: Arc::from(info.key.as_str()),
                range: None,
                there: false,
            };
            known.extend(self.devices.iter().zip(&self.infos).map(new));
            let zones = self.zones.iter().take(PACKAGES).zip(ZONES);
            let groups = self.groups.iter().map(|(device, _)| device).zip(NAMES);
            known.extend(zones.chain(groups).map(|(device, key)| Known {
                device: *device,
                key: Arc::from(key),
                range: None,
                there: false,
            }));
        }
        for known in known {
            known.there = !self.frame.devices.get(known.device).gone;
            known.range = policy::budget::range(&self.frame, known.device).or(known.range);
        }
    }

    /// The limit in force on a board, as it was last seen.
    pub(super) fn enforced(&self, device: DeviceId) -> Option<Watts> {
        self.frame.value(device, Metric::PowerLimitEnforced).map(Watts)
    }
}

fn read(frame: &mut Frame, device: DeviceId, plant: &Plant, index: usize) {
    let board = &plant.boards[index];
    let clock_max = sim::profile::H100.clock_max_hz;
    let values = [
        (Metric::Up, 1.0),
        (Metric::PowerInstant, board.instant_w()),
        (Metric::PowerAverage, board.average_w()),
        (Metric::PowerLimitEnforced, board.enforced_w()),
        (Metric::PowerLimitRequested, board.requested_w),
        (Metric::PowerLimitMin, board.range_w.0),
        (Metric::PowerLimitMax, board.range_w.1),
        (Metric::PowerLimitDefault, board.default_w.min(board.range_w.1)),
        (Metric::ClockSm, board.clock * clock_max),
        (Metric::ClockSmMax, clock_max),
        (Metric::Energy, board.energy_j),
    ];
    for (metric, value) in values {
        frame.put(device, metric, metric.reading(value));
    }
}

/// Retires a device that is gone and takes back one that has come again.
fn meet(frame: &mut Frame, device: DeviceId, info: &Arc<DeviceInfo>, gone: bool) {
    if gone == frame.devices.get(device).gone {
        return;
    }
    let table = Arc::make_mut(&mut frame.devices);
    if gone {
        table.retire(device);
    } else {
        // It keeps its entry, so there is room.
        let _ = table.register(info);
    }
}

fn read_group(frame: &mut Frame, device: DeviceId, group: &Group) {
    let denied = Reading::Absent(Absence::Denied);
    let (used, quota) = match group {
        group if !group.there => return,
        group if !group.readable => (denied, denied),
        group if group.quota >= CORES => {
            (Reading::Value(group.used_s), Reading::Absent(Absence::Unsupported))
        }
        group => (Reading::Value(group.used_s), Reading::Value(group.quota)),
    };
    frame.put(device, Metric::CgroupCpu, used);
    frame.put(device, Metric::CgroupQuota, quota);
}

fn work(job: &Job) -> Work {
    match job.kind {
        Kind::Idle => Work::Idle,
        Kind::Training => Work::Training,
        Kind::Prefill | Kind::Serving => Work::Prefill,
        Kind::Decode => Work::Decode,
    }
}
