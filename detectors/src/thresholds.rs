//! Thresholds: every number that a detector compares with, with its source.

/// All of them. Times are in seconds, shares from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// How long an XID error stays an event after its last report. Ours: long enough for a scrape and a prolog to see it.
    pub xid_hold_s: f64,
    /// Within this time identical XID errors are one sign. Delta (arXiv 2503.11901) coalesces over 5 s.
    pub xid_coalesce_s: f64,
    /// How long a collection must be past its deadline before its source counts as hung. Ours: twice the longest wait that
    /// a busy driver was allowed on the beat.
    pub hung_s: f64,
    /// Window over which the share of time in a slowdown is taken.
    pub slowdown_window_s: f64,
    /// Share of the window in a thermal or brake slowdown. gpud calls a GPU unhealthy when slowdowns were seen in 0.6 of the
    /// minutes of ten minutes; the window here is shorter.
    pub slowdown_share: f64,
    /// Distance to the slowdown temperature from which a thermal slowdown is critical. Ours.
    pub thermal_margin_c: f64,
    /// Utilisation from which a link counts as under load. Idle links train down by themselves.
    pub pcie_busy_share: f64,
    /// How long a link must be narrow under load. Ours: longer than a link takes to train up.
    pub pcie_narrow_s: f64,
    /// Beats of data before the residual's first fit; until then it is learning.
    pub residual_learn_beats: usize,
    /// Beats from one fit to the next.
    pub residual_refit_beats: usize,
    /// Residual, in multiples of its own 99 % quantile in training, above which a beat is unusual. Ours and conservative:
    /// statistics rank and explain, rules act.
    pub residual_score: f64,
    /// Beats after a change of the power limit that the residual leaves out: our own cap is no anomaly.
    pub residual_mask_beats: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            xid_hold_s: 600.0,
            xid_coalesce_s: 5.0,
            hung_s: 1.0,
            slowdown_window_s: 10.0,
            slowdown_share: 0.6,
            thermal_margin_c: 2.0,
            pcie_busy_share: 0.5,
            pcie_narrow_s: 10.0,
            residual_learn_beats: 300,
            residual_refit_beats: 600,
            residual_score: 3.0,
            residual_mask_beats: 30,
        }
    }
}
