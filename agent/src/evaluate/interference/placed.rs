//! Predictions before the fact: what placing an antagonist on the victim's processor does, from what both need alone.
use crate::lab::table::{Kind, Window};
use detectors::interference::placement::{Needs, Prediction, Processors, Widths, predict};
use detectors::interference::{Node, Own};
use model::Resource;
use serde::Serialize;
use std::collections::BTreeMap;

/// How far predictions are off.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Placed {
    /// Mean absolute error of y.
    pub mae: Option<f64>,
    /// The same of predicting the mean.
    pub mae_of_mean: Option<f64>,
    /// How often the nominal 90 % interval held the truth, with a width learnt from the other victims.
    pub coverage: Option<f64>,
    /// The mean width of those intervals.
    pub width: Option<f64>,
    /// Relative half-width of the additional time that all windows teach: what is built in.
    pub extra: f64,
    /// Windows.
    pub windows: usize,
}

/// Antagonists that compute for the share of the time that they press; what others need of a processor is not known by design.
const COMPUTING: [&str; 3] = ["cpu", "cache", "bandwidth"];
/// The processor that both are on.
const ONE: Option<Processors> = Some(Processors { node: 1.0, given: 1.0 });

/// What a victim needs alone: running, and being blocked on I/O. Nobody else uses the disk in its quiet windows.
fn victim(quiet: &[(f64, f64)]) -> Needs {
    let mean = |of: fn(&(f64, f64)) -> f64| quiet.iter().map(of).sum::<f64>() / quiet.len() as f64;
    let run = mean(|(run, _)| *run).clamp(0.0, 1.0);
    let mut needs = Needs::default();
    needs.sensitivity.set(Resource::RunQueue, run);
    needs.sensitivity.set(Resource::Io, mean(|(_, blocked)| *blocked).clamp(0.0, 1.0));
    needs.pressure.set(Resource::RunQueue, run);
    needs
}

/// What an antagonist needs that computes for a share of the time.
fn antagonist(presses: f64) -> Needs {
    let mut needs = Needs::default();
    needs.sensitivity.set(Resource::RunQueue, presses);
    needs.pressure.set(Resource::RunQueue, presses);
    needs.pressure.set(Resource::Io, 0.0);
    needs.pressure.set(Resource::Network, 0.0);
    needs
}

/// A victim with what is predicted of it, and the truth.
#[derive(Debug, Clone, Copy)]
struct Pair<'a> {
    victim: &'a str,
    needs: [Needs; 2],
    truth: f64,
}

impl Pair<'_> {
    fn prediction(&self, widths: &Widths) -> Option<Prediction> {
        predict(&self.needs, ONE, widths).into_iter().next()?
    }
}

/// Predicts every window beside an antagonist that computes on the victim's own processor. The victim's needs are those of its quiet
/// windows at the same duty, the antagonist's are the share of the time that it presses.
pub(super) fn measure(windows: &[Window]) -> Placed {
    let pairs = pairs(windows);
    let of = |others: &dyn Fn(&str) -> bool| -> Widths {
        let list = pairs.iter().filter(|pair| others(pair.victim));
        let told: Vec<(f64, f64)> =
            list.filter_map(|pair| Some((pair.prediction(&Widths::default())?.y, pair.truth))).collect();
        Widths::default().learnt(&told)
    };
    let mut victims: Vec<&str> = pairs.iter().map(|pair| pair.victim).collect();
    victims.sort_unstable();
    victims.dedup();
    let mut told: Vec<(Prediction, f64)> = Vec::new();
    for victim in victims {
        let widths = of(&|other| other != victim);
        let own = pairs.iter().filter(|pair| pair.victim == victim);
        told.extend(own.filter_map(|pair| Some((pair.prediction(&widths)?, pair.truth))));
    }
    let mean = |value: &dyn Fn(&(Prediction, f64)) -> f64| {
        (!told.is_empty()).then(|| told.iter().map(value).sum::<f64>() / told.len() as f64)
    };
    let middle = mean(&|(_, y)| *y).unwrap_or(0.0);
    Placed {
        mae: mean(&|(prediction, y)| (prediction.y - y).abs()),
        mae_of_mean: mean(&|(_, y)| (y - middle).abs()),
        coverage: mean(&|(prediction, y)| {
            f64::from(u8::from((prediction.low..=prediction.high).contains(y)))
        }),
        width: mean(&|(prediction, _)| prediction.high - prediction.low),
        extra: of(&|_| true).extra,
        windows: told.len(),
    }
}

fn pairs(windows: &[Window]) -> Vec<Pair<'_>> {
    let mut quiet: BTreeMap<(u32, u32, u64), Vec<(f64, f64)>> = BTreeMap::new();
    let key = |window: &Window| (window.campaign, window.block, (window.duty * 100.0) as u64);
    for window in windows.iter().filter(|window| window.kind == Kind::Quiet) {
        let Some(run) = window.sample.own(Own::Run) else { continue };
        let blocked = window.sample.own(Own::StallIo).or(window.sample.node(Node::StallIo)).unwrap_or(0.0);
        quiet.entry(key(window)).or_default().push((run, blocked));
    }
    let asked = |window: &&Window| {
        let computing = COMPUTING.contains(&window.antagonist.as_str());
        window.kind == Kind::Met && window.placement == "same" && computing && window.y().is_finite()
    };
    let pair = |window: &'_ Window| {
        let needs = [victim(quiet.get(&key(window))?), antagonist(window.intensity)];
        Some((needs, window.y()))
    };
    let asked = windows.iter().filter(asked);
    asked
        .filter_map(|window| {
            let (needs, truth) = pair(window)?;
            Some(Pair { victim: &window.victim, needs, truth })
        })
        .collect()
}
