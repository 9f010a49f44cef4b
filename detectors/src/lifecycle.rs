//! The life of events: raised, held, cleared, with hysteresis and deduplication, the same for every detector.
use crate::thresholds::Thresholds;
use model::event::Phase;
use model::snapshot::EVENTS_MAX;
use model::{DeviceTable, Event, EventId, FaultKind, Finding, Severity, Timestamp};
use std::borrow::Cow;

/// The most events that are active at once; a further one is dropped and counted.
pub const ACTIVE_MAX: usize = 192;
/// Findings that are waiting to become events.
const PENDING_MAX: usize = 256;

/// How findings of one fault become an event and how it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pace {
    /// Beats that must see it.
    raise_beats: u32,
    /// Beats among which those must be.
    within_beats: u64,
    /// How long it must not be seen to be over, in seconds.
    quiet_s: f64,
}

fn pace(fault: FaultKind, thresholds: &Thresholds) -> Pace {
    let pace = |raise_beats, within_beats, quiet_s| Pace { raise_beats, within_beats, quiet_s };
    match fault {
        FaultKind::Xid => pace(1, 1, thresholds.xid_hold_s),
        FaultKind::DeviceLost | FaultKind::SourceHung => pace(1, 1, 2.0),
        FaultKind::EccUncorrectable => pace(1, 1, 600.0),
        FaultKind::ThermalSlowdown | FaultKind::PowerBrake => pace(1, 1, 10.0),
        FaultKind::PcieNarrow => pace(1, 1, 60.0),
        // Eight of ten beats: a single strange beat is no event.
        FaultKind::Residual => pace(8, 10, 30.0),
    }
}

