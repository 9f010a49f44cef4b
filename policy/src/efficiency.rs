//! Efficiency: the setting of each device with the least energy per work, learnt online, within a slowdown that the operator
//! allows. With a limit of 0, the default, it only watches: it tries nothing and proposes nothing.
//!
//! # Method
//!
//! For each device and phase of work the knob's range is cut into bins ([`curve`]). A lower bin is tried one step below the
//! best one known, on one device of the node at a time, in turns with the highest setting ([`trial`]): what is compared are
//! two stretches next to each other, so that traffic which changes over the day does not count as slowdown or saving. A trial
//! ends at once when the device is slower than allowed by more than the noise. The best bin is the one with the least energy per
//! work whose slowdown stays within the limit even when it is worse by some standard errors. It is tried again now and then.
//!
//! Knobs, after arXiv 2605.11999 and POLCA (arXiv 2308.12908): a locked clock for inference, since power limits do nothing in
//! token generation, and pass over bursts of prompts; the power limit for training, and where clocks cannot be locked.
//!
//! # What it misses
//!
//! A server that is not busy loses no tokens at a lower clock but latency; only where its engine tells how many requests run
//! is the speed of each of them compared. A workload that becomes more sensitive to the setting it has is found out when the
//! setting is compared again, half an hour later at most. Work without an engine is judged by counters that are only near to it.
pub mod curve;
pub mod kept;
mod propose;
mod see;
mod trial;

use curve::{BINS, Curve, bin_of, share};
use model::{DeviceId, Priority, Work};
pub use propose::propose;
pub use see::Eye;
use std::collections::BTreeMap;
use trial::{Sample, Trial, Turn};

/// The most devices that curves are kept of.
pub const DEVICES_MAX: usize = 64;
/// Phases that have a curve.
pub const PHASES: [Work; 3] = [Work::Training, Work::Prefill, Work::Decode];

/// How settings are sought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The slowdown that is allowed, a share of the speed at the highest setting; 0: nothing is tried or proposed.
    pub slowdown_max: f64,
    /// The lowest setting that is tried, as a share of the highest. Zeus's traces: median slowdowns stay below 20 % down to half
    /// the power limit on V100 and P100, and grow steeply below it.
    pub floor: f64,
    /// Seconds of samples of one stretch of a trial. Ours: several iterations of training and bursts of prompts.
    pub dwell_s: f64,
    /// Seconds after a change before samples count. Ours: above the settling of RAPL of 2 s (Dynamo, ISCA'16) and the usual
    /// 5 s between two readings of an engine.
    pub settle_s: f64,
    /// Seconds of samples after which a trial may be found too slow.
    pub glance_s: f64,
    /// Comparisons of one trial, and the fewest that a setting is chosen by.
    pub rounds: u32,
    /// A stretch may take so many times its samples' time before the trial is given up.
    pub patience: f64,
    /// Seconds for which a phase must last before anything is tried or lowered in it.
    pub hold_s: f64,
    /// Seconds from one trial of a phase to the next, deeper one.
    pub pause_s: f64,
    /// Seconds after which the best setting is compared with the highest again.
    pub recheck_s: f64,
    /// Seconds after which a setting that was too slow, or saved nothing, is tried again.
    pub retry_s: f64,
    /// The saving of energy per work below which a setting is not worth its slowdown. Ours.
    pub gain_min: f64,
    /// Standard errors by which a setting must be within the limit.
    pub sigmas: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slowdown_max: 0.0,
            floor: 0.5,
            dwell_s: 30.0,
            settle_s: 6.0,
            glance_s: 5.0,
            rounds: 3,
            patience: 3.0,
            hold_s: 10.0,
            pause_s: 60.0,
            recheck_s: 1800.0,
            retry_s: 3600.0,
            gain_min: 0.01,
            sigmas: 2.0,
        }
    }
}

/// What is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dial {
    /// The power limit.
    PowerLimit,
    /// The highest clock of the compute units.
    Clock,
}

/// Why a setting is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To see what it does.
    Trial,
    /// It does most work for the energy.
    Best,
}

/// A setting that a device should have. A device without a wish should have its original setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// The device.
    pub device: DeviceId,
    /// What is to be turned.
    pub dial: Dial,
    /// To which share of its highest setting, below 1.
    pub share: f64,
    /// Why.
    pub purpose: Purpose,
}

/// One device on one beat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// The device.
    pub device: DeviceId,
    /// What it does; `None` where that is not known.
    pub work: Option<Work>,
    /// Its power, in watts.
    pub power_w: Option<f64>,
    /// Work a second in any unit that stays the same, and the seconds that this is the mean of.
    pub rate: Option<(f64, f64)>,
    /// How many share that work (requests that run), where that is known: speed is rate over it.
    pub sharers: Option<f64>,
    /// The power limit in force as a share of the highest.
    pub limit: Option<f64>,
    /// The clock in force as a share of the highest: 1 where it is not locked, `None` where it cannot be.
    pub clock: Option<f64>,
    /// How much its work matters.
    pub priority: Priority,
}

