//! Settings of the power policy: every threshold with its source.
use model::{Cores, Watts};
use std::time::Duration;

/// How power is held. Shares are of the budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The budget of the node; `None`: nothing is decided.
    pub budget: Option<Watts>,
    /// Share at which low-priority work is trimmed. POLCA (arXiv 2308.12908): 0.80.
    pub low: f64,
    /// Share at which all work is trimmed. POLCA: 0.89 for its slow out-of-band loop, `1 / 1.118` for a row whose power
    /// rises by at most 11.8 % in the 40 s that a command takes. This loop is faster, so 0.89 errs on the safe side.
    pub high: f64,
    /// Whether limits count as a bound on what accelerators may come to draw, where every one of them holds its own. Without it
    /// thresholds alone keep the budget, as at POLCA, whose row has no caps that add up to anything.
    pub limits_bound: bool,
    /// Share of the budget that must be free below a threshold before anything is loosened. POLCA: 0.05.
    pub release_gap: f64,
    /// How long power must stay that low. Each loosening waits this long, times a random factor of 0.2 to 2
    /// (Thunderbolt, OSDI'20: uniform 1 to 10 s, so that what was trimmed together does not rise together).
    pub hold: Duration,
    /// The most that one loosening gives a device, as a share of its range. One half: two steps, as POLCA has two
    /// trimmed levels for low-priority work.
    pub step: f64,
    /// Beats below `high - release_gap` after which the brake is released. thalamic-relay: three good readings.
    pub brake_release_beats: u32,
    /// Power of everything but accelerators and processor packages: fans, network, disks, losses. It depends on the
    /// chassis, so it should be measured there; the default is only a start.
    pub rest: Watts,
    /// Power of the processor packages where RAPL cannot be read; the default is two sockets of 350 W.
    pub packages: Watts,
    /// What a power sensor may read too low. arXiv 2312.02741: 5 % gain error.
    pub gain_margin: f64,
    /// What a device whose power cannot be read is counted at, as a multiple of its enforced limit. Zeus's A40 data: the
    /// worst device drew 20.7 % over its cap.
    pub blind_margin: f64,
    /// What a device is counted at when not even its limit is known.
    pub unknown_device: Watts,
    /// Beats over which the highest reading counts. An A100 or H100 shows 25 of every 100 ms (arXiv 2312.02741) and a
    /// prefill spike lasts less than a second (POLCA), so a single reading misses most of them.
    pub window: usize,
    /// How long it takes until a high draw of a device is mostly forgotten: trimming leaves a device what it is likely to
    /// draw again, and loosening gives nothing away that it would need. Half a minute: several iterations of training or
    /// bursts of requests. On simulated nodes (seeds 1 to 6 of `evaluate --power`, thresholds lowered for rises up to 15 %) two
    /// minutes braked 12 times in place of 14 and cost low-priority work 3 points more; at two minutes there were 384 brakes
    /// without that reserve in loosening and 12 with it.
    pub reach_memory: Duration,
    /// How long after a write a device may still draw what it drew before. Dynamo (ISCA'16) saw RAPL settle in about 2 s.
    pub settle: Duration,
    /// The smallest change of a limit that is worth a write.
    pub deadband: Watts,
    /// How often a limit that somebody else raised is set again before the policy says that it is contended.
    pub reassert_max: u32,
    /// After this long without a raise, earlier ones are forgotten.
    pub reassert_memory: Duration,
    /// Share of the budget from which a rise counts: far below it, a rise cannot reach the budget. Half: no rise by less
    /// than double can.
    pub rise_from: f64,
    /// Beats above that share after which thresholds are learnt: an hour of a beat a second, an assumption. POLCA
    /// (arXiv 2308.12908) had six weeks of a row.
    pub rise_beats: f64,
    /// The part of beats that rise by no more than what thresholds are made for; 1: the worst that is remembered.
    pub rise_quantile: f64,
    /// The largest rise that thresholds are lowered for; beyond it the reflex stands in. A load that starts on half of the
    /// boards raises a node by a third at once, which no threshold prevents, and one made for it takes too much: on simulated
    /// nodes (seeds 1 to 6 of `evaluate --power`) important work lost 5.5 % at 0.375, the worst that POLCA saw on a row, and
    /// 0.3 % at 0.15, all else alike. 0.13 was chosen a little below that without a comparison of its own, because work of
    /// normal priority pays: in the law as it is now, 9.1 % and 14 brakes at 0.15, 5.0 % and 23 where nothing is learnt.
    pub rise_most: f64,
    /// Whether processor packages and containers may be turned once accelerators have nothing left to give.
    pub host: bool,
    /// The lowest limit of a package, as a share of what it was. Ours: no source names one. The range of settings that leaves
    /// accelerators their data is not known, so that it stays above the half that the actuator would take.
    pub host_floor: f64,
    /// The smallest quota of a container. Ours: one core lets it answer its probes.
    pub host_cores: Cores,
    /// What one step leaves of the processor time of a container. Thunderbolt (OSDI'20, its constants quoted second-hand): a
    /// soft throttle multiplies by 0.75.
    pub host_quota_step: f64,
    /// How long a package may draw more than its limit before the limit is said not to be held. Ours: longer than the usual
    /// long-term windows, of which 28 s is the largest.
    pub host_settle: Duration,
    /// Seed of the random holds.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            budget: None,
            low: 0.80,
            high: 0.89,
            limits_bound: true,
            release_gap: 0.05,
            hold: Duration::from_secs(5),
            step: 0.5,
            brake_release_beats: 3,
            rest: Watts(500.0),
            packages: Watts(700.0),
            gain_margin: 0.05,
            blind_margin: 1.2,
            unknown_device: Watts(1000.0),
            window: 3,
            reach_memory: Duration::from_secs(30),
            settle: Duration::from_secs(2),
            deadband: Watts(5.0),
            reassert_max: 3,
            reassert_memory: Duration::from_secs(600),
            rise_from: 0.5,
            rise_beats: 3600.0,
            rise_quantile: 1.0,
            rise_most: 0.13,
            host: false,
            host_floor: 0.6,
            host_cores: Cores(1.0),
            host_quota_step: 0.75,
            host_settle: Duration::from_secs(30),
            seed: 0,
        }
    }
}
