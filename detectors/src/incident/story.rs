//! A story: one active incident, with what is needed to tell it on.
use super::member::Member;
use model::incident::{
    Cause, Confidence, EVENTS_OF_MAX, End, MOMENTS_MAX, Moment, PROOFS_MAX, Proof, SUBJECTS_MAX, Subject,
    Turn,
};
use model::{DeviceTable, EventId, FaultKind, Incident, IncidentId, Remedy, Timestamp};
use std::borrow::Cow;

/// For each time that an incident came back it is held this long after its last event was over, in seconds. Ours.
const SETTLE_S: f64 = 60.0;
/// The longest that it is held so: as long as an incident may be over and still come back.
const SETTLE_S_MAX: f64 = super::RETURN_S;

/// One active incident.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) incident: Incident,
    /// Since when none of its events is active.
    pub(super) quiet: Option<Timestamp>,
    /// Whether what it tells is not what it told on the last beat.
    pub(super) changed: bool,
    /// Whether its evidence is to be gathered anew.
    pub(super) stale: bool,
}

impl Story {
    /// The story that an event begins.
    pub(super) fn begin(id: IncidentId, first: &Member, devices: &DeviceTable) -> Self {
        let incident = Incident {
            id,
            severity: first.severity,
            devices: vec![Subject::of(&devices.get(first.device).info)],
            cause: cause(first, Some(0)),
            confidence: Confidence::Unexplained,
            remedy: Remedy::None,
            driver_asks: false,
            advice: Cow::Borrowed(""),
            since: first.since,
            last: first.last,
            cleared: None,
            end: None,
            returns: 0,
            timeline: Vec::with_capacity(MOMENTS_MAX + 1),
            untold: 0,
            evidence: Vec::with_capacity(PROOFS_MAX),
            events: Vec::new(),
        };
        Self { incident, quiet: None, changed: true, stale: true }
    }

    /// The story of an incident that was over.
    pub(super) fn resume(mut incident: Incident) -> Self {
        (incident.cleared, incident.end) = (None, None);
        incident.returns = incident.returns.saturating_add(1);
        Self { incident, quiet: None, changed: true, stale: true }
    }

    /// The place of a device among those it names, added where there is room.
    fn place(&mut self, member: &Member, devices: &DeviceTable) -> Option<u16> {
        let info = &devices.get(member.device).info;
        let known = &mut self.incident.devices;
        let place = known.iter().position(|subject| subject.is(info));
        let place = place.or_else(|| {
            (known.len() < SUBJECTS_MAX).then(|| {
                known.push(Subject::of(info));
                known.len() - 1
            })
        });
        place.and_then(|place| u16::try_from(place).ok())
    }

    /// Takes an event in.
    pub(super) fn admit(&mut self, member: &Member, turn: Turn, devices: &DeviceTable) {
        let place = self.place(member, devices);
        let incident = &mut self.incident;
        if incident.events.len() < EVENTS_OF_MAX {
            incident.events.push(member.event);
        }
        incident.severity = incident.severity.max(member.severity);
        incident.since = incident.since.min(member.since);
        incident.last = incident.last.max(member.last);
        self.tell(member.since, turn, member, place);
        self.stale = true;
    }

    /// Tells a moment of an event.
    fn tell(&mut self, at: Timestamp, turn: Turn, member: &Member, place: Option<u16>) {
        let (what, severity, event) = (member.title.clone(), member.severity, member.event);
        self.incident.tell(Moment { at, turn, what, severity, device: place, event });
        self.changed = true;
    }

    /// Tells a moment of an event on a device that it names already.
    pub(super) fn tell_of(&mut self, at: Timestamp, turn: Turn, member: &Member, devices: &DeviceTable) {
        let place = self.place(member, devices);
        self.tell(at, turn, member, place);
    }

    /// Makes an event the cause.
    pub(super) fn blame(&mut self, at: Timestamp, member: &Member, devices: &DeviceTable) {
        let place = self.place(member, devices);
        self.incident.cause = cause(member, place);
        self.tell(at, Turn::Cause, member, place);
        self.stale = true;
    }

