//! Interference: how much slower a workload is because of its neighbours, what it shares with them, and who they are.
use crate::device::DeviceId;
use crate::snapshot::Snapshot;
use crate::workload::Workload;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What workloads share and can hold each other up at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Runnable tasks wait for a processor.
    RunQueue,
    /// The last-level cache.
    Cache,
    /// The way to memory.
    MemoryBandwidth,
    /// Memory itself: reclaim, refaults, swap.
    Memory,
    /// Disks.
    Io,
    /// The network, loopback included.
    Network,
    /// Power and heat: a clock below what the work had alone.
    Power,
    /// The way between host and accelerator.
    Pcie,
    /// The computing part of an accelerator.
    Compute,
    /// The work is slower, and no counter says why.
    Unknown,
}

impl Resource {
    /// Every resource.
    pub const ALL: [Self; 10] = [
        Self::RunQueue,
        Self::Cache,
        Self::MemoryBandwidth,
        Self::Memory,
        Self::Io,
        Self::Network,
        Self::Power,
        Self::Pcie,
        Self::Compute,
        Self::Unknown,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunQueue => "run_queue",
            Self::Cache => "cache",
            Self::MemoryBandwidth => "memory_bandwidth",
            Self::Memory => "memory",
            Self::Io => "io",
            Self::Network => "network",
            Self::Power => "power",
            Self::Pcie => "pcie",
            Self::Compute => "compute",
            Self::Unknown => "unknown",
        }
    }
}

impl Resource {
    /// The name on a screen.
    pub const fn words(self) -> &'static str {
        match self {
            Self::RunQueue => "run queue",
            Self::MemoryBandwidth => "memory bandwidth",
            Self::Io => "disks",
            Self::Pcie => "PCIe",
            Self::Unknown => "unknown resource",
            other => other.as_str(),
        }
    }
}

/// A number for each resource, absent where nothing is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Vector([Option<f32>; Resource::ALL.len()]);

impl Vector {
    /// The number for a resource.
    pub fn get(&self, resource: Resource) -> Option<f64> {
        self.0[resource as usize].map(f64::from)
    }

    /// Sets the number for a resource; one that is not finite is left out.
    pub fn set(&mut self, resource: Resource, value: f64) {
        self.0[resource as usize] = value.is_finite().then_some(value as f32);
    }

    /// The resources that have a number, with it.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, f64)> + '_ {
        Resource::ALL.into_iter().filter_map(|resource| Some((resource, self.get(resource)?)))
    }
}

impl Serialize for Vector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = std::collections::BTreeMap::<Resource, f64>::deserialize(deserializer)?;
        let mut vector = Self::default();
        map.into_iter().for_each(|(resource, value)| vector.set(resource, value));
        Ok(vector)
    }
}

/// What an estimate rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Time that tasks ran and waited, or clocks: exact where it applies.
    Physics,
    /// The trained model on top of it.
    Model,
    /// A metric of the application itself.
    Metric,
}

impl Basis {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Physics => "physics",
            Self::Model => "model",
            Self::Metric => "metric",
        }
    }
}

/// A co-runner whose activity explains the slowdown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Culprit {
    /// Which.
    pub device: DeviceId,
    /// Correlation of its activity with the slowdown over the last windows, 0 to 1.
    pub correlation: f64,
}

/// How a workload does beside its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Performance now over performance alone, above 0 and at most 1.
    pub y: f64,
    /// Lower end of the 90 % interval of `y`.
    pub low: f64,
    /// Upper end of the 90 % interval of `y`.
    pub high: f64,
    /// What it rests on.
    pub basis: Basis,
    /// What is contended; `None` while nothing is, beyond the noise floor.
    pub resource: Option<Resource>,
    /// Who is likely to blame; `None` while nothing is contended, or nobody stands out.
    pub culprit: Option<Culprit>,
}

/// Below this share of its speed alone a workload is slower beyond the noise floor.
///
/// Memory-bound work on undisturbed cloud machines varies by 2 to 7 % over months (coefficients of variation of memory
/// bandwidth and memcpy, Azure/AzurePublicDataset, VM noise data set), caches by more. Alarms, blame and evaluations use this one.
pub const NOISE_FLOOR: f64 = 0.9;

impl Estimate {
    /// Whether the workload is slower beyond the noise floor, with the whole interval.
    pub fn slowed(&self) -> bool {
        self.high < NOISE_FLOOR
    }
}

/// Why there is no estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abstention {
    /// It was never seen alone for long enough, so there is nothing to compare with.
    NoProfile,
    /// It hardly runs.
    Idle,
    /// It began, or came to this group, less than a window ago.
    Short,
    /// Its readings are not there, or cover too little of the window.
    Uncounted,
    /// It is unlike everything that the model has seen.
    Unfamiliar,
    /// Its load is far outside what its profile knows.
    NovelLoad,
    /// The trained model is of another version or feature set.
    NoModel,
    /// There are more workloads than are followed.
    Crowded,
}

