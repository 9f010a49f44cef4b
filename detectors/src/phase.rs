//! The work of each accelerator, judged from counters alone: how near full power, how busy, how bound by memory, how fed.
//!
//! Each work has a likelihood between 0 and 1 made of ramps over means of the last seconds; the likeliest one stands, with
//! hysteresis, and how far it is ahead of the next is the confidence. A counter that is missing takes its share of the
//! confidence away and is never replaced by a guess.
use crate::mean::Mean;
use model::{Device, DeviceId, DeviceKind, Frame, Metric, Timestamp, Work, WorkState};

/// The numbers that the judgement rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Time over which counters are averaged, in seconds. Ours: several iterations of training and bursts of prompts, which
    /// last about a second (POLCA, arXiv 2308.12908).
    pub window_s: f64,
    /// For how long another work must be likelier before it stands, in seconds. Ours.
    pub hold_s: f64,
    /// Share of the highest power limit from which a board counts as near full power: prompts and training reach it, token
    /// generation stays at 137 to 300 W of 700 (arXiv 2605.11999).
    pub full_share: f64,
    /// Share of an enforced limit from which the limit binds and power says no more than that. Ours.
    pub capped_share: f64,
    /// Power of an idle board as a share of its limit: about 20 % (POLCA); from here to half as much again it works.
    pub idle_share: f64,
    /// Share of device memory that fills each second while a job is loaded. Ours: 80 GB in a quarter of an hour.
    pub load_rate: f64,
    /// Share of time for which tasks of the host wait for a processor, from which accelerators may starve. Ours.
    pub pressure: f64,
    /// Traffic with other boards from which they work in step, in bytes per second. Ours.
    pub link_rate: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window_s: 15.0,
            hold_s: 5.0,
            full_share: 0.75,
            capped_share: 0.95,
            idle_share: 0.25,
            load_rate: 1e-3,
            pressure: 0.1,
            link_rate: 5e9,
        }
    }
}

/// 0 below `low`, 1 above `high`, straight between.
fn ramp(value: f64, low: f64, high: f64) -> f64 {
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

/// What is known of one accelerator.
#[derive(Debug, Clone, Copy, Default)]
struct Subject {
    generation: u32,
    busy: Mean,
    memory: Mean,
    /// Share of time near full power.
    full: Mean,
    power: Mean,
    tensor: Mean,
    link: Mean,
    growth: Mean,
    used: Option<f64>,
    processes: Option<f64>,
    /// The highest power seen, where no limit is known.
    peak_w: f64,
    work: Option<Work>,
    since: Timestamp,
    rival: Option<(Work, Timestamp)>,
}

/// The judge of works. Allocates only for a device's first beat.
#[derive(Debug, Clone, Default)]
pub struct Phases {
    settings: Settings,
    /// By device index.
    subjects: Vec<Subject>,
}

impl Phases {
    /// A judge with these numbers.
    pub fn new(settings: Settings) -> Self {
        Self { settings, subjects: Vec::new() }
    }

    /// Judges every accelerator and puts the works into the frame.
    pub fn judge(&mut self, frame: &mut Frame) {
        self.subjects.resize(frame.devices.len(), Subject::default());
        let pressure = pressure(frame);
        let mut works = std::mem::take(&mut frame.works);
        works.clear();
        for device in frame.devices.accelerators().filter(|device| !device.gone) {
            let subject = &mut self.subjects[device.id.index()];
            works.extend(subject.follow(frame, device, pressure, &self.settings));
        }
        frame.works = works;
    }

    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        self.subjects.capacity() * size_of::<Subject>()
    }
}

/// Share of time for which tasks of the host wait for a processor; where the kernel does not say, the load beyond its
/// processors as a share of them.
fn pressure(frame: &Frame) -> Option<f64> {
    let node = frame.devices.of_kind(DeviceKind::Node).next()?.id;
    let load = || {
        let cores = frame.devices.of_kind(DeviceKind::Core).count();
        let load = frame.value(node, Metric::Load1).filter(|_| cores > 0)?;
        Some((load / cores as f64 - 1.0).max(0.0))
    };
    frame.value(node, Metric::PressureCpuSome10).or_else(load)
}

fn first(frame: &Frame, device: DeviceId, metrics: &[Metric]) -> Option<f64> {
    metrics.iter().find_map(|metric| frame.value(device, *metric))
}