impl Seen {
    /// The dial for a work.
    fn dial(&self, work: Work) -> Dial {
        match (work, self.clock) {
            (Work::Prefill | Work::Decode, Some(_)) => Dial::Clock,
            _ => Dial::PowerLimit,
        }
    }

    fn in_force(&self, dial: Dial) -> Option<f64> {
        if dial == Dial::Clock { self.clock } else { self.limit }
    }

    fn sample(&self) -> Option<Sample> {
        let (rate, weight_s) = self.rate?;
        let speed = rate / self.sharers.filter(|sharers| *sharers > 0.0).unwrap_or(1.0);
        let sound = |number: f64| number.is_finite() && number >= 0.0;
        let power_w = self.power_w?;
        ([power_w, rate, speed].into_iter().all(sound) && weight_s > 0.0).then_some(Sample {
            power_w,
            rate,
            speed,
            weight_s,
        })
    }
}

/// One device and what is known of it.
#[derive(Debug, Clone, Copy)]
struct Subject {
    work: Option<Work>,
    since_s: f64,
    curves: [(Dial, Curve); PHASES.len()],
    /// What was wished last.
    wished: (Dial, usize),
}

fn place(work: Work) -> Option<usize> {
    PHASES.iter().position(|phase| *phase == work)
}

/// One setting of one phase of one device, as it was learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learnt {
    /// The device.
    pub device: DeviceId,
    /// The phase.
    pub work: Work,
    /// The knob.
    pub dial: Dial,
    /// The share of the highest setting.
    pub share: f64,
    /// Mean power, in watts, of the last hour at this setting.
    pub power_w: f64,
    /// Mean work a second; the unit is that of [`Seen::rate`].
    pub rate: f64,
    /// How long it was seen, in seconds, an hour at most.
    pub seconds: f64,
    /// Slowdown against the highest setting, a share; `None` where it was not compared.
    pub slowdown: Option<f64>,
    /// Energy per work as a multiple of that at the highest setting; `None` where it was not compared.
    pub cost: Option<f64>,
    /// Whether it is the best known within the limit.
    pub best: bool,
}

/// Learns curves and proposes settings.
#[derive(Debug, Clone, Default)]
pub struct Efficiency {
    settings: Settings,
    subjects: BTreeMap<DeviceId, Subject>,
    trial: Option<Trial>,
    /// The device of the last trial: the next one's turn comes after it.
    last: Option<DeviceId>,
    wishes: Vec<Wish>,
}

