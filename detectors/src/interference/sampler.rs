//! The sampler: makes one window of rates for each workload from two frames.
use super::counter::{Node, Own, Sample};
use model::{DeviceId, DeviceKind, Frame, Metric, Timestamp};

/// Where a counter of a workload comes from: a sum of totals, or a gauge.
type Source<T> = (T, Kind, &'static [Metric]);

/// How readings make a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Growth of the sum of totals over the window.
    Rate,
    /// The value at the end of the window.
    Gauge,
}

/// The first list of metrics that has a reading counts, in order of preference.
const OWN: &[Source<Own>] = &[
    (Own::Run, Kind::Rate, &[Metric::CgroupCpu]),
    (Own::System, Kind::Rate, &[Metric::CgroupCpuSystem]),
    (Own::Wait, Kind::Rate, &[Metric::CgroupRunDelay]),
    (Own::Slices, Kind::Rate, &[Metric::CgroupTimeslices]),
    (Own::Throttled, Kind::Rate, &[Metric::CgroupThrottled]),
    (Own::Memory, Kind::Gauge, &[Metric::CgroupMemory]),
    (Own::StallMemory, Kind::Rate, &[Metric::CgroupPressureMemory]),
    (Own::StallIo, Kind::Rate, &[Metric::CgroupPressureIo]),
    (Own::StorageOps, Kind::Rate, &[Metric::CgroupStorageReads, Metric::CgroupStorageWrites]),
    (Own::StorageBytes, Kind::Rate, &[Metric::CgroupStorageRead, Metric::CgroupStorageWritten]),
    (Own::Calls, Kind::Rate, &[Metric::CgroupReadCalls, Metric::CgroupWriteCalls]),
    (Own::CallBytes, Kind::Rate, &[Metric::CgroupReadCallBytes, Metric::CgroupWriteCallBytes]),
    (Own::FaultsMinor, Kind::Rate, &[Metric::CgroupFaultsMinor]),
    (Own::FaultsMajor, Kind::Rate, &[Metric::CgroupFaultsMajor]),
    (Own::Traffic, Kind::Rate, &[Metric::CgroupTraffic]),
    (Own::Cache, Kind::Gauge, &[Metric::CgroupCache]),
];

/// What the processes of a workload moved, by procfs; the last is taken off.
const MOVED: [Metric; 3] =
    [Metric::CgroupProcessRead, Metric::CgroupProcessWritten, Metric::CgroupProcessCancelled];

/// Counters of the node: the kind of device, and whether its devices are summed or the largest is taken.
const NODE: &[(Source<Node>, DeviceKind, Over)] = &[
    (
        (
            Node::Busy,
            Kind::Rate,
            &[
                Metric::CoreUser,
                Metric::CoreNice,
                Metric::CoreSystem,
                Metric::CoreIrq,
                Metric::CoreSoftirq,
                Metric::CoreSteal,
            ],
        ),
        DeviceKind::Core,
        Over::Sum,
    ),
    ((Node::Softirq, Kind::Rate, &[Metric::CoreSoftirq]), DeviceKind::Core, Over::Sum),
    ((Node::Steal, Kind::Rate, &[Metric::CoreSteal]), DeviceKind::Core, Over::Sum),
    ((Node::Clock, Kind::Gauge, &[Metric::CoreFrequency]), DeviceKind::Core, Over::Mean),
    ((Node::StallCpu, Kind::Rate, &[Metric::PressureCpuSome]), DeviceKind::Node, Over::Sum),
    ((Node::StallMemory, Kind::Rate, &[Metric::PressureMemorySome]), DeviceKind::Node, Over::Sum),
    ((Node::StallIo, Kind::Rate, &[Metric::PressureIoSome]), DeviceKind::Node, Over::Sum),
    ((Node::DiskOps, Kind::Rate, &[Metric::DiskReads, Metric::DiskWrites]), DeviceKind::Disk, Over::Sum),
    (
        (Node::DiskBytes, Kind::Rate, &[Metric::DiskReadBytes, Metric::DiskWrittenBytes]),
        DeviceKind::Disk,
        Over::Sum,
    ),
    (
        (Node::DiskWait, Kind::Rate, &[Metric::DiskReadWait, Metric::DiskWriteWait]),
        DeviceKind::Disk,
        Over::Sum,
    ),
    ((Node::DiskBusy, Kind::Rate, &[Metric::DiskBusy]), DeviceKind::Disk, Over::Max),
    (
        (Node::NetworkBytes, Kind::Rate, &[Metric::InterfaceReceived, Metric::InterfaceSent]),
        DeviceKind::Interface,
        Over::Sum,
    ),
    ((Node::FaultsMinor, Kind::Rate, &[Metric::PageFaultsMinor]), DeviceKind::Node, Over::Sum),
    ((Node::FaultsMajor, Kind::Rate, &[Metric::PageFaultsMajor]), DeviceKind::Node, Over::Sum),
    ((Node::Reclaimed, Kind::Rate, &[Metric::PagesScannedDirect]), DeviceKind::Node, Over::Sum),
    ((Node::Switches, Kind::Rate, &[Metric::ContextSwitches]), DeviceKind::Node, Over::Sum),
];

