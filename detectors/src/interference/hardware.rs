//! Hardware: what counters say of a workload where the host has them: cycles per instruction, cache misses, the clock, traffic.
//!
//! Time that a workload is served for the same instructions is cycles per instruction over the clock, so both against the quiet
//! ones at the same load are physics, as waiting is. `count` makes windows of frames, `machine` knows the node. Counters that
//! are absent, or were on the hardware for too little of the time, change nothing: the estimate is the one without them.
mod count;
mod machine;

use super::blame::{Blame, correlate, uses_disk};
use super::counter::Sample;
use super::features::Seen;
use super::profile::{BINS, WINDOWS_NEEDED, bin};
use count::{Count, Totals};
pub(super) use machine::Machine;
use model::interference::{Basis, Counters, Estimate};
use model::{DeviceId, Frame, Resource};

/// The numbers that judging by counters rests on. No host with counters was at hand: all that are ours are untested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// Share of the time that counters must have been on the hardware: 0.1. Below it most of what was executed is a guess
    /// (perf_event_open(2) scales by it).
    pub(super) share: f64,
    /// How many more misses an instruction has before the cache is contended, as a factor. Ours; Intel's Platform Resource
    /// Manager takes 3 to 4 standard deviations of days of data (signals.md 1.2).
    pub(super) misses: f64,
    /// Share of a domain's highest traffic from which the way to memory is full. Ours: streaming work gets 80 to 90 % of what
    /// memory can do in theory.
    pub(super) full: f64,
    /// How much wider than the model's own the interval is, which was calibrated without counters. Ours.
    pub(super) widen: f64,
    /// How far the interval reaches on each side at least: 0.1, the noise floor of memory-bound work (signals.md 1.6).
    pub(super) width: f64,
    /// Standard deviations of quiet cycles per instruction that the interval is wider on each side: 2, after CPI2.
    pub(super) deviations: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { share: 0.1, misses: 1.2, full: 0.8, widen: 2.0, width: 0.1, deviations: 2.0 }
    }
}

/// Loads by which the quiet values of one may stand for another, in half octaves: twice as much or as little. Cycles per
/// instruction change with load more than what the profile compares.
const REACH: usize = 2;
/// Quiet windows that a load takes before it stands.
const WINDOWS_MIN: u16 = 2;
/// Windows after which older ones are forgotten, slowly.
const MEMORY: u16 = 300;
/// Windows that are remembered to find who is to blame.
const WINDOWS: usize = 30;

/// Quiet values at one load, as logarithms.
#[derive(Debug, Clone, Copy)]
struct Quiet {
    windows: u16,
    cpi: f32,
    /// Variance of that.
    variance: f32,
    misses: f32,
    clock: f32,
}

/// One beat of a workload for whoever looks for culprits.
#[derive(Debug, Clone, Copy, Default)]
struct Past {
    beat: u64,
    /// Logarithm of cycles per instruction; NaN where not known.
    cpi: f32,
    /// Gigabytes a second over the way to memory; NaN where not known.
    presses: f32,
}

/// What is kept of a workload that was counted at least once.
#[derive(Debug, Clone)]
struct Known {
    quiet: [Option<Quiet>; BINS],
    windows: u32,
    past: [Past; WINDOWS],
}

/// The counters of one workload: 64 bytes, and 1 KiB once it is counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Hardware {
    totals: Totals,
    count: Count,
    known: Option<Box<Known>>,
    state: Option<Counters>,
}

impl Hardware {
    /// Bytes beside its own that one takes at most.
    #[cfg(test)]
    pub(super) const MOST: usize = size_of::<Known>();

    /// Takes a beat of the workload.
    pub(super) fn take(&mut self, frame: &Frame, device: DeviceId, (machine, beat): (&Machine, u64)) {
        self.count = self.totals.take(frame, device, machine.clock());
        self.state = None;
        let (cpi, presses) = (self.count.cpi(), self.count.presses());
        if cpi.is_none() && presses.is_none() {
            return;
        }
        let known = self.known.get_or_insert_with(|| {
            Box::new(Known { quiet: [None; BINS], windows: 0, past: [Past::default(); WINDOWS] })
        });
        let log = |value: Option<f64>| value.map_or(f32::NAN, |value| value.ln() as f32);
        let enough = self.count.share >= Limits::default().share;
        known.past[(beat % WINDOWS as u64) as usize] = Past {
            beat,
            cpi: log(cpi.filter(|_| enough)),
            presses: presses.map_or(f32::NAN, |bytes| (bytes / 1e9) as f32),
        };
    }

    /// How far counters enter the judgement; `None` where there are none.
    pub(super) fn state(&self) -> Option<Counters> {
        self.state
    }

