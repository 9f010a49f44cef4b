//! The estimator: follows every workload, learns it while it is alone, and judges it beside its neighbours, beat by beat.
use super::blame::{Activity, Blame, Past};
use super::boards::Boards;
use super::counter::{Node, Own, Sample};
use super::features::{QuietLimits, Seen, is_quiet};
use super::frozen::{Frozen, Told};
use super::hardware::{Hardware, Limits, Machine};
use super::pace::Applications;
use super::profile::{Profile, Quotient, WINDOWS_NEEDED};
use super::sampler::Sampler;
use super::sharers::Sharers;
use super::stream::Stream;
use super::truth::Point;
use model::interference::{Abstention, Basis, Culprit, Estimate, Interference, Judgement, Sharer, Vector};
use model::{DeviceId, DeviceKind, Frame, Resource};
use std::collections::BTreeMap;

/// Workloads that are followed at once; further ones are `Crowded`.
const WORKLOADS_MAX: usize = 512;
/// A window is judged when it is about as long as a beat: from half to twice what the model's windows were, in seconds.
const WINDOW_S: (f64, f64) = (0.4, 15.0);
/// Processor time a second below which a workload is idle. Ours: a hundredth of a processor.
const IDLE: f64 = 0.01;
/// Windows in a row below the noise floor before an alarm. Ours: CPI2 takes 3 outliers in 5 minutes at its 10 s.
const WINDOWS_ALARM: u32 = 3;

/// What is known of one workload: 2.7 KiB with its profile, 1.1 KiB more where it is counted, 2.5 KiB more where a metric of its own
/// streams back.
#[derive(Debug, Clone, Default)]
struct Followed {
    generation: u32,
    /// Whether its own tasks are counted. Those of a group that holds others are not: it is their sum, and no co-runner.
    counted: bool,
    profile: Profile,
    past: Past,
    hardware: Hardware,
    stream: Option<Box<Stream>>,
    /// Windows in a row with the whole interval below the noise floor.
    slow: u32,
    latest: Option<Interference>,
    /// Who was named last, and for what.
    named: Option<(Resource, Culprit)>,
}

/// A window as it was judged: by the frozen model alone, and after all that was heard.
#[derive(Debug, Clone, Copy)]
struct Judged {
    point: Point,
    alone: Told,
    estimate: Estimate,
}

/// Follows all workloads of a node.
#[derive(Debug)]
pub struct Estimator {
    frozen: Option<Frozen>,
    blame: Blame,
    quiet: QuietLimits,
    sampler: Sampler,
    boards: Boards,
    machine: Machine,
    counting: Limits,
    sharers: Sharers,
    applications: Applications,
    /// By device index.
    followed: Vec<Option<Box<Followed>>>,
    count: usize,
    beat: u64,
    /// Profiles of an earlier run, by device key, until their workload is met.
    awaited: BTreeMap<String, Profile>,
}

impl Estimator {
    /// An estimator with a frozen model; without one it abstains.
    pub fn new(frozen: Option<Frozen>) -> Self {
        Self {
            frozen,
            blame: Blame::default(),
            quiet: QuietLimits::default(),
            sampler: Sampler::default(),
            boards: Boards::default(),
            machine: Machine::default(),
            counting: Limits::default(),
            sharers: Sharers::default(),
            applications: Applications::default(),
            followed: Vec::new(),
            count: 0,
            beat: 0,
            awaited: BTreeMap::new(),
        }
    }

    /// Takes a beat.
    pub fn take(&mut self, frame: &Frame) {
        self.beat += 1;
        self.sampler.take(frame);
        self.machine.take(frame);
        self.boards.take(frame, self.blame.floor);
        self.sharers.take(frame);
        self.applications.take(frame);
        self.followed.resize_with(frame.devices.len(), || None);
        for device in frame.devices.iter().filter(|device| device.info.kind == DeviceKind::Cgroup) {
            let place = device.id.index();
            if device.gone {
                if let Some(followed) = self.followed[place].take() {
                    self.count -= 1;
                    self.remember(&device.info.key, followed.profile);
                }
                continue;
            }
            if self.followed[place].is_none() && self.count < WORKLOADS_MAX {
                let profile = self.awaited.remove(&device.info.key).unwrap_or_default();
                let generation = device.generation;
                self.followed[place] =
                    Some(Box::new(Followed { generation, profile, ..Followed::default() }));
                self.count += 1;
            }
            let Some(mut followed) = self.followed[place].take() else { continue };
            if followed.generation != device.generation {
                *followed = Followed { generation: device.generation, ..Followed::default() };
            }
            self.follow(frame, device.id, &mut followed);
            self.followed[place] = Some(followed);
        }
        self.name_culprits(frame);
    }

