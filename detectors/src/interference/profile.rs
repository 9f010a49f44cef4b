//! The quiet profile: what a workload looks like when nobody is in its way, for each load that it was seen at.
use super::counter::{Node, Own, Sample};

/// Declares quotients: what is counted of a workload or its node, made independent of how much it does.
macro_rules! quotients {
    ($($(#[$doc:meta])* $variant:ident ($floor:literal) = $of:expr,)+) => {
        /// A property of a workload's windows that its neighbours change and its load changes less.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Quotient { $($(#[$doc])* $variant,)+ }

        impl Quotient {
            /// Every quotient.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Its value in a window; `None` where a counter of it is not known.
            pub(super) fn of(self, sample: &Sample) -> Option<f64> {
                match self { $(Self::$variant => ($of)(sample),)+ }
            }

            /// What is added before a logarithm is taken: below it, differences mean nothing.
            const fn floor(self) -> f64 {
                match self { $(Self::$variant => $floor,)+ }
            }
        }
    };
}

/// Processor time below which a window says nothing per unit of it, in seconds a second.
const RUN_MIN: f64 = 1e-4;

fn run(sample: &Sample) -> Option<f64> {
    sample.own(Own::Run).filter(|run| *run >= RUN_MIN)
}

/// Waiting for a processor, less what the workload's own quota kept it from: a throttled task counts as waiting.
pub(super) fn wait(sample: &Sample) -> Option<f64> {
    let throttled = sample.own(Own::Throttled).unwrap_or(0.0);
    sample.own(Own::Wait).map(|wait| (wait - throttled).max(0.0))
}

fn per_run(sample: &Sample, counter: Own) -> Option<f64> {
    Some(sample.own(counter)? / run(sample)?)
}

quotients! {
    /// Waiting for a processor over running.
    WaitPerRun(0.02) = |sample: &Sample| Some(wait(sample)? / run(sample)?),
    /// Time slices a second of running.
    SlicesPerRun(20.0) = |sample: &Sample| per_run(sample, Own::Slices),
    /// Time neither running nor waiting, of one thread, a time slice, in seconds.
    SleepPerSlice(1e-5) = |sample: &Sample| {
        let slices = sample.own(Own::Slices).filter(|slices| *slices > 0.0)?;
        Some((1.0 - run(sample)? - wait(sample)?).max(0.0) / slices)
    },
    /// Calls a second of running: how much it gets done for its time, where it calls at all.
    CallsPerRun(20.0) = |sample: &Sample| per_run(sample, Own::Calls),
    /// Requests to storage a second of running.
    StoragePerRun(5.0) = |sample: &Sample| per_run(sample, Own::StorageOps),
    /// Page faults a second of running.
    FaultsPerRun(50.0) = |sample: &Sample| per_run(sample, Own::FaultsMinor),
    /// Running in the kernel over running.
    SystemShare(0.02) = |sample: &Sample| per_run(sample, Own::System),
    /// Running.
    Run(0.005) = |sample: &Sample| sample.own(Own::Run),
    /// Time that a request to the node's disks takes, in seconds.
    DiskLatency(5e-5) = |sample: &Sample| {
        let ops = sample.node(Node::DiskOps).filter(|ops| *ops >= 1.0)?;
        Some(sample.node(Node::DiskWait)? / ops)
    },
    /// Stalling for memory.
    StallMemory(0.01) = |sample: &Sample| sample.own(Own::StallMemory).or(sample.node(Node::StallMemory)),
    /// Stalling for I/O.
    StallIo(0.02) = |sample: &Sample| sample.own(Own::StallIo).or(sample.node(Node::StallIo)),
    /// The clock, in gigahertz.
    Clock(0.01) = |sample: &Sample| sample.node(Node::Clock).map(|hertz| hertz / 1e9),
    /// Memory latency by the active probe, in nanoseconds.
    ProbeLatency(1.0) = |sample: &Sample| sample.node(Node::ProbeLatency).map(|seconds| seconds * 1e9),
    /// Copying by the active probe, in gigabytes a second.
    ProbeCopy(0.1) = |sample: &Sample| sample.node(Node::ProbeCopy).map(|bytes| bytes / 1e9),
    /// Bytes over the way to memory a second of running, in megabytes.
    TrafficPerRun(10.0) = |sample: &Sample| per_run(sample, Own::Traffic).map(|bytes| bytes / 1e6),
}

impl Quotient {
    /// Its value in a profile; `None` where it was never known.
    pub(super) fn value(self, logs: &[f32; Self::COUNT]) -> Option<f64> {
        let log = f64::from(logs[self as usize]);
        log.is_finite().then(|| (log.exp() - self.floor()).max(0.0))
    }
}

/// The logarithms of all quotients of a window, NaN for what is not known.
pub(super) fn logarithms(sample: &Sample) -> [f32; Quotient::COUNT] {
    let mut logs = [f32::NAN; Quotient::COUNT];
    for quotient in Quotient::ALL {
        if let Some(value) = quotient.of(sample).filter(|value| value.is_finite()) {
            logs[*quotient as usize] = (value.max(0.0) + quotient.floor()).ln() as f32;
        }
    }
    logs
}

/// Loads that are told apart: half octaves of demanded processors.
pub(super) const BINS: usize = 24;
/// The load that the lowest bin ends at, in processors.
const LOWEST: f64 = 0.03;
/// How far the profile of one load may stand for another, in half octaves: eight times as much or as little.
const REACH: usize = 6;
/// Windows that the profile of a load takes before it stands.
const WINDOWS_MIN: u16 = 2;
/// Quiet windows in all before a workload is judged.
pub(super) const WINDOWS_NEEDED: u32 = 8;
/// Windows after which older ones are forgotten, slowly: five minutes at a beat of a second.
const MEMORY: u16 = 300;

/// What was seen at one load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bin {
    pub(super) windows: u16,
    pub(super) logs: [f32; Quotient::COUNT],
}

/// The quiet profile of one workload: at most 24 loads of 15 quotients, 1.6 KiB.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    pub(super) bins: Vec<Option<Bin>>,
    pub(super) windows: u32,
}

