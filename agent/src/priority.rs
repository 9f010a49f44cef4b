//! Priorities: which device's work matters how much, from the configuration and from who is on it or holds it now.
//!
//! The labels of pods are not on the API of the kubelet that is read, so names stand in for them.
use crate::cluster::PodName;
use crate::config::Power;
use model::{Device, DeviceKind, Frame, Holding, Priority, Workload};
use std::collections::BTreeMap;

/// Beats after which a configured name that nobody has borne is said to be unknown: work may come later than the agent.
const UNKNOWN_AFTER: u32 = 60;

/// Matches devices, processes and workloads against the configured lists.
#[derive(Debug, Clone, Default)]
pub struct Priorities {
    high: Vec<Entry>,
    low: Vec<Entry>,
    classes: Vec<Priority>,
    beats: u32,
}

/// Who is on a node, beside the processes in its frame.
#[derive(Debug, Clone, Copy)]
pub struct Present<'a> {
    /// Who was given which accelerator.
    pub holdings: &'a [Holding],
    /// Names of pods by uid.
    pub pods: &'a BTreeMap<String, PodName>,
}

/// A configured name, and whether anything ever bore it.
#[derive(Debug, Clone)]
struct Entry {
    text: String,
    pattern: Pattern,
    met: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Pattern {
    Device(String),
    Process(String),
    Namespace(String),
    /// The beginning of a pod's name: what a controller appends to it is drawn at random.
    Pod(String),
    Workload(String),
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let made = text.split_once(':').and_then(|(kind, name)| {
            let make = match kind {
                "process" => Self::Process,
                "namespace" => Self::Namespace,
                "pod" => Self::Pod,
                "workload" => Self::Workload,
                _ => return None,
            };
            Some(make(name.to_owned()))
        });
        made.unwrap_or_else(|| Self::Device(text.to_owned()))
    }

    fn matches(&self, device: &Device, frame: &Frame, present: Present<'_>) -> bool {
        if device.info.kind == DeviceKind::Cgroup {
            return self.is_container(device, present.pods);
        }
        let holdings = present.holdings;
        let own = || frame.processes.iter().filter(|process| process.device == device.id);
        match self {
            Self::Device(name) => device.info.name == *name || device.info.key == *name,
            Self::Process(name) => own().any(|process| *process.name == **name),
            Self::Namespace(_) | Self::Pod(_) | Self::Workload(_) => {
                own().filter_map(|process| process.workload.as_deref()).any(|workload| self.is(workload))
                    || holdings.iter().any(|one| one.device == device.id && self.is(&one.workload))
            }
        }
    }

    /// Whether it is the name of a container, or of its pod.
    fn is_container(&self, device: &Device, pods: &BTreeMap<String, PodName>) -> bool {
        let attribute = |name: &str| device.info.attributes.get(name).map(String::as_str);
        let Some(container) = attribute("container") else { return false };
        let pod = attribute("pod").and_then(|uid| pods.get(uid));
        match self {
            Self::Device(name) => device.info.name == *name || device.info.key == *name,
            Self::Process(_) => false,
            Self::Namespace(name) => pod.is_some_and(|pod| !name.is_empty() && pod.namespace == *name),
            Self::Pod(start) => {
                pod.is_some_and(|pod| !start.is_empty() && pod.pod.starts_with(start.as_str()))
            }
            Self::Workload(name) => container == name || pod.is_some_and(|pod| pod.pod == *name),
        }
    }

    fn is(&self, workload: &Workload) -> bool {
        match self {
            Self::Device(_) | Self::Process(_) => false,
            Self::Namespace(name) => !name.is_empty() && workload.namespace == *name,
            Self::Pod(start) => !start.is_empty() && workload.pod.starts_with(start.as_str()),
            Self::Workload(name) => workload.name == *name || workload.key == *name,
        }
    }
}

impl Priorities {
    /// From the configuration.
    pub fn new(power: &Power) -> Self {
        let entry = |text: &String| Entry { text: text.clone(), pattern: Pattern::parse(text), met: false };
        let parse = |list: &[String]| list.iter().map(entry).collect();
        Self {
            high: parse(&power.priority_high),
            low: parse(&power.priority_low),
            classes: Vec::new(),
            beats: 0,
        }
    }

    /// The priority of each device by its index. High wins where both lists match: when unsure, harm the important least.
    pub fn of(&mut self, frame: &Frame, present: Present<'_>) -> &[Priority] {
        let Self { high, low, classes, .. } = self;
        classes.clear();
        for device in frame.devices.iter() {
            let hit = |list: &mut [Entry]| {
                let mut any = false;
                for entry in list.iter_mut().filter(|entry| entry.pattern.matches(device, frame, present)) {
                    (entry.met, any) = (true, true);
                }
                any
            };
            classes.push(match () {
                () if !device.info.kind.is_accelerator() && device.info.kind != DeviceKind::Cgroup => {
                    Priority::Normal
                }
                () if hit(high) => Priority::High,
                () if hit(low) => Priority::Low,
                () => Priority::Normal,
            });
        }
        self.say_unknown();
        &self.classes
    }