    /// Keeps the profile of a group that is gone, in case one of its name comes back.
    fn remember(&mut self, key: &str, profile: Profile) {
        if profile.windows() < WINDOWS_NEEDED {
            return;
        }
        if self.awaited.len() >= WORKLOADS_MAX {
            self.awaited.pop_first();
        }
        self.awaited.insert(key.to_owned(), profile);
    }

    fn follow(&mut self, frame: &Frame, device: DeviceId, followed: &mut Followed) {
        let window = self.sampler.window(frame, device);
        followed.hardware.take(frame, device, (&self.machine, self.beat));
        let judged = match &window {
            None => Err(Abstention::Short),
            Some((_, window_s)) if !(WINDOW_S.0..=WINDOW_S.1).contains(window_s) => Err(Abstention::Short),
            Some((sample, _)) => self.judge(sample, followed),
        };
        self.hear(device, window.as_ref().map(|(sample, _)| sample), judged.ok(), followed);
        let judged = judged.map(|judged| judged.estimate);
        followed.counted = window.as_ref().is_some_and(|(sample, _)| sample.own(Own::Wait).is_some());
        let cores = window.and_then(|(sample, _)| sample.node(Node::Cores));
        let activity = window.map_or_else(Activity::default, |(sample, _)| Activity::of(&sample));
        followed.past.push(self.beat, judged.ok().map(|estimate| estimate.y), activity);
        let below = judged.is_ok_and(|estimate| estimate.high < self.blame.floor);
        followed.slow = if below { followed.slow.saturating_add(1) } else { 0 };
        followed.latest = Some(Interference {
            device,
            judgement: judged.map_or_else(Judgement::Abstained, Judgement::Estimate),
            sensitivity: sensitivity(&followed.profile),
            pressure: pressure(&followed.profile, cores),
            counters: followed.hardware.state(),
        });
    }

    /// Hears how a workload really does, from a metric of its own, and lays what is told of this window beside what it will say.
    fn hear(
        &self,
        device: DeviceId,
        window: Option<&Sample>,
        judged: Option<Judged>,
        followed: &mut Followed,
    ) {
        let lap = self.applications.lap(device);
        if lap.is_some() && followed.stream.is_none() {
            followed.stream = Some(Box::default());
        }
        let Some(stream) = &mut followed.stream else { return };
        let quiet = window.is_some_and(|sample| is_quiet(sample, &self.quiet));
        stream.add(quiet, judged.map(|judged| (judged.point, judged.alone)));
        if let Some(lap) = lap {
            stream.hear(lap);
        }
    }

