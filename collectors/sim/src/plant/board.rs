//! A board of the plant: power and speed under a limit and a locked clock, and what its sensor shows.
use super::job::Demand;
use super::{STEP_S, STEPS_A_SECOND};
use crate::board::{CLOCK_EXPONENT, SETTLING_S, share_within};
use crate::noise::{signed, unit};
use crate::profile::H100;
use crate::sensor::GAIN_MAX;

/// The part of a step that an instantaneous reading sees: 25 of 100 ms (arXiv 2312.02741).
const SEEN: f64 = 0.25;
/// Time constants of the driver's own average, and of a sensor that lags, in seconds.
const AVERAGE_S: f64 = 1.0;
const LATE_S: f64 = 3.0;
/// How much more than its limit a board draws that does not hold it, at its floor: Zeus's worst A40 drew 20.7 %.
const EXCESS: f64 = 0.2;
/// The largest change of a job's power from step to step.
const JITTER: f64 = 0.03;

/// What is wrong with a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sensing {
    /// Nothing but its gain.
    #[default]
    Sound,
    /// It repeats its last value.
    Stuck,
    /// It says 0 W.
    Zero,
    /// It says 10 kW.
    Absurd,
    /// It lags by seconds.
    Late,
}

/// A board.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Board {
    /// The limit asked for, in watts.
    pub requested_w: f64,
    /// A limit set out of band, in watts.
    pub out_of_band_w: f64,
    /// The smallest and the largest limit that it takes, in watts.
    pub range_w: (f64, f64),
    /// The limit after a reset, in watts.
    pub default_w: f64,
    /// Upper bound of the locked clock, in hertz; 0 when not locked.
    pub locked_hz: f64,
    /// The limit that acts at this moment, in watts.
    acting_w: f64,
    /// Mean of true power over the last step, in watts.
    pub power_w: f64,
    /// The lowest clock of the last step, as a share of the highest.
    pub clock: f64,
    /// What its sensor shows: at the moment, and on average.
    instant_w: f64,
    /// What it will show a step later, where its updates come late in a step.
    coming_w: f64,
    lags: bool,
    average_w: f64,
    late_w: f64,
    gain: f64,
    window: f64,
    /// What is wrong with the sensor.
    pub sensing: Sensing,
    /// Whether it draws more than its limit near its floor.
    pub exceeds: bool,
    /// Whether it has fallen off the bus.
    pub lost: bool,
    /// Until which step calls for it do not return.
    pub hung_until: u64,
    /// Energy since the driver was loaded, in joules.
    pub energy_j: f64,
}

impl Board {
    /// An idle board. `original_w`: the limit that an operator set before anything of ours ran.
    pub fn new(seed: u64, index: usize, original_w: f64) -> Self {
        let gain = 1.0 + GAIN_MAX * signed(seed, 1000 + index as u64, 0);
        Self {
            requested_w: original_w,
            out_of_band_w: f64::INFINITY,
            range_w: (H100.limit_min.0, H100.limit_max.0),
            default_w: H100.limit_max.0,
            locked_hz: 0.0,
            acting_w: original_w,
            power_w: H100.idle_w,
            clock: H100.clock_min_hz / H100.clock_max_hz,
            instant_w: H100.idle_w * gain,
            coming_w: H100.idle_w,
            lags: unit(seed, 1101, index as u64) < 0.5,
            average_w: H100.idle_w,
            late_w: H100.idle_w,
            gain,
            window: (1.0 - SEEN) * unit(seed, 1100 + index as u64, 0),
            sensing: Sensing::Sound,
            exceeds: false,
            lost: false,
            hung_until: 0,
            energy_j: 0.0,
        }
    }

    /// The limit in force after every limiter and the range, in watts.
    pub fn enforced_w(&self) -> f64 {
        self.requested_w.min(self.out_of_band_w).clamp(self.range_w.0, self.range_w.1)
    }

