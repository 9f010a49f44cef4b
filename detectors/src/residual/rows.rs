//! What a model begins with: the series that move, their past, and the loads that were seen.
use crate::level::CHANNELS_MAX;
use model::{DeviceKind, Frame, History, Metric, Unit};
use ndarray::Array2;

/// The series that a model of an accelerator may have.
const ACCELERATOR: &[Metric] = &[
    Metric::Utilization,
    Metric::EncoderUtilization,
    Metric::DecoderUtilization,
    Metric::MemoryActivity,
    Metric::MemoryUsed,
    Metric::PowerInstant,
    Metric::PowerAverage,
    Metric::Energy,
    Metric::ClockSm,
    Metric::ClockMemory,
    Metric::ClockVideo,
    Metric::Temperature,
    Metric::TemperatureMemory,
    Metric::TemperatureHotspot,
    Metric::TemperatureRegulator,
    Metric::TemperatureBoard,
    Metric::FanSpeed,
    Metric::FanRpm,
    Metric::Voltage,
    Metric::PowerModule,
    Metric::PowerMemory,
    Metric::ClockSoc,
    Metric::VectorUtilization,
    Metric::GraphicsActive,
    Metric::SmActive,
    Metric::SmOccupancy,
    Metric::TensorActive,
    Metric::Fp64Active,
    Metric::Fp32Active,
    Metric::Fp16Active,
    Metric::IntegerActive,
    Metric::DramActive,
    Metric::PcieReceive,
    Metric::PcieTransmit,
    Metric::LinkReceive,
    Metric::LinkTransmit,
    Metric::Bar1Used,
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
    Metric::NodeMemoryCached,
    Metric::NodeMemorySlab,
    Metric::NodeMemoryDirty,
    Metric::NodeMemoryWriteback,
    Metric::PageFaultsMinor,
    Metric::PageFaultsMajor,
    Metric::PressureCpuSome,
    Metric::PressureMemorySome,
    Metric::PressureMemoryFull,
    Metric::PressureIoSome,
    Metric::PressureIoFull,
];
/// What says how an accelerator is loaded and capped. A model judges only what lies within the loads it has learnt.
const ACCELERATOR_DOMAIN: &[Metric] =
    &[Metric::Utilization, Metric::MemoryActivity, Metric::MemoryUsed, Metric::PowerLimitEnforced];
/// What says how the node is loaded.
const NODE_DOMAIN: &[Metric] = &[Metric::Load1, Metric::TasksRunning];
/// A channel whose spread is below this share of its size is constant, and skipped.
const CONSTANT: f64 = 1e-4;
/// The share of rows for which a channel must have values.
const PRESENT: f64 = 0.95;

/// The values of one metric that a model has learnt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) metric: Metric,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Span {
    /// Whether a value lies within, or outside by no more than `share` of the metric's size.
    pub(super) fn has(&self, value: f64, share: f64) -> bool {
        let size =
            if self.metric.row().unit == Unit::Ratio { 1.0 } else { self.low.abs().max(self.high.abs()) };
        value >= self.low - share * size && value <= self.high + share * size
    }
}

/// All that a fit needs.
#[derive(Debug)]
pub(super) struct Lesson {
    pub(super) channels: Vec<Metric>,
    pub(super) domain: Vec<Span>,
    /// Rows by channels, in time's order; a row of NaN is a beat that may not be learnt from.
    pub(super) rows: Array2<f32>,
}

/// Gathers what the newest `beats` of a device's past have to teach; `usable`: whether a beat so long ago may be learnt from.
pub(super) fn gather(
    view: (&Frame, &History),
    device: &model::Device,
    beats: usize,
    usable: impl Fn(usize) -> bool,
) -> Option<Lesson> {
    let (frame, history) = view;
    let agos: Vec<usize> = (0..beats).rev().filter(|ago| usable(*ago)).collect();
    let node = device.info.kind == DeviceKind::Node;
    let (candidates, domain) = if node { (NODE, NODE_DOMAIN) } else { (ACCELERATOR, ACCELERATOR_DOMAIN) };
    let series = |metric: Metric| history.series(frame, device.id, metric);
    let lively = |metric: &Metric| {
        let values = || agos.iter().filter_map(|ago| series(*metric)?.ago(*ago));
        let count = values().count() as f64;
        let mean = values().sum::<f64>() / count.max(1.0);
        let spread = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count.max(1.0)).sqrt();
        count >= PRESENT * agos.len() as f64 && spread > CONSTANT * mean.abs().max(1e-9)
    };
    let channels: Vec<Metric> = candidates.iter().copied().filter(lively).take(CHANNELS_MAX).collect();
    let span = |metric: &Metric| {
        let mut values = agos.iter().filter_map(|ago| series(*metric)?.ago(*ago));
        let first = values.next()?;
        let (low, high) = values.fold((first, first), |(low, high), v| (low.min(v), high.max(v)));
        Some(Span { metric: *metric, low, high })
    };
    let domain = domain.iter().filter_map(span).collect();
    let width = channels.len();
    let mut flat = Vec::with_capacity(beats * width);
    for ago in (0..beats).rev() {
        let start = flat.len();
        // Series are kept with as many digits.
        let points = channels
            .iter()
            .map(|metric| series(*metric).and_then(|series| series.ago(ago)).map(|v| v as f32));
        flat.extend(points.map_while(|point| point.filter(|_| usable(ago))));
        if flat.len() < start + width {
            flat.truncate(start);
            flat.resize(start + width, f32::NAN);
        }
    }
    Some(Lesson { channels, domain, rows: Array2::from_shape_vec((beats, width), flat).ok()? })
}
