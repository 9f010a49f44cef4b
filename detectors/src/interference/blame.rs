//! Blame: which shared resource a slowdown is at, and whose activity goes up and down with it.
use super::counter::{Own, Sample};
use super::features::Seen;
use super::profile::Quotient;
use model::Resource;
use model::interference::NOISE_FLOOR;

/// The numbers that blame rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blame {
    /// Performance below which something is contended.
    pub floor: f64,
    /// Correlation from which a co-runner is named: 0.35, after CPI2 (Zhang et al. 2013).
    pub correlation: f64,
    /// How much longer requests to disks take before disks are contended, as a factor. Ours.
    pub disk: f64,
    /// Bytes a second that others move to and from disks before they are in the way there. Ours: e - 1 megabytes, so that the
    /// logarithm that the model sees is 1.
    pub disk_bytes: f64,
    /// Share of processors in software interrupts from which the network is busy. Ours.
    pub softirq: f64,
    /// How much longer the active probe waits, or how much less it copies, before caches or the way to memory are. Ours, and of
    /// little worth on the lab's machine: quiet windows pass it in 12 % (latency) and 29 % (copies) of cases.
    pub probe: f64,
}

impl Default for Blame {
    fn default() -> Self {
        Self {
            floor: NOISE_FLOOR,
            correlation: 0.35,
            disk: 1.3,
            disk_bytes: 1.718_281_8e6,
            softirq: 0.04,
            probe: 1.15,
        }
    }
}

impl Blame {
    /// The resource that a window's slowdown is at; `None` above the noise floor.
    pub fn resource(&self, seen: &Seen, y: f64) -> Option<Resource> {
        if y >= self.floor {
            return None;
        }
        // Work that sleeps on the disk most of the time runs so little that any waiting looks large beside it.
        if self.is_disk_contended(seen) {
            return Some(Resource::Io);
        }
        let (waiting, rest) = (-seen.physics.ln(), seen.physics.ln() - y.ln());
        if waiting >= rest {
            return Some(Resource::RunQueue);
        }
        Some(self.beyond_waiting(seen))
    }

    /// Whether work that uses the disk meets others there, and requests take longer for it.
    fn is_disk_contended(&self, seen: &Seen) -> bool {
        uses_disk(seen) && seen.ratio(Quotient::DiskLatency).exp() >= self.disk && self.others_use_disk(seen)
    }

    /// Whether others move much to and from disks. What the workload itself moves is taken off by its processes' own counts where
    /// they are known, else by the group's.
    fn others_use_disk(&self, seen: &Seen) -> bool {
        match seen.storage {
            Some((_, others)) => others >= self.disk_bytes,
            None => {
                seen.around("others_storage_bytes").is_some_and(|log| log.exp_m1() * 1e6 >= self.disk_bytes)
            }
        }
    }

    /// The resource of what waiting does not explain.
    fn beyond_waiting(&self, seen: &Seen) -> Resource {
        let ratio = |quotient: Quotient| seen.ratio(quotient).exp();
        let calls = seen.around("quiet_calls_per_run").is_some_and(|log| log.exp() > 1000.0);
        if uses_disk(seen) && (ratio(Quotient::DiskLatency) >= self.disk || self.others_use_disk(seen)) {
            return Resource::Io;
        }
        if ratio(Quotient::StallMemory) > 3.0 {
            return Resource::Memory;
        }
        if ratio(Quotient::Clock) < 0.95 {
            return Resource::Power;
        }
        if calls && !uses_disk(seen) && seen.around("softirq").is_some_and(|share| share >= self.softirq) {
            return Resource::Network;
        }
        match (ratio(Quotient::ProbeCopy) * self.probe < 1.0, ratio(Quotient::ProbeLatency) >= self.probe) {
            (true, _) => Resource::MemoryBandwidth,
            (false, true) => Resource::Cache,
            _ => Resource::Unknown,
        }
    }
}

/// Bytes a second from which a workload uses storage: sixteen pages. Ours.
const STORAGE_MIN: f64 = 65_536.0;