    /// Says once which configured names nobody has borne.
    fn say_unknown(&mut self) {
        self.beats = self.beats.saturating_add(1);
        if self.beats != UNKNOWN_AFTER {
            return;
        }
        for name in self.unknown() {
            tracing::warn!(
                "power.priority: nothing on this node is called {name:?} so far; it has no effect until something is"
            );
        }
    }

    /// Configured names that nothing has borne so far.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        let never = |entry: &&Entry| !entry.met;
        self.high.iter().chain(&self.low).filter(never).map(|entry| entry.text.as_str())
    }

    /// The priorities of the last beat.
    pub fn last(&self) -> &[Priority] {
        &self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, ProcessUse, WorkloadKind};
    use std::sync::Arc;

    #[test]
    fn a_device_takes_the_class_of_its_name_or_of_who_is_on_it() {
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let mut add = |n: u32| {
            let info = DeviceInfo {
                name: format!("gpu{n}"),
                ..DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}"))
            };
            table.register(&Arc::new(info)).unwrap()
        };
        let ids = [add(0), add(1), add(2)];
        frame.processes.push(ProcessUse {
            device: ids[1],
            pid: 7,
            name: "vllm".into(),
            memory_bytes: None,
            utilization: None,
            workload: None,
        });
        let power = Power {
            priority_high: vec!["process:vllm".into()],
            priority_low: vec!["GPU-0".into(), "gpu1".into()],
            ..Power::default()
        };
        let expected = [Priority::Low, Priority::High, Priority::Normal];
        assert_eq!(
            Priorities::new(&power).of(&frame, Present { holdings: &[], pods: &BTreeMap::new() }),
            expected
        );
    }

    #[test]
    fn a_pod_gives_its_class_to_what_it_holds_and_names_that_nobody_bears_are_told_and_harmless() {
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let mut add =
            |n: u32| table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}")))).unwrap();
        let ids = [add(0), add(1), add(2)];
        let workload = |namespace: &str, pod: &str| {
            let mut workload = Workload::new(WorkloadKind::Pod, format!("{pod}-uid/main"));
            (workload.namespace, workload.pod) = (namespace.into(), pod.into());
            Arc::new(workload)
        };
        let holdings = [
            Holding { device: ids[0], workload: workload("batch", "train-7f9c") },
            Holding { device: ids[1], workload: workload("serving", "llama-0") },
        ];
        frame.processes.push(ProcessUse {
            device: ids[2],
            pid: 7,
            name: "python".into(),
            memory_bytes: None,
            utilization: None,
            workload: Some(workload("research", "notebook-1")),
        });
        let lists = |high: &[&str], low: &[&str]| {
            let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            Priorities::new(&Power { priority_high: own(high), priority_low: own(low), ..Power::default() })
        };
        let present = Present { holdings: &holdings, pods: &BTreeMap::new() };
        let mut one =
            lists(&["namespace:serving"], &["pod:train-", "workload:notebook-1-uid/main", "pod:gone"]);
        assert_eq!(one.of(&frame, present), [Priority::Low, Priority::High, Priority::Low]);
        assert_eq!(one.unknown().collect::<Vec<_>>(), ["pod:gone"]);
        let mut absurd = lists(&["nonsense:x", "pod:", ""], &["namespace:"]);
        assert_eq!(absurd.of(&frame, present), [Priority::Normal; 3]);
        assert_eq!(absurd.unknown().count(), 4);
    }

    #[test]
    fn a_container_has_the_class_of_its_pod_or_name_and_a_service_none() {
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let mut add = |name: &str, container: Option<&str>, pod: Option<&str>| {
            let mut info =
                DeviceInfo { name: name.into(), ..DeviceInfo::new(DeviceKind::Cgroup, format!("x/{name}")) };
            for (name, value) in [("container", container), ("pod", pod)] {
                info.attributes.extend(value.map(|value| (name.to_owned(), value.to_owned())));
            }
            table.register(&Arc::new(info)).unwrap();
        };
        add("0123", Some("0123456"), Some("uid-1"));
        add("4567", Some("4567890"), None);
        add("89ab", Some("89abcde"), Some("uid-2"));
        add("cdef", Some("cdef012"), Some("uid-of-nobody"));
        add("sshd.service", None, None);
        let name = |namespace: &str, pod: &str| PodName { namespace: namespace.into(), pod: pod.into() };
        let pods = [("uid-1", name("batch", "etl-0")), ("uid-2", name("serving", "web-0"))];
        let pods = pods.into_iter().map(|(uid, name)| (uid.to_owned(), name)).collect();
        let power = Power {
            priority_low: ["namespace:batch", "4567", "pod:web-", "pod:", "sshd.service"]
                .map(str::to_owned)
                .into(),
            priority_high: vec!["workload:web-0".into()],
            ..Power::default()
        };
        let expected = [Priority::Low, Priority::Low, Priority::High, Priority::Normal, Priority::Normal];
        assert_eq!(Priorities::new(&power).of(&frame, Present { holdings: &[], pods: &pods }), expected);
    }
}
