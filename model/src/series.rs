//! One series: a fixed ring with explicit gaps. Rates of counters are made here, once.
use crate::clock::Timestamp;
use crate::frame::Reading;
use crate::metric::MetricKind;

/// The past of one metric of one device: values of a gauge, rates per second of a counter.
///
/// Values are kept as `f32`, which is ample for a past that is looked at; the present is in the frame as `f64`.
#[derive(Debug, Clone)]
pub struct Series {
    /// NaN stands for a gap; nothing else is NaN.
    ring: Box<[f32]>,
    next: usize,
    filled: usize,
    last: Option<(Timestamp, f64)>,
    /// Times the counter went backwards.
    pub resets: u32,
}

impl Series {
    /// An empty series of at most `points` points.
    ///
    /// # Panics
    /// When `points` is 0.
    pub fn new(points: usize) -> Self {
        assert!(points > 0, "a series holds at least one point");
        Self { ring: vec![f32::NAN; points].into_boxed_slice(), next: 0, filled: 0, last: None, resets: 0 }
    }

    /// Appends one beat. A counter that fell was reset: that beat is a gap and counting starts anew.
    pub fn append(&mut self, at: Timestamp, reading: Reading, kind: MetricKind) {
        let point = match (reading.value(), kind) {
            (None, _) => None,
            (Some(value), MetricKind::Counter) => self.rate(at, value),
            (Some(value), MetricKind::Gauge | MetricKind::Constant) => Some(value),
        };
        // A counter over a gap would give a mean over the whole gap under one beat's name.
        if reading.value().is_none() {
            self.last = None;
        }
        // The narrowing is the point of the ring: seven digits are kept.
        self.ring[self.next] = point.map_or(f32::NAN, |value| value as f32);
        self.next = (self.next + 1) % self.ring.len();
        self.filled = (self.filled + 1).min(self.ring.len());
    }

    fn rate(&mut self, at: Timestamp, value: f64) -> Option<f64> {
        let before = self.last.replace((at, value));
        let (then, old) = before?;
        if value < old {
            self.resets += 1;
            return None;
        }
        let seconds = at.seconds_since(then);
        (seconds > 0.0).then(|| (value - old) / seconds)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.ring.fill(f32::NAN);
        self.next = 0;
        self.filled = 0;
        self.last = None;
    }

    /// How many beats it holds, gaps included.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing was ever appended.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The point `ago` beats before the newest (0 is the newest); `None` for a gap or beyond the ring.
    pub fn ago(&self, ago: usize) -> Option<f64> {
        if ago >= self.filled {
            return None;
        }
        let capacity = self.ring.len();
        let point = self.ring[(self.next + capacity - 1 - ago) % capacity];
        (!point.is_nan()).then(|| f64::from(point))
    }

    /// The newest `count` points, oldest first, gaps as `None`.
    pub fn recent(&self, count: usize) -> impl DoubleEndedIterator<Item = Option<f64>> + '_ {
        (0..count.min(self.filled)).rev().map(|ago| self.ago(ago))
    }

    /// Mean of the values among the newest `count` points; `None` when all are gaps.
    pub fn mean(&self, count: usize) -> Option<f64> {
        let (sum, n) =
            self.recent(count).flatten().fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
        (n > 0).then(|| sum / f64::from(n))
    }

    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.ring.len() * size_of::<f32>()
    }
}

/// Turns a counter that wraps at a known value into one that only grows, as RAPL's energy counters need.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odometer {
    last: Option<f64>,
    total: f64,
}

impl Odometer {
    /// Takes a raw value and gives the sum since the first one. `modulus`: the value after the largest possible one;
    /// a fall is one wrap. Raw values and modulus are in the same unit, which the result keeps.
    pub fn add(&mut self, raw: f64, modulus: f64) -> f64 {
        let step = match self.last {
            None => 0.0,
            Some(old) if raw >= old => raw - old,
            Some(old) => (modulus - old + raw).max(0.0),
        };
        self.last = Some(raw);
        self.total += step;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Absence;
    use std::time::Duration;

    fn second(n: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(n))
    }

    #[test]
    fn a_counter_becomes_a_rate_and_a_reset_a_gap() {
        let mut series = Series::new(8);
        for (n, value) in [(0, 100.0), (1, 150.0), (3, 250.0), (4, 10.0), (5, 15.0)] {
            series.append(second(n), Reading::Value(value), MetricKind::Counter);
        }
        let points: Vec<_> = series.recent(8).collect();
        assert_eq!(points, [None, Some(50.0), Some(50.0), None, Some(5.0)]);
        assert_eq!(series.resets, 1);
    }

    #[test]
    fn a_gap_is_a_gap_and_never_a_zero() {
        let mut series = Series::new(4);
        series.append(second(0), Reading::Value(7.0), MetricKind::Gauge);
        series.append(second(1), Reading::Absent(Absence::Late), MetricKind::Gauge);
        series.append(second(2), Reading::Value(9.0), MetricKind::Gauge);
        assert_eq!(series.recent(4).collect::<Vec<_>>(), [Some(7.0), None, Some(9.0)]);
        assert_eq!(series.mean(4), Some(8.0));
    }

    #[test]
    fn a_rate_never_spans_a_gap() {
        let mut series = Series::new(4);
        series.append(second(0), Reading::Value(0.0), MetricKind::Counter);
        series.append(second(1), Reading::Absent(Absence::Late), MetricKind::Counter);
        series.append(second(2), Reading::Value(1e6), MetricKind::Counter);
        assert_eq!(series.ago(0), None);
    }

    #[test]
    fn the_ring_forgets_the_oldest() {
        let mut series = Series::new(3);
        for n in 0..5 {
            series.append(second(n), Reading::Value(n as f64), MetricKind::Gauge);
        }
        assert_eq!(series.recent(9).flatten().collect::<Vec<_>>(), [2.0, 3.0, 4.0]);
        assert_eq!(series.ago(3), None);
    }

    #[test]
    fn an_odometer_undoes_a_wrap() {
        let mut energy = Odometer::default();
        assert_eq!(energy.add(90.0, 100.0), 0.0);
        assert_eq!(energy.add(98.0, 100.0), 8.0);
        assert_eq!(energy.add(3.0, 100.0), 13.0);
    }
}
