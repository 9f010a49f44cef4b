//! What a fit learns from: the series that move, the rows of their lagged values, and the loads that were seen.
use super::LAGS;
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
    low: f64,
    high: f64,
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
    /// n by channels·lags, in time's order.
    pub(super) rows: Array2<f64>,
}

/// Gathers what a device's past has to teach on the beats `agos`, given oldest first.
pub(super) fn gather(
    frame: &Frame,
    history: &History,
    device: &model::Device,
    agos: &[usize],
) -> Option<Lesson> {
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
    let channels: Vec<Metric> = candidates.iter().copied().filter(lively).collect();
    let span = |metric: &Metric| {
        let mut values = agos.iter().filter_map(|ago| series(*metric)?.ago(*ago));
        let first = values.next()?;
        let (low, high) = values.fold((first, first), |(low, high), v| (low.min(v), high.max(v)));
        Some(Span { metric: *metric, low, high })
    };
    let domain = domain.iter().filter_map(span).collect();
    let width = channels.len() * LAGS.len();
    let mut flat = Vec::with_capacity(agos.len() * width);
    let mut count = 0;
    for ago in agos {
        let start = flat.len();
        let points = channels.iter().flat_map(|metric| {
            let series = series(*metric);
            LAGS.iter().map(move |lag| series.and_then(|series| series.ago(ago + lag)))
        });
        flat.extend(points.map_while(|point| point));
        // A row with a gap teaches nothing.
        if flat.len() == start + width {
            count += 1;
        } else {
            flat.truncate(start);
        }
    }
    Some(Lesson { channels, domain, rows: Array2::from_shape_vec((count, width), flat).ok()? })
}
