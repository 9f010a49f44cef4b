//! The residual: how far a device's counters are from moving together as they used to, since when, and which of them.
//!
//! One level model (`level`) a device and one alarm (`alarm`) on its score. Only the life of the models is here: from which past they
//! begin, when they are fitted anew, when they keep silent, when they are forgotten, and how they outlive the agent.
mod kept;
mod model_of;
mod rows;
mod watched;

use crate::level::{REACH, Scratch};
use crate::thresholds::Thresholds;
use model::stages::{Fit, Fitted};
use model::{
    Detector, Device, DeviceKind, EventSink, FaultKind, Finding, Frame, History, Severity, Stand, Standing,
};
use model_of::{Learnt, Model, Work};
use watched::{Due, ROWS_MAX, Watched};

/// The detector's name.
const NAME: &str = "residual";

/// What is known of one device.
#[derive(Debug, Default)]
struct Subject {
    watched: Watched,
    generation: u32,
    /// Counts how often everything was forgotten: a fit given out before that is not taken back.
    epoch: u32,
    model: Option<Model>,
    /// What it came to on this beat.
    found: Option<Finding>,
    /// The beat on which what it finds began.
    since: u64,
    /// Whether what it finds began together with other accelerators.
    shared: bool,
    /// The newest beat on which its score stirred, though it may not have alarmed.
    stirred: Option<u64>,
}

impl Subject {
    fn forget(&mut self) {
        self.model = None;
        self.epoch = self.epoch.wrapping_add(1);
    }
}

/// The detector. One model a device, learnt from its own past.
#[derive(Debug)]
pub struct Residual {
    thresholds: Thresholds,
    /// By device index.
    subjects: Vec<Subject>,
    /// Models of an earlier run, by device key, until their device is met.
    kept: Vec<(String, Model)>,
    scratch: Scratch,
    row: Vec<f32>,
    /// The usual length of a beat, in seconds.
    beat_s: f64,
    /// The device that was fitted last.
    turn: usize,
    beat: u64,
}

/// Opens the detector.
pub fn open(thresholds: &Thresholds) -> Box<dyn Detector> {
    Box::new(Residual {
        thresholds: *thresholds,
        subjects: Vec::new(),
        kept: Vec::new(),
        scratch: Scratch::default(),
        row: Vec::new(),
        beat_s: 0.0,
        turn: 0,
        beat: 0,
    })
}

fn modelled(device: &Device) -> bool {
    !device.gone && (device.info.kind.is_accelerator() || device.info.kind == DeviceKind::Node)
}

impl Residual {
    /// The finding of one device on this beat, if there is one.
    fn look(&mut self, view: (&Frame, &History), device: &Device) -> Option<Finding> {
        let Self { thresholds, subjects, scratch, row, beat, .. } = self;
        let subject = &mut subjects[device.id.index()];
        subject.watched.follow(view.0, device, thresholds);
        if subject.generation != device.generation {
            subject.generation = device.generation;
            subject.forget();
        }
        let model = subject.model.as_mut()?;
        if view.0.after_gap() {
            // Lags no longer mean what was learnt.
            model.gap();
        }
        if !model.present(view, device.id, row) {
            model.gap();
            return None;
        }
        if !model.knows(view.0, device.id, thresholds)? {
            subject.watched.note_novel(thresholds);
        }
        let quiet = subject.watched.may_judge();
        let verdict = model.judge(row, quiet, view.0.at.mono_ns, scratch)?;
        if verdict.stirs {
            subject.stirred = Some(*beat);
        }
        if subject.watched.judged(verdict.held, thresholds) {
            subject.forget();
            return None;
        }
        let threshold = verdict.threshold.filter(|_| verdict.held)?;
        Some(Finding {
            detector: NAME,
            device: device.id,
            fault: FaultKind::Residual,
            code: 0,
            detail: "",
            severity: Severity::Info,
            remedy: FaultKind::Residual.remedy(),
            score: f64::from(verdict.jump / threshold).max(1.0),
            evidence: model.worst(row, scratch),
        })
    }

    /// Whether several accelerators stirred when this began: then their work changed, and neither one of them nor the node that
    /// feeds them is at fault.
    fn common(&self, frame: &Frame, subject: &Subject) -> bool {
        let Some(found) = subject.found else { return false };
        let near = |beat: u64| beat.abs_diff(subject.since) <= self.thresholds.residual_common_beats;
        let stirred = |device: &&Device| {
            let other = self.subjects.get(device.id.index()).and_then(|subject| subject.stirred);
            device.id != found.device && other.is_some_and(near)
        };
        let others = frame.devices.accelerators().filter(stirred).count();
        let one = frame.devices.get(found.device).info.kind.is_accelerator();
        others + usize::from(one) > 1
    }

    /// The share of the node's budget that one model has.
    fn budget_per_day(&self, frame: &Frame) -> f64 {
        let models = frame.devices.iter().filter(|device| modelled(device)).count();
        self.thresholds.budget_per_day / models.max(1) as f64
    }

