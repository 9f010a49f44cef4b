//! Members: the events of incidents as the correlator remembers them, and which of them explains which.
use super::causes::{Row, row};
use super::kin::World;
use model::event::EVIDENCE_MAX;
use model::{DeviceId, Event, EventId, Evidence, FaultKind, IncidentId, Remedy, Severity, Timestamp};

/// One event of an incident.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) event: EventId,
    pub(super) incident: IncidentId,
    pub(super) device: DeviceId,
    pub(super) fault: FaultKind,
    pub(super) code: u32,
    pub(super) title: String,
    pub(super) row: &'static Row,
    pub(super) severity: Severity,
    pub(super) remedy: Remedy,
    pub(super) since: Timestamp,
    pub(super) last: Timestamp,
    pub(super) score: f64,
    pub(super) evidence: [Option<Evidence>; EVIDENCE_MAX],
    /// Whether the event lasts.
    pub(super) active: bool,
    /// Whether something else in its incident explains it: it is a symptom.
    pub(super) explained: bool,
    /// The beat on which it was last among the active events.
    pub(super) beat: u64,
}

impl Member {
    pub(super) fn of(event: &Event, incident: IncidentId, beat: u64) -> Self {
        let row = row(event.fault, event.code);
        Self {
            event: event.id,
            incident,
            device: event.device,
            fault: event.fault,
            code: event.code,
            title: event.title(),
            row,
            severity: severity(row, event),
            remedy: event.remedy,
            since: event.since,
            last: event.last,
            score: event.score,
            evidence: event.evidence,
            active: event.active(),
            explained: false,
            beat,
        }
    }

    /// How good a cause it is, among those that do not explain each other.
    pub(super) fn weight(&self) -> (Severity, u8) {
        (self.severity, self.row.rank)
    }

    /// Whether another event may follow from this one, by the table, in place and in time.
    pub(super) fn explains(&self, other: &Self, world: World<'_>) -> bool {
        let known = self.row.explains(other.fault, other.code);
        let early_s = self.since.seconds_since(other.since);
        let late_s = if self.active { 0.0 } else { other.since.seconds_since(self.last) };
        known
            && early_s <= self.row.lead_s
            && late_s <= self.row.window_s
            && world.reaches((self.device, self.row.reach), (other.device, other.fault))
    }
}

/// How bad an event is for its incident: a statistic alone is worth knowing and no more.
pub(super) fn severity(row: &Row, event: &Event) -> Severity {
    if row.statistic { Severity::Info } else { event.severity }
}
