//! Costs: how much slower work runs under our caps, and what energy that saves. Estimates, and told as such.
use crate::clocks;
use crate::scene::Scene;
use model::snapshot::Cost;
use model::work::Work;
use model::{DeviceId, Hertz, Metric};

/// Time over time without a cap, by cap as a share of the largest limit: the worst of four boards' medians over training jobs in
/// Zeus's published measurements (V100, P100, A40, RTX 6000).
const TRAINING: [(f64, f64); 8] = [
    (0.33, 2.82),
    (0.4, 1.97),
    (0.5, 1.33),
    (0.6, 1.112),
    (0.7, 1.063),
    (0.8, 1.037),
    (0.9, 1.018),
    (1.0, 1.0),
];
/// How much of the time of a kind of work goes with the clock. Prompts are bound by computing. Of tokens it is 0 to 0.25 (1 to 6 %
/// at very low clocks, arXiv 2501.08219); the upper end stands here. Training: 7 % at 1110 of 1410 MHz at most (POLCA).
const BOUND_PREFILL: f64 = 1.0;
const BOUND_DECODE: f64 = 0.25;
const BOUND_TRAINING: f64 = 0.26;
/// A device that draws this share of its cap is held by it.
const HELD: f64 = 0.9;

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    generation: u32,
    /// Whether it was ever capped.
    ever: bool,
    slowdown: f64,
    saved_j: f64,
}

/// What caps have cost so far, by device. Allocates only when a device is new.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    accounts: Vec<Account>,
}

impl Costs {
    /// Takes one beat of so many seconds.
    pub(crate) fn look(&mut self, scene: &Scene<'_>, passed_s: f64) {
        let devices = &scene.view.frame.devices;
        self.accounts.resize(devices.len(), Account::default());
        for load in scene.loads {
            let account = &mut self.accounts[load.device.index()];
            let generation = devices.get(load.device).generation;
            if account.generation != generation {
                *account = Account { generation, ..Account::default() };
            }
            let cap = scene.view.cap(load.device).map(|cap| cap.limit);
            let lock = scene.view.clock_cap(load.device).map(|cap| cap.limit);
            account.slowdown = 0.0;
            if cap.is_none() && lock.is_none() {
                continue;
            }
            account.ever = true;
            let held = cap.filter(|cap| load.power.is_some_and(|power| power >= *cap * HELD));
            if held.is_none() && lock.is_none() {
                continue;
            }
            let share = clock_share(scene, load.device, lock);
            let most = load.range.map(model::Range::max);
            account.slowdown = slowdown(load.work, share, held.zip(most).map(|(cap, most)| cap.0 / most.0));
            if let (Some(power), Some(share)) = (load.power, share) {
                let free = clocks::power_at(Hertz(1.0), Hertz(share), power);
                account.saved_j += (free.0 / (1.0 + account.slowdown) - power.0) * passed_s;
            }
        }
    }

    /// What each device that was ever capped costs, into a list that is reused.
    pub(crate) fn tell(&self, scene: &Scene<'_>, list: &mut Vec<Cost>) {
        list.clear();
        let of = |device: DeviceId| {
            let account = self.accounts.get(device.index()).filter(|account| account.ever)?;
            Some(Cost { device, slowdown: account.slowdown, saved_j: account.saved_j })
        };
        list.extend(scene.loads.iter().filter_map(|load| of(load.device)));
    }
}

/// The clock as a share of the highest; `None` where it cannot be read.
fn clock_share(scene: &Scene<'_>, device: DeviceId, lock: Option<Hertz>) -> Option<f64> {
    let frame = scene.view.frame;
    let most = frame.value(device, Metric::ClockSmMax).filter(|most| *most > 0.0)?;
    let now = frame.value(device, Metric::ClockSm).or(lock.map(|lock| lock.0))?;
    Some((now / most).clamp(0.05, 1.0))
}

/// How much longer work takes: by the clock where it is known and the kind of work says how much of it goes with the clock, else by
/// the cap. The worst is assumed of work that is not known.
fn slowdown(work: Option<Work>, clock_share: Option<f64>, cap_share: Option<f64>) -> f64 {
    let by_clock = |bound: f64| clock_share.map(|share| bound * (1.0 / share - 1.0));
    let by_cap = || cap_share.map_or(0.0, |share| training(share) - 1.0);
    match work {
        Some(Work::Idle | Work::Load | Work::HostBound) => 0.0,
        Some(Work::Training) => {
            cap_share.map(|share| training(share) - 1.0).or(by_clock(BOUND_TRAINING)).unwrap_or(0.0)
        }
        Some(Work::Decode) => by_clock(BOUND_DECODE).unwrap_or(0.0),
        Some(Work::Prefill) | None => by_clock(BOUND_PREFILL).unwrap_or_else(by_cap),
    }
}

/// The table of training, straight between its points.
fn training(share: f64) -> f64 {
    let [first, ..] = TRAINING;
    let [.., last] = TRAINING;
    let pair = TRAINING.windows(2).find(|pair| share >= pair[0].0 && share < pair[1].0);
    match pair {
        Some([low, high]) => low.1 + (high.1 - low.1) * (share - low.0) / (high.0 - low.0),
        Some(_) | None if share < first.0 => first.1,
        Some(_) | None => last.1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_met_at_its_points_and_straight_between() {
        for (share, time) in TRAINING {
            assert!((training(share) - time).abs() < 1e-9);
        }
        assert!((training(0.45) - 1.65).abs() < 1e-9);
        assert_eq!((training(0.1), training(1.5)), (2.82, 1.0));
    }

    #[test]
    fn a_locked_clock_slows_tokens_least_and_prompts_most() {
        let slow = |work| slowdown(Some(work), Some(0.5), None);
        assert_eq!(slow(Work::Idle), 0.0);
        assert!(slow(Work::Decode) < slow(Work::Training) && slow(Work::Training) < slow(Work::Prefill));
        assert_eq!((slow(Work::Prefill), slowdown(None, Some(0.5), None)), (1.0, 1.0));
    }

    #[test]
    fn without_a_clock_the_cap_tells() {
        assert!((slowdown(Some(Work::Training), None, Some(0.5)) - 0.33).abs() < 1e-9);
        assert_eq!(slowdown(Some(Work::Decode), None, Some(0.5)), 0.0);
        assert!((slowdown(None, None, Some(0.5)) - 0.33).abs() < 1e-9);
    }
}
