//! Starved accelerators: processors of the host are contended for, and accelerators with work wait for them. Told of the node,
//! since that is where the cause is.
use crate::mean::Mean;
use crate::thresholds::Thresholds;
use model::{
    Detector, DeviceId, DeviceKind, EventSink, Evidence, FaultKind, Finding, Frame, History, Metric,
    Severity, Work,
};

/// The numbers that the detector rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// For how long it must last, in seconds. Ours: longer than a start of jobs takes.
    pub hold_s: f64,
    /// The least confidence in an accelerator's waiting for the host. Ours.
    pub confidence: f64,
    /// Share of time for which tasks of the host wait for a processor. Ours: twice where accelerators may begin to starve.
    pub pressure: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hold_s: 30.0, confidence: 0.15, pressure: 0.2 }
    }
}

/// Over how long pressure is averaged, in seconds.
const WINDOW_S: f64 = 15.0;

/// The detector.
#[derive(Debug, Default)]
struct Starved {
    settings: Settings,
    pressure: Mean,
    lasted_s: f64,
}

/// Opens the detector.
pub fn open(_: &Thresholds) -> Box<dyn Detector> {
    Box::new(Starved::default())
}

impl Starved {
    /// How many accelerators wait for the host.
    fn waiting(&self, frame: &Frame) -> usize {
        let waits = |state: &&model::WorkState| {
            state.work == Work::HostBound && state.confidence >= self.settings.confidence
        };
        frame.works.iter().filter(waits).count()
    }

    fn finding(&self, node: DeviceId, pressure: f64, load: Option<f64>) -> Finding {
        let fault = FaultKind::HostStarved;
        let metric = Metric::PressureCpuSome10;
        let felt = Evidence { metric, observed: pressure, expected: self.settings.pressure };
        let load = load.map(|observed| Evidence { metric: Metric::Load1, observed, expected: 0.0 });
        Finding {
            detector: "starved",
            device: node,
            fault,
            code: 0,
            detail: "",
            severity: Severity::Warning,
            remedy: fault.remedy(),
            score: pressure / self.settings.pressure,
            evidence: [Some(felt), load, None, None],
        }
    }
}

impl Detector for Starved {
    fn name(&self) -> &'static str {
        "starved"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        let Some(node) = frame.devices.of_kind(DeviceKind::Node).next().map(|node| node.id) else { return };
        let beat_s = frame.lasted_s.min(60.0);
        let pressure = frame.value(node, Metric::PressureCpuSome10);
        self.pressure.take(pressure, Mean::keep(beat_s, WINDOW_S));
        // Where pressure is not known nothing is said: load alone does not tell who waits.
        let felt =
            pressure.and_then(|_| self.pressure.get()).filter(|share| *share >= self.settings.pressure);
        let Some(felt) = felt.filter(|_| self.waiting(frame) > 0) else {
            self.lasted_s = 0.0;
            return;
        };
        self.lasted_s += beat_s;
        if self.lasted_s >= self.settings.hold_s {
            events.push(self.finding(node, felt, frame.value(node, Metric::Load1)));
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}
