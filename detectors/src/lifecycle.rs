//! The life of events: raised, held, cleared, with hysteresis and deduplication, the same for every detector.
use crate::catalogue::Limit;
use crate::thresholds::Thresholds;
use model::event::Phase;
use model::snapshot::EVENTS_MAX;
use model::{DeviceTable, Event, EventId, FaultKind, Finding, Remedy, Severity, Timestamp};
use std::borrow::Cow;

/// The most events that are active at once. One more ends a milder one early, or is dropped; both are counted.
pub const ACTIVE_MAX: usize = 192;
/// Faults that wait to become events. What is an event on its first sign never waits.
const PENDING_MAX: usize = 256;
/// Beats that a waiting fault remembers, the bits of [`Pending::seen`].
const WITHIN_MAX: usize = 64;

/// What findings of one event have in common.
type Key = (&'static str, usize, FaultKind, u32);

fn key(finding: &Finding) -> Key {
    (finding.detector, finding.device.index(), finding.fault, finding.code)
}

/// A fault that too few beats have seen yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    key: Key,
    /// Which of the newest beats saw it; bit 0 is this beat.
    seen: u64,
}

impl Pending {
    /// Lets a beat pass and forgets what is older than `within` beats.
    fn age(&mut self, within: u32) {
        self.seen = (self.seen << 1) & (u64::MAX >> (64 - within.clamp(1, 64)));
    }
}

