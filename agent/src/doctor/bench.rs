//! A source on the bench: its devices with what can be turned on each, its actuator, and what its power and clocks are now.
use crate::clock::{MachineClock, wait_until};
use collectors::{Entry, Options};
use model::{
    Actuator, Batch, Clock as _, Collector, DeviceInfo, DeviceKind, Knob, Metric, OpenError, Order, Span,
    Timestamp,
};
use std::sync::Arc;
use std::time::Duration;

/// From one look at power to the next: sensors of A100 and H100 move every 100 ms (arXiv 2312.02741).
const LOOK: Duration = Duration::from_millis(100);
/// For how long power is looked at: longer than training's dips, which come about every 2.5 s.
const WINDOW_S: f64 = 3.0;
/// For how long at least, where nothing that was seen is near the power that would tell.
const GLANCE_S: f64 = 0.5;
/// Of the powers seen, the one that this share stays below: dips do not count, and neither does one odd peak.
const PLATEAU: f64 = 0.75;

/// Powers below this share of the one that would tell are not near it: a board that trains dips to half of its plateau.
const NEAR: f64 = 0.4;

/// How time passes.
pub(super) trait Pace {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// Waits.
    fn wait(&self, time: Duration);
    /// Whether the operator wants to stop.
    fn stopped(&self) -> bool {
        false
    }
}

/// Time as the machine has it.
pub(super) struct MachinePace<'a>(pub(super) &'a std::sync::atomic::AtomicBool);

impl Pace for MachinePace<'_> {
    fn now(&self) -> Timestamp {
        MachineClock.now()
    }

    fn wait(&self, time: Duration) {
        wait_until(self.now().after(time).mono_ns);
    }

    fn stopped(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// A device of the source.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// What it is.
    pub(super) info: Arc<DeviceInfo>,
    /// What its power limit may be, as its driver's readings say.
    range: Option<Span>,
    /// The power limit that was asked for, which is not the enforced one where another is tighter.
    pub(super) requested_w: Option<f64>,
}

impl Subject {
    /// The knobs that a device of its kind may have.
    pub(super) fn knobs(&self) -> &'static [Knob] {
        match self.info.kind {
            DeviceKind::Gpu => &[Knob::PowerLimit, Knob::ClockMax],
            DeviceKind::Npu => &[Knob::PowerLimit],
            DeviceKind::Zone if !self.info.key.contains('/') => &[Knob::PowerLimit],
            DeviceKind::Cgroup => &[Knob::CpuQuota],
            _ => &[],
        }
    }
}

/// A source and what it said last.
struct Source {
    collector: Box<dyn Collector>,
    batch: Batch,
}

impl Source {
    fn new(collector: Box<dyn Collector>) -> Self {
        Self { collector, batch: Batch::default() }
    }

    fn read(&mut self, now: Timestamp) {
        self.batch.begin();
        // What could not be read is not there, and what is not there confirms nothing.
        let _ = self.collector.collect(now, &mut self.batch);
    }

    fn value(&self, key: &str, metric: Metric) -> Option<f64> {
        let (slot, _) = self.batch.devices().find(|(_, info)| info.key == key)?;
        self.batch.reading(slot, metric)?.value()
    }
}

/// What turns the knobs of a source, and what shows what came of it.
pub(super) struct Bench {
    /// The actuator; `None` where there is no way to turn anything.
    pub(super) actuator: Option<Box<dyn Actuator>>,
    /// What shows power and clocks.
    pub(super) meter: Meter,
}

/// What shows power and clocks of a source's devices.
pub(super) struct Meter {
    sources: Vec<Source>,
}

impl Bench {
    /// Opens the source, meets its devices, and opens its actuator.
    ///
    /// # Errors
    /// When one of them does not open.
    pub(super) fn open(entry: &Entry, options: &Options, now: Timestamp) -> Result<Option<Self>, OpenError> {
        let Some(collector) = (entry.open)(options)? else { return Ok(None) };
        let actuator = entry.actuator.map_or(Ok(None), |open| open(options))?;
        // A device without one is seen by what its own source reads.
        let reflex = |key: &str| entry.reflex.and_then(|open| open(options, key).ok().flatten());
        Ok(Some(Self::of(collector, reflex, actuator, now)))
    }

