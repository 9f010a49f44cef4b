//! A bench for tests: eight boards and a source whose readings a test gives, one detector, and what it finds.
use crate::phase::Phases;
use crate::thresholds::Thresholds;
use model::source::SourceMap;
use model::{
    Batch, Detector, DeviceInfo, DeviceKind, EventSink, FaultKind, Frame, History, Metric, Slot, Stand,
    Timestamp,
};
use std::time::Duration;

/// What a sound board says under training, and how a test changes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Say {
    pub(crate) work: f64,
    pub(crate) clock: f64,
    pub(crate) heat: f64,
    pub(crate) used: f64,
    pub(crate) limit: f64,
    pub(crate) processes: f64,
}

impl Say {
    pub(crate) const SOUND: Self =
        Self { work: 1.0, clock: 1.9e9, heat: 0.055, used: 0.8, limit: 700.0, processes: 1.0 };
}

pub(crate) struct Bench {
    batch: Batch,
    pub(crate) boards: Vec<Slot>,
    pub(crate) source: Slot,
    map: SourceMap,
    pub(crate) frame: Frame,
    history: History,
    phases: Phases,
    pub(crate) detector: Box<dyn Detector>,
    sink: EventSink,
    pub(crate) now: Timestamp,
    beat: u64,
}

impl Bench {
    pub(crate) fn new(open: fn(&Thresholds) -> Box<dyn Detector>, boards: usize) -> Self {
        let mut batch = Batch::default();
        let board = |n: usize| DeviceInfo {
            model: "A".into(),
            ..DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}"))
        };
        let boards = (0..boards).map(|n| batch.device(board(n))).collect();
        let source = batch.device(DeviceInfo::new(DeviceKind::Source, "nvml"));
        Self {
            batch,
            boards,
            source,
            map: SourceMap::default(),
            frame: Frame::default(),
            history: History::new(100),
            phases: Phases::default(),
            detector: open(&Thresholds::default()),
            sink: EventSink::default(),
            now: Timestamp::default(),
            beat: 0,
        }
    }

    /// One device more, for what a test says of it beside the boards.
    pub(crate) fn device(&mut self, kind: DeviceKind, key: &str) -> Slot {
        self.batch.device(DeviceInfo::new(kind, key))
    }

    /// Runs so many beats of `beat_s` seconds; gives the faults that were found, each with the number of its board.
    pub(crate) fn beats(
        &mut self,
        count: u64,
        beat_s: f64,
        say: impl Fn(usize, u64) -> Say,
        more: impl Fn(&mut Batch, &[Slot], Slot, u64),
    ) -> Vec<(FaultKind, usize)> {
        let mut found = Vec::new();
        for _ in 0..count {
            self.beat += 1;
            self.now = self.now.after(Duration::from_secs_f64(beat_s));
            self.batch.begin();
            for (place, slot) in self.boards.iter().enumerate() {
                fill(&mut self.batch, *slot, (place as u64, self.beat), say(place, self.beat));
            }
            self.batch.set(self.source, Metric::SourceDuration, 0.003);
            more(&mut self.batch, &self.boards, self.source, self.beat);
            self.frame.begin(self.now);
            self.frame.merge(&self.batch, &mut self.map, false);
            self.history.append(&self.frame);
            self.phases.judge(&mut self.frame);
            self.sink.begin();
            self.detector.observe(&self.frame, &self.history, &mut self.sink);
            found.extend(self.sink.findings().iter().map(|found| (found.fault, found.device.index())));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What was found on the last beat.
    pub(crate) fn findings(&self) -> &[model::Finding] {
        self.sink.findings()
    }

    pub(crate) fn stand(&self, device: usize) -> Option<Stand> {
        let mut list = Vec::new();
        self.detector.standings(&mut list);
        list.into_iter().find(|standing| standing.device.index() == device).map(|standing| standing.stand)
    }
}

/// Nothing more than what boards say.
pub(crate) fn nothing(_: &mut Batch, _: &[Slot], _: Slot, _: u64) {}

fn fill(batch: &mut Batch, slot: Slot, (place, beat): (u64, u64), say: Say) {
    // Power swings slowly between two levels, so that heat has a slope; every board has its own small noise.
    let noise = ((beat * 7919 + place * 104_729) % 101) as f64 / 101.0 - 0.5;
    let level = if (beat / 400).is_multiple_of(2) { 0.85 } else { 0.65 };
    let power = 70.0 + 620.0 * level * say.work * (1.0 + 0.02 * noise);
    let values = [
        (Metric::Up, 1.0),
        (Metric::Utilization, 0.97),
        (Metric::SmActive, 0.9 * say.work),
        (Metric::TensorActive, 0.5 * say.work * level * (1.0 + 0.02 * noise)),
        (Metric::DramActive, 0.5 * say.work * level * (1.0 + 0.02 * noise)),
        (Metric::LinkReceive, 1e11 * say.work),
        (Metric::LinkTransmit, 1e11 * say.work),
        (Metric::PowerInstant, power),
        (Metric::PowerLimitDefault, 700.0),
        (Metric::PowerLimitEnforced, say.limit),
        (Metric::ClockSm, say.clock),
        (Metric::EventSwPowerCap, 0.0),
        (Metric::EventHwSlowdown, 0.0),
        (Metric::Temperature, (30.0 + say.heat * (70.0 + 620.0 * level * say.work)).round()),
        (Metric::MemoryUsed, say.used * 8e10),
        (Metric::MemorySize, 8e10),
        (Metric::Processes, say.processes),
        (Metric::EccCorrectedVolatile, 0.0),
    ];
    values.iter().for_each(|(metric, value)| batch.set(slot, *metric, *value));
}
