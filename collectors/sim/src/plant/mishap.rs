//! Mishaps: what goes wrong on a node in a day, how often, and for how long.
use super::{BOARDS, STEPS_A_SECOND};
use crate::noise::{between, unit, word};

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// A power sensor repeats its last value.
    SensorStuck,
    /// A power sensor says 0 W.
    SensorZero,
    /// A power sensor says 10 kW.
    SensorAbsurd,
    /// A power sensor lags by seconds, as the running average of an RTX 3090 does.
    SensorLate,
    /// Calls to the driver for a board do not return in time, neither reading nor writing.
    Hung,
    /// A board falls off the bus; it comes back with default limits.
    Lost,
    /// The driver is loaded anew: limits are back at their defaults, jobs begin again.
    Reload,
    /// A board draws up to a fifth more than its limit, the more the nearer to its floor.
    CapNotHeld,
    /// Somebody sets a tighter limit out of band: 500 of 700 W.
    OutOfBand,
    /// Processor packages cannot be read.
    RaplGone,
    /// The range of a board's limit changes.
    RangeChange,
    /// Another program sets limits back to their defaults, again and again.
    SecondWriter,
    /// The agent is killed; whoever holds the write right lives on. It starts again after a while.
    AgentKilled,
    /// Agent and keeper are killed, between two writes if there are any.
    KeeperKilled,
    /// Limits may be read, not written.
    PermissionLost,
    /// The wall clock is set by up to an hour.
    WallJump,
    /// Nothing of ours runs for some seconds, as when a machine is paused; the monotonic clock goes on.
    Stall,
    /// The budget is cut by 15 %.
    BudgetCut,
    /// Writes of a package's limit have no effect: the firmware has locked it.
    PackageLocked,
    /// A package draws what it likes in spite of the limit that it shows.
    PackageIgnores,
    /// Another program sets a package's limit back to its rating, again and again.
    PackageRaised,
    /// Another program takes a group's quota away, again and again.
    QuotaRaised,
    /// Another program gives a group a tighter quota, and takes it away at the end.
    QuotaTightened,
    /// A group is started again under its own path, with a quota of its own.
    GroupRestarted,
    /// A group goes and comes back.
    GroupGone,
    /// A group's files cannot be read.
    GroupUnread,
}

/// How often a mishap happens on a real node and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// What.
    pub mishap: Mishap,
    /// Times in 1,000 node-days.
    pub real: f64,
    /// Shortest and longest, in seconds.
    pub lasts_s: (f64, f64),
}

const fn rate(mishap: Mishap, real: f64, lasts_s: (f64, f64)) -> Rate {
    Rate { mishap, real, lasts_s }
}

/// Real rates in 1,000 node-days.
///
/// Hardware adds up to about four, as published traces do (StepFun 4.2, Llama 3 3.8). StepFun's 139,600 node-days give 5 lost
/// boards, 9 timeouts of nvidia-smi, 111 double-bit errors, XIDs and unknown device errors that end in a reset, and 25 power
/// supplies, after which a controller limits boards. The rest of the four is spread over kinds whose rates nobody publishes. Rates
/// from `SecondWriter` on are of software and operation; they are assumptions on the high side, those of the host's knobs so high that a
/// day at ten times them meets each. Lengths are assumptions.
pub const RATES: [Rate; 26] = [
    rate(Mishap::SensorStuck, 0.4, (600.0, 3600.0)),
    rate(Mishap::SensorZero, 0.4, (300.0, 1800.0)),
    rate(Mishap::SensorAbsurd, 0.4, (300.0, 1800.0)),
    rate(Mishap::SensorLate, 0.4, (600.0, 3600.0)),
    rate(Mishap::Hung, 0.064, (30.0, 600.0)),
    rate(Mishap::Lost, 0.036, (1800.0, 7200.0)),
    rate(Mishap::Reload, 0.80, (5.0, 10.0)),
    rate(Mishap::CapNotHeld, 0.6, (600.0, 3600.0)),
    rate(Mishap::OutOfBand, 0.18, (600.0, 3600.0)),
    rate(Mishap::RaplGone, 0.4, (300.0, 3600.0)),
    rate(Mishap::RangeChange, 0.3, (1800.0, 7200.0)),
    rate(Mishap::SecondWriter, 2.0, (300.0, 1800.0)),
    rate(Mishap::AgentKilled, 5.0, (5.0, 120.0)),
    rate(Mishap::KeeperKilled, 2.0, (5.0, 60.0)),
    rate(Mishap::PermissionLost, 1.0, (300.0, 1800.0)),
    rate(Mishap::WallJump, 5.0, (0.1, 0.1)),
    rate(Mishap::Stall, 5.0, (2.0, 30.0)),
    rate(Mishap::BudgetCut, 50.0, (300.0, 1800.0)),
    rate(Mishap::PackageLocked, 20.0, (600.0, 3600.0)),
    rate(Mishap::PackageIgnores, 20.0, (600.0, 3600.0)),
    rate(Mishap::PackageRaised, 20.0, (300.0, 1800.0)),
    rate(Mishap::QuotaRaised, 50.0, (300.0, 1800.0)),
    rate(Mishap::QuotaTightened, 50.0, (300.0, 1800.0)),
    rate(Mishap::GroupRestarted, 200.0, (1.0, 1.0)),
    rate(Mishap::GroupGone, 50.0, (30.0, 600.0)),
    rate(Mishap::GroupUnread, 20.0, (30.0, 600.0)),
];