impl Abstention {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::NoProfile,
        Self::Idle,
        Self::Short,
        Self::Uncounted,
        Self::Unfamiliar,
        Self::NovelLoad,
        Self::NoModel,
        Self::Crowded,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoProfile => "no_profile",
            Self::Idle => "idle",
            Self::Short => "short",
            Self::Uncounted => "uncounted",
            Self::Unfamiliar => "unfamiliar",
            Self::NovelLoad => "novel_load",
            Self::NoModel => "no_model",
            Self::Crowded => "crowded",
        }
    }

    /// A few words for a screen.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoProfile => "never seen alone for long enough",
            Self::Idle => "hardly runs",
            Self::Short => "too short for a window",
            Self::Uncounted => "counters are missing",
            Self::Unfamiliar => "unlike anything the model knows",
            Self::NovelLoad => "load outside its profile",
            Self::NoModel => "the model is of another version",
            Self::Crowded => "more workloads than are followed",
        }
    }
}

/// An estimate, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// The estimate.
    Estimate(Estimate),
    /// Why there is none.
    Abstained(Abstention),
}

impl Judgement {
    /// The estimate, if there is one.
    pub const fn estimate(&self) -> Option<&Estimate> {
        match self {
            Self::Estimate(estimate) => Some(estimate),
            Self::Abstained(_) => None,
        }
    }
}

/// How far a workload's hardware counters entered its judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counters {
    /// They entered it: cycles per instruction and the clock stand in place of the model's guess.
    Used,
    /// It was not counted alone for long enough at such a load, so there is nothing to compare with: left out.
    Learning,
    /// They were on the hardware for less than a tenth of the time, sharing it with others: left out.
    Sparse,
}

impl Counters {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Used, Self::Learning, Self::Sparse];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Learning => "learning",
            Self::Sparse => "sparse",
        }
    }
}

/// What is known of one workload among its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interference {
    /// The control group, or the accelerator that the workload has.
    pub device: DeviceId,
    /// How it does now.
    pub judgement: Judgement,
    /// How much it suffers from pressure on each resource: the share of its time alone that it spends there, 0 to 1.
    pub sensitivity: Vector,
    /// How much it presses on each resource: the share of the node's that it uses alone, 0 to 1.
    pub pressure: Vector,
    /// How far hardware counters entered the judgement; `None` where there are none.
    #[serde(default)]
    pub counters: Option<Counters>,
}

impl Interference {
    /// The estimate, if there is one.
    pub const fn estimate(&self) -> Option<&Estimate> {
        self.judgement.estimate()
    }
}

/// How one process on an accelerator does beside the others there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sharer {
    /// The accelerator, always the whole one.
    pub device: DeviceId,
    /// The process id in the host's namespace.
    pub pid: u32,
    /// Its command name, empty when not known.
    pub name: Arc<str>,
    /// What it is part of; `None` where that is not known.
    #[serde(default)]
    pub workload: Option<Arc<Workload>>,
    /// How it does now. Who is to blame is not in it but in `culprit`.
    pub judgement: Judgement,
    /// The process that presses most on what is contended; `None` while nothing is, or nobody stands out.
    #[serde(default)]
    pub culprit: Option<u32>,
}

impl Sharer {
    /// The estimate, if there is one.
    pub const fn estimate(&self) -> Option<&Estimate> {
        self.judgement.estimate()
    }

    /// Who it is, for people: its pod where that is known by name, else its command; empty where neither is known.
    pub fn who(&self) -> String {
        match self.workload.as_deref() {
            Some(workload) if !workload.pod.is_empty() && !workload.namespace.is_empty() => {
                format!("{}/{}", workload.namespace, workload.pod)
            }
            Some(workload) if !workload.pod.is_empty() => workload.pod.clone(),
            _ => self.name.to_string(),
        }
    }
}

impl Snapshot {
    /// Who is in the way of a process on an accelerator, as far as that is known: its id, and itself while it is judged too.
    pub fn in_the_way_of(&self, sharer: &Sharer) -> Option<(u32, Option<&Sharer>)> {
        let pid = sharer.culprit?;
        let other = self.sharers.iter().find(|other| (other.device, other.pid) == (sharer.device, pid));
        Some((pid, other))
    }

