//! History: the series of every device, allocated once a device has something to say and bounded from then on.
use crate::catalogue::{Metric, columns};
use crate::device::DeviceId;
use crate::frame::Frame;
use crate::metric::MetricKind;
use crate::series::Series;

/// Every series of the node.
///
/// A series exists from the first value on; metrics that a device never has cost nothing. Constants and links have no series.
#[derive(Debug)]
pub struct History {
    points: usize,
    cells: Vec<Option<Box<Series>>>,
    generations: Vec<u32>,
    beats: u64,
}

impl History {
    /// An empty history of `points` beats.
    pub fn new(points: usize) -> Self {
        Self { points, cells: Vec::new(), generations: Vec::new(), beats: 0 }
    }

    /// Appends one frame. Allocates only for a metric's first value.
    pub fn append(&mut self, frame: &Frame) {
        self.beats += 1;
        self.cells.resize_with(frame.devices.cells(), || None);
        self.generations.resize(frame.devices.len(), 0);
        for device in frame.devices.iter() {
            let first = device.base as usize;
            let renamed = self.generations[device.id.index()] != device.generation;
            self.generations[device.id.index()] = device.generation;
            if !device.info.kind.is_remembered() {
                continue;
            }
            for (offset, metric) in columns(device.info.kind).iter().enumerate() {
                let kind = metric.row().kind;
                let (cell, reading) = (&mut self.cells[first + offset], frame.cells()[first + offset]);
                if renamed {
                    *cell = None;
                }
                match cell {
                    Some(series) => series.append(frame.at, reading, kind),
                    None if kind == MetricKind::Constant || reading.value().is_none() => {}
                    None => cell.insert(Box::new(Series::new(self.points))).append(frame.at, reading, kind),
                }
            }
        }
    }

    /// The series of one metric of one device; `None` when it never had a value.
    pub fn series(&self, frame: &Frame, device: DeviceId, metric: Metric) -> Option<&Series> {
        self.cells.get(frame.devices.cell(device, metric)?)?.as_deref()
    }

    /// The newest point of a series: a gauge's value, a counter's rate per second.
    pub fn latest(&self, frame: &Frame, device: DeviceId, metric: Metric) -> Option<f64> {
        self.series(frame, device, metric)?.ago(0)
    }

    /// How many beats were appended in all.
    pub fn beats(&self) -> u64 {
        self.beats
    }

    /// How many beats a series holds at most.
    pub fn points(&self) -> usize {
        self.points
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.cells.iter().flatten().count()
    }

    /// Whether there is no series yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        self.cells.iter().flatten().map(|s| s.bytes()).sum::<usize>()
            + self.cells.capacity() * size_of::<usize>()
    }
}