impl Efficiency {
    /// A learner that knows nothing.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Takes over other settings; what was learnt stays, and a trial under way is given up.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
        self.trial = None;
    }

    /// Forgets a device, as when its handle was given to another one.
    pub fn forget(&mut self, device: DeviceId) {
        self.subjects.remove(&device);
        self.trial = self.trial.filter(|trial| trial.device != device);
    }

    /// Follows one beat and gives the settings that devices should have, at most one a device. `now_s`: a clock that never
    /// goes back. `pressure`: whether the power budget trims anything now; then nothing is tried.
    pub fn turn(&mut self, now_s: f64, pressure: bool, seen: &[Seen]) -> &[Wish] {
        for one in seen {
            self.learn(now_s, one);
        }
        self.wishes.clear();
        if self.settings.slowdown_max <= 0.0 {
            self.trial = None;
            self.subjects.values_mut().for_each(|subject| subject.wished.1 = 0);
            return &self.wishes;
        }
        self.follow_trial(now_s, pressure, seen);
        if self.trial.is_none() && !pressure {
            self.begin_trial(now_s, seen);
        }
        for one in seen {
            self.wish(now_s, one);
        }
        &self.wishes
    }

    /// Notes the phase, and power and work at the setting in force.
    fn learn(&mut self, now_s: f64, seen: &Seen) {
        if !self.subjects.contains_key(&seen.device) && self.subjects.len() >= DEVICES_MAX {
            return;
        }
        let fresh = || Subject {
            work: None,
            since_s: now_s,
            curves: [(Dial::PowerLimit, Curve::default()); PHASES.len()],
            wished: (Dial::PowerLimit, 0),
        };
        let subject = self.subjects.entry(seen.device).or_insert_with(fresh);
        if subject.work != seen.work {
            (subject.work, subject.since_s) = (seen.work, now_s);
        }
        let Some((work, place)) = seen.work.and_then(|work| Some((work, place(work)?))) else { return };
        let dial = seen.dial(work);
        let (known, curve) = &mut subject.curves[place];
        if *known != dial {
            (*known, *curve) = (dial, Curve::default());
        }
        let bin = seen.in_force(dial).and_then(bin_of);
        if let Some((bin, sample)) = bin.zip(seen.sample()) {
            curve.sight(bin, sample.power_w, sample.rate, sample.weight_s);
        }
    }

    /// Whether something may be tried on a device: its phase lasts, its work is not of high priority.
    fn eligible(&self, now_s: f64, seen: &Seen) -> Option<Work> {
        let subject = self.subjects.get(&seen.device)?;
        let lasts = now_s - subject.since_s >= self.settings.hold_s;
        seen.work.filter(|work| lasts && place(*work).is_some() && seen.priority != Priority::High)
    }

    fn follow_trial(&mut self, now_s: f64, pressure: bool, seen: &[Seen]) {
        let Some(mut trial) = self.trial.take() else { return };
        let settings = self.settings;
        // Somebody else's cap in between makes a stretch say nothing.
        let ours = |one: &&Seen| {
            let bin = one.in_force(one.dial(trial.work)).and_then(bin_of);
            !trial.settled(now_s, &settings) || bin == Some(trial.wanted())
        };
        let one = seen.iter().find(|one| one.device == trial.device);
        let one = one.filter(|one| !pressure && self.eligible(now_s, one) == Some(trial.work)).filter(ours);
        let turn = one.map_or(Turn::Void, |one| trial.turn(now_s, one.sample(), &settings));
        if let Some((_, curve)) = self.curve(trial.device, trial.work) {
            curve.end_turn(now_s, trial.bin, turn, &settings);
            self.trial = matches!(turn, Turn::On | Turn::Compared(_)).then_some(trial);
        }
    }

    fn curve(&mut self, device: DeviceId, work: Work) -> Option<&mut (Dial, Curve)> {
        let place = place(work)?;
        self.subjects.get_mut(&device).map(|subject| &mut subject.curves[place])
    }

    /// Begins a trial on the first device behind the last one that is due.
    fn begin_trial(&mut self, now_s: f64, seen: &[Seen]) {
        let settings = self.settings;
        let first = seen.iter().position(|one| self.last.is_none_or(|last| one.device > last)).unwrap_or(0);
        for one in seen.iter().cycle().skip(first).take(seen.len()) {
            let Some(work) = self.eligible(now_s, one) else { continue };
            if one.sample().is_none() || one.in_force(one.dial(work)).is_none() {
                continue;
            }
            let next = self.curve(one.device, work).and_then(|(_, curve)| curve.next(now_s, &settings));
            if let Some(bin) = next {
                self.last = Some(one.device);
                self.trial = Some(Trial::new(one.device, work, bin, now_s));
                return;
            }
        }
    }

    /// What a device should have: the trial's setting, else the best one known. It is raised at once, and lowered only in a
    /// phase that lasts; while a phase is not known, the last wish stands for a moment.
    fn wish(&mut self, now_s: f64, seen: &Seen) {
        let settings = self.settings;
        let lasts = self.eligible(now_s, seen).is_some();
        let trial = self.trial.filter(|trial| trial.device == seen.device);
        let Some(subject) = self.subjects.get_mut(&seen.device) else { return };
        let phase = seen.work.and_then(place);
        let (dial, bin) = match (trial, phase) {
            _ if seen.priority == Priority::High => (subject.wished.0, 0),
            (Some(trial), Some(place)) => (subject.curves[place].0, trial.wanted()),
            (None, Some(place)) => {
                let (dial, curve) = &subject.curves[place];
                let before = if subject.wished.0 == *dial { subject.wished.1 } else { 0 };
                let best = curve.best(now_s, &settings);
                (*dial, if lasts { best } else { best.min(before) })
            }
            _ if seen.work.is_none() && now_s - subject.since_s < settings.hold_s => subject.wished,
            _ => (subject.wished.0, 0),
        };
        subject.wished = (dial, bin);
        if bin > 0 {
            let purpose = if trial.is_some() { Purpose::Trial } else { Purpose::Best };
            self.wishes.push(Wish { device: seen.device, dial, share: share(bin), purpose });
        }
    }

    /// Every setting that was seen, device by device, on the clock of [`Efficiency::turn`].
    pub fn learnt(&self, now_s: f64) -> Vec<Learnt> {
        let mut list = Vec::new();
        for (device, subject) in &self.subjects {
            for (work, (dial, curve)) in PHASES.into_iter().zip(&subject.curves) {
                let best = curve.best(now_s, &self.settings);
                let bins = curve.bins.iter().enumerate().filter(|(_, bin)| bin.seconds > 0.0);
                list.extend(bins.map(|(place, bin)| Learnt {
                    device: *device,
                    work,
                    dial: *dial,
                    share: share(place),
                    power_w: bin.power_w,
                    rate: bin.rate,
                    seconds: bin.seconds,
                    slowdown: bin.slowdown(),
                    cost: bin.cost(),
                    best: place == best && best > 0,
                }));
            }
        }
        list
    }

    /// Bytes of memory it holds at most, each device's curves with all their bins.
    pub const BYTES_MAX: usize = DEVICES_MAX * size_of::<Subject>();
}

const _: () = assert!(BINS > 1 && Efficiency::BYTES_MAX < 1 << 20);

#[cfg(test)]
mod tests;