    /// The same with what is open already; `reflex` opens a device's source of the reflex.
    pub(super) fn of(
        mut collector: Box<dyn Collector>,
        reflex: impl Fn(&str) -> Option<Box<dyn Collector>>,
        actuator: Option<Box<dyn Actuator>>,
        now: Timestamp,
    ) -> Self {
        let mut batch = Batch::default();
        batch.begin();
        let _ = collector.collect(now, &mut batch);
        let met = collector.arrivals();
        let own = batch.devices().filter(|(_, info)| info.kind.is_accelerator());
        let keys = met.iter().map(|arrival| arrival.key.as_str()).chain(own.map(|(_, info)| &*info.key));
        // The reflex's reading comes first: it is what the board draws at this moment.
        let mut sources: Vec<Source> = keys.filter_map(reflex).map(Source::new).collect();
        sources.extend(met.into_iter().map(|arrival| Source::new(arrival.collector)));
        sources.push(Source { collector, batch });
        let mut meter = Meter { sources };
        meter.read(now);
        Self { actuator, meter }
    }

    /// The devices, each once.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        let mut subjects: Vec<Subject> = Vec::new();
        for (_, info) in self.meter.sources.iter().rev().flat_map(|source| source.batch.devices()) {
            if subjects.iter().all(|known| known.info.key != info.key) {
                let value = |metric| self.meter.value(&info.key, metric);
                let ends = value(Metric::PowerLimitMin).zip(value(Metric::PowerLimitMax));
                let range = ends.and_then(|(min, max)| Span::new(min, max));
                let requested_w = value(Metric::PowerLimitRequested);
                subjects.push(Subject { info: Arc::clone(info), range, requested_w });
            }
        }
        subjects.retain(|subject| !subject.knobs().is_empty());
        subjects.sort_by(|one, other| one.info.name.cmp(&other.info.name));
        subjects
    }
}

impl Subject {
    /// The positions of a knob.
    pub(super) fn span(&self, actuator: &mut dyn Actuator, knob: Knob) -> Result<Span, model::ActuateError> {
        match self.range.filter(|_| knob == Knob::PowerLimit) {
            Some(range) => Ok(range),
            None => actuator.span(&self.info.key, knob),
        }
    }

    /// An order inside the positions.
    pub(super) fn order(&self, knob: Knob, value: f64, span: Span) -> Option<Order> {
        let mut table = model::DeviceTable::default();
        let device = table.register(&self.info).ok()?;
        Some(Order::new(device, Arc::from(self.info.key.as_str()), (knob, value), span))
    }
}

impl Meter {
    fn read(&mut self, now: Timestamp) {
        self.sources.iter_mut().for_each(|source| source.read(now));
    }

    fn value(&self, key: &str, metric: Metric) -> Option<f64> {
        self.sources.iter().find_map(|source| source.value(key, metric))
    }

    /// The plateau of a device's power, in watts; where only energy is counted, its mean power. `None` where neither can be
    /// read, or the operator wants to stop. A device that stays well below the power that would `tell` is looked at but
    /// briefly.
    pub(super) fn power(&mut self, key: &str, tell_w: f64, pace: &dyn Pace) -> Option<f64> {
        let begun = pace.now();
        self.read(begun);
        let energy = self.value(key, Metric::ZoneEnergy);
        let mut seen: Vec<f64> = Vec::new();
        loop {
            pace.wait(LOOK);
            self.read(pace.now());
            let now_w = self.value(key, Metric::PowerInstant);
            seen.extend(now_w.or_else(|| self.value(key, Metric::PowerAverage)));
            let low = energy.is_none() && seen.iter().all(|seen| *seen < NEAR * tell_w);
            let enough_s = if low { GLANCE_S } else { WINDOW_S };
            if pace.stopped() || pace.now().seconds_since(begun) >= enough_s {
                break;
            }
        }
        if pace.stopped() {
            return None;
        }
        if seen.is_empty() {
            let used = self.value(key, Metric::ZoneEnergy)? - energy?;
            let watts = used / pace.now().seconds_since(begun);
            return (watts.is_finite() && watts > 0.0).then_some(watts);
        }
        seen.sort_by(f64::total_cmp);
        // Below the length, since the share is below 1.
        Some(seen[(seen.len() as f64 * PLATEAU) as usize])
    }

    /// The clock of a device, in hertz.
    pub(super) fn clock(&mut self, key: &str, now: Timestamp) -> Option<f64> {
        self.read(now);
        self.value(key, Metric::ClockSm)
    }
}
