//! Applications' pages as a test writes them.
use super::*;
use model::{ProcessUse, Reading, Workload, WorkloadKind};
use std::time::Duration;

fn lap(at_once: f64, step_s: f64, prompts: f64) -> Lap {
    let of = Arc::new(DeviceInfo::new(DeviceKind::Engine, "e"));
    let steps = 5.0 * at_once / step_s;
    Lap { of, lasted_s: 5.0, spent_s: 5.0 * at_once, steps, prompts: prompts * steps }
}

/// Time a step alone: a batch of twice as many takes longer.
fn alone(at_once: f64) -> f64 {
    0.02 * at_once.powf(0.3)
}

fn learnt(loads: &[f64]) -> Quiet {
    let mut quiet = Quiet::default();
    for load in loads {
        (0..4).for_each(|_| quiet.learn(&lap(*load, alone(*load), 1.0)));
    }
    quiet
}

#[test]
fn a_step_that_takes_twice_as_long_is_half_the_pace_at_every_load_and_less_load_is_none_of_it() {
    let quiet = learnt(&[1.0, 4.0, 16.0]);
    for load in [1.0, 2.5, 4.0, 9.0, 16.0] {
        for slower in [1.0, 2.0] {
            let y = quiet.compare(&lap(load, slower * alone(load), 1.0)).unwrap();
            assert!((y - 1.0 / slower).abs() < 0.01, "{load} {slower}: {y}");
        }
    }
}

#[test]
fn what_cannot_be_compared_is_no_truth() {
    let quiet = learnt(&[1.0, 4.0]);
    assert_eq!(quiet.compare(&lap(8.0, 0.1, 1.0)), None, "a load far above all that was seen quiet");
    assert_eq!(quiet.compare(&lap(0.3, 0.1, 1.0)), None, "and far below");
    assert_eq!(quiet.compare(&lap(4.0, 0.1, 8.0)), None, "far more prompts between tokens");
    assert!(quiet.compare(&lap(4.5, 0.1, 1.0)).is_some(), "just beside is near enough");
    let few = Lap { steps: 10.0, ..lap(4.0, 0.1, 1.0) };
    assert_eq!(quiet.compare(&few), None, "too few steps");
    let long = Lap { lasted_s: 300.0, ..lap(4.0, 0.1, 1.0) };
    assert_eq!(quiet.compare(&long), None, "a gap");
    assert_eq!(Quiet::default().compare(&lap(4.0, 0.1, 1.0)), None, "never seen alone");
    let mut barely = Quiet::default();
    (0..LAPS_MIN - 1).for_each(|_| barely.learn(&lap(4.0, 0.1, 1.0)));
    assert_eq!(barely.compare(&lap(4.0, 0.1, 1.0)), None, "seen alone too seldom");
}

/// A node with an engine, an accelerator and control groups.
struct Host {
    frame: Frame,
    now: Timestamp,
    engine: DeviceId,
    applications: Applications,
}

impl Host {
    fn new(attributes: &[(&str, &str)]) -> Self {
        let mut engine = DeviceInfo::new(DeviceKind::Engine, "127.0.0.1:8000");
        engine.attributes.extend(attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let mut frame = Frame::default();
        let engine = Arc::make_mut(&mut frame.devices).register(&Arc::new(engine)).unwrap();
        let now = Timestamp { mono_ns: 1, wall_ms: 1 };
        Self { frame, now, engine, applications: Applications::default() }
    }

    fn device(&mut self, info: DeviceInfo) -> DeviceId {
        Arc::make_mut(&mut self.frame.devices).register(&Arc::new(info)).unwrap()
    }

    fn group(&mut self, key: &str, container: &str) -> DeviceId {
        let mut info = DeviceInfo { name: key.into(), ..DeviceInfo::new(DeviceKind::Cgroup, key) };
        if !container.is_empty() {
            info.attributes.insert("container".into(), container.into());
        }
        self.device(info)
    }

    /// One beat on which the page says this; `None`: there is no page.
    fn beat(&mut self, page: Option<(f64, f64)>) {
        self.now = self.now.after(Duration::from_secs(1));
        let processes = std::mem::take(&mut self.frame.processes);
        self.frame.begin(self.now);
        self.frame.processes = processes;
        if let Some((spent_s, steps)) = page {
            self.frame.put(self.engine, Metric::EngineStepTime, Reading::Value(spent_s));
            self.frame.put(self.engine, Metric::EngineSteps, Reading::Value(steps));
        }
        self.applications.take(&self.frame);
    }

    fn process(&mut self, device: DeviceId, workload: Workload) {
        self.frame.processes.push(ProcessUse {
            device,
            pid: 1,
            name: "vllm".into(),
            memory_bytes: None,
            utilization: None,
            workload: Some(Arc::new(workload)),
        });
    }
}

#[test]
fn a_lap_is_from_one_new_page_to_the_next_and_none_goes_over_a_gap_or_a_restart() {
    let mut host = Host::new(&[("group", "web.service")]);
    let group = host.group("web.service", "");
    let mut laps = Vec::new();
    for page in [
        Some((1.0, 100.0)),
        Some((1.0, 100.0)),
        Some((3.0, 300.0)),
        None,
        Some((4.0, 400.0)),
        Some((5.0, 500.0)),
        Some((0.5, 50.0)),
        Some((1.5, 150.0)),
    ] {
        host.beat(page);
        laps.push(host.applications.lap(group).map(|lap| (lap.lasted_s, lap.steps)));
    }
    let expected = [None, None, Some((2.0, 200.0)), None, None, Some((1.0, 100.0)), None, Some((1.0, 100.0))];
    assert_eq!(laps, expected);
}

#[test]
fn another_model_under_the_same_address_is_another_application() {
    let mut host = Host::new(&[("group", "web.service")]);
    let group = host.group("web.service", "");
    host.beat(Some((1.0, 100.0)));
    let other = DeviceInfo { model: "b".into(), ..(*host.frame.devices.get(host.engine).info).clone() };
    host.device(other);
    host.beat(Some((2.0, 200.0)));
    assert!(host.applications.lap(group).is_none());
}

#[test]
fn an_engine_is_found_by_the_only_group_on_its_accelerators_and_by_no_guess() {
    let mut host = Host::new(&[("devices", "gpu0,gpu1")]);
    let gpu = |name: &str| DeviceInfo { name: name.into(), ..DeviceInfo::new(DeviceKind::Gpu, name) };
    let (first, second) = (host.device(gpu("gpu0")), host.device(gpu("gpu1")));
    let serving = host.group("/docker/abc", "abc");
    let other = host.group("other.service", "");
    let found = |host: &Host| group_of(&host.frame, host.frame.devices.get(host.engine));
    assert_eq!(found(&host), None, "nobody is on them");
    let container = Workload { container: "abc".into(), ..Workload::new(WorkloadKind::Container, "abc") };
    host.process(first, container);
    assert_eq!(found(&host), Some(serving));
    host.process(second, Workload::new(WorkloadKind::Unit, "other.service"));
    assert_eq!(found(&host), None, "two groups");
    host.frame.processes.remove(0);
    assert_eq!(found(&host), Some(other), "a unit goes by its name");
    host.process(first, Workload::new(WorkloadKind::Process, "python:7:1"));
    assert_eq!(found(&host), None, "a process of no group that is followed");
}