/// How the devices of a kind make one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// Their sum.
    Sum,
    /// The largest rate.
    Max,
    /// The mean of those that have a reading.
    Mean,
}

/// The totals of a device as of the last frame.
#[derive(Debug, Clone, Copy)]
struct Totals<const N: usize> {
    at: Timestamp,
    generation: u32,
    values: [f64; N],
    moved: [f64; MOVED.len()],
}

impl<const N: usize> Default for Totals<N> {
    fn default() -> Self {
        Self {
            at: Timestamp::default(),
            generation: 0,
            values: [f64::NAN; N],
            moved: [f64::NAN; MOVED.len()],
        }
    }
}

/// Makes windows of frames. Memory: 176 bytes a workload, 8 a device of the node.
#[derive(Debug, Default)]
pub struct Sampler {
    /// By device index.
    own: Vec<Totals<{ OWN.len() }>>,
    /// By device index; each device is of one kind, so that the rows of its kind have places in order.
    node: Vec<[f64; ROWS_MAX]>,
    at: Option<Timestamp>,
    /// The node's part of the window that ended with the last frame.
    window: [f32; Node::COUNT],
    window_s: f64,
}

/// Rows of [`NODE`] that one kind of device has at most.
const ROWS_MAX: usize = 9;

impl Sampler {
    /// Takes a frame: the end of a window and the beginning of the next.
    pub fn take(&mut self, frame: &Frame) {
        self.window_s = self.at.map_or(f64::NAN, |last| frame.at.seconds_since(last));
        self.at = Some(frame.at);
        self.node.resize(frame.devices.len(), [f64::NAN; ROWS_MAX]);
        self.own.resize(frame.devices.len(), Totals::default());
        self.window = [f32::NAN; Node::COUNT];
        let cores = frame.devices.of_kind(DeviceKind::Core).filter(|core| !core.gone).count();
        self.window[Node::Cores as usize] = cores as f32;
        for (row, ((counter, kind, metrics), device, over)) in NODE.iter().enumerate() {
            let place = NODE[..row].iter().filter(|(_, other, _)| other == device).count();
            self.window[*counter as usize] = self.over(frame, (*kind, metrics), (*device, *over, place));
        }
        self.probe(frame);
    }

    /// One number of all devices of a kind; NaN when none of them has a reading.
    fn over(
        &mut self,
        frame: &Frame,
        (kind, metrics): (Kind, &[Metric]),
        (device, over, place): (DeviceKind, Over, usize),
    ) -> f32 {
        let (mut number, mut count) = (0.0_f64, 0_u32);
        for device in frame.devices.of_kind(device).filter(|device| !device.gone) {
            let total = total(frame, device.id, metrics);
            let last = std::mem::replace(&mut self.node[device.id.index()][place], total);
            let value = match kind {
                Kind::Gauge => total,
                Kind::Rate => rate(last, total, self.window_s),
            };
            if value.is_finite() {
                count += 1;
                number = if over == Over::Max { number.max(value) } else { number + value };
            }
        }
        match (count, over) {
            (0, _) => f32::NAN,
            (_, Over::Mean) => (number / f64::from(count)) as f32,
            _ => number as f32,
        }
    }

