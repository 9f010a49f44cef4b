//! Figures: what is measured of a method's answers.
use super::lessons::Case;
use super::methods::queues;
use super::noise;
use crate::lab::table::Kind;
use model::Resource;
use model::interference::NOISE_FLOOR;
use serde::Serialize;
use std::collections::BTreeMap;

/// Performance below which a workload is badly off: what detection is scored at.
const BAD: f64 = 0.8;

/// What a method said of one case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) victim: String,
    pub(super) encounter: (u32, u32),
    pub(super) antagonist: String,
    pub(super) kind: Kind,
    pub(super) queues: bool,
    pub(super) truth: f64,
    pub(super) resource: Option<Resource>,
    /// `None` when it abstained.
    pub(super) y: Option<f64>,
    pub(super) interval: Option<(f64, f64)>,
    pub(super) named: Option<Resource>,
}

impl Answer {
    pub(super) fn plain(case: &Case, y: f64) -> Self {
        Self { y: Some(y), ..Self::abstained(case) }
    }

    pub(super) fn abstained(case: &Case) -> Self {
        Self {
            victim: case.victim.clone(),
            encounter: case.encounter,
            antagonist: case.antagonist.clone(),
            kind: case.kind,
            queues: queues(case),
            truth: case.y,
            resource: case.resource,
            y: None,
            interval: None,
            named: None,
        }
    }

    /// The estimate less the truth.
    fn off(&self) -> Option<f64> {
        self.y.map(|y| y - self.truth)
    }

    /// Whether the interval holds the truth.
    fn holds(&self) -> Option<bool> {
        self.interval.map(|(low, high)| (low..=high).contains(&self.truth))
    }

    /// Whether the whole interval is below the noise floor.
    fn alarms(&self) -> Option<bool> {
        self.interval.map(|(_, high)| high < NOISE_FLOOR)
    }
}

/// A share of cases, with their number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// The share; `None` of no cases.
    pub share: Option<f64>,
    /// Of how many.
    pub of: usize,
}

impl Share {
    fn of(cases: impl Iterator<Item = bool>) -> Self {
        let (mut hits, mut of) = (0_usize, 0_usize);
        cases.for_each(|hit| {
            of += 1;
            hits += usize::from(hit);
        });
        Self { share: (of > 0).then(|| hits as f64 / of as f64), of }
    }
}

/// Figures of one method over one split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Mean absolute error beside antagonists.
    pub mae: Option<f64>,
    /// The 95 % interval of that, over encounters.
    pub mae_between: Option<(f64, f64)>,
    /// The same where nobody waits for processors, so that physics does not help.
    pub mae_without_queue: Option<f64>,
    /// Windows of both.
    pub windows: (usize, usize),
    /// Mean absolute error and signed bias, estimate less truth, by antagonist.
    pub by_antagonist: BTreeMap<String, (f64, f64)>,
    /// Mean absolute error and how often the interval held the truth, by victim.
    pub by_victim: BTreeMap<String, (f64, Share)>,
    /// How often the nominal 90 % interval held the truth beside antagonists.
    pub coverage: Share,
    /// The mean width of the interval.
    pub width: Option<f64>,
    /// Of windows told to be below 0.8, how many were.
    pub precision: Share,
    /// Of windows below 0.8, how many were told.
    pub recall: Share,
    /// Of windows below 0.8, how many have their whole interval below the noise floor.
    pub alarms: Share,
    /// Of control windows, how many have their whole interval below the noise floor.
    pub false_alarms: Share,
    /// Of windows below the noise floor whose resource is known by design and that were told to be slow, how many had it right.
    pub resource: Share,
    /// The same by resource.
    pub resource_by: BTreeMap<&'static str, Share>,
    /// Of all windows, how many it abstained from.
    pub abstained: Share,
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Mean absolute error.
fn error(answers: &[&Answer]) -> Option<f64> {
    mean(answers.iter().filter_map(|answer| answer.off().map(f64::abs)))
}

/// Those of which something is known.
fn known<T>(all: BTreeMap<String, Option<T>>) -> BTreeMap<String, T> {
    all.into_iter().filter_map(|(name, of)| Some((name, of?))).collect()
}

impl Figures {
    pub(super) fn of(answers: &[Answer]) -> Self {
        let met: Vec<&Answer> = answers.iter().filter(|answer| answer.kind == Kind::Met).collect();
        let control = answers.iter().filter(|answer| answer.kind == Kind::Control);
        let free: Vec<&Answer> = met.iter().filter(|answer| !answer.queues).copied().collect();
        let offs = met.iter().filter_map(|answer| Some((answer.encounter, answer.off()?.abs())));
        let own = |of: fn(&Answer) -> &String, name: &str| -> Vec<&Answer> {
            met.iter().filter(|answer| of(answer) == name).copied().collect()
        };
        let mut by_antagonist = BTreeMap::new();
        let mut by_victim = BTreeMap::new();
        for answer in &met {
            by_antagonist.entry(answer.antagonist.clone()).or_insert_with(|| {
                let own = own(|answer| &answer.antagonist, &answer.antagonist);
                Some((error(&own)?, mean(own.iter().filter_map(|answer| answer.off()))?))
            });
            by_victim.entry(answer.victim.clone()).or_insert_with(|| {
                let own = own(|answer| &answer.victim, &answer.victim);
                Some((error(&own)?, Share::of(own.iter().filter_map(|answer| answer.holds()))))
            });
        }
        let slow = || {
            met.iter().filter_map(|answer| {
                let (resource, named) = (answer.resource?, answer.named?);
                (answer.truth < NOISE_FLOOR).then_some((resource, named))
            })
        };
        let right = |wanted: Resource| {
            Share::of(slow().filter(|pair| pair.0 == wanted).map(|(truth, named)| truth == named))
        };
        let resources = Resource::ALL.into_iter().map(|resource| (resource.as_str(), right(resource)));
        Self {
            mae: error(&met),
            mae_between: noise::interval(offs),
            mae_without_queue: error(&free),
            windows: (met.len(), free.len()),
            by_antagonist: known(by_antagonist),
            by_victim: known(by_victim),
            coverage: Share::of(met.iter().filter_map(|answer| answer.holds())),
            width: mean(met.iter().filter_map(|answer| answer.interval.map(|(low, high)| high - low))),
            precision: Share::of(told(&met).filter(|(told, _)| *told).map(|(_, bad)| bad)),
            recall: Share::of(told(&met).filter(|(_, bad)| *bad).map(|(told, _)| told)),
            alarms: Share::of(met.iter().filter(|a| a.truth < BAD).filter_map(|answer| answer.alarms())),
            false_alarms: Share::of(control.filter_map(Answer::alarms)),
            resource: Share::of(slow().map(|(truth, named)| truth == named)),
            resource_by: resources.filter(|(_, share)| share.of > 0).collect(),
            abstained: Share::of(answers.iter().map(|answer| answer.y.is_none())),
        }
    }
}

/// Of each case that was answered: whether it was told to be badly off, and whether it was.
fn told<'a>(met: &'a [&Answer]) -> impl Iterator<Item = (bool, bool)> + 'a {
    met.iter().filter_map(|answer| Some((answer.y? < BAD, answer.truth < BAD)))
}
