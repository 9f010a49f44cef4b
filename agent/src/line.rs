//! A line of the feed: one source where it runs, its last batch, and how that maps to the node's devices.
use crate::source::{Account, Failure, Opened};
use crate::worker::{Answer, Worker, late};
use model::snapshot::SourceHealth;
use model::source::SourceMap;
use model::{Absence, Arrival, Batch, Calls, DeviceId, Frame, Reason, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// A source where it runs.
#[derive(Debug)]
pub enum Place {
    /// On the beat's own thread.
    Inline(Box<Opened>),
    /// On a thread of its own.
    Worker(Worker),
}

/// One source and what it said last.
#[derive(Debug)]
pub struct Line {
    place: Place,
    name: Arc<str>,
    batch: Batch,
    map: SourceMap,
    account: Account,
    /// Since when the present collection has not returned.
    late_since: Option<Timestamp>,
    calls: Calls,
    calls_before: u64,
}

impl Line {
    /// A line that has said nothing yet.
    pub fn new(place: Place) -> Self {
        let (name, calls) = match &place {
            Place::Inline(source) => (source.name(), source.calls()),
            Place::Worker(worker) => (worker.name(), worker.calls()),
        };
        Self {
            name: Arc::clone(name),
            calls: calls.clone(),
            place,
            batch: Batch::default(),
            map: SourceMap::default(),
            account: Account::default(),
            late_since: None,
            calls_before: 0,
        }
    }

    /// The source's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it has a thread of its own.
    pub fn is_worker(&self) -> bool {
        matches!(self.place, Place::Worker(_))
    }

    /// What is known of the source.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Since when the present collection has not returned.
    pub fn late_since(&self) -> Option<Timestamp> {
        self.late_since
    }

    /// The driver call that is under way; empty when the source does not say.
    pub fn call(&self) -> &'static str {
        self.calls.present().unwrap_or("")
    }

    /// The devices that are there.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.map.present()
    }

    /// Devices that found no place in the table, since the start.
    pub fn refused(&self) -> u64 {
        self.map.refused
    }

    /// Readings of the last collection with a value, and absent ones.
    pub fn readings(&self) -> (usize, usize) {
        let values = self.batch.readings().iter().filter(|r| r.reading.value().is_some()).count();
        (values, self.batch.readings().len() - values)
    }

    /// Driver calls counted before this beat.
    pub fn calls_before(&self) -> u64 {
        self.calls_before
    }

    /// Driver calls made since they were counted.
    pub fn calls_made(&self) -> u64 {
        self.calls.made() - self.calls_before
    }

    /// Counts the driver calls of this beat.
    pub fn count_calls(&mut self) {
        self.calls_before = self.calls.made();
    }

    /// Asks a worker for a collection; one on the beat's thread is asked when it is read.
    pub fn ask(&mut self, now: Timestamp) {
        if let Place::Worker(worker) = &self.place {
            worker.ask(now);
        }
    }

    /// Reads the source into the frame, waiting at most `patience` for a worker; gives the devices that have arrived.
    ///
    /// A worker that was not asked, because it has just been started, is asked now.
    pub fn collect(&mut self, now: Timestamp, patience: Duration, frame: &mut Frame) -> Vec<Arrival> {
        let arrivals = match &mut self.place {
            Place::Inline(source) => {
                if self.late_since.is_some() {
                    source.overdue();
                }
                let arrivals = source.collect(now, &mut self.batch);
                self.account.clone_from(source.account());
                // How a simulated driver hangs: it says so, where a real one says nothing.
                let hangs = self.account.failure.as_ref().is_some_and(|f| f.reason == Reason::Late);
                self.late_since = hangs.then(|| self.late_since.unwrap_or(now));
                arrivals
            }
            Place::Worker(worker) => {
                worker.ask_first(now);
                match worker.wait(now, patience) {
                    Answer::Fresh => {
                        self.late_since = None;
                        worker.take(&mut self.batch, &mut self.account)
                    }
                    Answer::Late(since) => {
                        self.late_since = Some(since);
                        Vec::new()
                    }
                }
            }
        };
        frame.merge(&self.batch, &mut self.map, self.late_since.is_some());
        if let Some(absence) = self.failed().filter(|_| self.late_since.is_none()) {
            self.map.present().for_each(|device| frame.fill(device, absence));
        }
        arrivals
    }

    /// Why nothing at all could be read on this beat, as the absence of every reading.
    fn failed(&self) -> Option<Absence> {
        let failure = self.account.failure.as_ref().filter(|_| !self.account.up)?;
        Some(match failure.reason {
            Reason::Late | Reason::Busy => Absence::Late,
            Reason::Denied => Absence::Denied,
            _ => Absence::Lost,
        })
    }

    /// Ends every device of the line in the frame, as `retire` says it in the batch.
    pub fn retire(&mut self, now: Timestamp, frame: &mut Frame, retire: fn(&mut Batch, Timestamp)) {
        self.batch.begin();
        retire(&mut self.batch, now);
        frame.merge(&self.batch, &mut self.map, false);
    }

    /// The worker, if it has one, to wait for its end.
    pub fn into_worker(self) -> Option<Worker> {
        match self.place {
            Place::Inline(_) => None,
            Place::Worker(worker) => Some(worker),
        }
    }

    /// How the source is.
    pub fn health(&self, now: Timestamp) -> SourceHealth {
        let late: Option<Failure> = self.late_since.map(|since| late(self.calls.present(), since, now));
        let failure = late.as_ref().or(self.account.failure.as_deref());
        SourceHealth {
            name: self.name.to_string(),
            up: self.account.up && self.late_since.is_none(),
            reason: failure.map(|f| f.reason),
            message: failure.map(|f| f.message.clone()),
            failures: self.account.failures(),
        }
    }
}
