//! Slowdowns for heat and for want of power. A power cap, ours or another's, is no fault and is not looked at.
use super::watch::{ByDevice, Growth, Meter};
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, DeviceId, DeviceKind, EventSink, Evidence, FaultKind, Frame, History, Metric};

/// Parts of the window, the bits of a word; with a window of a minute each is a second.
const PARTS: u32 = 60;
/// The most parts that one beat speaks for, so that one slow beat never decides alone.
const PARTS_A_BEAT: u32 = 10;
/// Beats on which memory must be above its limit, or the die below its margin, so that one odd reading is none.
const HOT_BEATS: u32 = 2;

/// What is followed, each in a word of [`Watched`].
#[derive(Debug, Clone, Copy)]
enum Reason {
    HwThermal,
    SwThermal,
    /// The time that the driver counts, where it gives no flag.
    Counted,
    PowerBrake,
    /// The hardware slows down and says that it is not for heat.
    HwOther,
    /// A processor package, which counts its slowdowns.
    Package,
}

impl Reason {
    const COUNT: usize = 6;
    const HEAT: &[Self] = &[Self::HwThermal, Self::SwThermal, Self::Counted];
    const BRAKE: &[Self] = &[Self::PowerBrake, Self::HwOther];
    const BRAKE_AND_HEAT: &[Self] =
        &[Self::PowerBrake, Self::HwOther, Self::HwThermal, Self::SwThermal, Self::Counted];
    const PACKAGE: &[Self] = &[Self::Package];

    const fn metric(self) -> Metric {
        match self {
            Self::HwThermal => Metric::EventHwThermal,
            Self::SwThermal => Metric::EventSwThermal,
            Self::Counted => Metric::ViolationThermal,
            Self::PowerBrake => Metric::EventPowerBrake,
            Self::HwOther => Metric::EventHwSlowdown,
            Self::Package => Metric::PackageThrottles,
        }
    }

    /// Whether it holds now; `None` when not known. `growth` is that of the device's counter of slowdowns.
    fn holds(self, frame: &Frame, device: DeviceId, growth: Option<Growth>, share: f64) -> Option<bool> {
        let flag = |metric| frame.flag(device, metric);
        match self {
            Self::HwThermal | Self::SwThermal | Self::PowerBrake => flag(self.metric()),
            // Which sub-reason is unknown says nothing of want of power.
            Self::HwOther => Some(flag(self.metric())? && !flag(Metric::EventHwThermal)?),
            Self::Counted if flag(Metric::EventHwThermal).or(flag(Metric::EventSwThermal)).is_some() => {
                Some(false)
            }
            Self::Counted => {
                growth.map(|growth| growth.count > 0.0 && growth.count >= share * growth.seconds)
            }
            Self::Package => growth.map(|growth| growth.count > 0.0),
        }
    }
}

/// What is remembered of one device.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    /// In which of the newest [`PARTS`] each reason was seen; bit 0 is now.
    seen: [u64; Reason::COUNT],
    counter: Meter,
    hot_beats: u32,
}

impl Watched {
    /// Lets parts pass. A reason that is unknown stops its own time: it neither heals nor harms.
    fn pass(&mut self, reason: Reason, holds: Option<bool>, parts: u32) {
        let Some(holds) = holds else { return };
        let now = if holds { ((1_u64 << parts) - 1).max(1) } else { 0 };
        let seen = &mut self.seen[reason as usize];
        *seen = ((*seen << parts) | now) & ((1_u64 << PARTS) - 1);
    }

    /// The reason that was seen for the largest share of the window, with that share, when it is as large as the limit.
    /// Time before the first beat counts as not seen.
    fn worst(&self, reasons: &[Reason], limit: f64) -> Option<Evidence> {
        let bits = |reason: &&Reason| self.seen[**reason as usize].count_ones();
        // The first of equals: the flags stand before what only counts.
        let reason = reasons.iter().rev().max_by_key(bits)?;
        let share = f64::from(bits(&reason)) / f64::from(PARTS);
        (share >= limit).then(|| evidence(reason.metric(), share, limit))
    }
}

#[derive(Debug)]
struct Throttle {
    voice: Voice,
    watched: ByDevice<Watched>,
    /// Time that is not yet a whole part, in parts.
    rest: f64,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "throttle", catalogue: thresholds.catalogue };
    Box::new(Throttle { voice, watched: ByDevice::default(), rest: 0.0 })
}

