//! Structure: a quantity that vanished, a sensor that froze, a driver that answers ever more slowly.
mod frozen;
mod slow;
mod vanished;

use crate::thresholds::Thresholds;
use frozen::Frozen;
use model::{
    Detector, Device, DeviceId, DeviceKind, EventSink, FaultKind, Finding, Frame, History, Severity, Stand,
    Standing,
};
use slow::Slow;
use vanished::Vanished;

/// The numbers that the detector rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// For how long a quantity must have been there to be missed, in seconds. Ours.
    pub vanish_learn_s: f64,
    /// Beats for which it must be away: so many more than twice the longest gap it ever had. Ours.
    pub vanish_beats: u32,
    /// Beats for which a sensor must repeat itself under load. Ours: a power sensor in milliwatts never does for three.
    pub frozen_beats: u32,
    /// How many times the longest repetition of a sound sensor. Ours.
    pub frozen_times: u32,
    /// How much the power that a die feels must have moved while its temperature did not, as a share of the limit. Ours: five
    /// whole degrees at the least rise per watt that boards have.
    pub frozen_power: f64,
    /// How many times longer than usual answers must take. Ours.
    pub slow_ratio: f64,
    /// How much longer, in seconds. Ours: what a beat of a second would feel.
    pub slow_s: f64,
    /// Answers that must be known before, in seconds. Ours.
    pub slow_learn_s: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vanish_learn_s: 300.0,
            vanish_beats: 2,
            frozen_beats: 20,
            frozen_times: 4,
            frozen_power: 0.3,
            slow_ratio: 3.0,
            slow_s: 0.02,
            slow_learn_s: 600.0,
        }
    }
}

/// What is known of one device.
#[derive(Debug, Clone, Default)]
struct Subject {
    device: Option<DeviceId>,
    generation: u32,
    vanished: Vanished,
    frozen: Frozen,
    slow: Slow,
}

/// The detector.
#[derive(Debug, Default)]
struct Structure {
    settings: Settings,
    /// By device index.
    subjects: Vec<Subject>,
}

/// Opens the detector.
pub fn open(_: &Thresholds) -> Box<dyn Detector> {
    Box::new(Structure::default())
}

/// A finding of this detector.
fn finding(device: DeviceId, fault: FaultKind, severity: Severity, score: f64) -> Finding {
    Finding {
        detector: "structure",
        device,
        fault,
        code: 0,
        detail: "",
        severity,
        remedy: fault.remedy(),
        score,
        evidence: [None; 4],
    }
}

impl Structure {
    fn look(&mut self, frame: &Frame, device: &Device, events: &mut EventSink) {
        let subject = &mut self.subjects[device.id.index()];
        if subject.generation != device.generation || subject.device.is_none() {
            let (id, generation) = (Some(device.id), device.generation);
            *subject = Subject { device: id, generation, ..Subject::default() };
        }
        if device.info.kind == DeviceKind::Source {
            subject.slow.follow(frame, device.id, &self.settings).into_iter().for_each(|f| events.push(f));
            return;
        }
        subject.vanished.follow(frame, device, &self.settings, events);
        subject.frozen.follow(frame, device.id, &self.settings, events);
    }
}

impl Detector for Structure {
    fn name(&self) -> &'static str {
        "structure"
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.subjects.resize_with(frame.devices.len(), Subject::default);
        let kinds = |device: &&Device| {
            !device.gone && (device.info.kind.is_accelerator() || device.info.kind == DeviceKind::Source)
        };
        for device in frame.devices.iter().filter(kinds) {
            self.look(frame, device, events);
        }
    }

    fn bytes(&self) -> usize {
        let gaps: usize = self.subjects.iter().map(|subject| subject.vanished.bytes()).sum();
        self.subjects.capacity() * size_of::<Subject>() + gaps
    }

    fn standings(&self, list: &mut Vec<Standing>) {
        for subject in &self.subjects {
            let Some(device) = subject.device else { continue };
            let progress =
                subject.vanished.progress(&self.settings).max(subject.slow.progress(&self.settings));
            let stand = if progress < 1.0 { Stand::Learning { progress } } else { Stand::Watching };
            list.push(Standing { detector: "structure".into(), device, stand });
        }
    }
}

#[cfg(test)]
mod tests;
