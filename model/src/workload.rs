//! Workloads: what processes belong to, and what each has of an accelerator.
use crate::device::DeviceId;
use crate::units::Watts;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What sort of thing a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// A container of a Kubernetes pod.
    Pod,
    /// A container outside Kubernetes.
    Container,
    /// A Slurm job.
    Slurm,
    /// A systemd unit.
    Unit,
    /// A process of which nothing more is known.
    Process,
    /// Workloads of the past that are no longer listed one by one, taken together.
    Departed,
}

impl WorkloadKind {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Container => "container",
            Self::Slurm => "slurm",
            Self::Unit => "unit",
            Self::Process => "process",
            Self::Departed => "departed",
        }
    }
}

/// Who works: the unit that power and energy are accounted to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Workload {
    /// The sort of thing.
    pub kind: WorkloadKind,
    /// The identity, unique within the kind and stable over restarts of the agent: `<pod uid>/<container>`,
    /// a container's id, a job's number, a unit's name, `<name>:<pid>:<start time>` of a process.
    pub key: String,
    /// A short name for people.
    pub name: String,
    /// The pod's namespace, empty where it is not known or not a pod.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The pod's name, empty where it is not known or not a pod.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// The pod's uid, empty where it is not known or not a pod.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pod_uid: String,
    /// The container's name in its pod, or its id; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
}

impl Workload {
    /// A workload with only an identity; its name is its key.
    pub fn new(kind: WorkloadKind, key: impl Into<String>) -> Self {
        let key = key.into();
        let empty = String::new;
        Self {
            kind,
            name: key.clone(),
            key,
            namespace: empty(),
            pod: empty(),
            pod_uid: empty(),
            container: empty(),
        }
    }
}

/// What one workload has of one accelerator on one beat. The shares of an accelerator add up to the whole of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The accelerator, always the whole one.
    pub device: DeviceId,
    /// Who; `None` for the part that nobody can be held to.
    pub workload: Option<Arc<Workload>>,
    /// Power, in watts; `None` where the accelerator's power is not known, and for a workload that has left it.
    pub power: Option<Watts>,
    /// Energy accounted to it on this accelerator since it was first seen, in joules; survives restarts of the agent.
    pub energy_j: f64,
    /// Device memory its processes hold, in bytes; `None` where the driver does not say.
    pub memory_bytes: Option<u64>,
    /// Share of the accelerator's compute time, 0 to 1; `None` where the driver does not say.
    pub utilization: Option<f64>,
    /// How many of its processes are on the accelerator.
    pub processes: u32,
}

/// A workload that was given an accelerator, whether or not it has a process there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The accelerator or the partition.
    pub device: DeviceId,
    /// Who holds it.
    pub workload: Arc<Workload>,
}
