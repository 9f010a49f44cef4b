//! Figures of methods that judge processes on a shared accelerator.
use super::Case;
use crate::lab::table::Kind;
use detectors::interference::{Forest, Training};
use model::interference::NOISE_FLOOR;
use serde::Serialize;
use std::collections::BTreeMap;

/// A way to estimate performance over performance alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The mean of what was trained on.
    Mean,
    /// A forest on the driver's utilisation: the process's, the others', the board's, and what it was alone.
    Utilisation,
    /// What a lower clock costs.
    Clock,
    /// The estimator.
    Wattkeeper,
}

/// Figures of one method.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Figures {
    /// Windows beside antagonists.
    pub windows: usize,
    /// Mean absolute error over those that it answers.
    pub mae: Option<f64>,
    /// The same over those that wattkeeper answers.
    pub mae_answered: Option<f64>,
    /// Mean absolute error and signed bias, estimate less truth, by antagonist.
    pub by_antagonist: BTreeMap<String, (f64, f64)>,
    /// How often the interval held the truth.
    pub coverage: Option<f64>,
    /// Its mean width.
    pub width: Option<f64>,
    /// Of control windows, how many have their whole interval below the noise floor.
    pub false_alarms: Option<f64>,
    /// Of windows below the noise floor whose resource is known by design, how many had it right.
    pub resource: Option<f64>,
    /// Of windows beside antagonists, how many it abstains from.
    pub abstained: Option<f64>,
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn share(hits: impl Iterator<Item = bool>) -> Option<f64> {
    mean(hits.map(|hit| f64::from(u8::from(hit))))
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Utilisation, Self::Clock, Self::Wattkeeper];

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "predict the mean",
            Self::Utilisation => "utilisation only",
            Self::Clock => "clock alone",
            Self::Wattkeeper => "wattkeeper",
        }
    }

    /// Every method over all cases.
    pub(super) fn measure(cases: &[Case]) -> Vec<(Self, Figures)> {
        Self::ALL.into_iter().map(|method| (method, method.figures(cases))).collect()
    }

    fn figures(self, cases: &[Case]) -> Figures {
        let met: Vec<&Case> = cases.iter().filter(|case| case.window.kind == Kind::Met).collect();
        let answers = self.answers(&met);
        let off = |(case, answer): (&&Case, &Option<f64>)| Some(((*answer)? - case.y, case.judged.is_ok()));
        let offs: Vec<(f64, bool)> = met.iter().zip(&answers).filter_map(off).collect();
        let mut figures = Figures {
            windows: met.len(),
            mae: mean(offs.iter().map(|(off, _)| off.abs())),
            mae_answered: mean(offs.iter().filter(|(_, judged)| *judged).map(|(off, _)| off.abs())),
            ..Figures::default()
        };
        if self == Self::Wattkeeper {
            figures.own(cases, &met);
        }
        figures
    }

    /// What it says of each case; what is trained has not seen the case's antagonist.
    fn answers(self, met: &[&Case]) -> Vec<Option<f64>> {
        let answer = |case: &&Case| match self {
            Self::Wattkeeper => case.judged.as_ref().ok().map(|estimate| estimate.y),
            Self::Clock => Some(case.clock_only),
            Self::Mean | Self::Utilisation => None,
        };
        if matches!(self, Self::Wattkeeper | Self::Clock) {
            return met.iter().map(answer).collect();
        }
        let mut answers = vec![None; met.len()];
        let mut kinds: Vec<&str> = met.iter().map(|case| case.window.antagonist.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let (test, train): (Vec<_>, Vec<_>) =
                met.iter().enumerate().partition(|(_, case)| case.window.antagonist == kind);
            let average = mean(train.iter().map(|(_, case)| case.y));
            let rows: Vec<Vec<f32>> = train.iter().map(|(_, case)| utilisation(case)).collect();
            let targets: Vec<f64> = train.iter().map(|(_, case)| -case.y.max(0.01).ln()).collect();
            let free = vec![0; utilisation(met[0]).len()];
            let forest = (self == Self::Utilisation)
                .then(|| Forest::train(&rows, &targets, &free, Training::default()));
            for (place, case) in test {
                let by_forest = |forest: &Forest| (-forest.answer(&utilisation(case))).exp().clamp(0.01, 1.0);
                answers[place] = forest.as_ref().map(by_forest).or(average);
            }
        }
        answers
    }
}

/// What the driver's utilisation shows; NaN where it shows nothing.
fn utilisation(case: &Case) -> Vec<f32> {
    let seen = &case.window.seen;
    let known = |value: Option<f64>| value.unwrap_or(f64::NAN) as f32;
    vec![known(seen.own), known(seen.others[0]), known(seen.busy), case.full as f32]
}

impl Figures {
    /// What only an estimate with interval, resource and abstentions has.
    fn own(&mut self, cases: &[Case], met: &[&Case]) {
        let judged = || met.iter().filter_map(|case| Some((*case, case.judged.as_ref().ok()?)));
        self.coverage = share(judged().map(|(case, told)| (told.low..=told.high).contains(&case.y)));
        self.width = mean(judged().map(|(_, told)| told.high - told.low));
        let control = cases.iter().filter(|case| case.window.kind == Kind::Control);
        self.false_alarms = share(control.filter_map(|case| Some(case.judged.as_ref().ok()?.slowed())));
        let named = judged().filter(|(case, told)| case.y < NOISE_FLOOR && told.resource.is_some());
        self.resource = share(named.filter_map(|(case, told)| Some(case.resource? == told.resource?)));
        self.abstained = share(met.iter().map(|case| case.judged.is_err()));
        for (case, _) in judged() {
            let of_kind = || judged().filter(|(other, _)| other.window.antagonist == case.window.antagonist);
            let absolute = mean(of_kind().map(|(case, told)| (told.y - case.y).abs()));
            let bias = mean(of_kind().map(|(case, told)| told.y - case.y));
            if !self.by_antagonist.contains_key(&case.window.antagonist) {
                self.by_antagonist
                    .extend(absolute.zip(bias).map(|pair| (case.window.antagonist.clone(), pair)));
            }
        }
    }

    pub(super) fn row(&self) -> String {
        let number = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.3}"));
        let percent =
            |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{:.1}", value * 100.0));
        format!(
            "{:>7}{:>10}{:>8}{:>8}{:>8}{:>8}{:>11}",
            number(self.mae),
            number(self.mae_answered),
            percent(self.coverage),
            number(self.width),
            percent(self.false_alarms),
            percent(self.resource),
            percent(self.abstained)
        )
    }

    pub(super) fn kinds(&self) -> String {
        let one = |(name, (mae, bias)): (&String, &(f64, f64))| format!("{name} {mae:.3} ({bias:+.3})");
        self.by_antagonist.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
