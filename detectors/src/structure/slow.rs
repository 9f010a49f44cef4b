//! A driver that takes ever longer to answer.
use super::{Settings, finding};
use crate::mean::median;
use model::{DeviceId, Evidence, FaultKind, Finding, Frame, Metric, Severity};

/// Answers of which the median is taken.
const ANSWERS: usize = 31;
/// Share by which the usual time moves towards an answer each beat: hours.
const STEP: f64 = 1e-4;

/// What is known of one source.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slow {
    answers: [f64; ANSWERS],
    count: usize,
    next: usize,
    usual_s: f64,
    known_s: f64,
}

impl Slow {
    pub(super) fn progress(&self, settings: &Settings) -> f64 {
        (self.known_s / settings.slow_learn_s).min(1.0)
    }

    pub(super) fn follow(&mut self, frame: &Frame, device: DeviceId, settings: &Settings) -> Option<Finding> {
        let took_s = frame.value(device, Metric::SourceDuration)?;
        self.answers[self.next] = took_s;
        self.next = (self.next + 1) % ANSWERS;
        self.count = (self.count + 1).min(ANSWERS);
        let mut answers = self.answers;
        let now_s = median(&mut answers[..self.count]).filter(|_| self.count == ANSWERS)?;
        if self.known_s == 0.0 {
            self.usual_s = now_s;
        }
        let allowed_s = (settings.slow_ratio * self.usual_s).max(self.usual_s + settings.slow_s);
        let slow = now_s > allowed_s;
        // Learnt by halves and halves: the usual time is a median, and what is slow is not learnt.
        if !slow {
            let young = self.known_s < settings.slow_learn_s;
            let step = if young { 0.01 } else { STEP } * self.usual_s.max(1e-4);
            self.usual_s = (self.usual_s + if took_s > self.usual_s { step } else { -step }).max(0.0);
            self.known_s += frame.lasted_s;
        }
        let judged = slow && self.known_s >= settings.slow_learn_s;
        let evidence = Evidence { metric: Metric::SourceDuration, observed: now_s, expected: self.usual_s };
        judged.then(|| Finding {
            evidence: [Some(evidence), None, None, None],
            ..finding(device, FaultKind::AnswersSlowly, Severity::Warning, now_s / allowed_s)
        })
    }
}
