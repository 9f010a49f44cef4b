//! The board: the last published snapshot, for readers who never hold up the beat, and the changes between snapshots.
use crate::clock::MachineClock;
use crate::energy::Book;
use crate::export::{self, dcgm};
use crate::otlp::Tally;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use model::event::{Event, Phase};
use model::{Clock as _, Incident, Snapshot, Timestamp};
use std::sync::{Arc, OnceLock};
use tokio::sync::broadcast;

/// Changes that a slow reader of `/events` may lag behind before it misses some.
const CHANGES_MAX: usize = 256;
/// Beats without a publication after which what is on the board is stale.
const STALE_BEATS: f64 = 3.0;
/// Beats, and seconds, without a publication after which the beat is taken for dead.
const DEAD_BEATS: f64 = 10.0;
const DEAD_S: f64 = 60.0;

/// A snapshot with its pages, each rendered when the first reader asks.
#[derive(Debug)]
pub struct Published {
    snapshot: Arc<Snapshot>,
    /// When it was published, on the machine's clock.
    at: Timestamp,
    text: OnceLock<Bytes>,
    text_gzip: OnceLock<Bytes>,
    open_metrics: OnceLock<Bytes>,
    open_metrics_gzip: OnceLock<Bytes>,
    state: OnceLock<Bytes>,
    /// The pages of DCGM's names by generation, plain and zipped.
    dcgm: [[OnceLock<Bytes>; 2]; dcgm::Profile::ALL.len()],
    dcgm_options: dcgm::Options,
}

impl Published {
    fn new(snapshot: Snapshot, dcgm_options: dcgm::Options) -> Self {
        Self {
            snapshot: Arc::new(snapshot),
            at: MachineClock.now(),
            text: OnceLock::new(),
            text_gzip: OnceLock::new(),
            open_metrics: OnceLock::new(),
            open_metrics_gzip: OnceLock::new(),
            state: OnceLock::new(),
            dcgm: Default::default(),
            dcgm_options,
        }
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The page of `/metrics` in a format, zipped or not.
    pub fn metrics(&self, format: export::Format, zipped: bool) -> Bytes {
        let (plain, packed) = match format {
            export::Format::Text => (&self.text, &self.text_gzip),
            export::Format::OpenMetrics => (&self.open_metrics, &self.open_metrics_gzip),
        };
        let page = || plain.get_or_init(|| Bytes::from(export::render(&self.snapshot, format)));
        if zipped { packed.get_or_init(|| export::gzip(page()).into()).clone() } else { page().clone() }
    }

    /// The page of `/metrics/dcgm` in a generation of names, the configured one where none is asked for; zipped or not.
    pub fn dcgm(&self, profile: Option<dcgm::Profile>, zipped: bool) -> Bytes {
        let options =
            dcgm::Options { profile: profile.unwrap_or(self.dcgm_options.profile), ..self.dcgm_options };
        let [plain, packed] = &self.dcgm[options.profile as usize];
        let page = || plain.get_or_init(|| Bytes::from(dcgm::render(&self.snapshot, options)));
        if zipped { packed.get_or_init(|| export::gzip(page()).into()).clone() } else { page().clone() }
    }

    /// The snapshot as JSON.
    pub fn state(&self) -> Bytes {
        // Every part of a snapshot serialises; were one not to, an empty page would say less than nothing.
        let render =
            || serde_json::to_vec(&*self.snapshot).unwrap_or_else(|error| error.to_string().into_bytes());
        self.state.get_or_init(|| render().into()).clone()
    }

    /// Whether the beat has stopped altogether.
    pub fn dead(&self) -> bool {
        MachineClock.now().seconds_since(self.at) > (DEAD_BEATS * self.snapshot.node.beat_s).max(DEAD_S)
    }

    /// Whether so many beats have passed since that this is no longer the present.
    pub fn stale(&self) -> bool {
        let allowed_s = (STALE_BEATS * self.snapshot.node.beat_s).max(1.0);
        MachineClock.now().seconds_since(self.at) > allowed_s
    }
}

/// Where the beat leaves its snapshot and readers find it.
#[derive(Debug)]
pub struct Board {
    current: ArcSwapOption<Published>,
    energy: ArcSwapOption<Book>,
    changes: broadcast::Sender<Arc<str>>,
    dcgm: dcgm::Options,
    pushes: Option<Arc<Tally>>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            current: ArcSwapOption::empty(),
            energy: ArcSwapOption::empty(),
            changes: broadcast::channel(CHANGES_MAX).0,
            dcgm: dcgm::Options::default(),
            pushes: None,
        }
    }
}

impl Board {
    /// An empty board.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves DCGM's names in this way.
    #[must_use]
    pub fn with_dcgm(self, dcgm: dcgm::Options) -> Self {
        Self { dcgm, ..self }
    }

    /// Counts these pushes in every snapshot.
    #[must_use]
    pub fn with_pushes(self, pushes: Option<Arc<Tally>>) -> Self {
        Self { pushes, ..self }
    }

    /// Puts a snapshot up and tells the readers of `/events` what changed. Waits for nobody.
    pub fn publish(&self, mut snapshot: Snapshot) {
        if let Some(pushes) = &self.pushes {
            snapshot.counts.pushes = pushes.counts();
        }
        let published = Arc::new(Published::new(snapshot, self.dcgm));
        let before = self.current.swap(Some(Arc::clone(&published)));
        if self.changes.receiver_count() > 0 {
            let now = &published.snapshot;
            let changed =
                |event: &&Event| event.phase == Phase::Raised || just_cleared(event, before.as_deref());
            for event in now.events.iter().filter(changed) {
                // An error means that the last reader has left.
                let _ = self.changes.send(Arc::from(describe(event, now)));
            }
        }
    }

