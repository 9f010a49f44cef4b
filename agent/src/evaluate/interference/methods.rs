//! Methods: the estimator, and what it has to beat.
use super::figures::Answer;
use super::lessons::Case;
use crate::lab::table::Kind;
use detectors::interference::{Blame, Forest, Frozen, Lesson, Quotient, Told, Training, names, signs};

/// A way to estimate performance over performance alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The mean of what was trained on.
    Mean,
    /// Processor time of the workload and of the others.
    Utilisation,
    /// Pressure stall information.
    Pressure,
    /// Time that ran over time that ran or waited.
    Waiting,
    /// The same, of the part of an operation that runs.
    Physics,
    /// Physics, with the frozen model for the rest.
    Estimator,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 6] =
        [Self::Mean, Self::Utilisation, Self::Pressure, Self::Waiting, Self::Physics, Self::Estimator];

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "predict the mean",
            Self::Utilisation => "utilisation only",
            Self::Pressure => "PSI only",
            Self::Waiting => "waiting alone",
            Self::Physics => "physics alone",
            Self::Estimator => "wattkeeper",
        }
    }

    /// Learns from some cases and answers others.
    pub(super) fn answer(self, train: &[&Case], test: &[&Case], training: Training) -> Vec<Answer> {
        match self {
            Self::Mean => {
                let mean = train.iter().map(|case| case.y).sum::<f64>() / train.len().max(1) as f64;
                test.iter().map(|case| Answer::plain(case, mean)).collect()
            }
            Self::Waiting => test.iter().map(|case| Answer::plain(case, case.seen.waiting)).collect(),
            Self::Physics => test.iter().map(|case| Answer::plain(case, case.seen.physics)).collect(),
            Self::Utilisation => masked(train, test, training, &["Run", "others_busy", "quiet_run"]),
            Self::Pressure => masked(train, test, training, &["stall_cpu", "StallIo", "StallMemory"]),
            Self::Estimator => estimator(train, test, training),
        }
    }
}

/// The same forest on a few features and without physics.
fn masked(train: &[&Case], test: &[&Case], training: Training, features: &[&str]) -> Vec<Answer> {
    let all = names();
    let kept: Vec<bool> = all.iter().map(|name| features.contains(&name.as_str())).collect();
    let row = |case: &Case| -> Vec<f32> {
        case.seen
            .features
            .iter()
            .zip(&kept)
            .map(|(value, kept)| if *kept { *value } else { f32::NAN })
            .collect()
    };
    let rows: Vec<Vec<f32>> = train.iter().map(|case| row(case)).collect();
    let targets: Vec<f64> = train.iter().map(|case| -case.y.max(0.01).ln()).collect();
    let free = vec![0; signs().len()];
    let forest = Forest::train(&rows, &targets, &free, training);
    test.iter().map(|case| Answer::plain(case, (-forest.answer(&row(case))).exp().clamp(0.01, 1.0))).collect()
}

/// The model that is built in or handed to an operator: trained on all cases but those of the control.
pub fn train(cases: &[Case], trained_on: String) -> Frozen {
    let train: Vec<&Case> = cases.iter().filter(|case| case.trains()).collect();
    Frozen::train(&lessons(&train), Training::default(), trained_on)
}

/// The model that some cases teach.
pub(super) fn taught(train: &[&Case], training: Training) -> Frozen {
    Frozen::train(&lessons(train), training, String::new())
}

fn estimator(train: &[&Case], test: &[&Case], training: Training) -> Vec<Answer> {
    let frozen = taught(train, training);
    let blame = Blame::default();
    let answer = |case: &&Case| {
        let Ok(Told { y, low, high }) = frozen.judge(&case.seen) else { return Answer::abstained(case) };
        Answer { interval: Some((low, high)), named: blame.resource(&case.seen, y), ..Answer::plain(case, y) }
    };
    test.iter().map(answer).collect()
}

/// Lessons of cases: victims are calibrated apart.
fn lessons(cases: &[&Case]) -> Vec<Lesson> {
    let victims = victims(cases);
    let group = |case: &Case| victims.iter().position(|victim| *victim == case.victim).unwrap_or(0);
    let met = |case: &Case| case.kind == Kind::Met;
    cases
        .iter()
        .map(|case| Lesson { seen: case.seen, y: case.y, met: met(case), group: group(case) })
        .collect()
}

/// The victims of cases.
pub(crate) fn victims<'a>(cases: &[&'a Case]) -> Vec<&'a str> {
    let mut victims: Vec<&str> = cases.iter().map(|case| case.victim.as_str()).collect();
    victims.sort_unstable();
    victims.dedup();
    victims
}

/// Whether a case has contention for processors, by the physics of waiting.
pub(super) fn queues(case: &Case) -> bool {
    case.seen.waiting < 0.95 || case.seen.features[Quotient::WaitPerRun as usize].is_nan()
}
