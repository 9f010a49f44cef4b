//! Predictions before the fact: what placing an antagonist on the victim's processor does, from what both need alone.
use crate::lab::table::{Kind, Window};
use detectors::interference::Own;
use detectors::interference::placement::{Needs, Widths, predict};
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
    /// How often the nominal 90 % interval held the truth.
    pub coverage: Option<f64>,
    /// Windows.
    pub windows: usize,
}

/// Antagonists that compute for the share of the time that they press; what others need of a processor is not known by design.
const COMPUTING: [&str; 3] = ["cpu", "cache", "bandwidth"];

/// What a workload needs that runs for a share of its time, on one processor.
fn needs(run: f64) -> Needs {
    let mut needs = Needs::default();
    needs.sensitivity.set(Resource::RunQueue, run.clamp(0.0, 1.0));
    needs.pressure.set(Resource::RunQueue, run.clamp(0.0, 1.0));
    needs
}

/// Predicts every window beside an antagonist that computes on the victim's own processor. The victim's needs are those of its quiet
/// windows at the same duty, the antagonist's are the share of the time that it presses.
pub(super) fn measure(windows: &[Window]) -> Placed {
    let mut quiet: BTreeMap<(u32, u32, u64), (f64, f64)> = BTreeMap::new();
    let key = |window: &Window| (window.campaign, window.block, (window.duty * 100.0) as u64);
    for window in windows.iter().filter(|window| window.kind == Kind::Quiet) {
        let Some(run) = window.sample.own(Own::Run) else { continue };
        let (sum, count) = quiet.entry(key(window)).or_default();
        (*sum, *count) = (*sum + run, *count + 1.0);
    }
    let asked = |window: &&Window| {
        let computing = COMPUTING.contains(&window.antagonist.as_str());
        window.kind == Kind::Met && window.placement == "same" && computing && window.y().is_finite()
    };
    let answer = |window: &Window| {
        let (sum, count) = quiet.get(&key(window))?;
        let both = [needs(sum / count), needs(window.intensity)];
        let prediction = predict(&both, 1.0, &Widths::default()).into_iter().next()??;
        Some((prediction, window.y()))
    };
    let pairs: Vec<_> = windows.iter().filter(asked).filter_map(answer).collect();
    let mean = |values: &dyn Fn(&(detectors::interference::placement::Prediction, f64)) -> f64| {
        (!pairs.is_empty()).then(|| pairs.iter().map(values).sum::<f64>() / pairs.len() as f64)
    };
    let middle = mean(&|(_, y)| *y).unwrap_or(0.0);
    Placed {
        mae: mean(&|(prediction, y)| (prediction.y - y).abs()),
        mae_of_mean: mean(&|(_, y)| (y - middle).abs()),
        coverage: mean(&|(prediction, y)| {
            f64::from(u8::from((prediction.low..=prediction.high).contains(y)))
        }),
        windows: pairs.len(),
    }
}