/// What findings of one event have in common.
type Key = (&'static str, usize, FaultKind, u32);

fn key(finding: &Finding) -> Key {
    (finding.detector, finding.device.index(), finding.fault, finding.code)
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    key: Key,
    first: Timestamp,
    beats: u32,
    first_beat: u64,
}

/// Every event from its first sign to its end. Bounded, and in the steady state nothing is allocated.
#[derive(Debug)]
pub struct Lifecycle {
    thresholds: Thresholds,
    active: Vec<Event>,
    keys: Vec<Key>,
    cleared: Vec<Event>,
    pending: Vec<Pending>,
    beat: u64,
    last_id: u64,
    counts: Vec<(FaultKind, Severity, u64)>,
    dropped: u64,
}

impl Lifecycle {
    /// No events.
    pub fn new(thresholds: &Thresholds) -> Self {
        Self {
            thresholds: *thresholds,
            active: Vec::with_capacity(ACTIVE_MAX),
            keys: Vec::with_capacity(ACTIVE_MAX),
            cleared: Vec::with_capacity(EVENTS_MAX + 1),
            pending: Vec::with_capacity(PENDING_MAX),
            beat: 0,
            last_id: 0,
            counts: Vec::with_capacity(FaultKind::ALL.len() * 3),
            dropped: 0,
        }
    }

    /// Takes the findings of one beat.
    pub fn step(&mut self, at: Timestamp, devices: &DeviceTable, findings: &[Finding]) {
        self.beat += 1;
        self.active.iter_mut().for_each(|event| event.phase = Phase::Held);
        for finding in findings {
            match self.keys.iter().position(|known| *known == key(finding)) {
                Some(place) => hold(&mut self.active[place], finding, at, self.thresholds.xid_coalesce_s),
                None => self.consider(at, finding),
            }
        }
        let beat = self.beat;
        let thresholds = self.thresholds;
        self.pending
            .retain(|pending| beat - pending.first_beat < pace(pending.key.2, &thresholds).within_beats);
        self.end_quiet(at, devices);
    }

    /// Counts a finding that is no event yet, and makes it one when enough beats have seen it.
    fn consider(&mut self, at: Timestamp, finding: &Finding) {
        let pace = pace(finding.fault, &self.thresholds);
        let key = key(finding);
        let known = self.pending.iter().position(|pending| pending.key == key);
        let fresh = Pending { key, first: at, beats: 0, first_beat: self.beat };
        let place = known.unwrap_or_else(|| {
            if self.pending.len() < PENDING_MAX {
                self.pending.push(fresh);
            }
            self.pending.len() - 1
        });
        let pending = &mut self.pending[place];
        if pending.key != key {
            self.dropped += 1;
            return;
        }
        pending.beats += 1;
        if pending.beats >= pace.raise_beats {
            let since = pending.first;
            self.pending.swap_remove(place);
            self.raise(since, at, finding);
        }
    }

    fn raise(&mut self, since: Timestamp, at: Timestamp, finding: &Finding) {
        if self.active.len() == ACTIVE_MAX {
            self.dropped += 1;
            return;
        }
        self.last_id += 1;
        match self
            .counts
            .iter_mut()
            .find(|(fault, severity, _)| (*fault, *severity) == (finding.fault, finding.severity))
        {
            Some((_, _, count)) => *count += 1,
            None => self.counts.push((finding.fault, finding.severity, 1)),
        }
        self.keys.push(key(finding));
        self.active.push(Event {
            id: EventId(self.last_id),
            detector: Cow::Borrowed(finding.detector),
            device: finding.device,
            fault: finding.fault,
            code: finding.code,
            severity: finding.severity,
            phase: Phase::Raised,
            since,
            last: at,
            cleared: None,
            count: 1,
            score: finding.score,
            evidence: finding.evidence,
        });
    }

    fn end_quiet(&mut self, at: Timestamp, devices: &DeviceTable) {
        let mut place = 0;
        while place < self.active.len() {
            let event = &self.active[place];
            let quiet = at.seconds_since(event.last) >= pace(event.fault, &self.thresholds).quiet_s;
            // A lost device has not recovered because nobody mentions it.
            let lost = event.fault == FaultKind::DeviceLost && devices.get(event.device).gone;
            if quiet && !lost {
                self.keys.swap_remove(place);
                let mut event = self.active.swap_remove(place);
                event.phase = Phase::Cleared;
                event.cleared = Some(at);
                if self.cleared.len() == EVENTS_MAX {
                    self.cleared.remove(0);
                }
                self.cleared.push(event);
            } else {
                place += 1;
            }
        }
    }

    /// Events that are raised or held.
    pub fn active(&self) -> &[Event] {
        &self.active
    }

    /// Active events, then the latest cleared ones, newest first in each; at most [`EVENTS_MAX`].
    pub fn recent(&self) -> Vec<Event> {
        let mut list = self.active.clone();
        list.sort_by_key(|event| std::cmp::Reverse(event.id));
        list.extend(self.cleared.iter().rev().take(EVENTS_MAX - self.active.len()).cloned());
        list
    }

    /// Events raised since the start, by fault and severity.
    pub fn counts(&self) -> Vec<(FaultKind, Severity, u64)> {
        self.counts.clone()
    }

    /// Findings that found no place since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Keeps an event alive. Its severity never falls, and its evidence is that of its worst beat.
fn hold(event: &mut Event, finding: &Finding, at: Timestamp, coalesce_s: f64) {
    let point = event.fault == FaultKind::Xid;
    if !point || at.seconds_since(event.last) >= coalesce_s {
        event.count += 1;
    }
    event.last = at;
    event.severity = event.severity.max(finding.severity);
    if finding.score > event.score {
        event.score = finding.score;
        event.evidence = finding.evidence;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceId, DeviceInfo, DeviceKind};
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn table() -> (DeviceTable, DeviceId) {
        let mut table = DeviceTable::default();
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        (table, device)
    }

    fn finding(device: DeviceId, fault: FaultKind, score: f64) -> Finding {
        Finding {
            detector: "test",
            device,
            fault,
            code: 0,
            severity: Severity::Warning,
            score,
            evidence: [None; 4],
        }
    }

    fn second(n: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(n))
    }

    #[test]
    fn a_fault_is_one_event_from_its_first_beat_to_its_quiet_end() {
        let (table, device) = table();
        let mut life = Lifecycle::new(&Thresholds::default());
        for n in 0..5 {
            life.step(second(n), &table, &[finding(device, FaultKind::ThermalSlowdown, n as f64)]);
        }
        assert_eq!((life.active().len(), life.active()[0].count, life.active()[0].score), (1, 5, 4.0));
        for n in 5..13 {
            life.step(second(n), &table, &[]);
            assert_eq!(life.active().len(), 1, "hysteresis at second {n}");
        }
        life.step(second(14), &table, &[]);
        assert!(life.active().is_empty());
        assert_eq!(life.recent()[0].cleared, Some(second(14)));
    }

    #[test]
    fn a_statistical_finding_needs_eight_of_ten_beats() {
        let (table, device) = table();
        let mut life = Lifecycle::new(&Thresholds::default());
        for n in 0..40 {
            let findings = [finding(device, FaultKind::Residual, 2.0)];
            life.step(second(n), &table, if n % 2 == 0 { &findings } else { &[] });
        }
        assert!(life.active().is_empty());
        for n in 40..56 {
            life.step(second(n), &table, &[finding(device, FaultKind::Residual, 2.0)]);
        }
        assert_eq!(life.active().len(), 1);
    }

    #[test]
    fn a_lost_device_stays_lost_until_it_is_back() {
        let (mut table, device) = table();
        table.retire(device);
        let mut life = Lifecycle::new(&Thresholds::default());
        life.step(second(0), &table, &[finding(device, FaultKind::DeviceLost, 1.0)]);
        life.step(second(1000), &table, &[]);
        assert_eq!(life.active().len(), 1);
        let info = Arc::clone(&table.get(device).info);
        table.register(&info).unwrap();
        life.step(second(1001), &table, &[]);
        assert!(life.active().is_empty());
    }

    #[test]
    fn identical_xids_within_five_seconds_are_one_sign() {
        let (table, device) = table();
        let mut life = Lifecycle::new(&Thresholds::default());
        for n in [0, 1, 2, 20] {
            life.step(second(n), &table, &[finding(device, FaultKind::Xid, 1.0)]);
        }
        assert_eq!(life.active()[0].count, 2);
    }

    proptest! {
        #[test]
        fn no_sequence_of_findings_makes_two_events_of_one_fault_or_passes_the_bounds(
            seen in prop::collection::vec((0_usize..8, prop::bool::ANY), 1..400),
        ) {
            let (table, device) = table();
            let mut life = Lifecycle::new(&Thresholds::default());
            for (n, (fault, there)) in seen.iter().enumerate() {
                let findings = [finding(device, FaultKind::ALL[*fault], 1.0)];
                life.step(second(n as u64), &table, if *there { &findings } else { &[] });
                let mut faults: Vec<_> = life.active().iter().map(|e| e.fault).collect();
                faults.sort();
                faults.dedup();
                prop_assert_eq!(faults.len(), life.active().len());
                prop_assert!(life.recent().len() <= EVENTS_MAX);
            }
        }
    }
}