    /// Judges one window, and learns from it when nobody is in the way.
    fn judge(&self, sample: &Sample, followed: &mut Followed) -> Result<Judged, Abstention> {
        let Some(frozen) = &self.frozen else { return Err(Abstention::NoModel) };
        if sample.own(Own::Run).is_none_or(|run| run < IDLE) {
            return Err(Abstention::Idle);
        }
        let waits_known = sample.own(Own::Wait).is_some();
        let quiet = is_quiet(sample, &self.quiet);
        if quiet {
            followed.profile.learn(sample);
        }
        let service = followed.hardware.service(sample, quiet, (&self.machine, &self.counting));
        if followed.profile.windows() < WINDOWS_NEEDED {
            return Err(Abstention::NoProfile);
        }
        if !waits_known {
            return Err(Abstention::Uncounted);
        }
        let seen = Seen::of(sample, &followed.profile).ok_or(Abstention::NovelLoad)?;
        let told = frozen.judge(&seen)?;
        let mut estimate = self.estimate(told, &seen);
        if let Some(service) = service {
            let around = |y, wider: f64| frozen.around(&seen, y, wider);
            estimate = service.refine(estimate, &seen, (&self.blame, &self.counting), around);
        }
        let alone = Told { y: estimate.y, low: estimate.low, high: estimate.high };
        let point = Point::of(&seen, alone.y);
        let Some(stream) = &followed.stream else { return Ok(Judged { point, alone, estimate }) };
        let corrected = stream.correct(&point, alone);
        let (named, basis) = (estimate.resource, estimate.basis);
        estimate = self.estimate(corrected, &seen);
        // What counters name is named by what they count, not by how slow it is.
        estimate.resource = if service.is_some() { named } else { estimate.resource };
        estimate.basis = match stream.stands() {
            true => Basis::Metric,
            false if service.is_some() => basis,
            false => estimate.basis,
        };
        Ok(Judged { point, alone, estimate })
    }

    /// An estimate of what was told, with the resource that explains it.
    fn estimate(&self, told: Told, seen: &Seen) -> Estimate {
        let resource = self.blame.resource(seen, told.y);
        let basis = if resource == Some(Resource::RunQueue) { Basis::Physics } else { Basis::Model };
        Estimate { y: told.y, low: told.low, high: told.high, basis, resource, culprit: None }
    }

    /// Names who is to blame for each slowdown; after all windows of the beat are known.
    fn name_culprits(&mut self, frame: &Frame) {
        for victim in 0..self.followed.len() {
            let Some(followed) = &self.followed[victim] else { continue };
            let contended = followed.latest.and_then(|latest| latest.estimate()?.resource);
            let Some(resource) = contended else {
                if let Some(followed) = &mut self.followed[victim] {
                    followed.named = None;
                }
                continue;
            };
            let found = self.culprit(frame, victim, followed, resource);
            let Some(followed) = &mut self.followed[victim] else { continue };
            let kept = followed
                .named
                .filter(|(named, culprit)| *named == resource && !frame.devices.get(culprit.device).gone);
            followed.named = found.map(|culprit| (resource, culprit)).or(kept);
            let named = followed.named.map(|(_, culprit)| culprit);
            if let Some(Interference { judgement: Judgement::Estimate(estimate), .. }) = &mut followed.latest
            {
                estimate.culprit = named;
            }
        }
    }

