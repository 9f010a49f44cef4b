//! How channels are standardised: a mean and a spread with a floor, and a squash so that one wild value does not rule.

/// The least spread, as a share of the range seen so far: a channel that hardly moves must not shout. Shares of 0.03, 0.06 and 0.1
/// were tried on SMD and ASD.
const FLOOR_OF_RANGE: f64 = 0.06;
/// The least spread, as a share of the mean's size.
const FLOOR_OF_MEAN: f64 = 0.02;
/// The least spread of all.
const FLOOR: f64 = 1e-9;
/// The weight that the past can have: as many rows. Older rows fade beyond it, so that drift is followed.
pub(super) const ROWS_MAX: f64 = 50_000.0;

/// The largest squashed value: 250,000 standard deviations. Beyond, a reading is absurd in the same way.
const SQUASHED_MAX: f32 = 1000.0;

/// Means and spreads in force.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Scale {
    mean: Vec<f32>,
    spread: Vec<f32>,
}

/// Grows like a square root beyond one standard deviation.
fn squash(z: f32) -> f32 {
    let squashed = if z.abs() < 1.0 { z } else { z.signum() * (2.0 * z.abs().sqrt() - 1.0) };
    squashed.clamp(-SQUASHED_MAX, SQUASHED_MAX)
}

fn unsquash(y: f32) -> f32 {
    if y.abs() < 1.0 { y } else { y.signum() * ((y.abs() + 1.0) / 2.0).powi(2) }
}

impl Scale {
    pub(super) fn new(mean: Vec<f32>, spread: Vec<f32>) -> Self {
        Self { mean, spread }
    }

    pub(super) fn parts(&self) -> (&[f32], &[f32]) {
        (&self.mean, &self.spread)
    }

    /// Number of channels.
    pub(super) fn channels(&self) -> usize {
        self.mean.len()
    }

    /// A value of a channel, standardised and squashed.
    pub(super) fn squash(&self, channel: usize, value: f32) -> f32 {
        squash((value - self.mean[channel]) / self.spread[channel])
    }

    /// The value of a channel that a squashed one stands for.
    pub(super) fn unsquash(&self, channel: usize, value: f32) -> f32 {
        unsquash(value) * self.spread[channel] + self.mean[channel]
    }

    /// For each channel the factor and the shift that turn a value of this scale into one of another. Exact where nothing was
    /// squashed.
    pub(super) fn steps<'a>(&'a self, to: &'a Self) -> impl Iterator<Item = (f32, f32)> + 'a {
        (0..self.channels()).map(|channel| {
            let spread = to.spread[channel];
            (self.spread[channel] / spread, (self.mean[channel] - to.mean[channel]) / spread)
        })
    }

    /// Turns one squashed row into one of another scale, exactly.
    pub(super) fn move_row(&self, to: &Self, row: &mut [f32]) {
        for (channel, value) in row.iter_mut().enumerate() {
            *value = to.squash(channel, self.unsquash(channel, *value));
        }
    }
}

/// What is known of the channels' means, spreads and ranges.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Spread {
    pub(super) weight: f64,
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
    pub(super) low: Vec<f32>,
    pub(super) high: Vec<f32>,
}

impl Spread {
    /// Nothing known.
    pub(super) fn new(channels: usize) -> Self {
        Self {
            weight: 0.0,
            first: vec![0.0; channels],
            second: vec![0.0; channels],
            low: vec![f32::INFINITY; channels],
            high: vec![f32::NEG_INFINITY; channels],
        }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: impl Iterator<Item = f32>, weight: f32) {
        let weight = f64::from(weight);
        self.weight += weight;
        for (channel, value) in row.take(self.first.len()).enumerate() {
            let wide = f64::from(value);
            self.first[channel] += weight * wide;
            self.second[channel] += weight * wide * wide;
            self.low[channel] = self.low[channel].min(value);
            self.high[channel] = self.high[channel].max(value);
        }
    }

    /// The scale that follows from it.
    pub(super) fn scale(&self) -> Scale {
        let weight = self.weight.max(f64::MIN_POSITIVE);
        let mean: Vec<f64> = self.first.iter().map(|first| first / weight).collect();
        let spread = mean.iter().enumerate().map(|(channel, mean)| {
            let spread = (self.second[channel] / weight - mean * mean).max(0.0).sqrt();
            let range = f64::from(self.high[channel] - self.low[channel]).max(0.0);
            // Narrowed to seven digits on purpose.
            spread.max(FLOOR_OF_RANGE * range).max(FLOOR_OF_MEAN * mean.abs()).max(FLOOR) as f32
        });
        let spread = spread.collect();
        Scale { mean: mean.iter().map(|mean| *mean as f32).collect(), spread }
    }

    /// Lets the past weigh no more than [`ROWS_MAX`].
    pub(super) fn cap(&mut self) {
        let factor = ROWS_MAX / self.weight;
        if factor < 1.0 {
            self.weight *= factor;
            self.first.iter_mut().chain(&mut self.second).for_each(|sum| *sum *= factor);
        }
    }

    /// Bytes of memory it holds.
    pub(super) fn bytes(&self) -> usize {
        self.first.capacity() * 2 * (size_of::<f64>() + size_of::<f32>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squashing_can_be_undone() {
        for z in [-9.0, -1.0, -0.3, 0.0, 0.9, 1.0, 25.0] {
            assert!((unsquash(squash(z)) - z).abs() < 1e-4, "{z}");
        }
    }

    #[test]
    fn a_channel_that_hardly_moves_has_a_floor_under_its_spread() {
        let mut spread = Spread::new(2);
        (0_u8..100)
            .for_each(|n| spread.add([f32::from(n % 2), if n == 50 { 10.0 } else { 0.0 }].into_iter(), 1.0));
        let scale = spread.scale();
        assert!((scale.spread[0] - 0.5).abs() < 1e-3);
        assert!(scale.spread[1] > 0.59, "0.06 of a range of 10");
    }
}
