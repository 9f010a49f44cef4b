//! Alone: what a process was like while it had the accelerator to itself, by load.
use super::sighting::Sighting;

/// Bins of load: half octaves of the share of time in which its kernels run, from all of it down to a 64th.
const BINS: usize = 13;
/// Beats alone before anything is compared with them. Ours: a bin of three has forgotten the noise of whole percents.
const NEEDED: u32 = 5;
/// Beats in a bin before it counts.
const BIN_NEEDED: u32 = 2;
/// The weight of the newest beat in a bin: a memory of a minute or so.
const WEIGHT: f64 = 1.0 / 60.0;
/// How much of the highest clock is forgotten a beat: less than half a percent an hour.
const FORGET: f64 = 1e-6;

/// Means of one bin; NaN for what was never seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usual {
    pub(super) own: f64,
    pub(super) sm: f64,
    pub(super) tensor: f64,
    pub(super) memory: f64,
    pub(super) host: f64,
    count: u32,
}

const NEVER: Usual =
    Usual { own: f64::NAN, sm: f64::NAN, tensor: f64::NAN, memory: f64::NAN, host: f64::NAN, count: 0 };

/// What is known of it alone. 650 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alone {
    bins: [Usual; BINS],
    /// The bin of the last beat alone.
    last: usize,
    /// The highest clock seen, in hertz.
    pub(super) clock: f64,
    beats: u32,
}

impl Default for Alone {
    fn default() -> Self {
        Self { bins: [NEVER; BINS], last: 0, clock: 0.0, beats: 0 }
    }
}

fn bin(share: f64) -> usize {
    // Between 0 and 12, so that the cast is exact.
    (-2.0 * share.clamp(1.0 / 64.0, 1.0).log2()).round() as usize
}

impl Alone {
    /// Learns from a beat without others and with nothing that holds the clock down; any other is left out.
    pub fn learn(&mut self, seen: &Sighting) {
        let (true, true, Some(own)) = (seen.count == 0, seen.free, seen.share()) else { return };
        if own < super::sighting::PRESENT {
            return;
        }
        self.last = bin(own);
        self.beats = self.beats.saturating_add(1);
        self.clock = (self.clock * (1.0 - FORGET)).max(seen.clock.unwrap_or(0.0));
        let usual = &mut self.bins[self.last];
        usual.count = usual.count.saturating_add(1);
        let weight = (1.0 / f64::from(usual.count)).max(WEIGHT);
        let take = |mean: &mut f64, value: Option<f64>| {
            let Some(value) = value else { return };
            *mean = if mean.is_nan() { value } else { *mean + weight * (value - *mean) };
        };
        take(&mut usual.own, Some(own));
        take(&mut usual.sm, seen.sm);
        take(&mut usual.tensor, seen.tensor);
        take(&mut usual.memory, seen.memory);
        take(&mut usual.host, seen.host);
    }

    /// At the highest load, and as it was last; `None` before it was alone for long enough.
    pub(super) fn known(&self) -> Option<(&Usual, &Usual)> {
        if self.beats < NEEDED {
            return None;
        }
        let full = self.bins.iter().find(|usual| usual.count >= BIN_NEEDED)?;
        let last = Some(&self.bins[self.last]).filter(|usual| usual.count >= BIN_NEEDED).unwrap_or(full);
        Some((full, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(own: f64, count: usize) -> Sighting {
        Sighting {
            own: Some(own),
            count,
            memory: Some(own / 2.0),
            clock: Some(1e9),
            free: true,
            ..Sighting::default()
        }
    }

    #[test]
    fn loads_are_kept_apart_and_what_others_do_is_not_learnt() {
        let mut alone = Alone::default();
        (0..4).for_each(|_| alone.learn(&seen(0.9, 0)));
        (0..4).for_each(|_| alone.learn(&seen(0.2, 1)));
        assert!(alone.known().is_none(), "four beats alone are too few");
        (0..4).for_each(|_| alone.learn(&seen(0.3, 0)));
        let (full, last) = alone.known().unwrap();
        assert!((full.own - 0.9).abs() < 1e-9 && (last.own - 0.3).abs() < 1e-9);
        assert!((last.memory - 0.15).abs() < 1e-9 && full.tensor.is_nan());
    }

    #[test]
    fn under_a_cap_nothing_is_learnt() {
        let mut alone = Alone::default();
        (0..20).for_each(|_| alone.learn(&Sighting { free: false, ..seen(0.9, 0) }));
        assert!(alone.known().is_none());
    }
}
