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
    /// Share of processors in software interrupts from which the network is busy. Ours.
    pub softirq: f64,
    /// How much longer the active probe waits, or how much less it copies, before caches or the way to memory are. Ours: three
    /// times what it varies by on an idle machine.
    pub probe: f64,
}

impl Default for Blame {
    fn default() -> Self {
        Self { floor: NOISE_FLOOR, correlation: 0.35, disk: 1.3, softirq: 0.04, probe: 1.15 }
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
        uses_disk(seen)
            && seen.ratio(Quotient::DiskLatency).exp() >= self.disk
            && seen.around("others_storage_bytes") > Some(1.0)
    }

    /// The resource of what waiting does not explain.
    fn beyond_waiting(&self, seen: &Seen) -> Resource {
        let ratio = |quotient: Quotient| seen.ratio(quotient).exp();
        let calls = seen.around("quiet_calls_per_run").is_some_and(|log| log.exp() > 1000.0);
        if uses_disk(seen)
            && (ratio(Quotient::DiskLatency) >= self.disk || seen.around("others_storage_bytes") > Some(1.0))
        {
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

/// Whether a workload uses storage while it is alone: twenty requests a second of running; or, since version 1 lays what a journal
/// or a flusher writes at nobody's door, many calls from one that sleeps for most of the time.
fn uses_disk(seen: &Seen) -> bool {
    let quiet = |name: &str| seen.around(name).map(f64::exp);
    quiet("quiet_storage_per_run").is_some_and(|requests| requests > 20.0)
        || quiet("quiet_calls_per_run").is_some_and(|calls| calls > 1000.0)
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
        Self {
            run: rate(Own::Run),
            storage_bytes: rate(Own::StorageBytes),
            call_bytes: (rate(Own::CallBytes) - rate(Own::StorageBytes)).max(0.0),
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
        let (mut count, mut sums) = (0.0, [0.0_f64; 5]);
        for place in 0..WINDOWS {
            let (x, y) = (f64::from(suspect.activity[place].on(resource)), f64::from(self.slower[place]));
            if y.is_nan() {
                continue;
            }
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
}