    /// The co-runner whose activity on a resource goes most with the victim's slowdown, among those that press on it now.
    fn culprit(
        &self,
        frame: &Frame,
        victim: usize,
        slowed: &Followed,
        resource: Resource,
    ) -> Option<Culprit> {
        let mut best: Option<(f64, Culprit)> = None;
        for device in frame.devices.of_kind(DeviceKind::Cgroup) {
            let Some(suspect) = self.followed.get(device.id.index()).and_then(Option::as_deref) else {
                continue;
            };
            let there = suspect.counted && suspect.past.newest() == self.beat;
            if device.id.index() == victim || !there {
                continue;
            }
            let counted = slowed.hardware.correlation(&suspect.hardware, resource);
            let told = || {
                let presses = suspect.past.presses(resource);
                let correlation = || slowed.past.correlation(&suspect.past, resource);
                Some(((presses > 0.0).then(correlation)??, presses))
            };
            let Some((correlation, presses)) = counted.or_else(told) else { continue };
            // Of two that go with it alike, the one that presses harder.
            let weight = correlation * (1.0 + presses).ln();
            if correlation >= self.blame.correlation && best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, Culprit { device: device.id, correlation: correlation.min(1.0) }));
            }
        }
        best.map(|(_, culprit)| culprit)
    }

    /// The profiles of all workloads, those included that are gone or have not come back, to be kept over a restart.
    pub(super) fn profiles<'a>(&'a self, frame: &'a Frame) -> impl Iterator<Item = (&'a str, &'a Profile)> {
        let learnt = frame.devices.of_kind(DeviceKind::Cgroup).filter_map(|device| {
            let followed = self.followed.get(device.id.index())?.as_deref()?;
            let known = followed.profile.windows() >= WINDOWS_NEEDED;
            known.then_some((device.info.key.as_str(), &followed.profile))
        });
        learnt.chain(self.awaited.iter().map(|(key, profile)| (key.as_str(), profile)))
    }

    /// Takes the profiles of an earlier run back.
    pub(super) fn await_profiles(&mut self, profiles: Vec<(String, Profile)>) {
        self.awaited = profiles.into_iter().collect();
    }

    /// What is known of every process on an accelerator.
    pub fn sharers(&self) -> &[Sharer] {
        self.sharers.latest()
    }

    /// Adds what is known of every workload.
    pub fn list(&self, frame: &Frame, list: &mut Vec<Interference>) {
        self.boards.list(list);
        for device in frame.devices.of_kind(DeviceKind::Cgroup).filter(|device| !device.gone) {
            let followed = self.followed.get(device.id.index()).and_then(Option::as_ref);
            list.extend(match followed {
                Some(followed) => followed.latest,
                None => Some(Interference {
                    device: device.id,
                    judgement: Judgement::Abstained(Abstention::Crowded),
                    sensitivity: Vector::default(),
                    pressure: Vector::default(),
                    counters: None,
                }),
            });
        }
    }

    /// Workloads whose whole interval has been below the noise floor for long enough to tell of.
    pub(super) fn alarms(&self) -> impl Iterator<Item = (DeviceId, Estimate)> + '_ {
        let slow = self.followed.iter().flatten().filter(|followed| followed.slow >= WINDOWS_ALARM);
        slow.filter_map(|followed| {
            let latest = followed.latest?;
            Some((latest.device, *latest.estimate()?))
        })
    }

    /// The noise floor.
    pub(super) fn floor(&self) -> f64 {
        self.blame.floor
    }

    /// Bytes of memory it holds.
    pub(super) fn held_bytes(&self) -> usize {
        let profile = Profile::default().bytes();
        let workload = size_of::<Followed>() + profile - size_of::<Profile>();
        let streams = self.followed.iter().flatten().filter_map(|followed| followed.stream.as_ref());
        self.sampler.bytes()
            + self.boards.bytes()
            + self.machine.bytes()
            + self.followed.iter().flatten().map(|followed| followed.hardware.bytes()).sum::<usize>()
            + self.sharers.bytes()
            + self.followed.capacity() * size_of::<Option<Box<Followed>>>()
            + self.count * workload
            + self.awaited.len() * profile
            + streams.map(|stream| size_of::<Stream>() + stream.bytes()).sum::<usize>()
    }
}

/// The share of time that a workload's disk requests take while it is alone.
fn disk_share(profile: &Profile) -> Option<f64> {
    let run = profile.typical(Quotient::Run)?;
    let requests = profile.typical(Quotient::StoragePerRun)? * run;
    Some((requests * profile.typical(Quotient::DiskLatency)?).min(1.0))
}

/// The share of its time alone that a workload spends at each resource.
fn sensitivity(profile: &Profile) -> Vector {
    let mut vector = Vector::default();
    if let Some(run) = profile.typical(Quotient::Run) {
        vector.set(Resource::RunQueue, run.min(1.0));
    }
    // What is blocked on I/O is, whether or not its requests are counted: version 1 counts flushed writes for nobody.
    let blocked = profile.typical(Quotient::StallIo).map(|share| share.min(1.0));
    if let Some(share) = [disk_share(profile), blocked].into_iter().flatten().reduce(f64::max) {
        vector.set(Resource::Io, share);
    }
    vector
}

/// The share of each of the node's resources that a workload uses alone.
fn pressure(profile: &Profile, cores: Option<f64>) -> Vector {
    let mut vector = Vector::default();
    if let Some((run, cores)) = profile.typical(Quotient::Run).zip(cores.filter(|cores| *cores >= 1.0)) {
        vector.set(Resource::RunQueue, run / cores);
    }
    if let Some(share) = disk_share(profile) {
        vector.set(Resource::Io, share);
    }
    vector
}

#[cfg(test)]
mod tests;
