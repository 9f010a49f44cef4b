//! A node with one or more of everything that rules look at, on which a case plays its beats.
use crate::{BUILT_IN, Lifecycle, Thresholds};
use model::source::SourceMap;
use model::{
    Batch, Detector, DeviceInfo, DeviceKind, EventSink, FaultKind, Frame, History, Metric, NoticeKind,
    Severity, Slot, Timestamp,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// Detectors that are no rules.
const STATISTICS: [&str; 5] = ["peer", "starved", "trend", "structure", "residual"];

/// Who is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots {
    pub(super) gpu: Slot,
    /// Three more of the same model.
    pub(super) siblings: [Slot; 3],
    pub(super) node: Slot,
    pub(super) package: Slot,
    pub(super) port: Slot,
    pub(super) fan: Slot,
    pub(super) supply: Slot,
    pub(super) memory: Slot,
    pub(super) link: Slot,
    pub(super) source: Slot,
}

/// One beat, as a case fills it.
pub(super) struct Beat<'a> {
    pub(super) batch: &'a mut Batch,
    pub(super) at: Slots,
    pub(super) now: Timestamp,
    /// The beat's number in its run, from 0.
    pub(super) n: u64,
}

impl Beat<'_> {
    pub(super) fn set(&mut self, slot: Slot, metric: Metric, value: f64) {
        self.batch.set(slot, metric, value);
    }

    /// Sets values of the GPU.
    pub(super) fn gpu(&mut self, values: &[(Metric, f64)]) {
        values.iter().for_each(|(metric, value)| self.batch.set(self.at.gpu, *metric, *value));
    }

    pub(super) fn tell(&mut self, slot: Slot, kind: NoticeKind, code: u32) {
        if self.n == 0 {
            self.batch.notice(slot, kind, code, self.now);
        }
    }
}

/// The node, the rules, and what was raised.
pub(super) struct Stage {
    batch: Batch,
    slots: Slots,
    map: SourceMap,
    frame: Frame,
    history: History,
    rules: Vec<Box<dyn Detector>>,
    sink: EventSink,
    life: Lifecycle,
    second: u64,
    /// Every event that was ever active.
    pub(super) raised: BTreeSet<(FaultKind, Severity)>,
    /// Evidence that the signals of its fault's row do not have.
    pub(super) strange: BTreeSet<(FaultKind, Metric)>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let thresholds = Thresholds::default();
        let mut batch = Batch::default();
        let gpu = |n: u32| DeviceInfo {
            model: "H100".to_owned(),
            ..DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}"))
        };
        let mut add = |kind, key: &str| batch.device(DeviceInfo::new(kind, key));
        let (node, package) = (add(DeviceKind::Node, "node"), add(DeviceKind::Package, "0"));
        let (port, fan) = (add(DeviceKind::Port, "mlx5_0/1"), add(DeviceKind::Sensor, "nct/fan1"));
        let (supply, memory) =
            (add(DeviceKind::Sensor, "pmbus/PSU1"), add(DeviceKind::MemoryController, "mc0"));
        let source = add(DeviceKind::Source, "nvml");
        let link = DeviceInfo { parent: "GPU-0".to_owned(), ..DeviceInfo::new(DeviceKind::Link, "GPU-0/0") };
        let (first, siblings) = (batch.device(gpu(0)), [1, 2, 3].map(|n| batch.device(gpu(n))));
        let link = batch.device(link);
        let slots = Slots { gpu: first, siblings, node, package, port, fan, supply, memory, link, source };
        let rules = BUILT_IN.iter().filter(|entry| !STATISTICS.contains(&entry.name));
        Self {
            batch,
            slots,
            map: SourceMap::default(),
            frame: Frame::default(),
            history: History::new(10),
            rules: rules.map(|entry| (entry.open)(&thresholds)).collect(),
            sink: EventSink::default(),
            life: Lifecycle::new(&thresholds),
            second: 0,
            raised: BTreeSet::new(),
            strange: BTreeSet::new(),
        }
    }

    /// Time passes without a beat.
    pub(super) fn skip(&mut self, seconds: u64) {
        self.second += seconds;
    }

    /// Beats a second apart.
    pub(super) fn run(&mut self, count: u64, fill: impl Fn(&mut Beat<'_>)) {
        let thresholds = Thresholds::default();
        for n in 0..count {
            self.second += 1;
            let now = Timestamp::default().after(Duration::from_secs(self.second));
            self.batch.begin();
            fill(&mut Beat { batch: &mut self.batch, at: self.slots, now, n });
            self.frame.begin(now);
            self.frame.merge(&self.batch, &mut self.map, false);
            self.history.append(&self.frame);
            self.sink.begin();
            self.rules.iter_mut().for_each(|rule| rule.observe(&self.frame, &self.history, &mut self.sink));
            self.life.step(now, &self.frame.devices, self.sink.findings());
            for event in self.life.active() {
                self.raised.insert((event.fault, event.severity));
                let signals = &thresholds.catalogue.row(event.fault).signals;
                let seen = event.evidence.iter().flatten().map(|evidence| evidence.metric);
                self.strange.extend(seen.filter(|m| !signals.contains(m)).map(|m| (event.fault, m)));
            }
        }
    }

    /// The GPU leaves, and is back after some seconds.
    pub(super) fn leave(&mut self, seconds: u64) {
        let now = Timestamp::default().after(Duration::from_secs(self.second));
        self.batch.gone(self.slots.gpu, now);
        self.second += seconds;
        self.frame.begin(now.after(Duration::from_secs(seconds)));
        self.frame.merge(&self.batch, &mut self.map, false);
        self.sink.begin();
        self.rules.iter_mut().for_each(|rule| rule.observe(&self.frame, &self.history, &mut self.sink));
        let gpu = DeviceInfo { model: "H100".to_owned(), ..DeviceInfo::new(DeviceKind::Gpu, "GPU-0") };
        self.slots.gpu = self.batch.device(gpu);
    }

    /// The findings of the newest beat.
    pub(super) fn sink(&self) -> &EventSink {
        &self.sink
    }

    /// The faults that were raised.
    pub(super) fn faults(&self) -> BTreeSet<FaultKind> {
        self.raised.iter().map(|(fault, _)| *fault).collect()
    }
}
