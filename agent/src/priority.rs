//! Priorities: which device's work matters how much, from the configuration and from who is on it now.
use crate::config::Power;
use model::{Device, Frame, Priority};

/// Matches devices and processes against the configured lists.
#[derive(Debug, Clone, Default)]
pub struct Priorities {
    high: Vec<Pattern>,
    low: Vec<Pattern>,
    classes: Vec<Priority>,
}

#[derive(Debug, Clone, PartialEq)]
enum Pattern {
    Device(String),
    Process(String),
}

impl Pattern {
    fn parse(text: &str) -> Self {
        match text.strip_prefix("process:") {
            Some(name) => Self::Process(name.to_owned()),
            None => Self::Device(text.to_owned()),
        }
    }

    fn matches(&self, device: &Device, frame: &Frame) -> bool {
        match self {
            Self::Device(name) => device.info.name == *name || device.info.key == *name,
            Self::Process(name) => frame.processes.iter().any(|p| p.device == device.id && *p.name == **name),
        }
    }
}

impl Priorities {
    /// From the configuration.
    pub fn new(power: &Power) -> Self {
        let parse = |list: &[String]| list.iter().map(|text| Pattern::parse(text)).collect();
        Self { high: parse(&power.priority_high), low: parse(&power.priority_low), classes: Vec::new() }
    }

    /// The priority of each device by its index. High wins where both lists match: when unsure, harm the important least.
    pub fn of(&mut self, frame: &Frame) -> &[Priority] {
        self.classes.clear();
        for device in frame.devices.iter() {
            let hit = |list: &[Pattern]| list.iter().any(|pattern| pattern.matches(device, frame));
            self.classes.push(match () {
                () if !device.info.kind.is_accelerator() => Priority::Normal,
                () if hit(&self.high) => Priority::High,
                () if hit(&self.low) => Priority::Low,
                () => Priority::Normal,
            });
        }
        &self.classes
    }

    /// The priorities of the last beat.
    pub fn last(&self) -> &[Priority] {
        &self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, ProcessUse};
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
        assert_eq!(Priorities::new(&power).of(&frame), [Priority::Low, Priority::High, Priority::Normal]);
    }
}
