//! The windowed PCA residual: how far a device's counters are from moving together as they used to, and which of them.
use crate::subspace::{LAGS, REACH, Scratch, Subspace};
use crate::thresholds::Thresholds;
use model::stages::{Fit, Fitted};
use model::{
    Detector, Device, DeviceId, DeviceKind, EventSink, Evidence, FaultKind, Finding, Frame, History, Metric,
    Severity,
};
use ndarray::Array2;

/// The series that a model of an accelerator may have.
const ACCELERATOR: &[Metric] = &[
    Metric::Utilization,
    Metric::MemoryActivity,
    Metric::MemoryUsed,
    Metric::PowerInstant,
    Metric::PowerAverage,
    Metric::Energy,
    Metric::ClockSm,
    Metric::ClockMemory,
    Metric::Temperature,
    Metric::TemperatureMemory,
    Metric::FanSpeed,
    Metric::PcieReplays,
];
/// The series that a model of the node may have.
const NODE: &[Metric] = &[
    Metric::Load1,
    Metric::ContextSwitches,
    Metric::Interrupts,
    Metric::Forks,
    Metric::TasksRunning,
    Metric::TasksBlocked,
    Metric::NodeMemoryAvailable,
    Metric::NodeMemoryDirty,
    Metric::PageFaultsMinor,
    Metric::PageFaultsMajor,
    Metric::PressureCpuSome,
    Metric::PressureMemorySome,
    Metric::PressureIoSome,
];
/// The most rows of a fit; with a beat of one second this is the last fifteen minutes.
const ROWS_MAX: usize = 900;
/// A channel whose spread is below this share of its size is constant, and skipped.
const CONSTANT: f64 = 1e-4;

#[derive(Debug)]
struct Model {
    device: DeviceId,
    generation: u32,
    channels: Vec<Metric>,
    subspace: Subspace,
}

#[derive(Debug, Default, Clone, Copy)]
struct Watched {
    /// Beats of history that a fit may use: since the device came, or since its last flagged or masked beat.
    clean: usize,
    /// Beats since the last fit.
    age: usize,
    /// Beats that are still left out after a change of the power limit.
    masked: usize,
    limit_w: Option<f64>,
}

/// The detector. One model a device, fitted on its own past.
#[derive(Debug)]
pub struct Residual {
    thresholds: Thresholds,
    /// By device index.
    models: Vec<Option<Model>>,
    watched: Vec<Watched>,
    scratch: Scratch,
    /// The device whose turn it is to be looked at for a fit.
    turn: usize,
}

/// Opens the detector.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Residual {
        thresholds: *thresholds,
        models: Vec::new(),
        watched: Vec::new(),
        scratch: Scratch::default(),
        turn: 0,
    })
}

fn modelled(device: &Device) -> bool {
    !device.gone && (device.info.kind.is_accelerator() || device.info.kind == DeviceKind::Node)
}

fn candidates(kind: DeviceKind) -> &'static [Metric] {
    if kind == DeviceKind::Node { NODE } else { ACCELERATOR }
}

impl Residual {
    /// Keeps count of what may be learnt from: a changed limit is masked, since our own cap is no anomaly.
    fn follow(&mut self, frame: &Frame, device: DeviceId) {
        let watched = &mut self.watched[device.index()];
        let limit_w = frame.value(device, Metric::PowerLimitEnforced);
        if limit_w.zip(watched.limit_w).is_some_and(|(now, before)| (now - before).abs() > 0.5) {
            watched.masked = self.thresholds.residual_mask_beats;
        }
        watched.limit_w = limit_w.or(watched.limit_w);
        watched.masked = watched.masked.saturating_sub(1);
        watched.clean += 1;
        watched.age += 1;
    }

    /// The finding of one device on this beat, if there is one.
    fn look(&mut self, frame: &Frame, history: &History, device: DeviceId) -> Option<Finding> {
        let model = self.models[device.index()].as_ref()?;
        if self.watched[device.index()].masked > 0 || model.generation != frame.devices.get(device).generation
        {
            return None;
        }
        let point = |channel: usize, lag: usize| {
            history.series(frame, device, model.channels[channel])?.ago(LAGS[lag])
        };
        let places =
            (0..model.channels.len()).flat_map(|channel| (0..LAGS.len()).map(move |lag| (channel, lag)));
        // A row with a gap says nothing; gaps are the business of other detectors.
        if places.clone().any(|(channel, lag)| point(channel, lag).is_none()) {
            return None;
        }
        let row = places.map(|(channel, lag)| point(channel, lag).unwrap_or(0.0));
        let score = model.subspace.score(row, &mut self.scratch) / self.thresholds.residual_score;
        if score < 1.0 {
            return None;
        }
        self.watched[device.index()].clean = 0;
        let evidence = worst(model, &self.scratch, |channel| point(channel, 0).unwrap_or(0.0));
        let (fault, severity) = (FaultKind::Residual, Severity::Info);
        Some(Finding { detector: "residual", device, fault, code: 0, severity, score, evidence })
    }

