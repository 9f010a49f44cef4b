//! The snapshot: the immutable picture of one beat that every reader sees, on this node or over HTTP.
use crate::catalogue::Metric;
use crate::clock::Timestamp;
use crate::decision::{Decision, Mode, Outcome, Priority, Verdict};
use crate::device::{DeviceId, DeviceInfo};
use crate::error::Reason;
use crate::event::{Event, FaultKind, Health, Severity};
use crate::frame::{Absence, Frame, Notice, ProcessUse, Reading};
use crate::incident::{CLEARED_SHOWN, Incident};
use crate::interference::Interference;
use crate::signal::Signal;
use crate::stages::Caps;
use crate::standing::Standing;
use crate::units::Watts;
use crate::work::WorkState;
use crate::workload::{Holding, Share};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most events a snapshot carries: all active ones, then the latest cleared ones.
pub const EVENTS_MAX: usize = 256;
/// The most settled decisions a snapshot carries, the latest.
pub const DECISIONS_MAX: usize = 128;

/// Where data come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rig {
    /// The machine wattkeeper runs on.
    #[default]
    Hardware,
    /// A node that does not exist.
    Sim,
    /// A recording.
    Replay,
}

impl Rig {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::Sim => "sim",
            Self::Replay => "replay",
        }
    }
}

/// How hard power is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerStage {
    /// No cap is wanted.
    #[default]
    Free,
    /// Low-priority work is trimmed.
    Low,
    /// All work is trimmed.
    High,
    /// The brake is on.
    Brake,
}

impl PowerStage {
    /// The word shown on screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Low => "trim low",
            Self::High => "trim all",
            Self::Brake => "BRAKE",
        }
    }
}

/// What keeps a budget from being held as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerTrouble {
    /// The sum of all floors and the rest of the node is above the budget: no cap can hold it.
    Infeasible,
    /// Some device's power cannot be read; it is counted at its limit.
    Blind,
    /// A device draws more than its enforced limit.
    CapNotHeld,
    /// The limit of a device is changed by somebody else.
    Contended,
    /// The journal cannot be written or read, so nothing is enforced.
    NoJournal,
    /// The guardian is gone: caps stay in the hardware and nothing is changed until it is back.
    NoGuardian,
    /// Another agent on this node enforces, so this one only advises.
    OtherAgent,
}

impl PowerTrouble {
    /// A few words for a screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Infeasible => "budget below the sum of floors",
            Self::Blind => "power of a device unreadable",
            Self::CapNotHeld => "a device draws more than its cap",
            Self::Contended => "another writer changes limits",
            Self::NoJournal => "no journal: observing only",
            Self::NoGuardian => "no guardian: caps stay as they are",
            Self::OtherAgent => "another agent enforces: advising only",
        }
    }
}

/// What our caps on one device cost, as far as that can be estimated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Which device.
    pub device: DeviceId,
    /// How much longer its work takes, estimated from clocks and the kind of work: 0.1 is a tenth; 0 where no cap bites.
    pub slowdown: f64,
    /// Energy that the same work would have cost more without our caps, in joules since the start of the agent: an
    /// estimate, negative where caps made it dearer.
    pub saved_j: f64,
}

/// The state of the node's power budget.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PowerState {
    /// The budget.
    pub budget: Watts,
    /// Power of the accelerators, measured.
    pub accelerators: Watts,
    /// Power of the rest of the node.
    pub rest: Watts,
    /// Whether the rest was measured (else it is the configured estimate).
    pub rest_measured: bool,
    /// The total that thresholds are compared with: margins included.
    pub counted: Watts,
    /// Share of the budget at which low-priority work is trimmed.
    pub low: f64,
    /// Share of the budget at which all work is trimmed.
    pub high: f64,
    /// How hard power is held.
    pub stage: PowerStage,
    /// Seconds for which measured power was above the budget, since the start.
    pub over_budget_seconds: f64,
    /// What stands in the way.
    pub troubles: Vec<PowerTrouble>,
    /// The worst relative rise over the loop's delay that thresholds are made for; `None` while it is being learnt and the
    /// configured thresholds are in force.
    #[serde(default)]
    pub rise: Option<f64>,
    /// What caps cost, a device each, for devices that were ever capped; no more than there are devices.
    #[serde(default)]
    pub costs: Vec<Cost>,
    /// Our caps in force.
    #[serde(default)]
    pub caps: Caps,
}

/// A decision and, once there is one, its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    /// What was decided.
    pub decision: Decision,
    /// What became of it.
    pub outcome: Option<Outcome>,
}