/// Whether a workload uses storage: twenty requests a second of running while it is alone, or bytes that its processes moved. Where
/// these are not known, and since version 1 lays what a flusher writes at nobody's door: many calls from one that sleeps most of
/// the time.
pub(super) fn uses_disk(seen: &Seen) -> bool {
    let quiet = |name: &str| seen.around(name).map(f64::exp);
    if quiet("quiet_storage_per_run").is_some_and(|requests| requests > 20.0) {
        return true;
    }
    if let Some((own, _)) = seen.storage {
        return own >= STORAGE_MIN;
    }
    quiet("quiet_calls_per_run").is_some_and(|calls| calls > 1000.0)
        && quiet("quiet_run").is_some_and(|run| run < 0.3)
}

/// What a workload does that can press on others.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Activity {
    run: f32,
    storage_bytes: f32,
    call_bytes: f32,
    faults: f32,
}

impl Activity {
    pub(super) fn of(sample: &Sample) -> Self {
        let rate = |counter| sample.own(counter).unwrap_or(0.0) as f32;
        let storage = sample.storage().unwrap_or(0.0) as f32;
        Self {
            run: rate(Own::Run),
            storage_bytes: storage,
            call_bytes: (rate(Own::CallBytes) - storage).max(0.0),
            faults: rate(Own::FaultsMinor),
        }
    }

    /// What of it presses on a resource.
    fn on(&self, resource: Resource) -> f32 {
        match resource {
            Resource::Io => self.storage_bytes,
            Resource::Network => self.call_bytes,
            Resource::Memory => self.faults,
            _ => self.run,
        }
    }
}

/// Pearson's correlation of pairs; `None` when they are too few or one of both does not change.
pub(super) fn correlate(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut count, mut sums) = (0.0, [0.0_f64; 5]);
    for (x, y) in pairs {
        count += 1.0;
        for (sum, term) in sums.iter_mut().zip([x, y, x * x, y * y, x * y]) {
            *sum += term;
        }
    }
    let [x, y, xx, yy, xy] = sums.map(|sum| sum / f64::max(count, 1.0));
    let (spread_x, spread_y) = (xx - x * x, yy - y * y);
    let enough = count >= WINDOWS_MIN as f64 && spread_x > 1e-9 * xx.max(1e-9) && spread_y > 1e-6;
    enough.then(|| (xy - x * y) / (spread_x * spread_y).sqrt())
}

/// Windows that are remembered to find who is to blame: half a minute at a beat of a second.
pub(super) const WINDOWS: usize = 30;
/// Windows below which nobody is named.
const WINDOWS_MIN: usize = 5;

/// The last windows of a workload: how slow it was, and what it did.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Past {
    slower: [f32; WINDOWS],
    activity: [Activity; WINDOWS],
    /// Windows seen; the newest is at `seen - 1` modulo [`WINDOWS`].
    beats: u64,
}

impl Default for Past {
    fn default() -> Self {
        Self { slower: [f32::NAN; WINDOWS], activity: [Activity::default(); WINDOWS], beats: 0 }
    }
}

impl Past {
    /// Puts the window of a beat in its place; beats that were missed stay unknown.
    pub(super) fn push(&mut self, beat: u64, y: Option<f64>, activity: Activity) {
        let missed = beat.saturating_sub(self.beats.max(1)).saturating_sub(1).min(WINDOWS as u64);
        for gap in 1..=missed {
            let place = ((beat - gap) % WINDOWS as u64) as usize;
            (self.slower[place], self.activity[place]) = (f32::NAN, Activity::default());
        }
        let place = (beat % WINDOWS as u64) as usize;
        self.slower[place] = y.map_or(f32::NAN, |y| -(y.ln()) as f32);
        self.activity[place] = activity;
        self.beats = beat;
    }

    /// How far a suspect's activity on a resource goes with this workload's slowdown, −1 to 1; `None` when too few windows
    /// are known or one of both does not change.
    pub(super) fn correlation(&self, suspect: &Self, resource: Resource) -> Option<f64> {
        let pair =
            |place: usize| (f64::from(suspect.activity[place].on(resource)), f64::from(self.slower[place]));
        correlate((0..WINDOWS).map(pair).filter(|(_, slower)| !slower.is_nan()))
    }