    /// Forgets everything that a driver keeps.
    pub fn reset(&mut self) {
        (self.requested_w, self.locked_hz, self.energy_j) = (self.default_w, 0.0, 0.0);
    }

    /// Works for one step; gives its speed in both parts of what is asked.
    pub fn work(&mut self, asked: &Demand, noise: f64) -> [f64; 2] {
        let settle = STEP_S / (STEP_S + SETTLING_S);
        self.acting_w += (self.enforced_w() - self.acting_w) * settle;
        let idle_w = H100.idle_w * (1.0 + 0.01 * noise);
        if self.lost {
            self.power_w += (H100.idle_w - self.power_w) * settle;
            return [1.0; 2];
        }
        let room_w = (self.acting_w * self.excess() - idle_w).max(0.0);
        let span_w = (H100.full_w - H100.idle_w) * (1.0 + JITTER * noise);
        let lowest = H100.clock_min_hz / H100.clock_max_hz;
        let lock = if self.locked_hz > 0.0 { (self.locked_hz / H100.clock_max_hz).max(lowest) } else { 1.0 };
        let (mut part_w, mut speed) = ([0.0; 2], [1.0; 2]);
        self.clock = 1.0;
        let weight = [asked.share, 1.0 - asked.share];
        for part in (0..2).filter(|part| weight[*part] > 0.0) {
            let full_w = span_w * asked.level[part];
            let by_power = share_within(full_w, room_w);
            let share = by_power.min(lock).max(lowest);
            // Powers are slow to compute, and under a limit that binds what is drawn is known.
            part_w[part] = match share {
                1.0 => full_w,
                share if share == by_power => room_w,
                share => full_w * share.powf(CLOCK_EXPONENT),
            };
            speed[part] = 1.0 / (1.0 + asked.bound[part] * (1.0 / share - 1.0));
            self.clock = self.clock.min(share);
        }
        self.power_w = idle_w + weight[0] * part_w[0] + weight[1] * part_w[1];
        let seen = (asked.share - self.window).clamp(0.0, SEEN) / SEEN;
        self.sense(idle_w + seen * part_w[0] + (1.0 - seen) * part_w[1]);
        self.energy_j += self.power_w * STEP_S;
        speed
    }

    /// What it draws at most, as a multiple of its limit.
    fn excess(&self) -> f64 {
        let (floor, half) = (self.range_w.0, 0.5 * self.range_w.1);
        if !self.exceeds || self.acting_w >= half {
            return 1.0;
        }
        1.0 + EXCESS * ((half - self.acting_w) / (half - floor).max(1.0)).min(1.0)
    }

    fn sense(&mut self, seen_w: f64) {
        self.average_w += (self.power_w - self.average_w) * STEP_S / AVERAGE_S;
        self.late_w += (self.power_w - self.late_w) * STEP_S / LATE_S;
        let update_w = if self.lags { self.coming_w } else { seen_w };
        self.coming_w = seen_w;
        self.instant_w = match self.sensing {
            Sensing::Sound => update_w * self.gain,
            Sensing::Stuck => self.instant_w,
            Sensing::Zero => 0.0,
            Sensing::Absurd => 10_000.0,
            Sensing::Late => self.late_w * self.gain,
        };
    }

    /// What the sensor shows as the power of the moment, in watts.
    pub fn instant_w(&self) -> f64 {
        self.instant_w
    }

    /// What the sensor shows as the average of the last second, in watts.
    pub fn average_w(&self) -> f64 {
        match self.sensing {
            Sensing::Sound => self.average_w * self.gain,
            Sensing::Stuck | Sensing::Zero | Sensing::Absurd | Sensing::Late => self.instant_w,
        }
    }

    /// Keeps calls for it from returning for some seconds.
    pub fn hang(&mut self, step: u64, seconds: u64) {
        self.hung_until = self.hung_until.max(step + seconds * STEPS_A_SECOND);
    }
}
