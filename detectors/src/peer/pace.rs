//! How much a device gets done, and at what clock, against siblings that are as busy as it is.
use super::{SIBLINGS_MAX, Settings, finding};
use crate::mean::{Mean, median};
use model::{Device, DeviceId, Evidence, FaultKind, Finding, Frame, Metric, Severity};

/// Counters of what is done, and below which a sibling does too little of it to compare.
const MEASURES: [(Metric, f64); 6] = [
    (Metric::TensorActive, 0.03),
    (Metric::SmActive, 0.05),
    (Metric::DramActive, 0.05),
    (Metric::LinkReceive, 1e9),
    (Metric::PcieReceive, 1e8),
    (Metric::PowerInstant, 20.0),
];
const POWER: usize = 5;
/// The least clock below that counts, as a share of the siblings': clocks come in steps of 15 MHz.
const CLOCK_SHARE: f64 = 0.04;
/// Power of an idle board as a share of its limit: about 20 % (POLCA, arXiv 2308.12908); no work shows in it.
const IDLE_SHARE: f64 = 0.15;
/// Reasons for which a clock may be low.
const REASONS: [Metric; 7] = [
    Metric::EventSwPowerCap,
    Metric::EventHwSlowdown,
    Metric::EventSwThermal,
    Metric::EventHwThermal,
    Metric::EventPowerBrake,
    Metric::EventSyncBoost,
    Metric::EventAppClocks,
];

/// What is known of one device's work.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    device: Option<DeviceId>,
    measures: [Mean; MEASURES.len()],
    busy: Mean,
    clock: Mean,
    /// Share of the busy time without a reason for a low clock.
    silent: Mean,
    /// What the processes are called, as one number; 0 when there are none or they have no names.
    who: u64,
    works: bool,
    /// The best share of its siblings' work since the job began.
    best: f64,
    behind_s: f64,
    low_s: f64,
}

impl Pace {
    pub(super) fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// Lets a beat in. Says whether it does work that can be compared.
    pub(super) fn follow(&mut self, frame: &Frame, device: DeviceId, settings: &Settings) -> bool {
        self.device = Some(device);
        let keep = Mean::keep(frame.beat_s.clamp(0.0, 60.0), settings.window_s);
        let busy = frame.value(device, Metric::Utilization);
        self.busy.take(busy, keep);
        let idle_w = frame.value(device, Metric::PowerLimitDefault).map_or(0.0, |limit| IDLE_SHARE * limit);
        for ((metric, _), mean) in MEASURES.iter().zip(&mut self.measures) {
            let rest = if *metric == Metric::PowerInstant { idle_w } else { 0.0 };
            let value = frame.value(device, *metric);
            // Where there are no profiling counters the driver's own share of time stands for them.
            let plain =
                || frame.value(device, Metric::MemoryActivity).filter(|_| *metric == Metric::DramActive);
            mean.take(value.or_else(plain).map(|value| (value - rest).max(0.0)), keep);
        }
        let while_busy = busy.is_some_and(|busy| busy >= 0.5);
        let clock = frame.value(device, Metric::ClockSm).filter(|_| while_busy);
        self.clock.take(clock, if while_busy { keep } else { 1.0 });
        self.silent.take(silent(frame, device).filter(|_| while_busy), if while_busy { keep } else { 1.0 });
        self.who = who(frame, device);
        self.works = frame.work(device).is_some_and(|state| state.work.computes());
        self.works
    }

    /// Begins its means anew; the job is the same.
    pub(super) fn unsettle(&mut self) {
        *self = Self { device: self.device, best: self.best, ..Self::default() };
    }

    /// Lets what held go.
    pub(super) fn rest(&mut self) {
        (self.behind_s, self.low_s) = (0.0, 0.0);
    }

    /// Whether both do work that can be compared, by the same sort of process, and are as busy.
    pub(super) fn is_like(&self, other: &Self, settings: &Settings) -> bool {
        let close = |(one, two): (f64, f64)| (one - two).abs() <= settings.busy_apart;
        self.works
            && other.works
            && (self.who == other.who || self.who == 0 || other.who == 0)
            && self.busy.full().zip(other.busy.full()).is_some_and(close)
    }

    /// Compares with siblings that do like work.
    pub(super) fn judge<'a, I: Iterator<Item = &'a Self>>(
        &mut self,
        frame: &Frame,
        device: &Device,
        peers: &impl Fn() -> I,
        settings: &Settings,
    ) -> Option<Finding> {
        let slow = self.clock_low(device, peers, settings);
        let lasts = |holds: bool, seconds: &mut f64| {
            *seconds = if holds { *seconds + frame.lasted_s } else { 0.0 };
            *seconds >= settings.hold_s
        };
        if lasts(slow.is_some(), &mut self.low_s) {
            // A low clock explains why less is done.
            self.behind_s = 0.0;
            return slow;
        }
        let behind = self.straggler(device, peers, settings);
        let held = lasts(behind.is_some(), &mut self.behind_s);
        behind.filter(|_| held && slow.is_none())
    }

