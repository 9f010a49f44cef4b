//! Sites: what can be turned on the plant, boards, packages and groups, by one number, and the way to each knob.
use super::keeper::{Bench, Known};
use model::{Absence, DeviceId, Knob, Range, Span};
use policy::ledger::Entry;
use sim::plant::host::{CORES, GROUPS, PACKAGE_RANGE_W, PACKAGES, QUOTA_MIN};
use sim::plant::{Answer, BOARDS};
use sim::profile::H100;

/// Everything that can be turned.
pub(super) const SITES: usize = BOARDS + PACKAGES + GROUPS;
/// The zones of RAPL, as the powercap files name them: packages, then their memories.
pub(super) const ZONES: [&str; 2 * PACKAGES] = ["package-0", "package-1", "package-0/dram", "package-1/dram"];
/// Groups of processes.
pub(super) const NAMES: [&str; GROUPS] = ["docker/batch-a", "docker/batch-b", "docker/loader"];

/// Something that can be turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    Board(usize),
    Package(usize),
    Group(usize),
}

impl Site {
    /// Of a device, in the order in which eyes meet them; `None` where it has no knob.
    pub(super) fn of(device: DeviceId) -> Option<Self> {
        match device.index() {
            board if board < BOARDS => Some(Self::Board(board)),
            zone if zone < BOARDS + PACKAGES => Some(Self::Package(zone - BOARDS)),
            zone if zone < BOARDS + ZONES.len() => None,
            group => {
                (group < BOARDS + ZONES.len() + GROUPS).then(|| Self::Group(group - BOARDS - ZONES.len()))
            }
        }
    }

    /// Its number, below [`SITES`].
    pub(super) fn number(self) -> usize {
        match self {
            Self::Board(board) => board,
            Self::Package(package) => BOARDS + package,
            Self::Group(group) => BOARDS + PACKAGES + group,
        }
    }
}

/// The number of a device; that of no site where it has no knob.
pub(super) fn number(device: DeviceId) -> usize {
    Site::of(device).map_or(SITES, Site::number)
}

/// The positions of a knob.
pub(super) fn span(known: &Known, knob: Knob) -> Option<Span> {
    match (Site::of(known.device)?, knob) {
        (Site::Board(_), Knob::PowerLimit) => known.range.map(Range::span),
        (Site::Board(_), Knob::ClockMax) => Span::new(H100.clock_min_hz, H100.clock_max_hz),
        (Site::Package(_), Knob::PowerLimit) => Span::new(PACKAGE_RANGE_W.0, PACKAGE_RANGE_W.1),
        (Site::Group(_), Knob::CpuQuota) => Span::new(QUOTA_MIN, CORES),
        _ => None,
    }
}

impl Bench<'_> {
    /// The position of a knob that is in force.
    pub(super) fn enforced(&self, device: DeviceId, knob: Knob) -> Option<f64> {
        match (Site::of(device)?, knob) {
            (Site::Board(board), Knob::PowerLimit) => self.plant.enforced_w(board).ok(),
            (Site::Board(board), Knob::ClockMax) => self.plant.clock_bound(board).ok(),
            (Site::Package(package), Knob::PowerLimit) => Some(self.plant.host().packages[package].limit_w),
            (Site::Group(group), Knob::CpuQuota) => self.plant.quota(group).ok(),
            _ => None,
        }
    }

    /// The position that was asked of a knob, whatever other limiters make of it.
    pub(super) fn requested(&self, device: DeviceId, knob: Knob) -> Option<f64> {
        let enforced = self.enforced(device, knob)?;
        let asked = match (Site::of(device)?, knob) {
            (Site::Board(board), Knob::PowerLimit) => self.plant.boards[board].requested_w,
            _ => enforced,
        };
        Some(asked.max(enforced))
    }

    /// Turns a knob; gives what is then in force.
    pub(super) fn turn(&mut self, device: DeviceId, knob: Knob, value: f64) -> Answer {
        match (Site::of(device).ok_or(Absence::Unsupported)?, knob) {
            (Site::Board(board), Knob::PowerLimit) => self.plant.set_limit(board, value),
            (Site::Board(board), Knob::ClockMax) => self.plant.set_clock(board, value),
            (Site::Package(package), Knob::PowerLimit) => self.plant.set_package(package, value),
            (Site::Group(group), Knob::CpuQuota) => self.plant.set_quota(group, value),
            _ => Err(Absence::Unsupported),
        }
    }

    /// Which of the groups that had this name it is now; 0 of what is not a group.
    pub(super) fn incarnation(&self, device: DeviceId) -> u64 {
        match Site::of(device) {
            Some(Site::Group(group)) => self.plant.host().groups[group].incarnation,
            _ => 0,
        }
    }

    /// Whether a group is there, whatever can be read of it.
    pub(super) fn is_there(&self, device: DeviceId) -> bool {
        match Site::of(device) {
            Some(Site::Group(group)) => self.plant.host().groups[group].there,
            _ => true,
        }
    }

    /// Whether the quota of a group that is held is not what we set last: somebody else has another use for it.
    pub(super) fn foreign(&self, device: DeviceId, knob: Knob, entry: &Entry) -> bool {
        let ours = |written: policy::ledger::Written| {
            let off = self.enforced(device, knob).map(|now| (now - written.limit).abs());
            off.is_none_or(|off| off <= knob.slack())
        };
        knob == Knob::CpuQuota && !entry.written.is_none_or(ours)
    }
}
