//! The windowed PCA residual: how far a device's counters are from moving together as they used to, and which of them.
mod rows;
mod watched;

use crate::subspace::{LAGS, REACH, Scratch, Subspace};
use crate::thresholds::Thresholds;
use model::stages::{Fit, Fitted};
use model::{
    Detector, Device, DeviceId, DeviceKind, EventSink, Evidence, FaultKind, Finding, Frame, History, Metric,
    Severity,
};
use rows::{Lesson, Span};
use watched::Watched;

#[derive(Debug)]
struct Model {
    channels: Vec<Metric>,
    /// The loads it has learnt.
    domain: Vec<Span>,
    subspace: Subspace,
}

/// What a fit gives back.
struct Learnt {
    device: DeviceId,
    epoch: u32,
    model: Option<Model>,
}

/// What is known of one device.
#[derive(Debug, Default)]
struct Subject {
    watched: Watched,
    generation: u32,
    /// Counts how often everything was forgotten: a fit given out before that is not taken back.
    epoch: u32,
    model: Option<Model>,
}

impl Subject {
    fn forget(&mut self) {
        self.model = None;
        self.epoch = self.epoch.wrapping_add(1);
    }
}

/// The detector. One model a device, fitted on its own past.
#[derive(Debug)]
pub struct Residual {
    thresholds: Thresholds,
    /// By device index.
    subjects: Vec<Subject>,
    scratch: Scratch,
    /// The device that was fitted last.
    turn: usize,
}

/// Opens the detector.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Residual { thresholds: *thresholds, subjects: Vec::new(), scratch: Scratch::default(), turn: 0 })
}

fn modelled(device: &Device) -> bool {
    !device.gone && (device.info.kind.is_accelerator() || device.info.kind == DeviceKind::Node)
}

impl Model {
    /// Whether the load is one that it has learnt; `None` when that cannot be read.
    fn knows(&self, frame: &Frame, device: DeviceId, thresholds: &Thresholds) -> Option<bool> {
        self.domain.iter().try_fold(true, |known, span| {
            let limit = span.metric == Metric::PowerLimitEnforced;
            let share =
                if limit { thresholds.residual_limit_share } else { thresholds.residual_domain_share };
            Some(known && span.has(frame.value(device, span.metric)?, share))
        })
    }

    fn point(&self, view: (&Frame, &History), device: DeviceId, place: usize) -> Option<f64> {
        let (channel, lag) = (place / LAGS.len(), place % LAGS.len());
        view.1.series(view.0, device, self.channels[channel])?.ago(LAGS[lag])
    }

    /// The residual of this beat; `None` when a point is missing: gaps are the business of other detectors.
    fn score(&self, view: (&Frame, &History), device: DeviceId, scratch: &mut Scratch) -> Option<f64> {
        let places = 0..self.channels.len() * LAGS.len();
        if places.clone().any(|place| self.point(view, device, place).is_none()) {
            return None;
        }
        let row = places.map(|place| self.point(view, device, place).unwrap_or(0.0));
        Some(self.subspace.score(row, scratch))
    }

    /// The channels with the largest squared residual, as evidence.
    fn worst(&self, view: (&Frame, &History), device: DeviceId, scratch: &Scratch) -> [Option<Evidence>; 4] {
        let mut taken = [usize::MAX; 4];
        std::array::from_fn(|place| {
            let free = scratch.blame.iter().enumerate().filter(|(channel, _)| !taken.contains(channel));
            let (channel, _) = free.max_by(|a, b| a.1.total_cmp(b.1))?;
            taken[place] = channel;
            let observed = self.point(view, device, channel * LAGS.len())?;
            let expected = self.subspace.expected(channel, scratch);
            Some(Evidence { metric: self.channels[channel], observed, expected })
        })
    }
}

impl Residual {
    /// The finding of one device on this beat, if there is one.
    fn look(&mut self, frame: &Frame, history: &History, device: &Device) -> Option<Finding> {
        let Self { thresholds, subjects, scratch, .. } = self;
        let subject = &mut subjects[device.id.index()];
        subject.watched.follow(frame, device, thresholds);
        if subject.generation != device.generation {
            subject.generation = device.generation;
            subject.forget();
        }
        let model = subject.model.as_ref()?;
        if !model.knows(frame, device.id, thresholds)? {
            subject.watched.note_novel(thresholds);
        }
        if !subject.watched.may_judge() {
            return None;
        }
        let view = (frame, history);
        let score = model.score(view, device.id, scratch)? / thresholds.residual_score;
        let unusual = score >= 1.0;
        let evidence = if unusual { model.worst(view, device.id, scratch) } else { [None; 4] };
        if subject.watched.judged(unusual, thresholds) {
            subject.forget();
        }
        let (device, fault) = (device.id, FaultKind::Residual);
        let severity = Severity::Info;
        unusual.then_some(Finding {
            detector: "residual",
            device,
            fault,
            code: 0,
            detail: "",
            severity,
            remedy: fault.remedy(),
            score,
            evidence,
        })
    }
}

impl Detector for Residual {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn observe(&mut self, frame: &Frame, history: &History, events: &mut EventSink) {
        self.subjects.resize_with(frame.devices.len(), Subject::default);
        for device in frame.devices.iter() {
            if !modelled(device) {
                self.subjects[device.id.index()].watched = Watched::default();
            } else if let Some(finding) = self.look(frame, history, device) {
                events.push(finding);
            }
        }
    }

    fn bytes(&self) -> usize {
        let models = self.subjects.iter().filter_map(|subject| subject.model.as_ref());
        self.subjects.capacity() * size_of::<Subject>()
            + models.map(|model| model.subspace.bytes()).sum::<usize>()
    }

    fn fit(&mut self, frame: &Frame, history: &History) -> Option<Fit> {
        // One device a beat, in turn: gathering rows is a copy, and eight at once would be felt.
        let points = history.points();
        let due = |device: &&Device| {
            let subject = self.subjects.get(device.id.index());
            modelled(device) && subject.is_some_and(|subject| subject.watched.due(points, &self.thresholds))
        };
        let after = |device: &&Device| device.id.index() > self.turn;
        let mut devices = frame.devices.iter();
        let device = devices.find(|d| after(d) && due(d)).or_else(|| frame.devices.iter().find(due))?;
        self.turn = device.id.index();
        let subject = &mut self.subjects[self.turn];
        subject.watched.tried(&self.thresholds);
        let agos: Vec<usize> = subject.watched.rows(points).collect();
        let lesson = rows::gather(frame, history, device, &agos)?;
        let (device, epoch) = (device.id, subject.epoch);
        Some(Box::new(move || -> Fitted {
            let Lesson { channels, domain, rows } = lesson;
            let model = Subspace::fit(&rows).map(|subspace| Model { channels, domain, subspace });
            Box::new(Learnt { device, epoch, model })
        }))
    }

    fn fitted(&mut self, result: Fitted) {
        let Ok(learnt) = result.downcast::<Learnt>() else { return };
        let Some(subject) = self.subjects.get_mut(learnt.device.index()) else { return };
        if learnt.model.is_none() {
            subject.watched.failed();
        } else if learnt.epoch == subject.epoch {
            subject.model = learnt.model;
        }
    }
}

#[cfg(test)]
mod tests;
