//! What a device drew over a beat.
use model::{DeviceId, Frame, Metric};

/// The longest beat for which the driver's reading stands, in seconds: NVIDIA's average looks back one second (arXiv
/// 2312.02741). On longer beats the readings are samples, and work whose rhythm divides the beat is always met in the same place:
/// an iteration of 2.5 s that ends with a dip reads a tenth too low every ten seconds, for as long as it runs.
const READING_S: f64 = 2.0;
/// A mean above so many times the limit is a jump of the counter.
const LIMITS: f64 = 2.0;

/// Follows the energy counter of one device.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Draw {
    energy_j: Option<f64>,
    sampled: bool,
}

impl Draw {
    /// The mean power over this beat, in watts: the driver's reading while it covers the beat, the energy counter's where it does
    /// not, and a sample where there is no counter.
    pub(crate) fn follow(&mut self, frame: &Frame, device: DeviceId, limit_w: Option<f64>) -> Option<f64> {
        let value = |metric| frame.value(device, metric);
        let energy_j = value(Metric::Energy);
        let before = std::mem::replace(&mut self.energy_j, energy_j);
        let reading = value(Metric::PowerAverage).or(value(Metric::PowerInstant));
        if frame.beat_s <= READING_S {
            self.sampled = false;
            return reading;
        }
        let mean = energy_j.zip(before).map(|(now, before)| (now - before) / frame.beat_s);
        // A counter that stands still counts nothing.
        let sound = |mean: &f64| *mean > 0.0 && limit_w.is_none_or(|limit| *mean <= LIMITS * limit);
        let mean = mean.filter(sound);
        self.sampled = mean.is_none();
        mean.or(reading)
    }

    /// Whether the newest power is a sample of its beat rather than the whole of it.
    pub(crate) fn is_sampled(&self) -> bool {
        self.sampled
    }
}

#[cfg(test)]
mod tests;
