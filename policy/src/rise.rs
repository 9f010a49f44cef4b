//! Rises: how fast counted power goes up on this node, and the thresholds that follow from it.
use crate::settings::Settings;

/// Bins of the histogram, one a hundredth of a rise; the last holds everything beyond.
const BINS: usize = 100;
/// Weight of what was seen a day ago: after a week about a tenth of it is left.
const KEPT_A_DAY: f64 = 0.72;
/// Weight below which a bin is as good as empty, so that a rise of long ago is forgotten for good.
const FAINT: f64 = 0.1;
/// Length of a day, in seconds.
const DAY_S: f64 = 86_400.0;
/// Beats that can be looked back on.
const BACK_MAX: usize = 16;
/// First bytes of what is kept over a restart, with its version.
const MAGIC: [u8; 4] = *b"WKR1";

/// The thresholds in force.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Share at which low-priority work is trimmed.
    pub low: f64,
    /// Share at which all work is trimmed.
    pub high: f64,
}

/// What was seen of rises. Memory is of fixed size.
///
/// A rise is relative: counted power now over the least of the last few beats, as many as the loop needs to see, decide, write and
/// settle. It counts where it began near enough to the budget to matter, where everything was read, and where no loosening of ours is
/// part of it.
#[derive(Debug, Clone)]
pub struct Rises {
    bins: [f64; BINS],
    /// Beats seen, decayed like the bins.
    seen: f64,
    /// Shares of the last beats, the newest first.
    back: [f64; BACK_MAX],
    filled: usize,
}

impl Default for Rises {
    fn default() -> Self {
        Self { bins: [0.0; BINS], seen: 0.0, back: [0.0; BACK_MAX], filled: 0 }
    }
}

impl Rises {
    /// Takes one beat: counted power as a share of the budget, `None` where something could not be read, and the time that passed.
    pub fn see(&mut self, share: Option<f64>, passed_s: f64, settings: &Settings) {
        let kept = KEPT_A_DAY.powf(passed_s.clamp(0.0, DAY_S) / DAY_S);
        self.seen *= kept;
        self.bins.iter_mut().for_each(|bin| *bin *= kept);
        let Some(share) = share.filter(|share| share.is_finite() && *share > 0.0) else {
            return self.forget();
        };
        let beats = beats(settings, passed_s);
        let began = self.back[..self.filled.min(beats)].iter().copied().fold(f64::INFINITY, f64::min);
        if began.is_finite() && began >= settings.rise_from {
            self.note(share / began - 1.0);
        }
        self.back.copy_within(..BACK_MAX - 1, 1);
        self.back[0] = share;
        self.filled = (self.filled + 1).min(BACK_MAX);
    }

    /// The reflex braked: power rose from the last beat's share to at least the budget, and no beat sees how far.
    pub fn braked(&mut self, settings: &Settings) {
        let last = self.back[..self.filled.min(1)].first().copied();
        if let Some(began) = last.filter(|began| *began >= settings.rise_from && *began < 1.0) {
            self.note(1.0 / began - 1.0);
        }
        self.forget();
    }

    /// What follows is no rise from what was: something was loosened, or readings are missing.
    pub fn forget(&mut self) {
        self.filled = 0;
    }

    fn note(&mut self, rise: f64) {
        self.seen += 1.0;
        // A share of at least `rise_from` bounds the quotient; the last bin takes what is beyond.
        let bin = (rise.max(0.0) * 100.0).ceil() as usize;
        self.bins[bin.min(BINS - 1)] += 1.0;
    }

    /// The rise that is not passed but by so few, the worst at 1; `None` while too little was seen.
    pub fn worst(&self, settings: &Settings) -> Option<f64> {
        if self.seen < settings.rise_beats {
            return None;
        }
        let allowed = (1.0 - settings.rise_quantile).max(0.0) * self.seen;
        let mut beyond = 0.0;
        for (bin, weight) in self.bins.iter().enumerate().rev() {
            if *weight >= FAINT {
                beyond += weight;
            }
            if beyond > allowed {
                return Some(bin as f64 / 100.0);
            }
        }
        Some(0.0)
    }

    /// The thresholds: `1 / (1 + rise)` for all work, the configured ones while too little was seen, and never above those. What
    /// lies between the two thresholds stays as configured. They never fall so low that a normal day is a trimmed one.
    pub fn thresholds(&self, settings: &Settings) -> Thresholds {
        let Settings { low, high, rise_most, .. } = *settings;
        let Some(rise) = self.worst(settings) else { return Thresholds { low, high } };
        let learnt = 1.0 / (1.0 + rise.min(rise_most));
        let high_now = high.min(learnt);
        Thresholds { low: low.min((high_now - (high - low)).max(0.5 * high_now)), high: high_now }
    }

    /// What was learnt, to be kept over a restart: a version, then numbers in little-endian order.
    pub fn learnt(&self) -> Vec<u8> {
        let numbers = std::iter::once(&self.seen).chain(&self.bins);
        MAGIC.into_iter().chain(numbers.flat_map(|number| number.to_le_bytes())).collect()
    }

    /// Takes back what an earlier run had learnt.
    ///
    /// # Errors
    /// When the bytes are of another version or make no sense, in words; it then learns anew.
    pub fn recall(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let Some(body) = bytes.strip_prefix(&MAGIC) else { return Err("another version") };
        if body.len() != 8 * (BINS + 1) {
            return Err("another length");
        }
        let mut read = Self::default();
        let numbers =
            body.chunks_exact(8).map(|eight| f64::from_le_bytes(eight.try_into().unwrap_or_default()));
        for (slot, number) in std::iter::once(&mut read.seen).chain(&mut read.bins).zip(numbers) {
            if !number.is_finite() || number < 0.0 {
                return Err("a count that cannot be");
            }
            *slot = number;
        }
        *self = read;
        Ok(())
    }
}

/// Beats that the loop needs: one between two readings, and until power has followed a write.
fn beats(settings: &Settings, passed_s: f64) -> usize {
    let beat_s = if passed_s > 0.0 { passed_s } else { 1.0 };
    // Bounded by the length of what is kept.
    ((1.0 + settings.settle.as_secs_f64() / beat_s).ceil() as usize).clamp(1, BACK_MAX)
}

#[cfg(test)]
mod tests;
