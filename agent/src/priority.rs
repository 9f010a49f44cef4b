//! Priorities: which device's work matters how much, from the configuration and from who is on it or holds it now.
//!
//! The labels of pods are not on the API of the kubelet that is read, so names stand in for them.
use crate::config::Power;
use model::{Device, Frame, Holding, Priority, Workload};

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

    fn matches(&self, device: &Device, frame: &Frame, holdings: &[Holding]) -> bool {
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
    pub fn of(&mut self, frame: &Frame, holdings: &[Holding]) -> &[Priority] {
        let Self { high, low, classes, .. } = self;
        classes.clear();
        for device in frame.devices.iter() {
            let hit = |list: &mut [Entry]| {
                let mut any = false;
                for entry in list.iter_mut().filter(|entry| entry.pattern.matches(device, frame, holdings)) {
                    (entry.met, any) = (true, true);
                }
                any
            };
            classes.push(match () {
                () if !device.info.kind.is_accelerator() => Priority::Normal,
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
        assert_eq!(Priorities::new(&power).of(&frame, &[]), expected);
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
        let mut one =
            lists(&["namespace:serving"], &["pod:train-", "workload:notebook-1-uid/main", "pod:gone"]);
        assert_eq!(one.of(&frame, &holdings), [Priority::Low, Priority::High, Priority::Low]);
        assert_eq!(one.unknown().collect::<Vec<_>>(), ["pod:gone"]);
        let mut absurd = lists(&["nonsense:x", "pod:", ""], &["namespace:"]);
        assert_eq!(absurd.of(&frame, &holdings), [Priority::Normal; 3]);
        assert_eq!(absurd.unknown().count(), 4);
    }
}