    /// Who a workload is, for people: the pod where one is known by name, else the container or unit, else the device.
    pub fn who(&self, device: DeviceId) -> String {
        let info = &self.frame.devices.get(device).info;
        let uid = info.attributes.get("pod").map_or("", String::as_str);
        let holders = self.holdings.iter().map(|holding| &holding.workload);
        let users = self.shares.iter().filter_map(|share| share.workload.as_ref());
        let of_it = |w: &&Arc<Workload>| !w.pod.is_empty() && w.pod_uid == uid;
        let named = users.chain(holders).find(|workload| !uid.is_empty() && of_it(workload));
        match named {
            // A pod may have several containers, each a group.
            Some(pod) => format!("{}/{}", pod.pod, info.name),
            None => info.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceInfo, DeviceKind, Holding, WorkloadKind};

    #[test]
    fn a_group_of_a_pod_that_is_known_by_name_is_called_by_it() {
        let mut snapshot = Snapshot::default();
        let mut info =
            DeviceInfo { name: "0123456789ab".into(), ..DeviceInfo::new(DeviceKind::Cgroup, "/a") };
        info.attributes.insert("pod".into(), "uid".into());
        let table = Arc::make_mut(&mut snapshot.frame.devices);
        let group = table.register(&Arc::new(info)).unwrap();
        let other = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Cgroup, "b.service"))).unwrap();
        assert_eq!(snapshot.who(group), "0123456789ab");
        let named = Workload {
            pod: "train-0".into(),
            pod_uid: "uid".into(),
            ..Workload::new(WorkloadKind::Pod, "uid/main")
        };
        snapshot.holdings.push(Holding { device: other, workload: Arc::new(named) });
        assert_eq!(snapshot.who(group), "train-0/0123456789ab");
        assert_eq!(snapshot.who(other), "b.service", "without a pod it is itself");
    }

    #[test]
    fn a_process_is_called_by_its_pod_or_its_command_and_the_one_in_its_way_is_on_the_same_board() {
        let mut snapshot = Snapshot::default();
        let table = Arc::make_mut(&mut snapshot.frame.devices);
        let mut gpu = |key: &str| table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, key))).unwrap();
        let (here, there) = (gpu("a"), gpu("b"));
        let sharer = |device, pid, name: &str, culprit| Sharer {
            device,
            pid,
            name: name.into(),
            workload: None,
            judgement: Judgement::Abstained(Abstention::Idle),
            culprit,
        };
        let mut chat = sharer(here, 7, "chat", Some(8));
        assert_eq!(chat.who(), "chat");
        assert_eq!(
            snapshot.in_the_way_of(&chat),
            Some((8, None)),
            "who is not judged is still named by its id"
        );
        let mut pod = Workload::new(WorkloadKind::Pod, "uid/main");
        chat.workload = Some(Arc::new(pod.clone()));
        assert_eq!(chat.who(), "chat", "a pod without a name is no name");
        pod.pod = "chat-0".into();
        chat.workload = Some(Arc::new(pod.clone()));
        assert_eq!(chat.who(), "chat-0");
        pod.namespace = "ml".into();
        chat.workload = Some(Arc::new(pod));
        assert_eq!(chat.who(), "ml/chat-0");
        snapshot.sharers = vec![sharer(there, 8, "else", None), sharer(here, 8, "train", None)];
        let named = snapshot.in_the_way_of(&chat).and_then(|(_, other)| other);
        assert_eq!(named.map(Sharer::who).as_deref(), Some("train"));
        assert_eq!(snapshot.in_the_way_of(&snapshot.sharers[0]), None);
    }

    #[test]
    fn slower_beyond_the_noise_floor_means_the_whole_interval() {
        let estimate =
            |y, high| Estimate { y, low: 0.5, high, basis: Basis::Model, resource: None, culprit: None };
        assert!(estimate(0.8, 0.89).slowed());
        assert!(!estimate(0.6, 0.9).slowed());
    }

    #[test]
    fn a_vector_is_written_as_the_resources_it_knows() {
        let mut vector = Vector::default();
        vector.set(Resource::Io, 0.25);
        vector.set(Resource::RunQueue, f64::NAN);
        let text = serde_json::to_string(&vector).unwrap();
        assert_eq!(text, r#"{"io":0.25}"#, "what is not known is not there");
        assert_eq!(serde_json::from_str::<Vector>(&text).unwrap(), vector);
        assert!(serde_json::from_str::<Vector>(r#"{"magic":1}"#).is_err(), "unknown resources are refused");
    }

    #[test]
    fn labels_are_what_is_written() {
        for resource in Resource::ALL {
            assert_eq!(serde_json::to_string(&resource).unwrap(), format!("\"{}\"", resource.as_str()));
        }
        for counters in Counters::ALL {
            assert_eq!(serde_json::to_string(&counters).unwrap(), format!("\"{}\"", counters.as_str()));
        }
        for reason in Abstention::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.as_str()));
        }
    }
}
