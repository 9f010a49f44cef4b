//! The model of one device: its channels, the loads it has learnt, the level model and the alarm; and how they are made.
use super::rows::{Lesson, Span};
use crate::alarm::{Alarm, Verdict};
use crate::level::{Basis, Level, Refit, Scratch};
use crate::thresholds::Thresholds;
use model::event::EVIDENCE_MAX;
use model::{DeviceId, Evidence, Frame, History, Metric};

/// Of so many beats one is learnt from: neighbours say nearly the same, and the sums are the dear part.
const LEARN_EVERY: u32 = 4;

/// The model of one device.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) channels: Vec<Metric>,
    /// The loads it has learnt.
    pub(super) domain: Vec<Span>,
    pub(super) level: Level,
    pub(super) alarm: Alarm,
    turn: u32,
    held: bool,
    /// Seconds of scores before it alarms.
    warm_s: f64,
}

impl Model {
    pub(super) fn new(channels: Vec<Metric>, domain: Vec<Span>, level: Level, alarm: Alarm) -> Self {
        Self { channels, domain, level, alarm, turn: 0, held: false, warm_s: 0.0 }
    }

    /// Whether the load is one that it has learnt; `None` when that cannot be read.
    pub(super) fn knows(&self, frame: &Frame, device: DeviceId, thresholds: &Thresholds) -> Option<bool> {
        self.domain.iter().try_fold(true, |known, span| {
            let limit = span.metric == Metric::PowerLimitEnforced;
            let share =
                if limit { thresholds.residual_limit_share } else { thresholds.residual_domain_share };
            Some(known && span.has(frame.value(device, span.metric)?, share))
        })
    }

    /// Puts the present values of its channels in `row`; `false` when one is missing.
    pub(super) fn present(&self, view: (&Frame, &History), device: DeviceId, row: &mut Vec<f32>) -> bool {
        row.clear();
        let points = self.channels.iter().map(|metric| view.1.latest(view.0, device, *metric));
        // Series are kept with as many digits.
        row.extend(points.map_while(|point| point.map(|value| value as f32)));
        row.len() == self.channels.len()
    }

    /// A beat is missing.
    pub(super) fn gap(&mut self) {
        self.level.gap();
        self.alarm.pause();
        self.held = false;
    }

    /// Judges a row, unless it is to be left alone (`quiet` is false): then it is neither judged nor learnt.
    pub(super) fn judge(
        &mut self,
        row: &[f32],
        quiet: bool,
        mono_ns: u64,
        scratch: &mut Scratch,
    ) -> Option<Verdict> {
        self.turn = (self.turn + 1) % LEARN_EVERY;
        // Never learnt from what it flags.
        let learn = quiet && !self.held && self.turn == 0;
        let score = self.level.push(row.iter().copied(), learn, scratch)?;
        if !quiet {
            self.alarm.pause();
            self.held = false;
            return None;
        }
        let warm = self.alarm.known_s() >= self.warm_s;
        let verdict = self.alarm.push(mono_ns as f64 / 1e9, score.level);
        let verdict = Verdict { held: verdict.held && warm, ..verdict };
        self.held = verdict.held;
        Some(verdict)
    }

    /// The channels that are most to blame for the row judged last, with what was expected of them.
    pub(super) fn worst(&self, row: &[f32], scratch: &Scratch) -> [Option<Evidence>; EVIDENCE_MAX] {
        let mut taken = [usize::MAX; EVIDENCE_MAX];
        std::array::from_fn(|place| {
            let free = scratch.blame.iter().enumerate().filter(|(channel, _)| !taken.contains(channel));
            let (channel, _) = free.max_by(|a, b| a.1.total_cmp(b.1))?;
            taken[place] = channel;
            let expected = self.level.expected(channel, scratch);
            Some(Evidence { metric: self.channels[channel], observed: f64::from(row[channel]), expected })
        })
    }

    /// The share of what the alarm needs, 0 to 1.
    pub(super) fn progress(&self) -> f64 {
        let seen = if self.warm_s > 0.0 { (self.alarm.known_s() / self.warm_s).min(1.0) } else { 1.0 };
        self.alarm.progress().min(seen)
    }

    /// Sets how many seconds of scores it needs before it alarms.
    pub(super) fn warm(&mut self, warm_s: f64) {
        self.warm_s = warm_s;
    }

    pub(super) fn set_budget(&mut self, budget_per_day: f64) {
        self.alarm.set_budget(budget_per_day);
    }

    /// The work of taking its axes anew.
    pub(super) fn refit(&mut self, budget_per_day: f64) -> Work {
        self.alarm.set_budget(budget_per_day);
        Work::Fit(Box::new(self.level.refit()))
    }

    pub(super) fn bytes(&self) -> usize {
        self.level.bytes() + self.alarm.bytes()
    }
}

/// Work that is too slow for the beat, with all that it needs.
pub(super) enum Work {
    Model { lesson: Box<Lesson>, budget_per_day: f64, beat_s: f64 },
    Fit(Box<Refit>),
}

/// What the work came to.
pub(super) enum Made {
    Model(Box<Model>),
    Axes(Box<Basis>),
}

/// What a fit gives back.
pub(super) struct Learnt {
    pub(super) device: DeviceId,
    pub(super) epoch: u32,
    pub(super) what: Option<Made>,
}

impl Work {
    pub(super) fn model(lesson: Lesson, budget_per_day: f64, beat_s: f64) -> Self {
        Self::Model { lesson: Box::new(lesson), budget_per_day, beat_s }
    }

    /// Does it; `None` when it comes to nothing.
    pub(super) fn run(self) -> Option<Made> {
        match self {
            Self::Fit(refit) => Some(Made::Axes(Box::new(refit.fit()?))),
            Self::Model { lesson, budget_per_day, beat_s } => {
                let Lesson { channels, domain, rows } = *lesson;
                let level = Level::begin(rows.view())?;
                let alarm = rehearse(&level, rows.view(), Alarm::new(budget_per_day), beat_s);
                Some(Made::Model(Box::new(Model::new(channels, domain, level, alarm))))
            }
        }
    }
}

/// Lets an alarm see the scores of the past that the model began with, so that it has a threshold from the first beat on. They are
/// a little low, as the model knows them; the rank that the budget leaves for so short a past is far beyond the largest.
fn rehearse(level: &Level, past: ndarray::ArrayView2<'_, f32>, mut alarm: Alarm, beat_s: f64) -> Alarm {
    let (mut level, mut scratch) = (level.clone(), Scratch::default());
    level.gap();
    for (n, row) in past.rows().into_iter().enumerate() {
        if row.iter().any(|value| value.is_nan()) {
            level.gap();
            alarm.pause();
        } else if let Some(score) = level.push(row.iter().copied(), false, &mut scratch) {
            alarm.push(n as f64 * beat_s, score.level);
        }
    }
    alarm.pause();
    alarm
}

impl Made {
    /// Puts it in its place.
    pub(super) fn hand_over(self, place: &mut Option<Model>) {
        match self {
            Self::Model(model) => *place = Some(*model),
            Self::Axes(basis) => place.iter_mut().for_each(|model| model.level.refitted((*basis).clone())),
        }
    }
}
