//! The beat: collect, append, observe, decide, guard, act, publish, from left to right on one thread.
use crate::archive::Archive;
use crate::attribution::Attribution;
use crate::config::Config;
use crate::energy::Book;
use crate::feed::Feed;
use crate::govern::Govern;
use crate::priority::{Present, Priorities};
use crate::publish::Board;
use crate::record::Recorder;
use crate::tally::FLUSH_S;
use crate::vitals::Own;
use crate::watch::Watch;
use detectors::Kin;
use model::snapshot::{Counts, Lookback, NodeInfo, Vitals};
use model::{Clock, Frame, History, Snapshot, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// Everything one beat works on. All state of the loop is here, owned by one thread.
#[derive(Debug)]
pub struct Beat {
    feed: Feed,
    attribution: Attribution,
    frame: Frame,
    history: History,
    watch: Watch,
    govern: Govern,
    priorities: Priorities,
    node: Arc<NodeInfo>,
    vitals: Vitals,
    own: Own,
    recorder: Option<Recorder>,
    /// Which source reads which device.
    kin: Kin,
    /// Where incidents outlive the agent, if anywhere.
    archive: Option<Archive>,
    lookback: Lookback,
    /// When the energy counts were put up last.
    booked: Option<Timestamp>,
}

/// The parts of a beat, each already set up.
#[derive(Debug)]
pub struct Parts {
    /// The sources.
    pub feed: Feed,
    /// The detectors.
    pub watch: Watch,
    /// Policy and keeper.
    pub govern: Govern,
    /// What the node is.
    pub node: NodeInfo,
    /// Where every beat is written, if anywhere.
    pub recorder: Option<Recorder>,
}

impl Beat {
    /// A beat that has not begun.
    pub fn new(config: &Config, parts: Parts) -> Self {
        Self {
            feed: parts.feed,
            attribution: Attribution::new(config),
            frame: Frame::default(),
            history: History::new(config.history_points()),
            watch: parts.watch,
            govern: parts.govern,
            priorities: Priorities::new(&config.power),
            node: Arc::new(parts.node),
            vitals: Vitals::default(),
            own: Own::default(),
            recorder: parts.recorder,
            kin: Kin::default(),
            archive: None,
            lookback: Lookback::default(),
            booked: None,
        }
    }

    /// Runs one beat and publishes it. `due`: when it should have begun.
    pub fn turn(&mut self, due: Timestamp, clock: &dyn Clock, board: &Board) {
        let now = clock.now();
        self.vitals.late_seconds = now.seconds_since(due);
        self.collect(now);
        self.think();
        self.fit();
        self.publish(clock, board);
    }

    /// Reads every source and appends the frame to the history.
    pub fn collect(&mut self, now: Timestamp) {
        self.feed.collect(now, &mut self.frame);
        self.feed.kin(&mut self.kin);
        if self.lookback.started_ms == 0 {
            self.lookback = Lookback { started_ms: now.wall_ms, from_ms: now.wall_ms };
        }
        self.attribution.attribute(&mut self.frame);
        self.history.append(&self.frame);
    }

    /// Judges works, observes and decides. Allocates nothing in the steady state.
    pub fn think(&mut self) {
        self.watch.judge(&mut self.frame);
        self.watch.observe(&self.frame, &self.history, &self.kin);
        let (holdings, pods) = (self.attribution.holdings(), self.attribution.pod_names());
        let priorities = self.priorities.of(&self.frame, Present { holdings, pods });
        self.govern.decide(&self.frame, &self.history, self.watch.active(), priorities);
        if let Some(power) = self.govern.power() {
            self.attribution.add_saved(&self.frame, &power.costs);
        }
    }

    /// Gives out the fits that detectors ask for; a fit's input is copied here, off the path that may not allocate.
    pub fn fit(&mut self) {
        self.watch.give_fits(&self.frame, &self.history);
        self.watch.keep_learnt(&self.frame, &self.govern);
    }

    fn publish(&mut self, clock: &dyn Clock, board: &Board) {
        self.vitals.beats += 1;
        self.vitals.cpu_seconds = self.own.cpu_seconds();
        self.vitals.resident_bytes = self.own.resident_bytes();
        self.vitals.held_bytes = (self.history.bytes() + self.watch.bytes()) as u64;
        let mut snapshot = self.snapshot();
        snapshot.vitals.beat_seconds = clock.now().seconds_since(self.frame.at);
        self.vitals.beat_seconds = snapshot.vitals.beat_seconds;
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&snapshot);
        }
        if let Some(archive) = &mut self.archive {
            archive.keep(self.watch.correlator());
        }
        board.publish(snapshot);
        self.publish_energy(board);
    }

    /// Puts up what energy was counted, now and then: it holds every day.
    fn publish_energy(&mut self, board: &Board) {
        let now = self.frame.at;
        if self.booked.is_none_or(|last| now.seconds_since(last) >= FLUSH_S) {
            self.booked = Some(now);
            let (host, rig) = (self.node.host.clone(), self.node.rig);
            board.put_energy(Book {
                host,
                rig,
                at_ms: now.wall_ms,
                days: self.attribution.days(),
                curves: Some(self.govern.curves(&self.frame)),
            });
        }
    }

    /// The picture of the last beat.
    pub fn snapshot(&self) -> Snapshot {
        let lifecycle = self.watch.lifecycle();
        let mut snapshot = Snapshot {
            node: Arc::clone(&self.node),
            frame: self.frame.clone(),
            events: lifecycle.recent(),
            incidents: self.watch.correlator().recent(),
            lookback: self.lookback(),
            decisions: self.govern.recent(),
            power: self.govern.power().cloned(),
            mode: self.govern.mode(),
            priorities: self.priorities.last().to_vec(),
            signals: Vec::new(),
            standings: self.watch.standings(),
            interference: self.watch.interference(&self.frame),
            sharers: self.watch.sharers(),
            shares: self.attribution.shares().to_vec(),
            holdings: self.attribution.holdings().to_vec(),
            sources: self.feed.health(self.frame.at).into_iter().chain(self.attribution.health()).collect(),
            vitals: self.vitals,
            counts: Counts {
                events: lifecycle.counts(),
                incidents: self.watch.correlator().counts().to_vec(),
                decisions: self.govern.decision_counts(),
                verdicts: self.govern.verdict_counts(),
                // The board adds what it knows of pushes.
                pushes: Vec::new(),
            },
        };
        snapshot.signals = policy::scale::signals(&snapshot);
        snapshot
    }

    /// Counts energy on from what a state directory holds, and keeps the counts there.
    pub fn keep_energy_in(&mut self, directory: &Path, now: Timestamp) {
        self.attribution.keep_in(directory, now);
    }

    /// Takes over incidents that a state directory holds, and keeps incidents there.
    pub fn keep_incidents_in(&mut self, directory: &Path, now: Timestamp) {
        self.watch.keep_in(directory, now, &mut self.govern);
        let (archive, past) = Archive::open(directory, now);
        self.archive = archive;
        self.lookback = Lookback { started_ms: now.wall_ms, from_ms: past.from_ms.min(now.wall_ms) };
        self.watch.recall(past.incidents);
    }

    /// How far back incidents are known: less far once some were forgotten to make room.
    fn lookback(&self) -> Lookback {
        let forgotten_ms = self.watch.correlator().forgotten_ms().unwrap_or(i64::MIN);
        Lookback { from_ms: self.lookback.from_ms.max(forgotten_ms), ..self.lookback }
    }

    /// Counts beats that were due while an earlier one was still running.
    pub fn missed(&mut self, beats: u64) {
        self.vitals.beats_missed += beats;
    }

    /// The detectors and what they have found.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The readings of the last beat.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The policy and the keeper.
    pub fn govern(&mut self) -> &mut Govern {
        &mut self.govern
    }

    /// Takes over what may change while the agent runs: the power section.
    pub fn reconfigure(&mut self, config: &Config) {
        self.priorities = Priorities::new(&config.power);
        self.govern.reconfigure(config);
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.watch.finish(&self.frame, &self.govern);
        if let Some(archive) = self.archive.take() {
            archive.finish(self.watch.correlator());
        }
    }
}