impl Subject {
    fn follow(
        &mut self,
        frame: &Frame,
        device: &Device,
        pressure: Option<f64>,
        settings: &Settings,
    ) -> Option<WorkState> {
        if self.generation != device.generation {
            *self = Self { generation: device.generation, ..Self::default() };
        }
        self.take(frame, device.id, settings);
        let held = first(frame, device.id, &[Metric::Processes])
            .map_or(self.resident(frame, device.id), |n| n > 0.0);
        let (scores, coverage) = self.scores(held, pressure, settings)?;
        let work = self.settle(&scores, frame.at, settings.hold_s);
        let score = scores[work as usize];
        let others = Work::ALL.into_iter().filter(|other| *other != work);
        let next = others.map(|other| scores[other as usize]).fold(0.0, f64::max);
        let ahead = if score > 0.0 { (1.0 - next / score).max(0.0) } else { 0.0 };
        let confidence = score * ahead * coverage;
        Some(WorkState { device: device.id, work, confidence, since: self.since })
    }

    fn resident(&self, frame: &Frame, device: DeviceId) -> bool {
        let size = frame.value(device, Metric::MemorySize);
        self.used.zip(size).is_some_and(|(used, size)| used > 0.1 * size)
    }

    /// Lets a beat into the means.
    fn take(&mut self, frame: &Frame, device: DeviceId, settings: &Settings) {
        let processes = frame.value(device, Metric::Processes);
        // Another job: what went before weighs little.
        let changed = processes.zip(self.processes).is_some_and(|(now, before)| now != before);
        self.processes = processes.or(self.processes);
        let beat_s = frame.beat_s.clamp(0.05, 60.0);
        let keep = if changed { 0.1 } else { (-beat_s / settings.window_s).exp() };
        let value = |metrics: &[Metric]| first(frame, device, metrics);
        self.busy.take(value(&[Metric::Utilization, Metric::GraphicsActive, Metric::SmActive]), keep);
        self.memory.take(value(&[Metric::DramActive, Metric::MemoryActivity]), keep);
        self.tensor.take(value(&[Metric::TensorActive]), keep);
        let links = value(&[Metric::LinkReceive]).zip(value(&[Metric::LinkTransmit]));
        self.link.take(links.map(|(receive, transmit)| receive.max(transmit)), keep);
        let power_w = value(&[Metric::PowerInstant, Metric::PowerAverage]);
        let share = power_w.and_then(|power_w| self.share(frame, device, power_w));
        self.power.take(share, keep);
        let bound = power_w.zip(value(&[Metric::PowerLimitEnforced]));
        let bound = bound.is_some_and(|(power_w, limit_w)| power_w >= settings.capped_share * limit_w);
        let full = share.map(|share| f64::from(u8::from(bound || share >= settings.full_share)));
        self.full.take(full, keep);
        let used = value(&[Metric::MemoryUsed]);
        let grown = used.zip(self.used).map(|(now, before)| (now - before) / beat_s);
        let size = value(&[Metric::MemorySize]).filter(|size| *size > 0.0);
        self.growth.take(grown.zip(size).map(|(grown, size)| grown / size), keep.min(0.8));
        self.used = used;
    }

    /// Power as a share of the highest limit; of the highest power seen where no limit is known.
    fn share(&mut self, frame: &Frame, device: DeviceId, power_w: f64) -> Option<f64> {
        self.peak_w = self.peak_w.max(power_w);
        let limits = [Metric::PowerLimitDefault, Metric::PowerLimitMax, Metric::PowerLimitEnforced];
        let limit_w = first(frame, device, &limits).unwrap_or(self.peak_w);
        (limit_w > 0.0).then(|| power_w / limit_w)
    }