impl Default for Profile {
    fn default() -> Self {
        Self { bins: vec![None; BINS], windows: 0 }
    }
}

/// Processors that a workload runs on or waits for.
fn demand(sample: &Sample) -> Option<f64> {
    Some(sample.own(Own::Run)? + wait(sample).unwrap_or(0.0))
}

fn bin_of(demand: f64) -> usize {
    ((demand / LOWEST).log2() * 2.0).ceil().clamp(0.0, (BINS - 1) as f64) as usize
}

/// The load of a window, as a number of a bin.
pub(super) fn bin(sample: &Sample) -> Option<usize> {
    demand(sample).map(bin_of)
}

impl Profile {
    /// Learns from a window in which nobody was in the way.
    pub fn learn(&mut self, sample: &Sample) {
        let Some(demand) = demand(sample) else { return };
        let logs = logarithms(sample);
        self.windows = self.windows.saturating_add(1);
        let Some(bin) = &mut self.bins[bin_of(demand)] else {
            self.bins[bin_of(demand)] = Some(Bin { windows: 1, logs });
            return;
        };
        bin.windows = (bin.windows + 1).min(MEMORY);
        for (mean, log) in bin.logs.iter_mut().zip(logs) {
            if mean.is_nan() {
                *mean = log;
            } else if !log.is_nan() {
                *mean += (log - *mean) / f32::from(bin.windows);
            }
        }
    }

    /// Quiet windows learnt.
    pub fn windows(&self) -> u32 {
        self.windows
    }

