//! The level model: how far a short window of many channels is from where it usually moves, learnt as it goes.
//!
//! A row is the present values of all channels; it is judged together with earlier rows at [`LAGS`]. Values are standardised and
//! squashed, a weighted covariance is kept, and from time to time its eigenvectors are taken anew. Two distances come out: A, the
//! residual beside the main axes by channel, and B, the distance along and across all axes. Old anomalies fade: a row weighs the less
//! the stranger it was when it came.
mod basis;
mod bytes;
mod scale;
mod sums;

pub use basis::Basis;
use scale::{Scale, Spread};
use sums::Sums;

/// How many rows back each value of a window is: those of a recipe that was found on SMD and ASD.
pub const LAGS: [usize; 8] = [0, 1, 2, 3, 5, 8, 12, 19];
/// Rows that a window reaches back.
pub const REACH: usize = 19;
/// Rows that are kept so that a window can be made.
const KEPT: usize = REACH + 1;
/// The most channels of one model.
pub const CHANNELS_MAX: usize = 64;
/// The weight of a row falls with this power of its strangeness: at twice the usual 99 % it weighs 1/256. Powers 2, 4 and 8 were
/// tried on SMD and ASD; a hard cut was worse than 8.
const FADE_POWER: i32 = 8;
/// Step of the running quantile that says what is strange.
const QUANTILE_STEP: f32 = 0.02;
/// Which quantile that is.
const QUANTILE: f32 = 0.99;
/// Where it starts, in units of the root mean square.
const QUANTILE_START: f32 = 2.0;

/// What a row came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// A times the square root of B: about 1 on usual rows.
    pub level: f32,
    /// How strange the row was, 1 at the usual 99 %.
    pub strange: f32,
}

/// Room for scoring, kept by the caller so that scoring does not allocate.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    window: Vec<f32>,
    along: Vec<f32>,
    rebuilt: Vec<f32>,
    /// How far each channel is from what the main axes make of it, in units of its usual residual: who is to blame.
    pub blame: Vec<f32>,
}

/// One model over a fixed list of channels.
#[derive(Debug, Clone)]
pub struct Level {
    channels: usize,
    scale: Scale,
    spread: Spread,
    sums: Sums,
    basis: Basis,
    /// The newest rows, squashed; row `n` at `n % KEPT`.
    recent: Vec<f32>,
    /// Rows in a row without a gap.
    filled: usize,
    next: usize,
    /// Running 99 % quantiles of A and B.
    usual: [f32; 2],
}

/// A fit that is under way elsewhere: everything it needs.
#[derive(Debug, Clone)]
pub struct Refit {
    sums: Sums,
    channels: usize,
}

impl Level {
    /// Begins with a past that all counts alike. Shape: rows by channels, in time's order; a row with a NaN is a gap.
    ///
    /// `None` with fewer than 2 or more than [`CHANNELS_MAX`] channels, with too few rows, or when the decomposition fails.
    pub fn begin(past: ndarray::ArrayView2<'_, f32>) -> Option<Self> {
        let (count, channels) = past.dim();
        if !(2..=CHANNELS_MAX).contains(&channels) || count < 4 * KEPT {
            return None;
        }
        let mut spread = Spread::new(channels);
        let whole = |row: &ndarray::ArrayView1<'_, f32>| row.iter().all(|value| value.is_finite());
        past.rows().into_iter().filter(whole).for_each(|row| spread.add(row.iter().copied(), 1.0));
        let scale = spread.scale();
        let sums = Sums::new(channels * LAGS.len());
        let basis = Basis::empty();
        let recent = vec![0.0; KEPT * channels];
        let usual = [QUANTILE_START; 2];
        let mut level = Self { channels, scale, spread, sums, basis, recent, filled: 0, next: 0, usual };
        let mut window = Vec::new();
        for row in past.rows() {
            if !whole(&row) {
                level.gap();
                continue;
            }
            level.remember(row.iter().copied());
            if level.window(&mut window) {
                level.sums.add(&window, 1.0);
            }
        }
        level.basis = Basis::of(&level.sums, channels)?;
        Some(level)
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// A row is missing: windows are whole again after [`REACH`] more rows.
    pub fn gap(&mut self) {
        self.filled = 0;
    }

    /// Takes a row and judges it by what was known before. `learn`: whether it may be learnt from; it is never learnt as a usual row
    /// when it is strange. `None` while the window has a gap. Allocates nothing once the scratch has its size.
    pub fn push(
        &mut self,
        row: impl Iterator<Item = f32> + Clone,
        learn: bool,
        scratch: &mut Scratch,
    ) -> Option<Score> {
        self.remember(row.clone());
        let Scratch { window, along, rebuilt, blame } = scratch;
        if !self.window(window) {
            return None;
        }
        let [a, b] = self.basis.distances(window, along, rebuilt, blame);
        let strange = (a / self.usual[0]).max(b / self.usual[1]);
        for (usual, distance) in self.usual.iter_mut().zip([a, b]) {
            *usual *= 1.0 + QUANTILE_STEP * if distance > *usual { QUANTILE } else { QUANTILE - 1.0 };
        }
        if learn {
            let weight = strange.max(1.0).powi(-FADE_POWER);
            self.spread.add(row, weight);
            self.sums.add(window, weight);
        }
        Some(Score { level: a * b.sqrt(), strange })
    }

    /// What the main axes expect of a channel on the row judged last, in the channel's own unit.
    pub fn expected(&self, channel: usize, scratch: &Scratch) -> f64 {
        let place = channel * LAGS.len();
        let value = scratch.rebuilt.get(place).copied().unwrap_or(0.0) + self.basis.centre(place);
        f64::from(self.scale.unsquash(channel, value))
    }

    /// Takes over what was learnt of the channels' spread, and gives what a fit needs, copied, so that it can be made elsewhere.
    pub fn refit(&mut self) -> Refit {
        let scale = self.spread.scale();
        self.sums.transport(&self.scale, &scale);
        self.basis.transport(&self.scale, &scale);
        for row in self.recent.chunks_exact_mut(self.channels) {
            self.scale.move_row(&scale, row);
        }
        self.scale = scale;
        self.sums.cap();
        self.spread.cap();
        Refit { sums: self.sums.clone(), channels: self.channels }
    }

    /// Takes a fit over.
    pub fn refitted(&mut self, basis: Basis) {
        if basis.covers(self.channels) {
            self.basis = basis;
        }
    }

    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        self.sums.bytes()
            + self.basis.bytes()
            + self.recent.capacity() * size_of::<f32>()
            + self.spread.bytes()
    }

    fn remember(&mut self, row: impl Iterator<Item = f32>) {
        let place = self.next * self.channels;
        for (channel, value) in row.take(self.channels).enumerate() {
            self.recent[place + channel] = self.scale.squash(channel, value);
        }
        self.next = (self.next + 1) % KEPT;
        self.filled = (self.filled + 1).min(KEPT);
    }

    /// Puts the window of the newest row together, channel by channel; `false` while it has a gap.
    fn window(&self, window: &mut Vec<f32>) -> bool {
        if self.filled < KEPT {
            return false;
        }
        window.clear();
        for channel in 0..self.channels {
            window.extend(LAGS.iter().map(|lag| {
                let row = (self.next + KEPT - 1 - lag) % KEPT;
                self.recent[row * self.channels + channel]
            }));
        }
        true
    }
}

impl Refit {
    /// Makes the fit: an eigendecomposition, the slow part. `None` when it fails.
    pub fn fit(&self) -> Option<Basis> {
        Basis::of(&self.sums, self.channels)
    }
}

#[cfg(test)]
mod tests;