/// How a source is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceHealth {
    /// The collector's name.
    pub name: String,
    /// Whether it answered on the last beat.
    pub up: bool,
    /// Why it could not be opened or did not answer.
    pub reason: Option<Reason>,
    /// The failure as a sentence for people; never a label.
    pub message: Option<String>,
    /// Failures by reason since the start.
    pub failures: BTreeMap<Reason, u64>,
}

/// What the agent costs and how it keeps time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Vitals {
    /// Beats run.
    pub beats: u64,
    /// Beats that were due while an earlier one was still running.
    pub beats_missed: u64,
    /// How long the last beat took, in seconds.
    pub beat_seconds: f64,
    /// How long after its due time the last beat began, in seconds.
    pub late_seconds: f64,
    /// Processor time of the agent itself, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory of the agent itself, in bytes.
    pub resident_bytes: u64,
    /// Memory that history and fitted models hold, in bytes.
    pub held_bytes: u64,
}

/// Counts since the start, for counters that must never fall.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Events raised.
    pub events: Vec<(FaultKind, Severity, u64)>,
    /// Incidents by the fault that caused them when they began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<(FaultKind, u64)>,
    /// Decisions by the label of their action, and mode.
    pub decisions: Vec<(String, Mode, u64)>,
    /// Outcomes by verdict.
    pub verdicts: Vec<(Verdict, u64)>,
    /// Pushes by what became of them; empty when nothing is pushed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pushes: Vec<(String, u64)>,
}

/// What the node is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The host's name.
    pub host: String,
    /// Where data come from. Anything but `Hardware` is said on every screen.
    pub rig: Rig,
    /// The version of wattkeeper.
    pub version: String,
    /// The length of a beat, in seconds.
    pub beat_s: f64,
    /// What is expected to be on the node, in words ("8 x H100 SXM, simulated"); empty on hardware.
    pub note: String,
}

/// How far back the incidents of a snapshot reach. Wall-clock times in milliseconds; 0 for not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lookback {
    /// When this run of the agent began to watch.
    pub started_ms: i64,
    /// From when on incidents are known, those of earlier runs included; what happened while no agent ran is not.
    pub from_ms: i64,
}

/// One beat, whole.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The node.
    pub node: Arc<NodeInfo>,
    /// Devices, readings, notices, processes.
    #[serde(with = "wire")]
    pub frame: Frame,
    /// Active events, then the latest cleared ones; newest first within each.
    pub events: Vec<Event>,
    /// Active incidents, then those that are over; newest first within each. At most [`CLEARED_SHOWN`] of those that are
    /// over are written.
    #[serde(default, serialize_with = "shown")]
    pub incidents: Vec<Arc<Incident>>,
    /// How far back those reach.
    #[serde(default)]
    pub lookback: Lookback,
    /// Decisions with outcomes, newest first.
    pub decisions: Vec<Settled>,
    /// The power budget; `None` when none is configured.
    pub power: Option<PowerState>,
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// Priority by [`DeviceId::index`].
    pub priorities: Vec<Priority>,
    /// What autoscalers read.
    pub signals: Vec<Signal>,
    /// What each detector that learns can say of each device.
    #[serde(default)]
    pub standings: Vec<Standing>,
    /// How each workload does beside its neighbours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interference: Vec<Interference>,
    /// How each process on an accelerator does beside the others there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sharers: Vec<crate::interference::Sharer>,
    /// What each workload has of each accelerator.
    #[serde(default)]
    pub shares: Vec<Share>,
    /// Which workloads were given which accelerators.
    #[serde(default)]
    pub holdings: Vec<Holding>,
    /// The sources, those that could not be opened included.
    pub sources: Vec<SourceHealth>,
    /// The agent itself.
    pub vitals: Vitals,
    /// Counters.
    pub counts: Counts,
}

impl Snapshot {
    /// The state of an accelerator in one word.
    ///
    /// `Faulty` with a critical event, `Degraded` with a warning; else `Unknown` when it does not answer, is gone, or
    /// neither power nor temperature nor utilisation can be read.
    pub fn health(&self, device: DeviceId) -> Health {
        let worst = self.events.iter().filter(|e| e.active() && e.device == device).map(|e| e.severity).max();
        let readable = [Metric::PowerInstant, Metric::PowerAverage, Metric::Temperature, Metric::Utilization]
            .iter()
            .any(|&metric| self.frame.value(device, metric).is_some());
        let answers = self.frame.flag(device, Metric::Up).unwrap_or(readable);
        match worst {
            Some(Severity::Critical) => Health::Faulty,
            Some(Severity::Warning) => Health::Degraded,
            _ if !answers || !readable || self.frame.devices.get(device).gone => Health::Unknown,
            _ => Health::Healthy,
        }
    }