    /// The rows that a fit of this device would learn from; `None` when it is not due or there is too little.
    fn rows(&self, frame: &Frame, history: &History, device: &Device) -> Option<(Vec<Metric>, Array2<f64>)> {
        let watched = self.watched.get(device.id.index())?;
        let (learn, refit) = (self.thresholds.residual_learn_beats, self.thresholds.residual_refit_beats);
        let fitted =
            self.models[device.id.index()].as_ref().is_some_and(|m| m.generation == device.generation);
        let beats = watched.clean.min(ROWS_MAX + REACH).min(history.points());
        if beats < learn.min(history.points()) || (fitted && watched.age < refit) {
            return None;
        }
        let lively = |metric: &Metric| {
            let Some(series) = history.series(frame, device.id, *metric) else { return false };
            let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
            for value in series.recent(beats).flatten() {
                count += 1.0;
                sum += value;
                squares += value * value;
            }
            let mean = sum / f64::max(count, 1.0);
            let spread = (squares / f64::max(count, 1.0) - mean * mean).max(0.0).sqrt();
            count >= 0.95 * beats as f64 && spread > CONSTANT * mean.abs().max(1e-9)
        };
        let channels: Vec<Metric> = candidates(device.info.kind).iter().copied().filter(lively).collect();
        let mut flat = Vec::new();
        let mut count = 0;
        for ago in (0..beats.saturating_sub(REACH)).rev() {
            let start = flat.len();
            let points = channels.iter().flat_map(|metric| {
                let series = history.series(frame, device.id, *metric);
                LAGS.iter().map(move |lag| series.and_then(|series| series.ago(ago + lag)))
            });
            flat.extend(points.map_while(|point| point));
            if flat.len() == start + channels.len() * LAGS.len() {
                count += 1;
            } else {
                flat.truncate(start);
            }
        }
        let rows = Array2::from_shape_vec((count, channels.len() * LAGS.len()), flat).ok()?;
        Some((channels, rows))
    }
}

/// The channels with the largest squared residual, as evidence.
fn worst(model: &Model, scratch: &Scratch, observed: impl Fn(usize) -> f64) -> [Option<Evidence>; 4] {
    let mut taken = [usize::MAX; 4];
    std::array::from_fn(|place| {
        let free = scratch.blame.iter().enumerate().filter(|(channel, _)| !taken.contains(channel));
        let (channel, _) = free.max_by(|a, b| a.1.total_cmp(b.1))?;
        taken[place] = channel;
        let expected = model.subspace.expected(channel, scratch);
        Some(Evidence { metric: model.channels[channel], observed: observed(channel), expected })
    })
}

impl Detector for Residual {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn observe(&mut self, frame: &Frame, history: &History, events: &mut EventSink) {
        self.models.resize_with(frame.devices.len(), || None);
        self.watched.resize(frame.devices.len(), Watched::default());
        for device in frame.devices.iter() {
            if !modelled(device) {
                self.watched[device.id.index()] = Watched::default();
                continue;
            }
            self.follow(frame, device.id);
            if let Some(finding) = self.look(frame, history, device.id) {
                events.push(finding);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.models.iter().flatten().map(|model| model.subspace.bytes()).sum()
    }

    fn fit(&mut self, frame: &Frame, history: &History) -> Option<Fit> {
        let count = frame.devices.len();
        // One device a beat: gathering rows is a copy, and eight at once would be felt.
        self.turn = (self.turn + 1) % count.max(1);
        let device = frame.devices.iter().nth(self.turn).filter(|device| modelled(device))?;
        let (channels, rows) = self.rows(frame, history, device)?;
        self.watched[device.id.index()].age = 0;
        let (device, generation) = (device.id, device.generation);
        Some(Box::new(move || -> Fitted {
            Box::new(Subspace::fit(&rows).map(|subspace| Model { device, generation, channels, subspace }))
        }))
    }

    fn fitted(&mut self, result: Fitted) {
        if let Ok(model) = result.downcast::<Option<Model>>()
            && let Some(model) = *model
        {
            let place = model.device.index();
            self.models[place] = Some(model);
        }
    }
}

#[cfg(test)]
mod tests;
