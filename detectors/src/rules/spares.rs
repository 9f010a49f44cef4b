//! Repair of device memory: rows and pages that wait for a reset, could not be replaced, or leave few spares.
use super::watch::ByDevice;
use super::{Voice, evidence};
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::{Detector, Device, EventSink, Evidence, FaultKind, Frame, History, Metric, Timestamp};

const DAY_S: f64 = 86_400.0;

/// Pages retired for errors of two bits, as they were; two marks half a span apart, so that growth over a span is seen.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    older: Option<(Timestamp, f64)>,
    newer: Option<(Timestamp, f64)>,
}

impl Marks {
    /// By how much the count has grown in the last span or less. A count that fell starts anew.
    fn growth(&mut self, now: Timestamp, count: f64, span_s: f64) -> f64 {
        let fell = self.newer.is_some_and(|(_, before)| count < before);
        if fell {
            *self = Self::default();
        }
        let (at, _) = *self.newer.get_or_insert((now, count));
        self.older.get_or_insert((now, count));
        if now.seconds_since(at) >= span_s / 2.0 {
            self.older = self.newer.replace((now, count));
        }
        self.older.map_or(0.0, |(_, before)| count - before)
    }
}

#[derive(Debug)]
struct Spares {
    voice: Voice,
    marks: ByDevice<Marks>,
}

/// Opens the rule.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    let voice = Voice { name: "spares", catalogue: thresholds.catalogue };
    Box::new(Spares { voice, marks: ByDevice::default() })
}

fn set(frame: &Frame, device: &Device, metric: Metric) -> Option<Evidence> {
    (frame.flag(device.id, metric) == Some(true)).then(|| evidence(metric, 1.0, 0.0))
}

impl Spares {
    /// Pages that leave few spares.
    fn pages(&mut self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let limit = |limit| self.voice.catalogue.limit(limit);
        let double = frame.value(device.id, Metric::PagesRetiredDouble)?;
        let all = double + frame.value(device.id, Metric::PagesRetiredSingle).unwrap_or(0.0);
        let growth = self.marks.of(device).growth(frame.at, double, limit(Limit::PagesDays) * DAY_S);
        if all >= limit(Limit::PagesRetired) {
            let metric =
                if 2.0 * double >= all { Metric::PagesRetiredDouble } else { Metric::PagesRetiredSingle };
            return Some(evidence(metric, all, limit(Limit::PagesRetired)));
        }
        let many = double > limit(Limit::PagesDouble) && growth > limit(Limit::PagesGrowth);
        many.then(|| evidence(Metric::PagesRetiredDouble, double, limit(Limit::PagesDouble)))
    }

    fn rows(&self, frame: &Frame, device: &Device) -> Option<Evidence> {
        let limit = self.voice.catalogue.limit(Limit::RowsRemapped);
        let count = frame.value(device.id, Metric::RowsRemappedUncorrectable)?;
        (count >= limit).then(|| evidence(Metric::RowsRemappedUncorrectable, count, limit))
    }
}

impl Detector for Spares {
    fn name(&self) -> &'static str {
        self.voice.name
    }

    fn observe(&mut self, frame: &Frame, _: &History, events: &mut EventSink) {
        self.marks.fit(&frame.devices);
        for device in frame.devices.accelerators() {
            if let Some(seen) = set(frame, device, Metric::RowRemapFailed) {
                events.push(self.voice.says(FaultKind::RowRemapFailed, device, seen));
            }
            let pending = [Metric::RowRemapPending, Metric::PageRetirementPending];
            if let Some(seen) = pending.into_iter().find_map(|metric| set(frame, device, metric)) {
                events.push(self.voice.says(FaultKind::RepairPending, device, seen));
            }
            if let Some(seen) = self.pages(frame, device) {
                events.push(self.voice.warns(FaultKind::SparesLow, device, seen));
            } else if let Some(seen) = self.rows(frame, device) {
                events.push(self.voice.says(FaultKind::SparesLow, device, seen));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.marks.bytes()
    }
}