/// Every event from its first sign to its end. Bounded, and in the steady state nothing is allocated.
#[derive(Debug)]
pub struct Lifecycle {
    thresholds: Thresholds,
    active: Vec<Event>,
    keys: Vec<Key>,
    cleared: Vec<Event>,
    /// How many of `cleared`, the last ones, ended on this beat.
    ended: usize,
    pending: Vec<Pending>,
    /// When the newest beats were, by beat modulo [`WITHIN_MAX`].
    times: [Timestamp; WITHIN_MAX],
    beat: usize,
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
            cleared: Vec::with_capacity(EVENTS_MAX),
            ended: 0,
            pending: Vec::with_capacity(PENDING_MAX),
            times: [Timestamp::default(); WITHIN_MAX],
            beat: 0,
            last_id: 0,
            counts: Vec::with_capacity(FaultKind::ALL.len() * 3),
            dropped: 0,
        }
    }

    /// Takes the findings of one beat.
    pub fn step(&mut self, at: Timestamp, devices: &DeviceTable, findings: &[Finding]) {
        self.beat = self.beat.wrapping_add(1);
        self.times[self.beat % WITHIN_MAX] = at;
        self.ended = 0;
        self.active.iter_mut().for_each(|event| event.phase = Phase::Held);
        let thresholds = self.thresholds;
        let coalesce_s = thresholds.catalogue.limit(Limit::XidCoalesce);
        self.pending.iter_mut().for_each(|waiting| waiting.age(thresholds.pace(waiting.key.2).within_beats));
        for finding in findings {
            match self.keys.iter().position(|known| *known == key(finding)) {
                Some(place) => hold(&mut self.active[place], finding, at, coalesce_s),
                None => self.consider(at, finding),
            }
        }
        self.pending.retain(|waiting| waiting.seen != 0);
        self.end_quiet(at, devices);
        findings.iter().for_each(|finding| self.follow_driver(finding));
    }

    /// Lets the driver's own recovery action stand in for the remedy of the device's other faults. Not for an inspection: what
    /// is worn or came back after resets is not mended by another.
    fn follow_driver(&mut self, asked: &Finding) {
        if asked.fault != FaultKind::RecoveryWanted {
            return;
        }
        let catalogue = self.thresholds.catalogue;
        let yields = |event: &&mut Event| {
            event.device == asked.device
                && catalogue.row(event.fault).driver_wins
                && event.remedy < Remedy::InspectHardware
        };
        self.active.iter_mut().filter(yields).for_each(|event| event.remedy = asked.remedy);
    }

    /// Counts a finding that is no event yet, and makes it one when enough beats have seen it.
    fn consider(&mut self, at: Timestamp, finding: &Finding) {
        let raise_beats = self.thresholds.pace(finding.fault).raise_beats;
        if raise_beats <= 1 {
            return self.raise(at, at, finding);
        }
        let key = key(finding);
        let known = self.pending.iter().position(|waiting| waiting.key == key);
        let place = known.unwrap_or(self.pending.len());
        if place == PENDING_MAX {
            self.dropped += 1;
            return;
        }
        if known.is_none() {
            self.pending.push(Pending { key, seen: 0 });
        }
        let waiting = &mut self.pending[place];
        waiting.seen |= 1;
        if waiting.seen.count_ones() >= raise_beats {
            let ago = WITHIN_MAX - 1 - waiting.seen.leading_zeros() as usize;
            let since = self.times[self.beat.wrapping_sub(ago) % WITHIN_MAX];
            self.pending.swap_remove(place);
            self.raise(since, at, finding);
        }
    }

    fn raise(&mut self, since: Timestamp, at: Timestamp, finding: &Finding) {
        if self.active.len() == ACTIVE_MAX && !self.yield_to(at, finding.severity) {
            self.dropped += 1;
            return;
        }
        self.last_id += 1;
        let same = |(fault, severity, _): &&mut (FaultKind, Severity, u64)| {
            (*fault, *severity) == (finding.fault, finding.severity)
        };
        match self.counts.iter_mut().find(same) {
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
            detail: Cow::Borrowed(finding.detail),
            severity: finding.severity,
            remedy: finding.remedy,
            phase: Phase::Raised,
            since,
            last: at,
            cleared: None,
            count: 1,
            score: finding.score,
            evidence: finding.evidence,
        });
    }

    /// Ends the mildest, then oldest active event early if it is milder than `severity`. Says whether there is room now.
    fn yield_to(&mut self, at: Timestamp, severity: Severity) -> bool {
        let mildest = self.active.iter().enumerate().min_by_key(|(_, event)| (event.severity, event.id));
        let Some((place, _)) = mildest.filter(|(_, event)| event.severity < severity) else { return false };
        self.dropped += 1;
        self.end(place, at);
        true
    }

    fn end_quiet(&mut self, at: Timestamp, devices: &DeviceTable) {
        let mut place = 0;
        while place < self.active.len() {
            let event = &self.active[place];
            let quiet = at.seconds_since(event.last) >= self.thresholds.pace(event.fault).quiet_s;
            // A lost device has not recovered because nobody mentions it.
            let lost = event.fault == FaultKind::DeviceLost && devices.get(event.device).gone;
            if quiet && !lost {
                self.end(place, at);
            } else {
                place += 1;
            }
        }
    }

    fn end(&mut self, place: usize, at: Timestamp) {
        self.keys.swap_remove(place);
        let mut event = self.active.swap_remove(place);
        event.phase = Phase::Cleared;
        event.cleared = Some(at);
        if self.cleared.len() == EVENTS_MAX {
            self.cleared.remove(0);
        }
        self.cleared.push(event);
        self.ended = (self.ended + 1).min(EVENTS_MAX);
    }

    /// Events that are raised or held.
    pub fn active(&self) -> &[Event] {
        &self.active
    }

    /// Events that were raised on this beat, then those that ended on it.
    pub fn changes(&self) -> impl Iterator<Item = &Event> {
        let raised = self.active.iter().filter(|event| event.phase == Phase::Raised);
        raised.chain(&self.cleared[self.cleared.len() - self.ended..])
    }

    /// Active events, then the latest cleared ones, newest first in each; at most [`EVENTS_MAX`].
    pub fn recent(&self) -> Vec<Event> {
        let mut list = self.active.clone();
        list.sort_by_key(|event| std::cmp::Reverse(event.id));
        list.extend(self.cleared.iter().rev().take(EVENTS_MAX - self.active.len()).cloned());
        list
    }

    /// Events raised since the start, by fault and by the severity with which they were raised.
    pub fn counts(&self) -> Vec<(FaultKind, Severity, u64)> {
        self.counts.clone()
    }

    /// Findings that found no place, and events that ended early to make place, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Keeps an event alive. Its severity never falls, and its evidence is that of its worst beat.
fn hold(event: &mut Event, finding: &Finding, at: Timestamp, coalesce_s: f64) {
    let apart_s = at.seconds_since(event.last);
    let another = if event.fault == FaultKind::Xid { apart_s >= coalesce_s } else { apart_s > 0.0 };
    if another {
        event.count += 1;
    }
    event.last = at;
    event.severity = event.severity.max(finding.severity);
    event.remedy = event.remedy.max(finding.remedy);
    if finding.score > event.score {
        event.score = finding.score;
        event.evidence = finding.evidence;
    }
}

#[cfg(test)]
mod tests;
