//! Incidents: events of one cause, told as one story with its first sign, evidence, probable cause and what to do.
use crate::clock::Timestamp;
use crate::device::{DeviceInfo, DeviceKind};
use crate::event::{EventId, Evidence, FaultKind, Severity};
use crate::remedy::Remedy;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The most incidents that are kept after their end.
pub const CLEARED_MAX: usize = 256;
/// The most ended incidents that a written snapshot carries, the latest; `/incidents` has them all.
pub const CLEARED_SHOWN: usize = 32;
/// The most devices that an incident names.
pub const SUBJECTS_MAX: usize = 64;
/// The most moments of a timeline: the first half and the newest ones stay.
pub const MOMENTS_MAX: usize = 32;
/// The most pieces of evidence.
pub const PROOFS_MAX: usize = 8;
/// The most events that an incident lists.
pub const EVENTS_OF_MAX: usize = 64;

/// The number of an incident. Rises from 1, and over restarts where incidents are kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub u64);

/// A device as an incident names it: an identity that outlives the handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The sort of thing.
    pub kind: DeviceKind,
    /// The identity, unique within the kind.
    pub key: String,
    /// A short name for people.
    pub name: String,
}

impl Subject {
    /// The identity of a device.
    pub fn of(info: &DeviceInfo) -> Self {
        Self { kind: info.kind, key: info.key.clone(), name: info.name.clone() }
    }

    /// Whether it is this device.
    pub fn is(&self, info: &DeviceInfo) -> bool {
        self.kind == info.kind && self.key == info.key
    }
}

/// How well the probable cause is founded. The order is that of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Only statistics speak: something is unusual, and nothing says why.
    Unexplained,
    /// Readings show it, and nothing that it would bring with it was seen.
    Possible,
    /// Readings show it, and what it brings with it was seen as well.
    Likely,
    /// The device, its driver or the kernel says so itself.
    Stated,
}

impl Confidence {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unexplained => "unexplained",
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Stated => "stated",
        }
    }

    /// What stands behind it, in a few words.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Unexplained => "statistics alone",
            Self::Possible => "readings show it",
            Self::Likely => "readings show it, and what follows from it was seen",
            Self::Stated => "the device, its driver or the kernel says so",
        }
    }
}

/// The probable cause: the event that leads the story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Its fault.
    pub fault: FaultKind,
    /// Its number, 0 where there is none.
    pub code: u32,
    /// The event.
    pub event: EventId,
    /// On which of the incident's devices; `None` where the incident names too many.
    pub device: Option<u16>,
    /// The event's title.
    pub title: String,
    /// What has probably happened, in a sentence.
    pub sentence: Cow<'static, str>,
    /// What would confirm it, in a sentence.
    pub confirm: Cow<'static, str>,
}

/// What a moment of a timeline tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// The first sign of an event.
    Seen,
    /// An event grew worse.
    Worse,
    /// A better cause was found.
    Cause,
    /// An event was over.
    Over,
    /// The incident was over and is back.
    Returned,
    /// Another incident turned out to be the same one.
    Joined,
    /// The agent ended while the incident lasted.
    Unwatched,
}

impl Turn {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Worse => "worse",
            Self::Cause => "cause",
            Self::Over => "over",
            Self::Returned => "returned",
            Self::Joined => "joined",
            Self::Unwatched => "unwatched",
        }
    }
}

/// One moment of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What kind of moment.
    pub turn: Turn,
    /// The title of the event that it is about.
    pub what: String,
    /// How bad that event was then.
    pub severity: Severity,
    /// On which of the incident's devices; `None` where the incident names too many.
    pub device: Option<u16>,
    /// The event.
    pub event: EventId,
}

/// One piece of evidence and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Of which fault.
    pub fault: FaultKind,
    /// Of which of the incident's devices; `None` where the incident names too many.
    pub device: Option<u16>,
    /// What was seen and what was expected.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// How an incident ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All its events were over.
    Cleared,
    /// It turned out to be a part of another incident, to which its events went over.
    Joined(IncidentId),
    /// The agent ended and did not find it again.
    Unwatched,
}

