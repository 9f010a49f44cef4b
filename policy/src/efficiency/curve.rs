//! What was learnt of one phase of one device: power, work and their ratios at each setting of its knob.
use super::Settings;
use super::trial::Turn;

/// From one setting to the next, as a share of the highest.
pub const STEP: f64 = 0.05;
/// Settings told apart: from the highest down to a quarter of it.
pub const BINS: usize = 16;
/// Comparisons that count: later ones push earlier ones out, so that a curve follows its workload.
const PAIRS_MAX: f64 = 8.0;
/// Seconds that a mean of power and work remembers.
const MEMORY_S: f64 = 3600.0;

/// The share of the highest setting that a bin stands for.
pub fn share(bin: usize) -> f64 {
    // At most BINS.
    1.0 - STEP * bin as f64
}

/// The bin of a share; `None` below the last.
pub fn bin_of(share: f64) -> Option<usize> {
    let bin = ((1.0 - share) / STEP).round();
    // A float to integer cast saturates.
    (bin.is_finite() && bin < BINS as f64).then_some(bin.max(0.0) as usize)
}

/// A mean and a variance of the last few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Spread {
    mean: f64,
    variance: f64,
}

impl Spread {
    fn take(&mut self, number: f64, count: f64) {
        let off = number - self.mean;
        self.mean += off / count;
        self.variance = (1.0 - 1.0 / count) * (self.variance + off * off / count);
    }
}

/// A comparison of a setting with the highest one, made of two stretches next to each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    /// Logarithm of the speed as a share of the speed at the highest setting.
    pub(super) speed: f64,
    /// Logarithm of the energy per work as a multiple of that at the highest setting.
    pub(super) cost: f64,
    /// Variance of the speed by the noise within the stretches.
    pub(super) noise: f64,
}

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Bin {
    pub(super) seconds: f64,
    pub(super) power_w: f64,
    pub(super) rate: f64,
    pairs: f64,
    speed: Spread,
    cost: Spread,
    noise: f64,
    /// Not to be tried before this moment, in seconds.
    refused_until: f64,
}

impl Bin {
    fn sight(&mut self, power_w: f64, rate: f64, weight_s: f64) {
        self.seconds = (self.seconds + weight_s).min(MEMORY_S);
        let part = weight_s / self.seconds;
        self.power_w += part * (power_w - self.power_w);
        self.rate += part * (rate - self.rate);
    }

    /// What is worth keeping over a restart.
    pub(super) fn kept(&self) -> [f64; 9] {
        let Self { seconds, power_w, rate, pairs, speed, cost, noise, .. } = *self;
        [seconds, power_w, rate, pairs, speed.mean, speed.variance, cost.mean, cost.variance, noise]
    }

    /// Takes that back; `None` where a number cannot be.
    pub(super) fn take_back(&mut self, numbers: &[f64; 9]) -> Option<()> {
        let [seconds, power_w, rate, pairs, speed, speed_spread, cost, cost_spread, noise] = *numbers;
        let counts = [seconds, power_w, rate, pairs, speed_spread, cost_spread, noise];
        let sound = counts.iter().all(|number| number.is_finite() && *number >= 0.0)
            && speed.is_finite()
            && cost.is_finite()
            && seconds <= MEMORY_S
            && pairs <= PAIRS_MAX;
        let speed = Spread { mean: speed, variance: speed_spread };
        let cost = Spread { mean: cost, variance: cost_spread };
        *self = Self { seconds, power_w, rate, pairs, speed, cost, noise, refused_until: 0.0 };
        sound.then_some(())
    }

    /// The standard error of the speed's logarithm: of the spread between comparisons or of the noise within them, whichever
    /// is larger.
    fn error(&self) -> f64 {
        (self.speed.variance.max(self.noise) / self.pairs.max(1.0)).sqrt()
    }

    /// Slowdown against the highest setting, a share; `None` without a comparison.
    pub(super) fn slowdown(&self) -> Option<f64> {
        (self.pairs > 0.0).then(|| 1.0 - self.speed.mean.exp())
    }

    /// The slowdown that it stays below, but for noise beyond so many standard errors.
    fn slowdown_most(&self, sigmas: f64) -> Option<f64> {
        (self.pairs > 0.0).then(|| 1.0 - (self.speed.mean - sigmas * self.error()).exp())
    }

