//! Thresholds: every number that a detector or the life cycle compares with, with its source.
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
    const fn at_once(quiet_s: f64) -> Self {
        Self { raise_beats: 1, within_beats: 1, quiet_s }
    }
}

/// All of them. Times are in seconds, shares from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// XID: a point in time, held this long after its last report. Ours: long enough for a scrape and a prolog to see it.
    pub xid_pace: Pace,
    /// Within this time identical XID errors are one sign. Delta (arXiv 2503.11901) coalesces over 5 s.
    pub xid_coalesce_s: f64,

    /// Lost device: at once; over when it has answered again for this long. DCGM and gpud fail on any.
    pub lost_pace: Pace,
    /// At once, and for ten minutes: what a notice tells happens at an instant and must be seen. Ours, as for XIDs.
    pub notice_pace: Pace,

    /// How long a collection must be past its deadline before its source counts as hung. Ours: twice the longest wait that
    /// a busy driver was allowed on the beat.
    pub hung_s: f64,
    /// Hung source: the time above is its delay.
    pub hung_pace: Pace,

    /// Window over which the share of time in a slowdown is taken.
    pub slowdown_window_s: f64,
    /// Share of the window in which a slowdown was seen. gpud calls a GPU unhealthy when a hardware slowdown was seen in
    /// 0.6 of the minutes of ten minutes; here it is 0.6 of the seconds of a minute, so that a fault shows sooner.
    pub slowdown_share: f64,
    /// Distance to the shutdown temperature from which a thermal slowdown is critical. Ours: a board this near
    /// has slowed down and not cooled down.
    pub thermal_margin_c: f64,
    /// Slowdowns: the share above is their delay, and a slowdown around the threshold is one event.
    pub slowdown_pace: Pace,

    /// Uncorrectable ECC errors: any one, as in DCGM's health check; held as long as an XID.
    pub ecc_pace: Pace,

    /// Utilisation from which a link counts as under load. The link may be reduced when the GPU is not in use
    /// (nvidia-smi's manual, `pcie.link.gen.current`).
    pub pcie_busy_share: f64,
    /// Seconds under load for which a link must have been narrow. Ours: longer than a link takes to train up.
    pub pcie_narrow_s: f64,
    /// Narrow link: the time above is its delay; held over pauses between batches.
    pub pcie_pace: Pace,

    /// Every other rule: at once, for the rule has a delay of its own; over when a minute passed without it. Ours: two
    /// scrapes at Prometheus' default of 15 s, and a margin.
    pub rule_pace: Pace,

    /// Usable beats before the residual's first fit; until then it is learning. Ours.
    pub residual_learn_beats: usize,
    /// Beats from one fit to the next. Ours.
    pub residual_refit_beats: usize,
    /// Residual, in multiples of its own 99 % quantile in training, above which a beat is unusual. Ours and conservative:
    /// statistics rank and explain, rules act.
    pub residual_score: f64,
    /// Beats after a change of the power limit that the residual neither judges nor learns: our own cap is no anomaly.
    pub residual_mask_beats: usize,
    /// Beats after a load or a limit never learnt, or a process that came or went, that the residual does not judge. Ours:
    /// the time in which a heat sink follows its board's power.
    pub residual_settle_beats: usize,
    /// How far outside what was learnt a load may be and still be judged, as a share of the metric's size. Ours.
    pub residual_domain_share: f64,
    /// The same for the enforced power limit, where less already moves clock and power apart. Ours.
    pub residual_limit_share: f64,
    /// Unusual beats, less usual ones, after which what is unusual has become the rule: the model is forgotten and the event
    /// ends. Ours: half an hour at one beat a second; a change of work must not be an alarm for ever.
    pub residual_rebase_beats: usize,
    /// Eight of ten beats: one strange beat is no event.
    pub residual_pace: Pace,
}

impl Thresholds {
    /// How findings of a fault become an event.
    pub fn pace(&self, fault: FaultKind) -> Pace {
        match fault {
            FaultKind::Xid => self.xid_pace,
            FaultKind::DeviceLost => self.lost_pace,
            FaultKind::DeviceFault | FaultKind::DeviceChanged | FaultKind::DuplicateIdentity => {
                self.notice_pace
            }
            FaultKind::SourceHung => self.hung_pace,
            FaultKind::ThermalSlowdown | FaultKind::PowerBrake => self.slowdown_pace,
            FaultKind::EccUncorrectable => self.ecc_pace,
            FaultKind::PcieNarrow => self.pcie_pace,
            FaultKind::Change => self.residual_pace,
            FaultKind::Residual => self.residual_pace,
            // Each of these rules has a delay of its own.
            _ => self.rule_pace,
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            xid_pace: Pace::at_once(600.0),
            xid_coalesce_s: 5.0,
            lost_pace: Pace::at_once(2.0),
            notice_pace: Pace::at_once(600.0),
            hung_s: 1.0,
            hung_pace: Pace::at_once(2.0),
            slowdown_window_s: 60.0,
            slowdown_share: 0.6,
            thermal_margin_c: 2.0,
            slowdown_pace: Pace::at_once(10.0),
            ecc_pace: Pace::at_once(600.0),
            pcie_busy_share: 0.5,
            pcie_narrow_s: 10.0,
            pcie_pace: Pace::at_once(60.0),
            rule_pace: Pace::at_once(60.0),
            residual_learn_beats: 300,
            residual_refit_beats: 600,
            residual_score: 3.0,
            residual_mask_beats: 30,
            residual_settle_beats: 120,
            residual_domain_share: 0.1,
            residual_limit_share: 0.02,
            residual_rebase_beats: 1800,
            residual_pace: Pace { raise_beats: 8, within_beats: 10, quiet_s: 30.0 },
        }
    }
}
