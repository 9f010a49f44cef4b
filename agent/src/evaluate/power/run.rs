//! One day of one policy, and what came of it.
use super::check::{Breach, Broken};
use super::contender::Contender;
use super::house::House;
use super::meter::Meter;
use sim::plant::host::Chores;
use sim::plant::mishap::Mishap;
use sim::plant::{Plant, STEPS_A_SECOND, Work};

/// Steps of a day.
pub const DAY: u64 = 86_400 * STEPS_A_SECOND;
/// What came of a day.
#[derive(Debug, Clone)]
pub struct Day {
    /// Who held the budget.
    pub contender: Contender,
    /// The seed.
    pub seed: u64,
    /// Steps of 100 ms.
    pub steps: u64,
    /// What the feed saw.
    pub meter: Meter,
    /// Work by class: low, normal, high.
    pub work: [Work; 3],
    /// Work of the processors: what can wait, and what feeds the boards.
    pub chores: [Chores; 2],
    /// Times everything was brought to its floor.
    pub brakes: u64,
    /// Beats on which something was loosened.
    pub loosenings: u64,
    /// Beats in each stage, free to brake, of a policy that has stages.
    pub stages: [u64; 4],
    /// Originals that did not come back.
    pub lost: u64,
    /// Breaches by kind.
    pub breaches: [u64; Breach::ALL.len()],
    /// The first of them.
    pub broken: Vec<Broken>,
    /// Moments in seconds into the day when power had been above 105 % for longer than the settling time, with what was going
    /// wrong then.
    pub far: Vec<(f64, Vec<Mishap>)>,
    /// Mishaps that began.
    pub mishaps: Vec<Mishap>,
}

/// What the days of a comparison have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// Steps.
    pub steps: u64,
    /// How much more often things go wrong than they really do.
    pub times: f64,
    /// Whether processors have much work of their own, on a tighter budget.
    pub crowded: bool,
}

/// Runs one day.
pub fn day(contender: Contender, seed: u64, terms: Terms) -> Day {
    let Terms { steps, times, crowded } = terms;
    let plant = Plant::new(seed, steps, times);
    run(contender, seed, steps, if crowded { plant.crowded() } else { plant })
}

/// Runs one day on a plant that is given.
pub(super) fn run(contender: Contender, seed: u64, steps: u64, plant: Plant) -> Day {
    let mut house = House::new(contender, seed, plant);
    for _ in 0..steps {
        house.step();
    }
    house.end(steps)
}