    /// How likely each work is, by its place in [`Work::ALL`], and the share of the counters that say so.
    fn scores(&self, held: bool, pressure: Option<f64>, settings: &Settings) -> Option<([f64; 6], f64)> {
        let (busy, power) = (self.busy.get(), self.power.get());
        if busy.is_none() && power.is_none() {
            return None;
        }
        let by_power = power.map(|power| ramp(power, settings.idle_share, 1.5 * settings.idle_share));
        let busy_share = busy.or(by_power)?;
        let computes = ramp(busy_share, 0.1, 0.3);
        let grows =
            self.growth.get().map_or(0.0, |rate| ramp(rate, settings.load_rate, 3.0 * settings.load_rate));
        let rests = (1.0 - ramp(busy_share, 0.02, 0.1)) * by_power.map_or(1.0, |works| 1.0 - works);
        let waits = pressure.map_or(0.0, |share| ramp(share, settings.pressure, 3.0 * settings.pressure));
        let waits = if held {
            waits * ramp(busy_share, 0.02, 0.1) * (1.0 - ramp(busy_share, 0.6, 0.85))
        } else {
            0.0
        };
        let fed = (1.0 - waits) * (1.0 - grows * (1.0 - ramp(busy_share, 0.3, 0.6)));
        let mut scores = [0.0; 6];
        scores[Work::Idle as usize] = rests * (1.0 - grows);
        scores[Work::Load as usize] = grows * (1.0 - ramp(busy_share, 0.3, 0.6));
        scores[Work::HostBound as usize] = waits;
        let [training, prefill, decode] = self.computing(busy_share, settings);
        scores[Work::Training as usize] = computes * fed * training;
        scores[Work::Prefill as usize] = computes * fed * prefill;
        scores[Work::Decode as usize] = computes * fed * decode;
        let rest = scores[Work::Idle as usize] >= 0.5;
        Some((scores, self.coverage(rest)))
    }

    /// How likely training, prompts and token generation are when the board computes.
    fn computing(&self, busy: f64, settings: &Settings) -> [f64; 3] {
        let memory = self.memory.get().map(|memory| memory / busy.max(0.05));
        let (link, tensor) = (self.link.get(), self.tensor.get());
        let in_step = link.map(|link| ramp(link, settings.link_rate, 4.0 * settings.link_rate));
        // Without power nothing tells what computing binds; only the mean of the likelihoods is left.
        let full = self.full.get();
        let steady = full.map_or(0.4, |full| ramp(full, 0.6, 0.8));
        let bursts = full.map_or(0.4, |full| ramp(full, 0.22, 0.35) * (1.0 - 0.6 * ramp(full, 0.65, 0.85)));
        let low = full.map_or(0.4, |full| 1.0 - ramp(full, 0.22, 0.35));
        let by_memory = memory.map(|memory| ramp(memory, 0.55, 0.75));
        let by_tensor = tensor.map(|tensor| 1.0 - ramp(tensor / busy.max(0.05), 0.2, 0.4));
        let bound = match (by_memory, by_tensor) {
            (Some(one), Some(other)) => 0.5 * (one + other),
            (one, other) => one.or(other).unwrap_or(0.5),
        };
        // Boards that exchange data and are not bound by memory train, also where a fault keeps them from full power.
        let training = match in_step {
            Some(step) => (steady * (0.3 + 0.7 * step)).max(0.7 * step * (1.0 - bound)),
            None => 0.7 * steady,
        };
        let alone = 1.0 - 0.6 * in_step.unwrap_or(0.3);
        let prefill = (bursts * (1.0 - 0.6 * bound)).max(0.5 * steady) * alone;
        [training, prefill, low * (0.4 + 0.6 * bound) * (1.0 - 0.5 * in_step.unwrap_or(0.0) * (1.0 - bound))]
    }

    /// The share of the counters that are there. What rests needs no counter of what it computes.
    fn coverage(&self, rests: bool) -> f64 {
        let has = |mean: &Mean, weight: f64| weight * mean.weight().min(1.0);
        let (busy, power) = (has(&self.busy, 1.0), has(&self.power, 1.0));
        if rests {
            return 0.6 * busy + 0.4 * power;
        }
        0.3 * busy + 0.3 * power + has(&self.memory, 0.2) + has(&self.tensor, 0.1) + has(&self.link, 0.1)
    }

    /// The work that stands: the likeliest, once it has been that for a while.
    fn settle(&mut self, scores: &[f64; 6], now: Timestamp, hold_s: f64) -> Work {
        let likelier = |a: &Work, b: &Work| scores[*a as usize].total_cmp(&scores[*b as usize]);
        let best = Work::ALL.into_iter().max_by(likelier).unwrap_or_default();
        let Some(stands) = self.work else {
            (self.work, self.since) = (Some(best), now);
            return best;
        };
        if best == stands {
            self.rival = None;
            return stands;
        }
        let since = self.rival.filter(|(rival, _)| *rival == best).map_or(now, |(_, since)| since);
        self.rival = Some((best, since));
        let gone = scores[stands as usize] <= 0.02;
        if now.seconds_since(since) >= if gone { 0.4 * hold_s } else { hold_s } {
            (self.work, self.since, self.rival) = (Some(best), since, None);
            return best;
        }
        stands
    }
}