    /// The device whose turn it is to be fitted, and how. One a beat: gathering rows is a copy, and eight at once would be felt.
    fn next<'a>(&self, frame: &'a Frame, points: usize) -> Option<(&'a Device, Due)> {
        let due = |device: &'a Device| {
            let subject = self.subjects.get(device.id.index()).filter(|_| modelled(device))?;
            Some((device, subject.watched.due(subject.model.is_some(), points, &self.thresholds)?))
        };
        let after = frame.devices.iter().filter(|device| device.id.index() > self.turn);
        after.filter_map(due).next().or_else(|| frame.devices.iter().find_map(due))
    }
}

impl Detector for Residual {
    fn name(&self) -> &'static str {
        NAME
    }

    fn observe(&mut self, frame: &Frame, history: &History, events: &mut EventSink) {
        self.subjects.resize_with(frame.devices.len(), Subject::default);
        self.beat += 1;
        self.beat_s = frame.usual_s;
        for device in frame.devices.iter() {
            if !modelled(device) {
                self.subjects[device.id.index()].watched = Watched::default();
                self.subjects[device.id.index()].found = None;
            } else {
                let found = self.look((frame, history), device);
                let subject = &mut self.subjects[device.id.index()];
                if subject.found.is_none() {
                    subject.since = self.beat;
                }
                subject.found = found;
            }
        }
        for index in 0..self.subjects.len() {
            let shared = self.common(frame, &self.subjects[index]);
            let subject = &mut self.subjects[index];
            // For as long as it lasts: the others may be over it sooner.
            subject.shared = subject.found.is_some() && (subject.shared || shared);
        }
        let own = self.subjects.iter().filter(|subject| !subject.shared);
        own.filter_map(|subject| subject.found).for_each(|finding| events.push(finding));
    }

    fn bytes(&self) -> usize {
        let models = self.subjects.iter().filter_map(|subject| subject.model.as_ref());
        self.subjects.capacity() * size_of::<Subject>() + models.map(Model::bytes).sum::<usize>()
    }

    fn standings(&self, list: &mut Vec<Standing>) {
        for (index, subject) in self.subjects.iter().enumerate() {
            let Some(device) = subject.watched.device() else { continue };
            debug_assert_eq!(device.index(), index, "subjects lie by device");
            let model = subject.model.as_ref().map(|model| model.progress());
            let stand = match (model, subject.watched.mask()) {
                (None, _) => Stand::Learning { progress: subject.watched.progress(&self.thresholds) / 2.0 },
                (Some(progress), _) if progress < 1.0 => Stand::Learning { progress: 0.5 + progress / 2.0 },
                (_, Some((mask, beats))) => Stand::Masked { mask, left_s: beats as f64 * self.beat_s },
                _ => Stand::Watching,
            };
            list.push(Standing { detector: NAME.into(), device, stand });
        }
    }

    fn learnt(&self, frame: &Frame) -> Option<Vec<u8>> {
        let live = frame.devices.iter().filter_map(|device| {
            let model = self.subjects.get(device.id.index())?.model.as_ref()?;
            Some((&*device.info.key, model))
        });
        let waiting = self.kept.iter().map(|(key, model)| (key.as_str(), model));
        kept::write(live.chain(waiting))
    }

    fn recall(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.kept = kept::read(bytes, self.thresholds.budget_per_day)?;
        Ok(())
    }

    fn fit(&mut self, frame: &Frame, history: &History) -> Option<Fit> {
        self.greet(frame);
        let points = history.points();
        let (device, due) = self.next(frame, points)?;
        self.turn = device.id.index();
        let budget = self.budget_per_day(frame);
        let beat_s = self.beat_s;
        let subject = &mut self.subjects[device.id.index()];
        subject.watched.tried(&self.thresholds);
        let (id, epoch) = (device.id, subject.epoch);
        let work = match (due, subject.model.as_mut()) {
            (Due::Fit, Some(model)) => model.refit(budget),
            _ => {
                let beats = (ROWS_MAX + REACH).min(points);
                let usable = |ago| subject.watched.usable(ago);
                Work::model(rows::gather((frame, history), device, beats, usable)?, budget, beat_s)
            }
        };
        Some(Box::new(move || -> Fitted { Box::new(Learnt { device: id, epoch, what: work.run() }) }))
    }

    fn fitted(&mut self, result: Fitted) {
        let Ok(learnt) = result.downcast::<Learnt>() else { return };
        let Some(subject) = self.subjects.get_mut(learnt.device.index()) else { return };
        if learnt.epoch != subject.epoch {
            return;
        }
        match learnt.what {
            Some(what) => {
                what.hand_over(&mut subject.model);
                subject.model.iter_mut().for_each(|model| model.warm(self.thresholds.residual_warm_s));
            }
            None => subject.watched.failed(),
        }
    }
}

impl Residual {
    /// Gives devices that are met the model that an earlier run had of them.
    fn greet(&mut self, frame: &Frame) {
        if self.kept.is_empty() {
            return;
        }
        let budget = self.budget_per_day(frame);
        for device in frame.devices.iter().filter(|device| modelled(device)) {
            let Some(place) = self.kept.iter().position(|(key, _)| *key == *device.info.key) else {
                continue;
            };
            let (_, mut model) = self.kept.swap_remove(place);
            model.set_budget(budget);
            model.warm(self.thresholds.residual_warm_s);
            let subject = &mut self.subjects[device.id.index()];
            if subject.model.is_none() {
                subject.watched.tried(&self.thresholds);
                subject.model = Some(model);
            }
        }
    }
}

#[cfg(test)]
mod tests;