    /// Energy per work as a multiple of that at the highest setting; `None` without a comparison.
    pub(super) fn cost(&self) -> Option<f64> {
        (self.pairs > 0.0).then(|| self.cost.mean.exp())
    }
}

/// Every setting of one phase of one device.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Curve {
    pub(super) bins: [Bin; BINS],
    /// The next trial is not before this moment, in seconds.
    due: f64,
}

impl Curve {
    /// Takes the power and the rate of work of a stretch.
    pub(super) fn sight(&mut self, bin: usize, power_w: f64, rate: f64, weight_s: f64) {
        if let Some(bin) = self.bins.get_mut(bin) {
            bin.sight(power_w, rate, weight_s);
        }
    }

    /// Takes a comparison.
    fn compare(&mut self, bin: usize, pair: Pair) {
        let Some(bin) = self.bins.get_mut(bin) else { return };
        bin.pairs = (bin.pairs + 1.0).min(PAIRS_MAX);
        bin.speed.take(pair.speed, bin.pairs);
        bin.cost.take(pair.cost, bin.pairs);
        bin.noise += (pair.noise - bin.noise) / bin.pairs;
    }

    /// Takes what became of a trial of a bin on a beat, and says when the next one is due.
    pub(super) fn end_turn(&mut self, now_s: f64, bin: usize, turn: Turn, settings: &Settings) {
        match turn {
            Turn::On => return,
            Turn::Compared(pair) => return self.compare(bin, pair),
            Turn::Done(pair) => {
                self.compare(bin, pair);
                if self.best(now_s, settings) != bin {
                    self.refuse(bin, now_s, settings);
                }
            }
            Turn::Slow(pair) => {
                // What was known of it does not hold any more, nor of settings above it, if it was the best.
                let all = self.best(now_s, settings) == bin;
                let stale = |place: usize| place == bin || all;
                for (_, old) in self.bins.iter_mut().enumerate().filter(|(place, _)| stale(*place)) {
                    let Bin { seconds, power_w, rate, .. } = *old;
                    *old = Bin { seconds, power_w, rate, ..Bin::default() };
                }
                self.compare(bin, pair);
                self.refuse(bin, now_s, settings);
            }
            Turn::Void => {}
        }
        self.due = f64::NEG_INFINITY;
        let deeper = self.next(now_s, settings).is_some_and(|next| next > self.best(now_s, settings));
        let pause_s = if deeper { settings.pause_s } else { settings.recheck_s };
        self.due = now_s + pause_s;
    }

    /// Leaves a bin alone that was too slow or saved nothing more.
    fn refuse(&mut self, bin: usize, now_s: f64, settings: &Settings) {
        if let Some(bin) = self.bins.get_mut(bin) {
            bin.refused_until = now_s + settings.retry_s;
        }
    }

    /// The setting with the least energy per work among those that are known to be within the limit; 0, the highest, where
    /// none saves enough.
    pub(super) fn best(&self, now_s: f64, settings: &Settings) -> usize {
        let fits = |bin: &Bin| {
            let most = bin.slowdown_most(settings.sigmas);
            let known = bin.pairs >= f64::from(settings.rounds) && now_s >= bin.refused_until;
            known && most.is_some_and(|most| most <= settings.slowdown_max)
        };
        let mut best = (0, 1.0 - settings.gain_min);
        for (place, bin) in self.bins.iter().enumerate().skip(1).filter(|(_, bin)| fits(bin)) {
            if let Some(cost) = bin.cost().filter(|cost| *cost < best.1) {
                best = (place, cost);
            }
        }
        best.0
    }

    /// What to try next at a moment: one step below the best setting, else the best one again; `None` before that is due.
    pub(super) fn next(&self, now_s: f64, settings: &Settings) -> Option<usize> {
        if now_s < self.due {
            return None;
        }
        let best = self.best(now_s, settings);
        let deeper = best + 1;
        let may = self.bins.get(deeper).is_some_and(|bin| now_s >= bin.refused_until);
        match (may && share(deeper) >= settings.floor - STEP / 2.0, best) {
            (true, _) => Some(deeper),
            (false, 0) => None,
            (false, best) => Some(best),
        }
    }
}
