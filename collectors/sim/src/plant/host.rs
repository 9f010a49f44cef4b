//! The rest of the node: processor packages, their memory, fans and everything else.
use super::{STEP_S, STEPS_A_SECOND};
use crate::node::{DRAM_W, PACKAGE_IDLE_W, PACKAGE_LOAD_W};
use crate::noise::{signed, word};
use crate::profile::H100;

/// Power of disks, network and converters, and what fans add at full load, in watts. Assumptions: together somewhat below the
/// 500 W that the policy assumes where nothing is measured.
const CHASSIS_W: f64 = 340.0;
const FANS_W: f64 = 110.0;
/// How far the rest wanders, in watts.
const WANDERS_W: f64 = 15.0;
/// Fans follow load with this time constant, in seconds.
const FANS_S: f64 = 20.0;
/// Time for which a neighbour takes the processors, one span of these in thirty, in seconds.
const NEIGHBOUR_S: u64 = 180;

/// Processors and the rest.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Host {
    /// Energy of package 0, package 1, and the memory of each, in joules.
    pub energy_j: [f64; 4],
    /// Power of packages and memories in the last step, in watts.
    pub packages_w: f64,
    /// Power of the rest in the last step, in watts.
    pub rest_w: f64,
    busy: f64,
    fans: f64,
}

impl Host {
    /// Moves on by one step, with boards that draw so many watts.
    pub fn step(&mut self, seed: u64, step: u64, boards_w: f64, boards: usize) {
        let load = (boards_w / (boards as f64 * H100.limit_max.0)).min(1.0);
        if step.is_multiple_of(STEPS_A_SECOND) || self.busy == 0.0 {
            let second = step / STEPS_A_SECOND;
            let span = second / NEIGHBOUR_S;
            let neighbour = if word(seed, 7001, span).is_multiple_of(30) { 0.35 } else { 0.0 };
            let noise = signed(seed, 7000, second);
            self.busy = (0.04 + 0.35 * load + 0.05 * noise + neighbour).clamp(0.01, 0.98);
        }
        self.fans += (load - self.fans) * STEP_S / FANS_S;
        let package_w = PACKAGE_IDLE_W + PACKAGE_LOAD_W * self.busy;
        let memory_w = DRAM_W * (0.4 + 0.6 * self.busy);
        for (energy_j, watts) in self.energy_j.iter_mut().zip([package_w, package_w, memory_w, memory_w]) {
            *energy_j += watts * STEP_S;
        }
        self.packages_w = 2.0 * (package_w + memory_w);
        let wanders = WANDERS_W * signed(seed, 7002, step / (5 * STEPS_A_SECOND));
        self.rest_w = CHASSIS_W + FANS_W * self.fans + wanders;
    }
}
