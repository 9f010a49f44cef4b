//! The archive: incidents that outlive the agent, written to the state directory by the thread `wk-archive`.
//!
//! The beat hands over what changed and waits for nobody. A disk that is slow or full costs what is on disk, never what is
//! in memory; once it takes data again, everything that is still in memory is written anew.
mod file;

pub use file::{ArchiveError, Past, read};

use crate::archive::file::Home;
use detectors::Correlator;
use model::incident::CLEARED_MAX;
use model::{Incident, IncidentId, Timestamp};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Beats whose changes wait to be written; further ones are handed over later.
const QUEUE_MAX: usize = 4;
/// Incidents on disk: as many as are kept in memory after their end, and room for those that last.
const KEPT_MAX: usize = 2 * CLEARED_MAX;
/// How long the last writing may hold up a stop.
const STOP_PATIENCE: Duration = Duration::from_millis(300);

type Changes = Vec<Arc<Incident>>;

/// The beat's end of the archive.
#[derive(Debug)]
pub struct Archive {
    queue: SyncSender<Changes>,
    ended: Receiver<()>,
    /// What changed and was not handed over yet.
    waiting: Vec<IncidentId>,
}

impl Archive {
    /// Opens a state directory. Without an archive incidents are kept in memory only, which is logged.
    pub fn open(directory: &Path, now: Timestamp) -> (Option<Self>, Past) {
        let nothing = Past { from_ms: now.wall_ms, ..Past::default() };
        let (home, past) = match Home::open(directory, now) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(
                    reason = error.reason().as_str(),
                    "incidents are kept in memory only: {error}"
                );
                return (None, nothing);
            }
        };
        if past.skipped > 0 {
            tracing::warn!(
                lines = past.skipped,
                "lines of the incidents' file are damaged or of another version"
            );
        }
        match Self::spawn(home, &past) {
            Ok(archive) => (Some(archive), past),
            Err(error) => {
                tracing::warn!("incidents will not survive a restart: no thread to write them: {error}");
                (None, past)
            }
        }
    }

    fn spawn(home: Home, past: &Past) -> std::io::Result<Self> {
        let (queue, orders) = sync_channel::<Changes>(QUEUE_MAX);
        let (end, ended) = sync_channel(1);
        let kept = past.incidents.iter().map(|incident| (incident.id, Arc::new(incident.clone())));
        let mut clerk = Clerk { home, from_ms: past.from_ms, kept: kept.collect(), failing: false };
        std::thread::Builder::new().name("wk-archive".into()).spawn(move || {
            while let Ok(changes) = orders.recv() {
                clerk.write(&changes);
            }
            let _ = end.send(());
        })?;
        Ok(Self { queue, ended, waiting: Vec::new() })
    }

    /// Hands over what changed on this beat, and what could not be handed over before.
    pub fn keep(&mut self, correlator: &Correlator) {
        for incident in correlator.changed() {
            if !self.waiting.contains(&incident.id) && self.waiting.len() < KEPT_MAX {
                self.waiting.push(incident.id);
            }
        }
        if self.waiting.is_empty() {
            return;
        }
        let waits = |id: IncidentId| self.waiting.contains(&id);
        let lasting = correlator.active().filter(|incident| waits(incident.id)).cloned().map(Arc::new);
        let over = correlator.cleared().filter(|incident| waits(incident.id)).cloned();
        match self.queue.try_send(lasting.chain(over).collect()) {
            Ok(()) => self.waiting.clear(),
            // The disk is slow: next time.
            Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => {
                tracing::debug!("the thread that writes incidents has ended")
            }
        }
    }

    /// Hands over what lasts, as it is at the end, and waits a moment until it is on disk.
    pub fn finish(mut self, correlator: &Correlator) {
        self.waiting.extend(correlator.active().map(|incident| incident.id));
        self.keep(correlator);
        drop(self.queue);
        if self.ended.recv_timeout(STOP_PATIENCE).is_err() {
            tracing::warn!("the disk is too slow to take the last incidents");
        }
    }
}

/// The thread's end: what is, or is to be, on disk.
#[derive(Debug)]
struct Clerk {
    home: Home,
    from_ms: i64,
    kept: BTreeMap<IncidentId, Arc<Incident>>,
    failing: bool,
}

impl Clerk {
    fn write(&mut self, changes: &[Arc<Incident>]) {
        self.kept.extend(changes.iter().map(|incident| (incident.id, Arc::clone(incident))));
        while self.kept.len() > KEPT_MAX {
            let oldest = self.kept.iter().find(|(_, incident)| !incident.active()).map(|(id, _)| *id);
            let Some(gone) = oldest.and_then(|id| self.kept.remove(&id)) else { break };
            self.from_ms = self.from_ms.max(gone.cleared.unwrap_or(gone.last).wall_ms);
        }
        let written = if self.home.takes_lines() {
            self.home.add(changes)
        } else {
            self.home.replace(self.from_ms, self.kept.values().map(|incident| &**incident))
        };
        match written {
            Err(error) if !self.failing => {
                tracing::warn!(
                    reason = error.reason().as_str(),
                    "incidents are kept in memory only: {error}"
                );
                self.failing = true;
            }
            Ok(()) if self.failing => {
                tracing::info!("incidents are on disk again");
                self.failing = false;
            }
            Err(_) | Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests;