    /// The priority of a device.
    pub fn priority(&self, device: DeviceId) -> Priority {
        self.priorities.get(device.index()).copied().unwrap_or_default()
    }
}

/// Writes active incidents and the latest of the others.
fn shown<S: Serializer>(incidents: &[Arc<Incident>], serializer: S) -> Result<S::Ok, S::Error> {
    let active = incidents.iter().filter(|incident| incident.active()).count();
    serializer.collect_seq(&incidents[..incidents.len().min(active + CLEARED_SHOWN)])
}

/// How a frame is written: one entry a device, in the order of handles, readings by name, what is unsupported left out.
mod wire {
    use super::{
        Absence, Arc, BTreeMap, Deserialize, Deserializer, DeviceInfo, Frame, Metric, Notice, ProcessUse,
        Reading, Serialize, Serializer, Timestamp, WorkState,
    };

    #[derive(Serialize, Deserialize)]
    struct WireDevice {
        #[serde(flatten)]
        info: Arc<DeviceInfo>,
        #[serde(default)]
        gone: bool,
        readings: BTreeMap<Metric, Reading>,
    }

    #[derive(Serialize, Deserialize)]
    struct WireFrame {
        at: Timestamp,
        devices: Vec<WireDevice>,
        notices: Vec<Notice>,
        processes: Vec<ProcessUse>,
        #[serde(default)]
        works: Vec<WorkState>,
    }

    pub(super) fn serialize<S: Serializer>(frame: &Frame, serializer: S) -> Result<S::Ok, S::Error> {
        let unsupported = Reading::Absent(Absence::Unsupported);
        let device = |d: &crate::device::Device| WireDevice {
            info: Arc::clone(&d.info),
            gone: d.gone,
            readings: frame
                .readings(d.id)
                .filter(|(_, reading)| !d.gone && *reading != unsupported)
                .collect(),
        };
        let devices = frame.devices.iter().map(device).collect();
        WireFrame {
            at: frame.at,
            devices,
            notices: frame.notices.clone(),
            processes: frame.processes.clone(),
            works: frame.works.clone(),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Frame, D::Error> {
        let wire = WireFrame::deserialize(deserializer)?;
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let mut ids = Vec::with_capacity(wire.devices.len());
        for device in &wire.devices {
            let id = table.register(&device.info).map_err(serde::de::Error::custom)?;
            if device.gone {
                table.retire(id);
            }
            ids.push(id);
        }
        frame.begin(wire.at);
        for (id, device) in ids.into_iter().zip(wire.devices) {
            for (metric, reading) in device.readings {
                frame.put(id, metric, reading);
            }
        }
        frame.notices = wire.notices;
        frame.processes = wire.processes;
        frame.works = wire.works;
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceKind;

    #[test]
    fn a_snapshot_read_back_is_the_snapshot_that_was_written() {
        let mut snapshot = Snapshot::default();
        let table = Arc::make_mut(&mut snapshot.frame.devices);
        let gpu = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        let node = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Node, "host"))).unwrap();
        snapshot.frame.begin(Timestamp { mono_ns: 7, wall_ms: 8 });
        snapshot.frame.put(gpu, Metric::PowerInstant, Reading::Value(0.1 + 0.2));
        snapshot.frame.put(gpu, Metric::Energy, Reading::Absent(Absence::Denied));
        snapshot.frame.put(node, Metric::Load1, Reading::Value(3.0));
        let text = serde_json::to_string(&snapshot).unwrap();
        let back: Snapshot = serde_json::from_str(&text).unwrap();
        assert_eq!(back.frame.cells(), snapshot.frame.cells());
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_never_healthy() {
        let mut snapshot = Snapshot::default();
        let table = Arc::make_mut(&mut snapshot.frame.devices);
        let gpu = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        snapshot.frame.begin(Timestamp::default());
        assert_eq!(snapshot.health(gpu), Health::Unknown);
        snapshot.frame.put(gpu, Metric::Temperature, Reading::Value(40.0));
        assert_eq!(snapshot.health(gpu), Health::Healthy);
        snapshot.frame.put(gpu, Metric::Up, Reading::Value(0.0));
        assert_eq!(snapshot.health(gpu), Health::Unknown);
    }
}