    fn clock_low<'a, I: Iterator<Item = &'a Self>>(
        &self,
        device: &Device,
        peers: &impl Fn() -> I,
        settings: &Settings,
    ) -> Option<Finding> {
        let (own, silent) = (self.clock.full()?, self.silent.full()?);
        let usual = median_of(peers(), settings.siblings_min, |peer| peer.clock.full())?;
        let allowed = settings.clock_low_hz.max(CLOCK_SHARE * usual);
        let low = silent >= settings.clock_silent && own < usual - allowed;
        low.then(|| Finding {
            evidence: Finding::evidence(&[Evidence {
                metric: Metric::ClockSm,
                observed: own,
                expected: usual,
            }]),
            ..finding(device, FaultKind::ClockLow, Severity::Warning, (usual - own) / allowed)
        })
    }

    /// Less of everything than those siblings whose counters stand in the same proportions: a straggler does the same work,
    /// only less of it.
    fn straggler<'a, I: Iterator<Item = &'a Self>>(
        &mut self,
        device: &Device,
        peers: &impl Fn() -> I,
        settings: &Settings,
    ) -> Option<Finding> {
        let like = |peer: &Self| self.share_of(peer, settings);
        let ratio = median_of(peers(), settings.siblings_min, like)?;
        let behind = ratio <= settings.straggler_ratio;
        let severity =
            if self.best >= settings.straggler_before { Severity::Warning } else { Severity::Info };
        let found = behind.then(|| Finding {
            evidence: self.shortfall(peers, settings),
            ..finding(device, FaultKind::Straggler, severity, settings.straggler_ratio / ratio.max(0.01))
        });
        self.best = self.best.max(ratio);
        found
    }

    /// What share of a sibling's work it does; `None` where the two do not do the same sort of work.
    fn share_of(&self, peer: &Self, settings: &Settings) -> Option<f64> {
        let (mut ratios, mut count) = ([0.0; MEASURES.len()], 0);
        for ((own, other), (_, least)) in self.measures.iter().zip(&peer.measures).zip(MEASURES) {
            let Some((own, other)) = own.full().zip(other.full()) else { continue };
            let floor = least * settings.straggler_ratio * 0.5;
            if other < least && own < least {
                continue;
            }
            ratios[count] = own.max(floor) / other.max(floor);
            count += 1;
        }
        let ratios = &mut ratios[..count];
        // One counter alone may stand for another sort of work.
        let ratio = median(ratios).filter(|_| count >= 2)?;
        let alike = ratios[count - 1] <= settings.shape_apart * ratios[0];
        alike.then_some(ratio)
    }

    /// What it does and what its like siblings do, counter by counter.
    fn shortfall<'a, I: Iterator<Item = &'a Self>>(
        &self,
        peers: &impl Fn() -> I,
        settings: &Settings,
    ) -> [Option<Evidence>; 4] {
        let mut evidence = [None; 4];
        // Power comes last, and less whatever rests: it is left to those who have nothing else.
        for (place, (metric, least)) in MEASURES.iter().enumerate().take(POWER) {
            let like = peers().filter(|peer| self.share_of(peer, settings).is_some());
            let usual = median_of(like, 1, |peer| peer.measures[place].full());
            let pair = self.measures[place].full().zip(usual.filter(|usual| usual >= least));
            let free = evidence.iter_mut().find(|free| free.is_none());
            if let Some(((observed, expected), free)) = pair.zip(free) {
                *free = Some(Evidence { metric: *metric, observed, expected });
            }
        }
        evidence
    }
}

/// 1 where no reason for a low clock is in force, 0 where one is; `None` where the driver does not say.
fn silent(frame: &Frame, device: DeviceId) -> Option<f64> {
    let mut known = REASONS.iter().filter_map(|reason| frame.flag(device, *reason)).peekable();
    known.peek()?;
    Some(if known.any(|set| set) { 0.0 } else { 1.0 })
}

/// The names of the processes on a device as one number, whatever their order.
fn who(frame: &Frame, device: DeviceId) -> u64 {
    let on = frame.processes.iter().filter(|process| process.device == device);
    // FNV-1a.
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    on.map(|process| process.name.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, mix))
        .fold(0, |all, one| all | one)
}

/// The median of what siblings say, of at least so many.
pub(super) fn median_of<'a, T: 'a>(
    peers: impl Iterator<Item = &'a T>,
    least: usize,
    value: impl Fn(&T) -> Option<f64>,
) -> Option<f64> {
    let (mut values, mut count) = ([0.0; SIBLINGS_MAX], 0);
    for value in peers.filter_map(value).take(SIBLINGS_MAX) {
        values[count] = value;
        count += 1;
    }
    median(&mut values[..count]).filter(|_| count >= least)
}