impl Mishap {
    /// The word by which reports name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SensorStuck => "sensor_stuck",
            Self::SensorZero => "sensor_zero",
            Self::SensorAbsurd => "sensor_absurd",
            Self::SensorLate => "sensor_late",
            Self::Hung => "hung",
            Self::Lost => "lost",
            Self::Reload => "reload",
            Self::CapNotHeld => "cap_not_held",
            Self::OutOfBand => "out_of_band",
            Self::RaplGone => "rapl_gone",
            Self::RangeChange => "range_change",
            Self::SecondWriter => "second_writer",
            Self::AgentKilled => "agent_killed",
            Self::KeeperKilled => "keeper_killed",
            Self::PermissionLost => "permission_lost",
            Self::WallJump => "wall_jump",
            Self::Stall => "stall",
            Self::BudgetCut => "budget_cut",
            Self::PackageLocked => "package_locked",
            Self::PackageIgnores => "package_ignores",
            Self::PackageRaised => "package_raised",
            Self::QuotaRaised => "quota_raised",
            Self::QuotaTightened => "quota_tightened",
            Self::GroupRestarted => "group_restarted",
            Self::GroupGone => "group_gone",
            Self::GroupUnread => "group_unread",
        }
    }

    /// The mishap with this name.
    pub fn named(name: &str) -> Option<Self> {
        RATES.into_iter().map(|rate| rate.mishap).find(|mishap| mishap.as_str() == name)
    }
}

/// A mishap of one day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spell {
    /// What.
    pub mishap: Mishap,
    /// On which board, where it is about one.
    pub board: usize,
    /// The step on which it begins.
    pub from: u64,
    /// The step on which it is over.
    pub until: u64,
    /// Something to be drawn from: how far a clock jumps, between which writes a process dies.
    pub draw: u64,
}

/// The mishaps of one day of `steps` steps, in the order in which they begin, at `times` the real rates.
pub fn spells(seed: u64, steps: u64, times: f64) -> Vec<Spell> {
    let mut list = Vec::new();
    let days = steps as f64 / (86_400.0 * STEPS_A_SECOND as f64);
    for (place, rate) in RATES.iter().enumerate() {
        let stream = 9000 + 16 * place as u64;
        for number in 0..count(rate.real / 1000.0 * times * days, unit(seed, stream, 0)) {
            let lasts_s = between(seed, stream + 1, number, rate.lasts_s);
            // A place on a day and a length in seconds: both far below 2^53.
            let from = (unit(seed, stream + 2, number) * steps as f64) as u64;
            let until = from + (lasts_s * STEPS_A_SECOND as f64).ceil() as u64;
            let draw = word(seed, stream + 3, number);
            list.push(Spell {
                mishap: rate.mishap,
                board: (draw % BOARDS as u64) as usize,
                from,
                until,
                draw,
            });
        }
    }
    list.sort_by_key(|spell| (spell.from, spell.mishap));
    list
}

/// How many happen where `expected` are to be expected, of a Poisson distribution, from one uniform number; at most 1000.
fn count(expected: f64, uniform: f64) -> u64 {
    let (mut number, mut term) = (0, (-expected).exp());
    let mut below = term;
    while uniform > below && number < 1000 {
        number += 1;
        term *= expected / number as f64;
        below += term;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_fails_about_four_times_in_a_thousand_days() {
        let hardware: f64 =
            RATES.iter().filter(|rate| rate.mishap < Mishap::SecondWriter).map(|rate| rate.real).sum();
        assert!((3.8..4.2).contains(&hardware), "{hardware}");
    }

    #[test]
    fn as_many_happen_as_the_rates_say() {
        let steps = 86_400 * STEPS_A_SECOND;
        let seen: usize = (0..2000).map(|seed| spells(seed, steps, 10.0).len()).sum();
        let expected: f64 = RATES.iter().map(|rate| rate.real).sum::<f64>() * 20.0;
        // Four standard deviations.
        assert!((seen as f64 - expected).abs() < 4.0 * expected.sqrt(), "{seen} of {expected}");
    }

    #[test]
    fn names_are_found_again() {
        for rate in RATES {
            assert_eq!(Mishap::named(rate.mishap.as_str()), Some(rate.mishap));
        }
    }
}
