//! Thresholds: every number that a statistic compares with, with its source, and the catalogue with those of the rules.
use crate::catalogue::Catalogue;
use model::FaultKind;

/// How findings of one fault become an event and how it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Beats that must see it; at least 1.
    pub raise_beats: u32,
    /// The newest beats among which those must be; at most 64.
    pub within_beats: u32,
    /// Seconds for which it must not be seen to be over.
    pub quiet_s: f64,
}

impl Pace {
    /// An event on the first sign.
    pub(crate) const fn at_once(quiet_s: f64) -> Self {
        Self { raise_beats: 1, within_beats: 1, quiet_s }
    }
}

/// All of them. Times are in seconds, shares from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// The rules' own: a row a fault, with its pace and limits.
    pub catalogue: &'static Catalogue,
    /// Faults that statistics find and that have no pace of their own here: at once, for such a detector has a delay of its
    /// own; over when a minute passed without it. Ours: two scrapes at Prometheus' default of 15 s, and a margin.
    pub rule_pace: Pace,

    /// False episodes that the operator puts up with, a day and node; the models of a node share it. 0.2 is the middle of the three
    /// rates at which `evaluate` compares detectors.
    pub budget_per_day: f64,

    /// Usable beats before the residual's first fit; until then it is learning. Ours.
    pub residual_learn_beats: usize,
    /// Seconds of scores before a residual may alarm: a tail known for an hour says little of a day whose jobs come and go.
    /// Ours: of the 20 false episodes that a run over 60 simulated healthy hours listed, 15 began in the first four hours.
    pub residual_warm_s: f64,
    /// Beats within which residuals of several accelerators have one cause, which is then in their work and no fault of one. Ours.
    pub residual_common_beats: u64,
    /// Beats from one fit to the next. Ours.
    pub residual_refit_beats: usize,
    /// Beats after a change of the power limit that the residual neither judges nor learns: our own cap is no anomaly.
    pub residual_mask_beats: usize,
    /// Beats after a load or a limit never learnt, or a process that came or went, that the residual does not judge. Ours:
    /// the time in which a heat sink follows its board's power.
    pub residual_settle_beats: usize,
    /// Utilisation below which a device does nothing. Ours: a driver's own housekeeping stays below.
    pub residual_idle_share: f64,
    /// Beats of work or of idleness after which their end is that of a job rather than a pause. Ours: a minute at one beat a
    /// second.
    pub residual_job_beats: usize,
    /// How far outside what was learnt a load may be and still be judged, as a share of the metric's size. Ours.
    pub residual_domain_share: f64,
    /// The same for the enforced power limit, where less already moves clock and power apart. Ours.
    pub residual_limit_share: f64,
    /// Unusual beats, less usual ones, after which what is unusual has become the rule: the model is forgotten and the event
    /// ends. Ours: half an hour at one beat a second; a change of work must not be an alarm for ever.
    pub residual_rebase_beats: usize,
    /// Three of five beats: the threshold keeps to the budget, and one strange beat is no event.
    pub residual_pace: Pace,
}

impl Thresholds {
    /// How findings of a fault become an event.
    pub fn pace(&self, fault: FaultKind) -> Pace {
        match fault {
            FaultKind::Residual => self.residual_pace,
            _ => match self.catalogue.row(fault) {
                row if row.listed => row.pace,
                _ => self.rule_pace,
            },
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            catalogue: Catalogue::built_in(),
            rule_pace: Pace::at_once(60.0),
            budget_per_day: 0.2,
            residual_warm_s: 6.0 * 3600.0,
            residual_common_beats: 10,
            residual_learn_beats: 300,
            residual_refit_beats: 3600,
            residual_mask_beats: 30,
            residual_settle_beats: 120,
            residual_idle_share: 0.05,
            residual_job_beats: 60,
            residual_domain_share: 0.1,
            residual_limit_share: 0.02,
            residual_rebase_beats: 1800,
            residual_pace: Pace { raise_beats: 3, within_beats: 5, quiet_s: 30.0 },
        }
    }
}