    /// Gathers evidence anew, and concludes from all events what is to be done and how sure that is.
    pub(super) fn conclude(&mut self, members: &[Member], devices: &DeviceTable) {
        self.stale = false;
        let before = (self.incident.remedy, self.incident.confidence, self.incident.driver_asks);
        let id = self.incident.id;
        let own = || members.iter().filter(move |member| member.incident == id);
        let Some(leading) = own().find(|member| member.event == self.incident.cause.event) else { return };
        self.incident.evidence.clear();
        // The strongest first; each weight once, so that nothing is sorted and nothing allocated.
        self.gather(leading, devices);
        for symptom in [false, true] {
            for member in own().filter(|m| m.event != leading.event && m.explained == symptom) {
                self.gather(member, devices);
            }
        }
        let followed = own().any(|m| m.event != leading.event && m.explained);
        self.incident.confidence = match leading.row {
            row if row.statistic => Confidence::Unexplained,
            row if row.stated => Confidence::Stated,
            _ if followed => Confidence::Likely,
            _ => Confidence::Possible,
        };
        let whole = devices.whole(leading.device);
        let asks = |m: &&Member| m.fault == FaultKind::RecoveryWanted && devices.whole(m.device) == whole;
        let asked = own().filter(asks).max_by_key(|m| m.remedy);
        if let Some(asked) = asked {
            self.act(asked.remedy, asked.fault);
            self.incident.driver_asks = true;
        } else if !self.incident.driver_asks {
            // Where nobody can say what to do about the cause, what is to be done about what followed from it is done.
            let decided =
                |m: &&Member| m.remedy > Remedy::Investigate && (m.explained || m.event == leading.event);
            let best = Some(leading).filter(|m| m.remedy > Remedy::Investigate);
            let best = best.or_else(|| own().filter(decided).max_by_key(|m| m.weight())).unwrap_or(leading);
            self.act(best.remedy, best.fault);
        }
        let after = (self.incident.remedy, self.incident.confidence, self.incident.driver_asks);
        self.changed |= before != after;
    }

    fn act(&mut self, remedy: Remedy, fault: FaultKind) {
        self.incident.remedy = remedy;
        self.incident.advice = Cow::Borrowed(fault.advice_with(remedy));
    }

    fn gather(&mut self, member: &Member, devices: &DeviceTable) {
        let device = self.place(member, devices);
        for evidence in member.evidence.into_iter().flatten() {
            if self.incident.evidence.len() < PROOFS_MAX {
                self.incident.evidence.push(Proof { fault: member.fault, device, evidence });
            }
        }
    }

    /// Whether it has been quiet for long enough to be over: at once the first time, later for each time it came back.
    pub(super) fn is_over(&self, at: Timestamp) -> bool {
        let settle_s = (f64::from(self.incident.returns) * SETTLE_S).min(SETTLE_S_MAX);
        self.quiet.is_some_and(|quiet| at.seconds_since(quiet) >= settle_s)
    }

    /// Takes another story in. Gives what is left of that one.
    pub(super) fn absorb(&mut self, at: Timestamp, other: Story) -> Incident {
        let mut other = other.incident;
        let moved: Vec<Option<u16>> =
            other.devices.iter().map(|subject| add(&mut self.incident.devices, subject)).collect();
        let place = |place: Option<u16>| place.and_then(|p| moved.get(usize::from(p)).copied().flatten());
        for moment in &other.timeline {
            self.incident.tell(Moment { device: place(moment.device), ..moment.clone() });
        }
        let incident = &mut self.incident;
        incident.tell(Moment {
            at,
            turn: Turn::Joined,
            what: format!("incident {}: {}", other.id.0, other.cause.title),
            severity: other.severity,
            device: place(other.cause.device),
            event: other.cause.event,
        });
        incident.severity = incident.severity.max(other.severity);
        incident.since = incident.since.min(other.since);
        incident.last = incident.last.max(other.last);
        incident.returns = incident.returns.max(other.returns);
        incident.driver_asks |= other.driver_asks;
        let room = EVENTS_OF_MAX.saturating_sub(incident.events.len());
        incident.events.extend(other.events.drain(..).take(room));
        (self.changed, self.stale) = (true, true);
        (other.cleared, other.end) = (Some(at), Some(End::Joined(self.incident.id)));
        other
    }
}

/// The place of a device among those named, added where there is room.
fn add(known: &mut Vec<Subject>, subject: &Subject) -> Option<u16> {
    let place = known.iter().position(|have| have == subject).or_else(|| {
        (known.len() < SUBJECTS_MAX).then(|| {
            known.push(subject.clone());
            known.len() - 1
        })
    });
    place.and_then(|place| u16::try_from(place).ok())
}

fn cause(member: &Member, device: Option<u16>) -> Cause {
    Cause {
        fault: member.fault,
        code: member.code,
        event: member.event,
        device,
        title: member.title.clone(),
        sentence: Cow::Borrowed(member.row.sentence),
        confirm: Cow::Borrowed(member.row.confirm),
    }
}

/// Whether it is of this event.
pub(super) fn leads(story: &Story, event: EventId) -> bool {
    story.incident.cause.event == event
}