/// Events of one cause. Severity never falls, and a symptom never takes the place of the cause, while it lasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// How bad.
    pub severity: Severity,
    /// Whom it concerns, that of the first event first; at most [`SUBJECTS_MAX`].
    pub devices: Vec<Subject>,
    /// The probable cause.
    pub cause: Cause,
    /// How well that is founded.
    pub confidence: Confidence,
    /// What is to be done.
    pub remedy: Remedy,
    /// Whether the driver asked for that remedy itself.
    #[serde(default)]
    pub driver_asks: bool,
    /// What is to be done, in a sentence.
    pub advice: Cow<'static, str>,
    /// The first sign.
    pub since: Timestamp,
    /// The last beat on which any of its events was seen.
    pub last: Timestamp,
    /// When it was over.
    pub cleared: Option<Timestamp>,
    /// How it ended.
    #[serde(default)]
    pub end: Option<End>,
    /// How often it was over and came back.
    #[serde(default)]
    pub returns: u32,
    /// What happened, in the order of time; at most [`MOMENTS_MAX`].
    pub timeline: Vec<Moment>,
    /// Moments that found no place in the timeline.
    #[serde(default)]
    pub untold: u32,
    /// What speaks for it, that of the cause first; at most [`PROOFS_MAX`].
    pub evidence: Vec<Proof>,
    /// Its events of this run of the agent; at most [`EVENTS_OF_MAX`].
    pub events: Vec<EventId>,
}

impl Incident {
    /// Whether it lasts.
    pub fn active(&self) -> bool {
        self.cleared.is_none()
    }

    /// A device that it names.
    pub fn subject(&self, place: Option<u16>) -> Option<&Subject> {
        self.devices.get(usize::from(place?))
    }

    /// The short name of a device that it names; `?` where it names too many.
    pub fn name(&self, place: Option<u16>) -> &str {
        self.subject(place).map_or("?", |subject| &subject.name)
    }

    /// The cause in a few words, and on what: `XID error 79 on gpu5`.
    pub fn title(&self) -> String {
        format!("{} on {}", self.cause.title, self.place())
    }

    /// The cause's device, and how many more there are: `gpu5`, `gpu5 and 2 more`.
    pub fn place(&self) -> String {
        let name = self.name(self.cause.device);
        match self.devices.len() {
            0 | 1 => name.to_owned(),
            count => format!("{name} and {} more", count - 1),
        }
    }

    /// Adds a moment in its place. Where there is no room, one from the middle goes: the first signs and the newest moments
    /// stay.
    pub fn tell(&mut self, moment: Moment) {
        if self.timeline.len() >= MOMENTS_MAX {
            self.timeline.remove(MOMENTS_MAX / 2);
            self.untold = self.untold.saturating_add(1);
        }
        let place = self.timeline.partition_point(|known| known.at <= moment.at);
        self.timeline.insert(place, moment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(number: u64) -> Moment {
        Moment {
            at: Timestamp { mono_ns: number, wall_ms: 0 },
            turn: Turn::Seen,
            what: "x".into(),
            severity: Severity::Info,
            device: Some(0),
            event: EventId(number),
        }
    }

    fn incident() -> Incident {
        Incident {
            id: IncidentId(1),
            severity: Severity::Critical,
            devices: vec![Subject { kind: DeviceKind::Gpu, key: "GPU-5".into(), name: "gpu5".into() }],
            cause: Cause {
                fault: FaultKind::Xid,
                code: 79,
                event: EventId(1),
                device: Some(0),
                title: "XID error 79".into(),
                sentence: "It fell off the bus.".into(),
                confirm: "Look for it.".into(),
            },
            confidence: Confidence::Stated,
            remedy: Remedy::RebootNode,
            driver_asks: false,
            advice: "Reboot.".into(),
            since: Timestamp::default(),
            last: Timestamp::default(),
            cleared: None,
            end: None,
            returns: 0,
            timeline: Vec::new(),
            untold: 0,
            evidence: Vec::new(),
            events: vec![EventId(1)],
        }
    }

    #[test]
    fn a_full_timeline_keeps_its_beginning_and_its_end_and_counts_what_it_left_out() {
        let mut incident = incident();
        (0..100).for_each(|number| incident.tell(moment(number)));
        let numbers: Vec<_> = incident.timeline.iter().map(|moment| moment.event.0).collect();
        assert_eq!(numbers.len(), MOMENTS_MAX);
        assert_eq!((numbers[0], numbers[15], numbers[31]), (0, 15, 99));
        assert_eq!(incident.untold, 68);
    }

    #[test]
    fn an_incident_read_back_is_the_one_that_was_written() {
        let mut incident = incident();
        incident.tell(moment(1));
        let metric = crate::Metric::XidLastCode;
        let evidence = Evidence { metric, observed: 79.0, expected: 0.0 };
        incident.evidence.push(Proof { fault: FaultKind::Xid, device: Some(0), evidence });
        incident.end = Some(End::Joined(IncidentId(7)));
        let text = serde_json::to_string(&incident).unwrap();
        assert_eq!(serde_json::from_str::<Incident>(&text).unwrap(), incident);
        assert_eq!(incident.title(), "XID error 79 on gpu5");
    }
}
