//! Replay: a recording of snapshots, one JSON line a beat, read back as a source.
use model::error::Reason;
use model::snapshot::NodeInfo;
use model::source::SlotProcess;
use model::{
    Batch, CollectError, Collector, DeviceId, DeviceKind, Frame, Notice, NoticeKind, OpenError, Slot,
    Snapshot, Timestamp,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a line; a longer one is not a recording of ours.
const LINE_MAX: u64 = 16 << 20;

/// The beat that comes next, or why there is none; `Ok(None)` at the end.
type Next = Result<Option<Box<Snapshot>>, CollectError>;

/// A recording, read line by line, one beat ahead of what was taken.
#[derive(Debug)]
pub struct Recording {
    reader: BufReader<File>,
    line: usize,
    text: String,
    next: Next,
    node: Arc<NodeInfo>,
    start: Timestamp,
}

impl Recording {
    /// Opens a recording and reads its first beat.
    ///
    /// # Errors
    /// When the file cannot be read or its first line is no snapshot.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let what = || format!("open the recording {}", path.display());
        let file = File::open(path).map_err(|error| OpenError::io(what(), error))?;
        let mut recording = Self {
            reader: BufReader::new(file),
            line: 0,
            text: String::new(),
            next: Ok(None),
            node: Arc::default(),
            start: Timestamp::default(),
        };
        let failed = |error: CollectError| OpenError::new(what(), error.reason).because(error);
        let first =
            recording.read().map_err(failed)?.ok_or_else(|| OpenError::new(what(), Reason::Malformed))?;
        recording.node = Arc::clone(&first.node);
        recording.start = first.frame.at;
        recording.next = Ok(Some(first));
        Ok(recording)
    }

    /// The node that was recorded, as its first beat says.
    pub fn node(&self) -> &NodeInfo {
        &self.node
    }

    /// The host that was recorded.
    pub fn host(&self) -> &str {
        &self.node.host
    }

    /// The length of a recorded beat, in seconds; 1 where the recording does not say.
    pub fn beat_s(&self) -> f64 {
        let beat_s = self.node.beat_s;
        if beat_s.is_finite() && beat_s > 0.0 { beat_s } else { 1.0 }
    }

    /// The time of the first beat.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The time of the beat that comes next; `None` at the end and before a damaged line.
    pub fn at(&self) -> Option<Timestamp> {
        self.next.as_ref().ok()?.as_ref().map(|snapshot| snapshot.frame.at)
    }

    /// Whether every beat was taken.
    pub fn ended(&self) -> bool {
        matches!(self.next, Ok(None))
    }

    /// Reads one line. A torn last line, as a killed agent leaves it, is the end.
    fn read(&mut self) -> Next {
        self.line += 1;
        let what = |line: usize| format!("read line {line} of the recording");
        self.text.clear();
        let read = self.reader.by_ref().take(LINE_MAX).read_line(&mut self.text);
        let length = read.map_err(|error| CollectError::io(what(self.line), error))?;
        if !self.text.ends_with('\n') {
            // The rest of a line that is too long is no beat either: nothing behind it is read.
            let long = length as u64 >= LINE_MAX;
            return if long { Err(CollectError::new(what(self.line), Reason::Full)) } else { Ok(None) };
        }
        let malformed =
            |error: serde_json::Error| CollectError::new(what(self.line), Reason::Malformed).because(error);
        serde_json::from_str(&self.text).map(Some).map_err(malformed)
    }

    /// Takes the next beat and reads the one behind it. Behind a damaged line it goes on, because each beat names its own
    /// time; behind a line that could not be read to its end there is nothing to go on with.
    fn take(&mut self) -> Next {
        let taken = std::mem::replace(&mut self.next, Ok(None));
        let goes_on = match &taken {
            Ok(beat) => beat.is_some(),
            Err(error) => error.reason == Reason::Malformed,
        };
        if goes_on {
            self.next = self.read();
        }
        taken
    }
}

/// A recording as a source. Only the frame is replayed: detectors and policies run anew on it.
#[derive(Debug)]
pub struct Replay {
    recording: Recording,
    slots: BTreeMap<(DeviceKind, String), Slot>,
}

impl Replay {
    /// A source over a recording.
    pub fn new(recording: Recording) -> Self {
        Self { recording, slots: BTreeMap::new() }
    }

    /// The node that was recorded.
    pub fn node(&self) -> &NodeInfo {
        self.recording.node()
    }

    /// The time of the beat that is replayed next, for a clock to follow; `None` at the end and before a damaged line.
    pub fn at(&self) -> Option<Timestamp> {
        self.recording.at()
    }

    /// Whether every beat was replayed.
    pub fn ended(&self) -> bool {
        self.recording.ended()
    }

    fn emit(&mut self, frame: &Frame, now: Timestamp, batch: &mut Batch) {
        let slots = self.devices(frame, now, batch);
        for (&device, &slot) in &slots {
            frame.readings(device).for_each(|(metric, reading)| batch.put(slot, metric, reading));
        }
        // Comings and goings follow from the devices themselves.
        let follows = |notice: &&Notice| matches!(notice.kind, NoticeKind::Gone | NoticeKind::Back);
        for notice in frame.notices.iter().filter(|notice| !follows(notice)) {
            if let Some(slot) = slots.get(&notice.device) {
                batch.notice(*slot, notice.kind, notice.code, notice.at);
            }
        }
        for process in &frame.processes {
            if let Some(&slot) = slots.get(&process.device) {
                let (pid, name) = (process.pid, Arc::clone(&process.name));
                batch.process(SlotProcess {
                    name,
                    memory_bytes: process.memory_bytes,
                    utilization: process.utilization,
                    workload: process.workload.clone(),
                    ..SlotProcess::new(slot, pid)
                });
            }
        }
    }

    /// Follows the recorded devices: new and changed ones are registered, those that went or are no longer named are
    /// gone. The agent's own sources are left out, because this agent has its own.
    fn devices(&mut self, frame: &Frame, now: Timestamp, batch: &mut Batch) -> BTreeMap<DeviceId, Slot> {
        let before = std::mem::take(&mut self.slots);
        let mut slots = BTreeMap::new();
        for device in frame.devices.iter().filter(|d| !d.gone && d.info.kind != DeviceKind::Source) {
            let key = (device.info.kind, device.info.key.clone());
            let known = before.get(&key).copied().filter(|slot| *batch.info(*slot) == device.info);
            let slot = known.unwrap_or_else(|| batch.device((*device.info).clone()));
            self.slots.insert(key, slot);
            slots.insert(device.id, slot);
        }
        for (_, slot) in before.iter().filter(|(key, _)| !self.slots.contains_key(*key)) {
            batch.gone(*slot, now);
        }
        slots
    }
}

impl Collector for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        match self.recording.take()? {
            Some(snapshot) => {
                self.emit(&snapshot.frame, now, batch);
                Ok(())
            }
            None => Err(CollectError::new("read on: the recording has ended", Reason::Missing)),
        }
    }
}

#[cfg(test)]
mod tests;
