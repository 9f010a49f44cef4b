//! Slowdowns for heat and for want of power. A power cap, ours or another's, is no fault and is not looked at.
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, DeviceId, EventSink, Evidence, FaultKind, Frame, History, Metric};

/// Parts of the window, the bits of a [`Spans`]; with a window of a minute each is a second.
const PARTS: u32 = 60;
/// The most parts that one beat speaks for, so that one slow beat never decides alone.
const PARTS_A_BEAT: u32 = 10;

/// What is followed, each in a word of [`Spans`].
#[derive(Debug, Clone, Copy)]
enum Reason {
    HwThermal,
    SwThermal,
    PowerBrake,
    /// The hardware slows down and says that it is not for heat.
    HwOther,
}

impl Reason {
    const ALL: [Self; 4] = [Self::HwThermal, Self::SwThermal, Self::PowerBrake, Self::HwOther];

    const fn metric(self) -> Metric {
        match self {
            Self::HwThermal => Metric::EventHwThermal,
            Self::SwThermal => Metric::EventSwThermal,
            Self::PowerBrake => Metric::EventPowerBrake,
            Self::HwOther => Metric::EventHwSlowdown,
        }
    }

    /// Whether it holds now; `None` when not known.
    fn holds(self, frame: &Frame, device: DeviceId) -> Option<bool> {
        let set = frame.flag(device, self.metric())?;
        match self {
            // Which sub-reason is unknown says nothing of want of power.
            Self::HwOther => Some(set && !frame.flag(device, Metric::EventHwThermal)?),
            Self::HwThermal | Self::SwThermal | Self::PowerBrake => Some(set),
        }
    }
}

/// In which of the newest [`PARTS`] each reason was seen; bit 0 is now.
#[derive(Debug, Clone, Copy, Default)]
struct Spans {
    generation: u32,
    seen: [u64; Reason::ALL.len()],
}

impl Spans {
    /// Lets parts pass. An unknown flag stops its own time: it neither heals nor harms.
    fn pass(&mut self, parts: u32, frame: &Frame, device: &Device) {
        if self.generation != device.generation {
            *self = Self { generation: device.generation, ..Self::default() };
        }
        for (reason, seen) in Reason::ALL.into_iter().zip(&mut self.seen) {
            let Some(holds) = reason.holds(frame, device.id) else { continue };
            let now = if holds { ((1_u64 << parts) - 1).max(1) } else { 0 };
            *seen = ((*seen << parts) | now) & ((1_u64 << PARTS) - 1);
        }
    }

    /// The share of the window in which a reason was seen. Time before the first beat counts as not seen.
    fn share(&self, reason: Reason) -> f64 {
        f64::from(self.seen[reason as usize].count_ones()) / f64::from(PARTS)
    }
}

#[derive(Debug)]
struct Throttle {
    voice: Voice,
    /// By device index.
    spans: Vec<Spans>,
    /// Time that is not yet a whole part, in parts.
    rest: f64,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "throttle", catalogue: thresholds.catalogue };
    Box::new(Throttle { voice, spans: Vec::new(), rest: 0.0 })
}

impl Throttle {
    /// The parts that have passed since the beat before.
    fn parts(&mut self, frame: &Frame) -> u32 {
        let part_s = self.voice.catalogue.limit(Limit::SlowdownWindow) / f64::from(PARTS);
        self.rest = (self.rest + frame.beat_s / part_s).min(f64::from(PARTS_A_BEAT));
        // Between 0 and PARTS_A_BEAT by the line above.
        let whole = self.rest as u32;
        self.rest -= f64::from(whole);
        whole
    }

    /// The worse of two reasons, when it was seen for long enough.
    fn worse(&self, device: DeviceId, reasons: [Reason; 2], limit: Limit) -> Option<Evidence> {
        let spans = &self.spans[device.index()];
        let [first, second] = reasons.map(|reason| (spans.share(reason), reason));
        let (share, reason) = if second.0 > first.0 { second } else { first };
        let limit = self.voice.catalogue.limit(limit);
        (share >= limit).then(|| evidence(reason.metric(), share, limit))
    }

    /// Whether a slowdown does not keep the device away from its shutdown temperature.
    fn critical(&self, frame: &Frame, device: DeviceId) -> bool {
        let limit = frame.value(device, Metric::TemperatureShutdown);
        let near = frame.value(device, Metric::Temperature).zip(limit);
        let margin_c = self.voice.catalogue.limit(Limit::ShutdownMargin);
        near.is_some_and(|(now, limit)| now >= limit - margin_c)
    }
}

impl Detector for Throttle {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.spans.resize(frame.devices.len(), Spans::default());
        let parts = self.parts(frame);
        for device in frame.devices.accelerators() {
            self.spans[device.id.index()].pass(parts, frame, device);
            if let Some(evidence) =
                self.worse(device.id, [Reason::HwThermal, Reason::SwThermal], Limit::ThermalShare)
            {
                let worst = self.critical(frame, device.id);
                events.push(self.voice.tells(FaultKind::ThermalSlowdown, device, evidence, worst));
            }
            if let Some(evidence) =
                self.worse(device.id, [Reason::PowerBrake, Reason::HwOther], Limit::BrakeShare)
            {
                events.push(self.voice.says(FaultKind::PowerBrake, device, evidence));
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.spans.capacity() * size_of::<Spans>()
    }
}
