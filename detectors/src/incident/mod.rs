//! Incidents: events of one cause become one story, deterministically, from the life cycle's events alone.
//!
//! `causes` ranks faults as data; `join` says which story an event belongs to; `story` tells it. Severity never falls while an
//! incident lasts; a symptom never takes the place of the cause; a better cause may. Bounded, and nothing is allocated on a
//! beat on which nothing changes.
pub mod causes;
mod join;
mod kin;
mod member;
mod story;

pub use kin::Kin;

use crate::lifecycle::{ACTIVE_MAX, Lifecycle};
use kin::World;
use member::Member;
use model::incident::{CLEARED_MAX, End, Turn};
use model::{DeviceId, DeviceTable, Event, FaultKind, Incident, IncidentId, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use story::Story;

/// An incident whose cause returns within this many seconds of its end is the same one again. Ours: as long as an XID is held.
pub const RETURN_S: f64 = 600.0;
/// Events that are remembered at once, those that are over but tell on in an active incident included.
const MEMBERS_MAX: usize = 2 * ACTIVE_MAX;

/// An incident that is over.
#[derive(Debug)]
struct Ended {
    incident: Arc<Incident>,
    /// When, on this run's clock; `None` for one of an earlier run.
    at: Option<Timestamp>,
}

/// Makes incidents of events.
#[derive(Debug)]
pub struct Correlator {
    stories: Vec<Story>,
    /// By event.
    members: Vec<Member>,
    /// The newest last.
    ended: VecDeque<Ended>,
    /// How many of `ended`, the last ones, ended on this beat.
    ended_now: usize,
    /// Devices that are lost on this beat.
    lost: Vec<DeviceId>,
    /// Events of this beat that belong to no story yet.
    new: Vec<Member>,
    counts: Vec<(FaultKind, u64)>,
    /// When the latest of those ended that are no longer kept, in wall-clock milliseconds.
    forgotten_ms: Option<i64>,
    last_id: u64,
    beat: u64,
}

impl Default for Correlator {
    fn default() -> Self {
        Self {
            stories: Vec::with_capacity(ACTIVE_MAX),
            members: Vec::with_capacity(MEMBERS_MAX),
            ended: VecDeque::with_capacity(CLEARED_MAX),
            ended_now: 0,
            lost: Vec::with_capacity(ACTIVE_MAX),
            new: Vec::with_capacity(ACTIVE_MAX),
            counts: Vec::with_capacity(FaultKind::ALL.len()),
            forgotten_ms: None,
            last_id: 0,
            beat: 0,
        }
    }
}

impl Correlator {
    /// Takes over incidents of earlier runs, oldest first. Those that lasted when that run ended are over, as far as anybody
    /// knows; they go on when their cause is found again.
    pub fn recall(&mut self, incidents: impl IntoIterator<Item = Incident>) {
        for mut incident in incidents {
            self.last_id = self.last_id.max(incident.id.0);
            incident.events.clear();
            if incident.active() {
                (incident.cleared, incident.end) = (Some(incident.last), Some(End::Unwatched));
            }
            self.keep(Ended { incident: Arc::new(incident), at: None });
        }
        self.ended_now = 0;
    }

    /// Looks at the events of one beat, once the life cycle has been stepped.
    pub fn step(&mut self, at: Timestamp, devices: &DeviceTable, kin: &Kin, life: &Lifecycle) {
        let world = World { devices, kin };
        self.beat += 1;
        self.ended_now = 0;
        self.stories.iter_mut().for_each(|story| story.changed = false);
        self.lost.clear();
        let lost = life.active().iter().filter(|event| event.fault == FaultKind::DeviceLost);
        self.lost.extend(lost.map(|event| event.device));
        for event in life.active() {
            self.follow(at, event, world);
        }
        // What was raised and made to yield on one beat was never active.
        for event in life.changes().filter(|event| !event.active()) {
            if self.member(event.id).is_err() {
                self.new.push(Member::of(event, IncidentId(0), self.beat));
            }
        }
        self.admit_new(at, world);
        self.notice_ends(at, devices);
        for story in self.stories.iter_mut().filter(|story| story.stale) {
            story.conclude(&self.members, devices);
        }
        self.end_quiet(at);
    }

    fn member(&self, event: model::EventId) -> Result<usize, usize> {
        self.members.binary_search_by_key(&event, |member| member.event)
    }

    /// Keeps up with an event that is known, or sets a new one aside.
    fn follow(&mut self, at: Timestamp, event: &Event, world: World<'_>) {
        let Ok(place) = self.member(event.id) else {
            self.new.push(Member::of(event, IncidentId(0), self.beat));
            return;
        };
        let member = &mut self.members[place];
        let severity = member::severity(member.row, event);
        let worse = severity > member.severity;
        let stronger = event.score > member.score || event.remedy > member.remedy || worse;
        (member.beat, member.last, member.active) = (self.beat, event.last, true);
        (member.score, member.evidence) = (event.score, event.evidence);
        (member.severity, member.remedy) = (severity.max(member.severity), event.remedy);
        let id = member.incident;
        let Some(story) = self.stories.iter_mut().find(|story| story.incident.id == id) else { return };
        story.incident.last = story.incident.last.max(event.last);
        story.stale |= stronger;
        if worse {
            let member = self.members[place].clone();
            story.incident.severity = story.incident.severity.max(severity);
            story.tell_of(at, Turn::Worse, &member, world.devices);
            self.weigh(at, &member, world);
        }
    }

    /// Finds a story for each new event, causes before what they explain.
    fn admit_new(&mut self, at: Timestamp, world: World<'_>) {
        if self.new.is_empty() {
            return;
        }
        let mut new = std::mem::take(&mut self.new);
        new.sort_by_key(|member| (std::cmp::Reverse(member.row.rank), member.event));
        for member in new.drain(..) {
            self.admit(at, member, world);
        }
        self.new = new;
    }

    fn admit(&mut self, at: Timestamp, mut member: Member, world: World<'_>) {
        let chosen = self.choose(at, &member, world);
        let place = match chosen {
            Some((place, _)) => place,
            None => self.begin(at, &member, world.devices),
        };
        let story = &mut self.stories[place];
        let id = story.incident.id;
        member.incident = id;
        (story.quiet, story.changed) = (None, true);
        let begins = chosen.is_none();
        let turn = if begins && story.incident.returns > 0 { Turn::Returned } else { Turn::Seen };
        story.admit(&member, turn, world.devices);
        if !member.active {
            story.tell_of(at, Turn::Over, &member, world.devices);
        }
        let own = self.members.iter_mut().filter(|known| known.incident == id);
        for known in own {
            member.explained |= known.explains(&member, world);
            known.explained |= member.explains(known, world);
        }
        if self.members.len() == MEMBERS_MAX {
            // The oldest that is over; active events are at most half of the room.
            let oldest = self.members.iter().position(|known| !known.active).unwrap_or(0);
            self.members.remove(oldest);
        }
        let event = member.event;
        if let Err(slot) = self.member(event) {
            self.members.insert(slot, member.clone());
        }
        if begins {
            story_leads(&mut self.stories[place], &member);
        } else {
            self.weigh(at, &member, world);
        }
        while let Some(other) = self.explained_too(self.home(event), &member, world) {
            self.merge(at, (self.home(event), other), &member, world);
        }
    }

    /// The incident that an event belongs to.
    fn home(&self, event: model::EventId) -> IncidentId {
        self.member(event).map_or(IncidentId(0), |place| self.members[place].incident)
    }

    /// Begins a story, or goes on with one that was over and had the same cause.
    fn begin(&mut self, at: Timestamp, first: &Member, devices: &DeviceTable) -> usize {
        let info = &devices.get(first.device).info;
        let again = self.ended.iter().rposition(|ended| {
            let incident = &ended.incident;
            let gone_s = match (ended.at, incident.cleared) {
                (Some(then), _) => at.seconds_since(then),
                (None, Some(then)) => (at.wall_ms - then.wall_ms).max(0) as f64 / 1e3,
                (None, None) => return false,
            };
            let same = (incident.cause.fault, incident.cause.code) == (first.fault, first.code)
                && incident.subject(incident.cause.device).is_some_and(|subject| subject.is(info));
            same && gone_s <= RETURN_S && !matches!(incident.end, Some(End::Joined(_)))
        });
        if self.stories.len() == ACTIVE_MAX {
            // Every other active event has one story at most, so there is one that only waits for its end.
            let waits = self.stories.iter().position(|story| story.quiet.is_some()).unwrap_or(0);
            self.end(waits, at, End::Cleared);
        }
        let story = match again.and_then(|place| self.ended.remove(place)) {
            Some(ended) => Story::resume(Arc::unwrap_or_clone(ended.incident)),
            None => {
                self.last_id += 1;
                match self.counts.iter_mut().find(|(fault, _)| *fault == first.fault) {
                    Some((_, count)) => *count += 1,
                    None => self.counts.push((first.fault, 1)),
                }
                Story::begin(IncidentId(self.last_id), first, devices)
            }
        };
        self.stories.push(story);
        self.stories.len() - 1
    }

    /// Makes an event the cause of its story where it is a better one.
    fn weigh(&mut self, at: Timestamp, member: &Member, world: World<'_>) {
        let id = self.home(member.event);
        let Some(place) = self.stories.iter().position(|story| story.incident.id == id) else { return };
        if story::leads(&self.stories[place], member.event) {
            return;
        }
        let known = self.member(self.stories[place].incident.cause.event);
        let better = known.is_ok_and(|known| {
            let cause = &self.members[known];
            let explained = self.members[..].iter().any(|m| m.event == member.event && m.explained);
            member.explains(cause, world) || (!explained && member.weight() > cause.weight())
        });
        // A cause that is no longer remembered was over long ago.
        let forgotten = known.is_err() && !member.explained;
        if better || forgotten {
            self.stories[place].blame(at, member, world.devices);
        }
    }

    /// Makes two incidents one, for an event that explains both; the older number stays.
    fn merge(&mut self, at: Timestamp, pair: (IncidentId, IncidentId), member: &Member, world: World<'_>) {
        let (stays, goes) = (pair.0.min(pair.1), pair.0.max(pair.1));
        let Some(from) = self.stories.iter().position(|story| story.incident.id == goes) else { return };
        let taken = self.stories.swap_remove(from);
        let led = self.member(taken.incident.cause.event).ok().map(|place| self.members[place].clone());
        for known in self.members.iter_mut().filter(|known| known.incident == goes || known.incident == stays)
        {
            known.incident = stays;
            known.explained |= known.event != member.event && member.explains(known, world);
        }
        let Some(story) = self.stories.iter_mut().find(|story| story.incident.id == stays) else { return };
        let left = story.absorb(at, taken);
        story.quiet = None;
        self.keep(Ended { incident: Arc::new(left), at: Some(at) });
        // The cause of the one that went may stand above the event that brought them together, or beside it.
        led.iter().chain([member]).chain(&led).for_each(|candidate| self.weigh(at, candidate, world));
    }

    /// Marks events that are no longer active.
    fn notice_ends(&mut self, at: Timestamp, devices: &DeviceTable) {
        for member in &mut self.members {
            if !member.active || member.beat == self.beat {
                continue;
            }
            member.active = false;
            let mut stories = self.stories.iter_mut();
            if let Some(story) = stories.find(|story| story.incident.id == member.incident) {
                story.tell_of(at, Turn::Over, member, devices);
            }
        }
        for story in &mut self.stories {
            let id = story.incident.id;
            let lasts = self.members.iter().any(|member| member.incident == id && member.active);
            story.quiet = if lasts { None } else { story.quiet.or(Some(at)) };
        }
    }

    fn end_quiet(&mut self, at: Timestamp) {
        let mut place = 0;
        while place < self.stories.len() {
            if self.stories[place].is_over(at) {
                self.end(place, at, End::Cleared);
            } else {
                place += 1;
            }
        }
    }

    fn end(&mut self, place: usize, at: Timestamp, end: End) {
        let mut incident = self.stories.swap_remove(place).incident;
        (incident.cleared, incident.end) = (Some(at), Some(end));
        self.members.retain(|member| member.incident != incident.id);
        self.keep(Ended { incident: Arc::new(incident), at: Some(at) });
    }

    fn keep(&mut self, ended: Ended) {
        if self.ended.len() == CLEARED_MAX {
            let gone = self.ended.pop_front().and_then(|ended| ended.incident.cleared);
            self.forgotten_ms = gone.map(|at| at.wall_ms).max(self.forgotten_ms);
        }
        self.ended.push_back(ended);
        self.ended_now = (self.ended_now + 1).min(CLEARED_MAX);
    }

    /// Incidents that last.
    pub fn active(&self) -> impl Iterator<Item = &Incident> {
        self.stories.iter().map(|story| &story.incident)
    }

    /// Incidents that are over, the latest first.
    pub fn cleared(&self) -> impl Iterator<Item = &Arc<Incident>> {
        self.ended.iter().rev().map(|ended| &ended.incident)
    }

    /// Incidents that tell something new since the last beat: those that last, then those that ended.
    pub fn changed(&self) -> impl Iterator<Item = &Incident> {
        let lasting = self.stories.iter().filter(|story| story.changed).map(|story| &story.incident);
        lasting.chain(self.cleared().take(self.ended_now).map(|incident| &**incident))
    }

    /// Active incidents, then those that are over; newest first within each.
    pub fn recent(&self) -> Vec<Arc<Incident>> {
        let mut list: Vec<_> = self.active().cloned().map(Arc::new).collect();
        list.sort_by_key(|incident| std::cmp::Reverse(incident.id));
        list.extend(self.cleared().cloned());
        list
    }

    /// When the latest of those ended that are no longer kept, in wall-clock milliseconds; `None` while all are.
    pub fn forgotten_ms(&self) -> Option<i64> {
        self.forgotten_ms
    }

    /// Incidents since the start, by the fault that caused them when they began.
    pub fn counts(&self) -> &[(FaultKind, u64)] {
        &self.counts
    }
}

/// Makes the first event of a story its cause; a story that came back keeps its own, under the new event's number.
fn story_leads(story: &mut Story, member: &Member) {
    story.incident.cause.event = member.event;
}

#[cfg(test)]
mod tests;