    /// How much the suspect presses on a resource now.
    pub(super) fn presses(&self, resource: Resource) -> f64 {
        f64::from(self.activity[(self.beats % WINDOWS as u64) as usize].on(resource))
    }

    /// The beat of the newest window.
    pub(super) fn newest(&self) -> u64 {
        self.beats
    }
}

#[cfg(test)]
mod tests {
    use super::super::features::{COUNT, names};
    use super::*;

    fn busy(run: f32) -> Activity {
        Activity { run, ..Activity::default() }
    }

    #[test]
    fn the_one_whose_activity_goes_with_the_slowdown_stands_out() {
        let (mut victim, mut culprit, mut bystander) = (Past::default(), Past::default(), Past::default());
        for beat in 1..=20 {
            let pressed = beat > 10;
            victim.push(beat, Some(if pressed { 0.5 } else { 1.0 }), busy(1.0));
            culprit.push(beat, None, busy(if pressed { 1.0 } else { 0.01 }));
            bystander.push(beat, None, busy(if beat % 2 == 0 { 0.8 } else { 0.6 }));
        }
        assert!(victim.correlation(&culprit, Resource::RunQueue).unwrap() > 0.95);
        assert!(victim.correlation(&bystander, Resource::RunQueue).unwrap().abs() < 0.35);
        assert_eq!(victim.correlation(&culprit, Resource::Io), None, "no disk was touched");
    }

    #[test]
    fn windows_that_were_missed_are_no_evidence() {
        let mut victim = Past::default();
        victim.push(1, Some(0.5), busy(1.0));
        victim.push(200, Some(0.5), busy(1.0));
        assert_eq!(victim.correlation(&victim, Resource::RunQueue), None);
    }

    /// A window of work that calls much and sleeps most of the time, at half its speed, on a disk that is twice as slow. `around`:
    /// bytes that others move as the model sees it; `storage`: own and others' bytes by the processes' own counts.
    fn beside_a_disk(around: f64, storage: Option<(f64, f64)>) -> Seen {
        let mut seen = Seen { features: [f32::NAN; COUNT], waiting: 1.0, physics: 1.0, storage };
        let mut put = |name: &str, value: f64| {
            let place = names().iter().position(|known| known == name).unwrap();
            seen.features[place] = value as f32;
        };
        put("DiskLatency", 2.0_f64.ln());
        put("others_storage_bytes", (1.0 + around / 1e6).ln());
        put("quiet_calls_per_run", 5000.0_f64.ln());
        put("quiet_run", 0.1_f64.ln());
        seen
    }

    #[test]
    fn who_uses_the_disk_is_told_by_what_processes_moved_where_that_is_known() {
        let at = |seen: &Seen| Blame::default().resource(seen, 0.5);
        assert_eq!(at(&beside_a_disk(2e7, None)), Some(Resource::Io), "guessed from calls and sleep");
        assert_eq!(at(&beside_a_disk(2e7, Some((5e6, 2e7)))), Some(Resource::Io));
        let own = at(&beside_a_disk(2e7, Some((2e7, 1e4))));
        assert_eq!(own, Some(Resource::Io), "a slower disk is at the disk whoever made it so");
        let calls = at(&beside_a_disk(2e7, Some((0.0, 2e7))));
        assert_ne!(calls, Some(Resource::Io), "one that only calls does not meet others at the disk");
    }

    #[test]
    fn what_it_flushes_itself_is_not_others_in_the_way() {
        let mut seen = beside_a_disk(2e7, Some((2e7, 1e4)));
        seen.physics = 0.4;
        assert_eq!(
            Blame::default().resource(&seen, 0.4),
            Some(Resource::RunQueue),
            "it waits for a processor"
        );
        seen.storage = Some((2e7, 2e7));
        assert_eq!(Blame::default().resource(&seen, 0.4), Some(Resource::Io));
    }
}