    /// What the active probe measured, the worst of all cache domains.
    fn probe(&mut self, frame: &Frame) {
        for core in frame.devices.of_kind(DeviceKind::Core).filter(|core| !core.gone) {
            let mut worst = |counter: Node, metric: Metric, worse: fn(f32, f32) -> f32| {
                let place = &mut self.window[counter as usize];
                // `max` and `min` of floats leave out what is not a number.
                *place = worse(*place, frame.value(core.id, metric).map_or(f32::NAN, |value| value as f32));
            };
            worst(Node::ProbeLatency, Metric::ProbeLatency, f32::max);
            worst(Node::ProbeCopy, Metric::ProbeCopy, f32::min);
        }
    }

    /// The window of a workload that ended with the last frame, and how long it was, in seconds; `None` when the workload
    /// is new, was reset or had no reading of its processor time. To be asked once a frame.
    pub fn window(&mut self, frame: &Frame, device: DeviceId) -> Option<(Sample, f64)> {
        let generation = frame.devices.get(device).generation;
        let totals = &mut self.own[device.index()];
        let fresh = totals.generation != generation;
        let window_s = frame.at.seconds_since(totals.at);
        let mut sample = Sample { node: self.window, ..Sample::default() };
        for (place, (counter, kind, metrics)) in OWN.iter().enumerate() {
            let total = total(frame, device, metrics);
            let last = std::mem::replace(&mut totals.values[place], total);
            sample.own[*counter as usize] = match kind {
                Kind::Gauge => total,
                Kind::Rate => rate(last, total, window_s),
            } as f32;
        }
        let mut moved = [f64::NAN; MOVED.len()];
        for ((rate_of, last), metric) in moved.iter_mut().zip(&mut totals.moved).zip(MOVED) {
            let total = total(frame, device, &[metric]);
            *rate_of = rate(std::mem::replace(last, total), total, window_s);
        }
        let [read, written, cancelled] = moved;
        // `max` leaves out what is not a number, which must not become a zero.
        let kept = written - cancelled;
        sample.moved = (read + if kept < 0.0 { 0.0 } else { kept }) as f32;
        (totals.at, totals.generation) = (frame.at, generation);
        let known = !fresh && sample.own(Own::Run).is_some();
        known.then_some((sample, window_s))
    }

    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        self.own.capacity() * size_of::<Totals<{ OWN.len() }>>()
            + self.node.capacity() * size_of::<[f64; ROWS_MAX]>()
    }
}

/// The sum of readings; NaN when one of them is absent.
fn total(frame: &Frame, device: DeviceId, metrics: &[Metric]) -> f64 {
    metrics.iter().map(|metric| frame.value(device, *metric).unwrap_or(f64::NAN)).sum()
}

/// Growth per second; NaN when it is not known, or the total fell.
fn rate(last: f64, total: f64, window_s: f64) -> f64 {
    let grown = total - last;
    if grown >= 0.0 && window_s > 0.0 { grown / window_s } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, Reading};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn what_processes_moved_is_without_what_was_cancelled_and_never_below_what_was_read() {
        let (mut frame, mut sampler) = (Frame::default(), Sampler::default());
        let info = Arc::new(DeviceInfo::new(DeviceKind::Cgroup, "a.service"));
        let group = Arc::make_mut(&mut frame.devices).register(&info).unwrap();
        let mut now = Timestamp { mono_ns: 1, wall_ms: 1 };
        let mut moved = Vec::new();
        for totals in [
            Some([0.0, 0.0, 0.0]),
            Some([10.0, 100.0, 30.0]),
            Some([20.0, 100.0, 90.0]),
            None,
            Some([20.0, 100.0, 90.0]),
            Some([21.0, 101.0, 90.0]),
        ] {
            now = now.after(Duration::from_secs(1));
            frame.begin(now);
            frame.put(group, Metric::CgroupCpu, Reading::Value(1.0));
            for (metric, total) in MOVED.into_iter().zip(totals.into_iter().flatten()) {
                frame.put(group, metric, Reading::Value(total));
            }
            sampler.take(&frame);
            moved.push(sampler.window(&frame, group).and_then(|(sample, _)| sample.storage()));
        }
        assert_eq!(moved, [None, Some(80.0), Some(10.0), None, None, Some(2.0)]);
    }
}