impl Throttle {
    /// The parts that have passed since the beat before.
    fn parts(&mut self, frame: &Frame) -> u32 {
        let part_s = self.voice.catalogue.limit(Limit::SlowdownWindow) / f64::from(PARTS);
        self.rest = (self.rest + frame.lasted_s / part_s).min(f64::from(PARTS_A_BEAT));
        // Between 0 and PARTS_A_BEAT by the line above.
        let whole = self.rest as u32;
        self.rest -= f64::from(whole);
        whole
    }

    /// Follows the reasons of a device, the last of which is the one that counts.
    fn follow(&mut self, frame: &Frame, device: &Device, reasons: &[Reason], parts: u32) {
        let share = self.voice.catalogue.limit(Limit::ViolationShare);
        let watched = self.watched.of(device);
        if frame.after_gap() && frame.beat_s >= self.voice.catalogue.limit(Limit::SlowdownWindow) {
            // What was seen before a gap as long as the window is not within it.
            watched.seen = [0; Reason::COUNT];
        }
        let growth = reasons.last().and_then(|last| watched.counter.read(frame, device, last.metric()));
        for reason in reasons {
            watched.pass(*reason, reason.holds(frame, device.id, growth, share), parts);
        }
    }

    /// Whether a slowdown does not keep the device away from its shutdown temperature.
    fn critical(&self, frame: &Frame, device: DeviceId) -> bool {
        let limit = frame.value(device, Metric::TemperatureShutdown);
        let near = frame.value(device, Metric::Temperature).zip(limit);
        let margin_c = self.voice.catalogue.limit(Limit::ShutdownMargin);
        near.is_some_and(|(now, limit)| now >= limit - margin_c)
    }

    /// Memory above its limit, or the die past the margin at which it slows down, on the second beat. A temperature that
    /// cannot be read neither heals nor harms.
    fn too_hot(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let value = |metric| frame.value(device.id, metric);
        let most = value(Metric::TemperatureMemoryMax).filter(|limit| *limit > 0.0);
        let memory = value(Metric::TemperatureMemory).zip(most);
        let margin = value(Metric::TemperatureMargin).zip(value(Metric::TemperatureMarginSlowdown));
        if memory.is_none() && margin.is_none() {
            return None;
        }
        let memory = memory.filter(|(now, limit)| now > limit);
        let margin = margin.filter(|(now, limit)| now < limit);
        let hot = memory.map(|(now, limit)| evidence(Metric::TemperatureMemory, now, limit));
        let hot = hot.or_else(|| margin.map(|(now, limit)| evidence(Metric::TemperatureMargin, now, limit)));
        let watched = self.watched.of(device);
        watched.hot_beats = if hot.is_some() { watched.hot_beats.saturating_add(1) } else { 0 };
        hot.filter(|_| watched.hot_beats >= HOT_BEATS)
    }

    fn accelerator(&mut self, frame: &Frame, device: &Device, parts: u32, events: &mut EventSink) {
        self.follow(frame, device, Reason::BRAKE_AND_HEAT, parts);
        let limit = |limit| self.voice.catalogue.limit(limit);
        let (heat, brake) = (limit(Limit::ThermalShare), limit(Limit::BrakeShare));
        let watched = *self.watched.of(device);
        // One finding of a fault and device: the worse of the two.
        if let Some(seen) = self.too_hot(frame, device) {
            events.push(self.voice.warns(FaultKind::ThermalSlowdown, device, seen));
        } else if let Some(seen) = watched.worst(Reason::HEAT, heat) {
            let worst = self.critical(frame, device.id);
            events.push(self.voice.tells(FaultKind::ThermalSlowdown, device, seen, worst));
        }
        if let Some(seen) = watched.worst(Reason::BRAKE, brake) {
            events.push(self.voice.says(FaultKind::PowerBrake, device, seen));
        }
    }
}

impl Detector for Throttle {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.watched.fit(&frame.devices);
        let parts = self.parts(frame);
        for device in frame.devices.accelerators() {
            self.accelerator(frame, device, parts, events);
        }
        let limit = self.voice.catalogue.limit(Limit::ThermalShare);
        for package in frame.devices.of_kind(DeviceKind::Package) {
            self.follow(frame, package, Reason::PACKAGE, parts);
            if let Some(seen) = self.watched.of(package).worst(Reason::PACKAGE, limit) {
                events.push(self.voice.says(FaultKind::ThermalSlowdown, package, seen));
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.watched.bytes()
    }
}