    /// The profile at the load of a window, the nearest that is known; `None` when none is near enough.
    fn at(&self, sample: &Sample) -> Option<&Bin> {
        let wanted = bin_of(demand(sample)?);
        let known = self.bins.iter().enumerate().filter_map(|(place, bin)| Some((place, bin.as_ref()?)));
        let near = known.filter(|(place, bin)| bin.windows >= WINDOWS_MIN && place.abs_diff(wanted) <= REACH);
        near.min_by_key(|(place, _)| place.abs_diff(wanted)).map(|(_, bin)| bin)
    }

    /// Logarithms of the ratios of a window's quotients to the quiet ones at its load, and the quiet ones' logarithms; NaN
    /// where one of both is not known. `None` when no load near it was ever seen quiet.
    pub(super) fn ratios(&self, sample: &Sample) -> Option<([f32; Quotient::COUNT], [f32; Quotient::COUNT])> {
        let quiet = self.at(sample)?.logs;
        let mut ratios = logarithms(sample);
        ratios.iter_mut().zip(quiet).for_each(|(now, quiet)| *now -= quiet);
        Some((ratios, quiet))
    }

    /// The mean of a quotient's quiet values over loads, weighed by windows; `None` when it was never known.
    pub(super) fn typical(&self, quotient: Quotient) -> Option<f64> {
        let (mut sum, mut weight) = (0.0, 0.0);
        for bin in self.bins.iter().flatten() {
            let log = f64::from(bin.logs[quotient as usize]);
            if log.is_finite() {
                sum += log * f64::from(bin.windows);
                weight += f64::from(bin.windows);
            }
        }
        (weight > 0.0).then(|| ((sum / weight).exp() - quotient.floor()).max(0.0))
    }

    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.bins.capacity() * size_of::<Option<Bin>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(run: f64, wait: f64, slices: f64) -> Sample {
        let mut sample = Sample::default();
        for (counter, value) in [(Own::Run, run), (Own::Wait, wait), (Own::Slices, slices)] {
            sample.own[counter as usize] = value as f32;
        }
        sample
    }

    fn learnt(loads: &[f64]) -> Profile {
        let mut profile = Profile::default();
        for load in loads {
            (0..4).for_each(|_| profile.learn(&window(*load, 0.0, 100.0 * load)));
        }
        profile
    }

    #[test]
    fn a_window_like_the_quiet_ones_has_ratios_of_one_at_every_load() {
        let profile = learnt(&[0.25, 1.0]);
        for load in [0.25, 1.0] {
            let (ratios, _) = profile.ratios(&window(load, 0.0, 100.0 * load)).unwrap();
            assert!(ratios[Quotient::WaitPerRun as usize].abs() < 1e-5);
            assert!(ratios[Quotient::SlicesPerRun as usize].abs() < 1e-5);
            assert!(ratios[Quotient::CallsPerRun as usize].is_nan(), "what is not counted stays unknown");
        }
    }

    #[test]
    fn half_the_processor_is_seen_as_waiting_at_the_same_demand() {
        let profile = learnt(&[1.0]);
        let (ratios, _) = profile.ratios(&window(0.5, 0.5, 200.0)).unwrap();
        assert!(ratios[Quotient::WaitPerRun as usize] > 3.0);
    }

    #[test]
    fn a_load_a_hundred_times_as_large_has_no_profile() {
        assert!(learnt(&[0.1]).ratios(&window(10.0, 0.0, 50.0)).is_none());
        assert!(Profile::default().ratios(&window(1.0, 0.0, 50.0)).is_none());
    }

    #[test]
    fn throttling_by_its_own_quota_is_not_waiting_for_others() {
        let mut sample = window(0.5, 0.5, 50.0);
        sample.own[Own::Throttled as usize] = 0.5;
        assert_eq!(wait(&sample), Some(0.0));
    }

    #[test]
    fn a_profile_takes_less_than_two_kibibytes() {
        assert!(learnt(&[0.1, 0.2, 0.4, 0.8, 1.6]).bytes() < 2048);
    }
}