    /// What counters say of a window; `quiet`: nobody was in the way, so it is learnt from and not judged. `None` where they say
    /// nothing.
    pub(super) fn service(
        &mut self,
        sample: &Sample,
        quiet: bool,
        (machine, limits): (&Machine, &Limits),
    ) -> Option<Service> {
        let cpi = self.count.cpi()?.ln() as f32;
        if self.count.share < limits.share {
            self.state = Some(Counters::Sparse);
            return None;
        }
        self.state = Some(Counters::Learning);
        let (known, place) = (self.known.as_mut()?, bin(sample)?);
        let log = |value: Option<f64>| value.map_or(f32::NAN, |value| value.ln() as f32);
        let now = Quiet {
            windows: 1,
            cpi,
            variance: 0.0,
            misses: log(self.count.misses()),
            clock: log(self.count.clock()),
        };
        if quiet {
            known.windows = known.windows.saturating_add(1);
            known.quiet[place].get_or_insert(now).learn(&now);
        }
        let alone = known.at(place)?;
        self.state = Some(Counters::Used);
        let ratio = |now: f32, alone: f32| Some(f64::from(now - alone)).filter(|ratio| ratio.is_finite());
        (!quiet).then(|| Service {
            cpi: f64::from(now.cpi - alone.cpi),
            clock: ratio(now.clock, alone.clock).unwrap_or(0.0),
            misses: ratio(now.misses, alone.misses),
            spread: f64::from(alone.variance).sqrt(),
            full: machine.is_full(self.count.traffic(), limits.full),
        })
    }

    /// How far a suspect's traffic goes with this workload's cycles per instruction, and how hard it presses now, in gigabytes
    /// a second; `None` where one of both is not counted, or too little is known.
    pub(super) fn correlation(&self, suspect: &Self, resource: Resource) -> Option<(f64, f64)> {
        if !matches!(resource, Resource::Cache | Resource::MemoryBandwidth) {
            return None;
        }
        let (own, other) = (self.known.as_deref()?, suspect.known.as_deref()?);
        let pairs = own.past.iter().zip(&other.past).filter_map(|(own, other)| {
            let both = own.beat == other.beat && !own.cpi.is_nan() && !other.presses.is_nan();
            both.then(|| (f64::from(other.presses), f64::from(own.cpi)))
        });
        let presses = suspect.count.presses()? / 1e9;
        correlate(pairs).map(|correlation| (correlation, presses))
    }

    /// Bytes of memory beside the struct's own.
    pub(super) fn bytes(&self) -> usize {
        self.known.as_ref().map_or(0, |_| size_of::<Known>())
    }
}

impl Quiet {
    fn learn(&mut self, now: &Self) {
        self.windows = self.windows.saturating_add(1).min(MEMORY);
        let weight = 1.0 / f32::from(self.windows);
        let off = now.cpi - self.cpi;
        self.variance += (off * off - self.variance) * weight;
        for (mean, value) in
            [(&mut self.cpi, now.cpi), (&mut self.misses, now.misses), (&mut self.clock, now.clock)]
        {
            if mean.is_nan() {
                *mean = value;
            } else if !value.is_nan() {
                *mean += (value - *mean) * weight;
            }
        }
    }
}

impl Known {
    /// The quiet values nearest to a load.
    fn at(&self, place: usize) -> Option<Quiet> {
        let stands = |bin: &Option<Quiet>| bin.filter(|bin| bin.windows > WINDOWS_MIN);
        let known =
            self.quiet.iter().enumerate().filter_map(|(at, bin)| Some((at.abs_diff(place), stands(bin)?)));
        let near = known.filter(|(far, _)| *far <= REACH).min_by_key(|(far, _)| *far);
        near.filter(|_| self.windows >= WINDOWS_NEEDED).map(|(_, bin)| bin)
    }
}

/// What counters say of one window against the quiet ones at its load; logarithms of ratios.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Service {
    /// Of cycles per instruction.
    cpi: f64,
    /// Of the clock; 0 where it is not known.
    clock: f64,
    /// Of misses per instruction.
    misses: Option<f64>,
    /// Standard deviation of the quiet cycles per instruction.
    spread: f64,
    /// Whether the way to memory is full of others' traffic; `None` where that is not known.
    full: Option<bool>,
}

impl Service {
    /// The model's estimate with what was counted in place of what it guessed: performance is what waiting leaves of the time,
    /// times the speed of what was executed. Of work that sleeps on disks or the network, of which counters see little, the
    /// lower of both. `around` is the model's interval at a stretch.
    pub(super) fn refine(
        &self,
        estimate: Estimate,
        seen: &Seen,
        (blame, limits): (&Blame, &Limits),
        around: impl Fn(f64, f64) -> (f64, f64),
    ) -> Estimate {
        let served = (seen.physics * (self.clock - self.cpi).min(0.0).exp()).max(1e-2);
        let sleeps = matches!(estimate.resource, Some(Resource::Io | Resource::Network | Resource::Memory));
        if (sleeps || uses_disk(seen)) && estimate.y <= served {
            return estimate;
        }
        let (low, high) = around(served, limits.widen);
        let noise = (limits.deviations * self.spread).exp();
        Estimate {
            y: served,
            low: (low / noise).min(served - limits.width).max(0.0),
            high: (high * noise).max(served + limits.width).min(1.0),
            basis: Basis::Physics,
            resource: (served < blame.floor).then(|| self.resource(seen, limits)),
            ..estimate
        }
    }

    /// The resource of the largest part of the slowdown.
    fn resource(&self, seen: &Seen, limits: &Limits) -> Resource {
        let (waits, slower, clock) = (-seen.physics.ln(), self.cpi, -self.clock);
        if waits >= slower.max(clock) {
            Resource::RunQueue
        } else if clock > slower {
            Resource::Power
        } else if self.full == Some(true) {
            // Others that fill the way to memory have thrown out the cache on the way.
            Resource::MemoryBandwidth
        } else if self.misses.is_some_and(|misses| misses >= limits.misses.ln()) {
            Resource::Cache
        } else {
            Resource::Unknown
        }
    }
}
