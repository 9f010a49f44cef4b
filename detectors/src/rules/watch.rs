//! What rules remember: state by device that another device never inherits, growth of counters, and sums over a minute.
use model::{Device, DeviceTable, Frame, Metric, Timestamp};

/// State by device. An entry of the table that was given to another device starts anew.
#[derive(Debug, Default)]
pub(super) struct ByDevice<T> {
    places: Vec<(u32, T)>,
}

impl<T: Default> ByDevice<T> {
    /// Makes room for every device.
    pub(super) fn fit(&mut self, devices: &DeviceTable) {
        self.places.resize_with(devices.len(), || (0, T::default()));
    }

    /// The state of a device that [`ByDevice::fit`] has seen.
    pub(super) fn of(&mut self, device: &Device) -> &mut T {
        let (generation, state) = &mut self.places[device.id.index()];
        if *generation != device.generation {
            (*generation, *state) = (device.generation, T::default());
        }
        state
    }

    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<(u32, T)>()
    }
}

/// How much a counter has grown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Growth {
    /// By how much.
    pub(super) count: f64,
    /// Over how many seconds.
    pub(super) seconds: f64,
    /// What it is now.
    pub(super) now: f64,
}

impl Growth {
    /// The part that falls into the newest `seconds`, if it grew evenly: growth over a gap is not of one moment.
    pub(super) fn within(&self, seconds: f64) -> f64 {
        if self.seconds > seconds { self.count * seconds / self.seconds } else { self.count }
    }
}

/// Follows a counter over gaps. One that falls was reset or has wrapped: counting starts anew and nothing has grown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meter {
    last: Option<(Timestamp, f64)>,
}

impl Meter {
    /// How much it has grown since it was read before; `None` when it cannot be read, is read for the first time, or fell.
    pub(super) fn read(&mut self, frame: &Frame, device: &Device, metric: Metric) -> Option<Growth> {
        let now = frame.value(device.id, metric)?;
        let (at, before) = self.last.replace((frame.at, now))?;
        let growth = Growth { count: now - before, seconds: frame.at.seconds_since(at), now };
        (growth.count >= 0.0).then_some(growth)
    }
}

/// Parts of a minute.
const PARTS: usize = 60;

/// A sum over the last minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minute {
    parts: [f32; PARTS],
    /// The part of now.
    now: usize,
    /// Seconds that are not yet a whole part.
    rest_s: f64,
}

impl Default for Minute {
    fn default() -> Self {
        Self { parts: [0.0; PARTS], now: 0, rest_s: 0.0 }
    }
}

impl Minute {
    /// How long it is, in seconds.
    pub(super) const SECONDS: f64 = PARTS as f64;

    /// Lets time pass.
    pub(super) fn pass(&mut self, seconds: f64) {
        self.rest_s = (self.rest_s + seconds).min(2.0 * Self::SECONDS);
        while self.rest_s >= 1.0 {
            self.rest_s -= 1.0;
            self.now = (self.now + 1) % PARTS;
            self.parts[self.now] = 0.0;
        }
    }

    /// Adds to now. Seven digits are ample for a count that is compared with a limit.
    pub(super) fn add(&mut self, count: f64) {
        self.parts[self.now] += count as f32;
    }

    /// The sum.
    pub(super) fn sum(&self) -> f64 {
        self.parts.iter().map(|part| f64::from(*part)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_forgets_what_is_older() {
        let mut minute = Minute::default();
        minute.add(5.0);
        minute.pass(59.0);
        assert_eq!(minute.sum(), 5.0);
        minute.add(2.0);
        minute.pass(1.0);
        assert_eq!(minute.sum(), 2.0);
        minute.pass(1e9);
        assert_eq!(minute.sum(), 0.0);
    }

    #[test]
    fn growth_over_a_long_gap_is_spread_over_it() {
        let growth = Growth { count: 600.0, seconds: 3600.0, now: 600.0 };
        assert_eq!(growth.within(60.0), 10.0);
    }
}
