//! The power sensor of a board: what a driver reports is not what the board draws.
//!
//! Update period 100 ms, of which 25 ms are seen; a gain error of up to 5 % per board; an average over one second
//! (arXiv 2312.02741, for A100 and H100).
use crate::noise::signed;

/// Quanta of the past that are kept: one second of 10 ms.
pub const PAST: usize = 100;
/// Quanta from one update to the next.
const UPDATE: u64 = 10;
/// Quanta that an instantaneous reading sees, the nearest to 25 ms.
const WINDOW: usize = 3;
/// The largest gain error.
pub(crate) const GAIN_MAX: f64 = 0.05;

/// The sensor's state, plain old data.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Sensor {
    past_w: [f64; PAST],
    instant_w: f64,
    average_w: f64,
    gain: f64,
}

impl Sensor {
    /// The sensor of board `stream`, with its own gain error.
    pub fn new(seed: u64, stream: u64, power_w: f64) -> Self {
        let gain = 1.0 + GAIN_MAX * signed(seed, 1000 + stream, 0);
        Self { past_w: [power_w; PAST], instant_w: power_w * gain, average_w: power_w * gain, gain }
    }

    /// Takes the true power of one quantum.
    pub fn step(&mut self, quantum: u64, power_w: f64, stuck: bool) {
        let at = (quantum % PAST as u64) as usize;
        self.past_w[at] = power_w;
        if quantum.is_multiple_of(UPDATE) && !stuck {
            let seen: f64 = (0..WINDOW).map(|ago| self.past_w[(at + PAST - ago) % PAST]).sum();
            self.instant_w = seen / WINDOW as f64 * self.gain;
            self.average_w = self.past_w.iter().sum::<f64>() / PAST as f64 * self.gain;
        }
    }

    /// What the driver gives as the instantaneous power, in watts.
    pub fn instant_w(&self) -> f64 {
        self.instant_w
    }

    /// What the driver gives as the average power, in watts.
    pub fn average_w(&self) -> f64 {
        self.average_w
    }
}
