//! The feed: every source of a rig, read once a beat into the frame, and measured like any other device.
use crate::source::{Account, Failure, Opened};
use crate::worker::{Answer, Worker, late};
use model::snapshot::SourceHealth;
use model::source::SourceMap;
use model::{Absence, Batch, DeviceInfo, DeviceKind, Frame, Metric, Reason, Slot, Timestamp};
use std::time::Duration;

/// A source where it runs.
#[derive(Debug)]
pub enum Place {
    /// On the beat's own thread.
    Inline(Box<Opened>),
    /// On a thread of its own.
    Worker(Worker),
}

#[derive(Debug)]
struct Line {
    place: Place,
    name: &'static str,
    batch: Batch,
    map: SourceMap,
    account: Account,
    /// Since when the present collection has not returned.
    late_since: Option<Timestamp>,
    own: Slot,
}

/// Every source of a rig.
#[derive(Debug)]
pub struct Feed {
    lines: Vec<Line>,
    /// The sources as devices.
    own: Batch,
    own_map: SourceMap,
    /// How long a beat waits for workers.
    patience: Duration,
}

impl Feed {
    /// A feed of these sources, read in this order.
    pub fn new(places: Vec<Place>, patience: Duration) -> Self {
        let mut own = Batch::default();
        let line = |place: Place| {
            let name = match &place {
                Place::Inline(source) => source.name(),
                Place::Worker(worker) => worker.name(),
            };
            let slot = own.device(DeviceInfo::new(DeviceKind::Source, name));
            let (batch, map) = (Batch::default(), SourceMap::default());
            Line { place, name, batch, map, account: Account::default(), late_since: None, own: slot }
        };
        let lines = places.into_iter().map(line).collect();
        Self { lines, own, own_map: SourceMap::default(), patience }
    }

    /// Reads every source into the frame. Workers collect while the inline sources are read.
    ///
    /// `clock_now`: the present moment, to share the patience among workers.
    pub fn collect(&mut self, now: Timestamp, clock_now: &dyn Fn() -> Timestamp, frame: &mut Frame) {
        frame.begin(now);
        for line in &self.lines {
            if let Place::Worker(worker) = &line.place {
                worker.ask(now);
            }
        }
        for line in &mut self.lines {
            if let Place::Inline(source) = &mut line.place {
                source.collect(now, &mut line.batch);
                line.account.clone_from(source.account());
                frame.merge(&line.batch, &mut line.map, false);
            }
        }
        for line in &mut self.lines {
            if let Place::Worker(worker) = &line.place {
                let left = self.patience.saturating_sub(clock_now().since(now));
                line.late_since = match worker.wait(now, left) {
                    Answer::Fresh => {
                        worker.take(&mut line.batch, &mut line.account);
                        None
                    }
                    Answer::Late(since) => Some(since),
                };
                frame.merge(&line.batch, &mut line.map, line.late_since.is_some());
            }
        }
        self.measure(now);
        frame.merge(&self.own, &mut self.own_map, false);
    }

    /// Sets the metrics of the sources themselves.
    fn measure(&mut self, now: Timestamp) {
        self.own.begin();
        for line in &self.lines {
            let (own, slot, account) = (&mut self.own, line.own, &line.account);
            let late = line.late_since.map_or(0.0, |since| now.seconds_since(since));
            let missing = account.failure.as_ref().is_some_and(|f| f.reason == Reason::Unsupported);
            if missing {
                own.absent(slot, Metric::SourceUp, Absence::Unsupported);
                continue;
            }
            let values = line.batch.readings().iter().filter(|r| r.reading.value().is_some()).count();
            own.flag(slot, Metric::SourceUp, account.up && line.late_since.is_none());
            own.set(slot, Metric::SourceDuration, account.duration_s);
            own.set(slot, Metric::SourceLate, late);
            // Counts are far below 2^53, so the conversion is exact.
            own.set(slot, Metric::SourceCollections, account.collections as f64);
            own.set(slot, Metric::SourceReopens, account.reopens as f64);
            own.set(slot, Metric::SourceReadings, values as f64);
            own.set(slot, Metric::SourceAbsences, (line.batch.readings().len() - values) as f64);
        }
    }

    /// How each source is.
    pub fn health(&self, now: Timestamp) -> Vec<SourceHealth> {
        let health = |line: &Line| {
            let late: Option<Failure> = line.late_since.map(|since| late(since, now));
            let failure = late.as_ref().or(line.account.failure.as_deref());
            SourceHealth {
                name: line.name.to_owned(),
                up: line.account.up && line.late_since.is_none(),
                reason: failure.map(|f| f.reason),
                message: failure.map(|f| f.message.clone()),
                failures: line.account.failures(),
            }
        };
        self.lines.iter().map(health).collect()
    }

    /// Devices that found no place in the table, since the start.
    pub fn refused(&self) -> u64 {
        self.lines.iter().map(|line| line.map.refused).sum()
    }
}