    /// The last snapshot; `None` before the first beat.
    pub fn latest(&self) -> Option<Arc<Published>> {
        self.current.load_full()
    }

    /// Puts up what energy was counted.
    pub fn put_energy(&self, book: Book) {
        self.energy.store(Some(Arc::new(book)));
    }

    /// What energy was counted, some seconds old at most; `None` before the first beat.
    pub fn energy(&self) -> Option<Arc<Book>> {
        self.energy.load_full()
    }

    /// The changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Arc<str>> {
        self.changes.subscribe()
    }
}

fn just_cleared(event: &Event, before: Option<&Published>) -> bool {
    let was_active = |old: &Event| old.id == event.id && old.active();
    event.phase == Phase::Cleared
        && before.is_some_and(|before| before.snapshot.events.iter().any(was_active))
}

/// An incident as one JSON object: as it is kept, with names and the words of other tools beside it.
pub fn incident(incident: &Incident) -> serde_json::Value {
    // Every part of an incident serialises.
    let mut value = serde_json::to_value(incident).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        let words = serde_json::json!({
            "state": if incident.active() { "active" } else { "cleared" },
            "title": incident.title(),
            "since_ms": incident.since.wall_ms,
            "last_ms": incident.last.wall_ms,
            "cleared_ms": incident.cleared.map(|at| at.wall_ms),
            "nvsentinel": incident.remedy.nvsentinel(),
            "gpud": incident.remedy.gpud(),
            "confirm": incident.cause.confirm,
        });
        fields.extend(words.as_object().cloned().unwrap_or_default());
    }
    for list in ["timeline", "evidence"] {
        for part in value[list].as_array_mut().into_iter().flatten() {
            let place = part["device"].as_u64().and_then(|place| u16::try_from(place).ok());
            part["name"] = incident.name(place).into();
        }
    }
    value
}

/// Every incident of a snapshot and how far back they reach.
pub fn incidents(snapshot: &Snapshot) -> serde_json::Value {
    serde_json::json!({
        "host": snapshot.node.host, "rig": snapshot.node.rig, "at_ms": snapshot.frame.at.wall_ms,
        "started_ms": snapshot.lookback.started_ms, "from_ms": snapshot.lookback.from_ms,
        "incidents": snapshot.incidents.iter().map(|i| incident(i)).collect::<Vec<_>>(),
    })
}

/// An event as one JSON object for a stream, with its device's identity in place of the handle.
pub fn describe(event: &Event, snapshot: &Snapshot) -> String {
    let device = &snapshot.frame.devices.get(event.device).info;
    serde_json::json!({
        "id": event.id, "phase": event.phase, "fault": event.fault, "title": event.title(), "code": event.code,
        "severity": event.severity, "device": device.key, "name": device.name, "kind": device.kind,
        "since_ms": event.since.wall_ms, "last_ms": event.last.wall_ms, "count": event.count, "score": event.score,
        "evidence": event.evidence.iter().flatten().collect::<Vec<_>>(), "remedy": event.remedy,
        "rig": snapshot.node.rig,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, EventId, FaultKind, Severity};

    fn snapshot(phase: Phase) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let table = Arc::make_mut(&mut snapshot.frame.devices);
        let device = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        let at = Timestamp::default();
        snapshot.events.push(Event {
            id: EventId(1),
            detector: "xid".into(),
            device,
            fault: FaultKind::Xid,
            code: 79,
            detail: "".into(),
            severity: Severity::Critical,
            remedy: model::Remedy::None,
            phase,
            since: at,
            last: at,
            cleared: None,
            count: 1,
            score: 1.0,
            evidence: [None; 4],
        });
        snapshot
    }

    #[test]
    fn a_reader_is_told_once_when_an_event_is_raised_and_once_when_it_is_cleared() {
        let board = Board::new();
        let mut changes = board.changes();
        for phase in [Phase::Raised, Phase::Held, Phase::Held, Phase::Cleared, Phase::Cleared] {
            board.publish(snapshot(phase));
        }
        let mut phases = Vec::new();
        while let Ok(change) = changes.try_recv() {
            let value: serde_json::Value = serde_json::from_str(&change).unwrap();
            phases.push((
                value["phase"].as_str().unwrap().to_owned(),
                value["device"].as_str().unwrap().to_owned(),
            ));
        }
        assert_eq!(phases, [("raised".into(), "GPU-a".into()), ("cleared".into(), "GPU-a".to_owned())]);
    }

    #[test]
    fn a_page_is_rendered_once() {
        let board = Board::new();
        board.publish(snapshot(Phase::Held));
        let published = board.latest().unwrap();
        let (one, two) =
            (published.metrics(export::Format::Text, false), published.metrics(export::Format::Text, false));
        assert_eq!(one.as_ptr(), two.as_ptr());
        let gzip = |profile| published.dcgm(profile, true);
        assert_eq!(gzip(None).as_ptr(), gzip(Some(dcgm::Profile::V48)).as_ptr());
        assert_ne!(gzip(None).as_ptr(), gzip(Some(dcgm::Profile::V49)).as_ptr());
    }
}
