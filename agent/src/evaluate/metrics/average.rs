//! The mean over machines. Delays and attribution are pooled over segments; what is worst is named, not averaged away.
use super::attribution::{Attribution, mean};
use super::{Alarms, Figures, Worst, quantile};
use crate::evaluate::scorer::BUDGETS_PER_DAY;

/// The mean of what a detector came to on each machine; `None` of no machine.
///
/// Machines without labelled segments count towards false episodes and cost, not towards recall and VUS-PR.
pub fn average(machines: &[(&str, &Figures)]) -> Option<Figures> {
    let over = |pick: &dyn Fn(&Figures) -> Option<f64>| mean(machines.iter().filter_map(|(_, f)| pick(f)));
    let blamed: Vec<_> = machines.iter().flat_map(|(_, figures)| figures.blamed.iter().copied()).collect();
    let blames = machines.iter().any(|(_, figures)| figures.attribution.is_some());
    let alarms = |pick: fn(&Figures) -> &[Alarms; BUDGETS_PER_DAY.len()]| {
        std::array::from_fn(|place| {
            let of: Vec<_> = machines.iter().map(|(name, figures)| (*name, &pick(figures)[place])).collect();
            average_alarms(&of)
        })
    };
    Some(Figures {
        days: machines.iter().map(|(_, figures)| figures.days).sum(),
        segments: machines.iter().map(|(_, figures)| figures.segments).sum(),
        chance: over(&|figures| figures.chance),
        vus_pr: over(&|figures| figures.vus_pr),
        vus_pr_coarse: over(&|figures| figures.vus_pr_coarse),
        deployable: alarms(|figures| &figures.deployable),
        oracle: alarms(|figures| &figures.oracle),
        attribution: blames.then(|| Attribution::of(&blamed)),
        us_per_sample: over(&|figures| Some(figures.us_per_sample))?,
        bytes: over(&|figures| Some(figures.bytes))?,
        bytes_per_sample: over(&|figures| Some(figures.bytes_per_sample))?,
        blamed,
    })
}

fn average_alarms(machines: &[(&str, &Alarms)]) -> Alarms {
    let over = |pick: &dyn Fn(&Alarms) -> Option<f64>| mean(machines.iter().filter_map(|(_, a)| pick(a)));
    let worst = machines.iter().max_by(|a, b| a.1.false_per_day.total_cmp(&b.1.false_per_day));
    let delays: Vec<usize> = machines.iter().flat_map(|(_, alarms)| alarms.delays.iter().copied()).collect();
    Alarms {
        recall: over(&|alarms| alarms.recall),
        false_per_day: over(&|alarms| Some(alarms.false_per_day)).unwrap_or(0.0),
        worst: worst
            .map(|(name, alarms)| Worst { machine: (*name).to_owned(), false_per_day: alarms.false_per_day }),
        delay_median: quantile(&delays, 0.5),
        delay_p95: quantile(&delays, 0.95),
        recall_random: over(&|alarms| alarms.recall_random),
        recall_shifted: over(&|alarms| alarms.recall_shifted),
        delays,
    }
}
