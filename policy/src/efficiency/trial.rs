//! A trial: the highest setting and a lower one in turn, so that a workload that changes meanwhile does not mislead.
use super::Settings;
use super::curve::Pair;
use model::{DeviceId, Work};

/// Which setting a stretch of a trial has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The highest.
    Base,
    /// The lower one.
    Test,
}

/// Means of one stretch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Sum {
    seconds: f64,
    count: f64,
    power_w: f64,
    rate: f64,
    speed: f64,
    squares: f64,
}

/// Power, work and speed of a moment, and the time that they stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) power_w: f64,
    pub(super) rate: f64,
    pub(super) speed: f64,
    pub(super) weight_s: f64,
}

impl Sum {
    fn take(&mut self, sample: &Sample) {
        self.seconds += sample.weight_s;
        self.count += 1.0;
        let part = sample.weight_s / self.seconds;
        self.power_w += part * (sample.power_w - self.power_w);
        self.rate += part * (sample.rate - self.rate);
        let off = sample.speed - self.speed;
        self.speed += part * off;
        self.squares += off * (sample.speed - self.speed);
    }

    /// Variance of the mean speed as a share of it, squared.
    fn noise(&self) -> f64 {
        let freedom = (self.count - 1.0).max(1.0);
        self.squares / freedom / self.count.max(1.0) / (self.speed * self.speed)
    }

    fn usable(&self) -> bool {
        self.count > 1.0 && self.power_w > 0.0 && self.rate > 0.0 && self.speed > 0.0
    }
}

/// What became of a trial on a beat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Turn {
    /// It goes on.
    On,
    /// A comparison was made, and it goes on.
    Compared(Pair),
    /// The last comparison was made.
    Done(Pair),
    /// It is slower than allowed: back off.
    Slow(Pair),
    /// Nothing comes of it.
    Void,
}

/// A trial of one setting of one phase of one device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trial {
    pub(super) device: DeviceId,
    pub(super) work: Work,
    pub(super) bin: usize,
    pub(super) stage: Stage,
    since_s: f64,
    rounds: u32,
    base: Sum,
    test: Sum,
}

impl Trial {
    pub(super) fn new(device: DeviceId, work: Work, bin: usize, now_s: f64) -> Self {
        let (stage, base, test) = (Stage::Base, Sum::default(), Sum::default());
        Self { device, work, bin, stage, since_s: now_s, rounds: 0, base, test }
    }

    /// The bin that the device should have now.
    pub(super) fn wanted(&self) -> usize {
        if self.stage == Stage::Base { 0 } else { self.bin }
    }

    /// Whether the setting has had time to show.
    pub(super) fn settled(&self, now_s: f64, settings: &Settings) -> bool {
        now_s - self.since_s >= settings.settle_s
    }

    /// Takes a sample; `None` on a beat without one.
    pub(super) fn turn(&mut self, now_s: f64, sample: Option<Sample>, settings: &Settings) -> Turn {
        if now_s - self.since_s > settings.settle_s + settings.patience * settings.dwell_s {
            return Turn::Void;
        }
        // A sample that began before the setting had settled says nothing of it.
        let began = |sample: &Sample| now_s - sample.weight_s - self.since_s >= settings.settle_s - 1e-6;
        let Some(sample) = sample.filter(began) else { return Turn::On };
        let sum = if self.stage == Stage::Base { &mut self.base } else { &mut self.test };
        sum.take(&sample);
        let full = sum.seconds >= settings.dwell_s;
        match self.stage {
            Stage::Base if full && !self.base.usable() => Turn::Void,
            Stage::Base if full => {
                (self.stage, self.since_s) = (Stage::Test, now_s);
                Turn::On
            }
            Stage::Base => Turn::On,
            Stage::Test => self.judge(now_s, full, settings),
        }
    }

    fn judge(&mut self, now_s: f64, full: bool, settings: &Settings) -> Turn {
        let slow = || {
            let pair = self.pair()?;
            let least = 1.0 - (pair.speed + pair.noise.sqrt()).exp();
            (self.test.seconds >= settings.glance_s && least > settings.slowdown_max).then_some(pair)
        };
        if let Some(pair) = slow() {
            return Turn::Slow(pair);
        }
        if !full {
            return Turn::On;
        }
        let Some(pair) = self.pair() else { return Turn::Void };
        self.rounds += 1;
        if self.rounds >= settings.rounds {
            return Turn::Done(pair);
        }
        (self.stage, self.since_s) = (Stage::Base, now_s);
        (self.base, self.test) = (Sum::default(), Sum::default());
        Turn::Compared(pair)
    }

    fn pair(&self) -> Option<Pair> {
        let (base, test) = (&self.base, &self.test);
        (base.usable() && test.usable()).then(|| Pair {
            speed: (test.speed / base.speed).ln(),
            cost: (test.power_w / test.rate / (base.power_w / base.rate)).ln(),
            noise: base.noise() + test.noise(),
        })
    }
}
