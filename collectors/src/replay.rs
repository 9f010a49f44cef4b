//! Replay: a recording of snapshots, one JSON line a beat, read back as a source.
use model::error::Reason;
use model::source::SlotProcess;
use model::{
    Batch, CollectError, Collector, DeviceId, DeviceKind, Frame, OpenError, Slot, Snapshot, Timestamp,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a line; a longer one is not a recording of ours.
const LINE_MAX: u64 = 16 << 20;

/// A recording, read line by line.
#[derive(Debug)]
pub struct Recording {
    reader: BufReader<File>,
    line: usize,
    next: Option<Box<Snapshot>>,
    host: String,
    beat_s: f64,
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
            next: None,
            host: String::new(),
            beat_s: 1.0,
            start: Timestamp::default(),
        };
        let failed = |error: CollectError| OpenError::new(what(), error.reason).because(error);
        let first =
            recording.read().map_err(failed)?.ok_or_else(|| OpenError::new(what(), Reason::Malformed))?;
        recording.host.clone_from(&first.node.host);
        recording.beat_s = if first.node.beat_s > 0.0 { first.node.beat_s } else { 1.0 };
        recording.start = first.frame.at;
        recording.next = Some(first);
        Ok(recording)
    }

    /// The host that was recorded.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The length of a recorded beat, in seconds.
    pub fn beat_s(&self) -> f64 {
        self.beat_s
    }

    /// The time of the first beat.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The next beat; `None` at the end. A torn last line, as a killed agent leaves it, is the end.
    fn read(&mut self) -> Result<Option<Box<Snapshot>>, CollectError> {
        let what = |line: usize| format!("read line {line} of the recording");
        let mut text = String::new();
        self.line += 1;
        let read = self.reader.by_ref().take(LINE_MAX).read_line(&mut text);
        read.map_err(|error| CollectError::io(what(self.line), error))?;
        if !text.ends_with('\n') {
            return Ok(None);
        }
        let malformed =
            |error: serde_json::Error| CollectError::new(what(self.line), Reason::Malformed).because(error);
        serde_json::from_str(&text).map(Some).map_err(malformed)
    }

    fn take(&mut self) -> Result<Option<Box<Snapshot>>, CollectError> {
        match self.next.take() {
            Some(first) => Ok(Some(first)),
            None => self.read(),
        }
    }
}

/// A recording as a source.
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

    fn emit(&mut self, frame: &Frame, now: Timestamp, batch: &mut Batch) {
        let mut slots: BTreeMap<DeviceId, Slot> = BTreeMap::new();
        for device in frame.devices.iter().filter(|device| device.info.kind != DeviceKind::Source) {
            let key = (device.info.kind, device.info.key.clone());
            if device.gone {
                if let Some(slot) = self.slots.remove(&key) {
                    batch.gone(slot, now);
                }
                continue;
            }
            let slot = *self.slots.entry(key).or_insert_with(|| batch.device((*device.info).clone()));
            slots.insert(device.id, slot);
            for (metric, reading) in frame.readings(device.id) {
                batch.put(slot, metric, reading);
            }
        }
        // Comings and goings follow from the devices themselves.
        for notice in frame.notices.iter().filter(|notice| notice.kind == model::NoticeKind::Xid) {
            if let Some(slot) = slots.get(&notice.device) {
                batch.notice(*slot, notice.kind, notice.code, notice.at);
            }
        }
        for process in &frame.processes {
            if let Some(&slot) = slots.get(&process.device) {
                let (pid, name) = (process.pid, Arc::clone(&process.name));
                batch.process(SlotProcess { slot, pid, name, memory_bytes: process.memory_bytes });
            }
        }
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
mod tests {
    use super::*;
    use model::source::SourceMap;
    use model::{DeviceInfo, Metric, Reading};
    use std::io::Write as _;

    fn recorded(powers: &[f64]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for (n, power) in powers.iter().enumerate() {
            let mut snapshot = Snapshot::default();
            let table = Arc::make_mut(&mut snapshot.frame.devices);
            let gpu = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
            snapshot.frame.begin(Timestamp { mono_ns: n as u64 * 1_000_000_000, wall_ms: 5 });
            snapshot.frame.put(gpu, Metric::PowerInstant, Reading::Value(*power));
            writeln!(file, "{}", serde_json::to_string(&snapshot).unwrap()).unwrap();
        }
        file
    }

    #[test]
    fn a_recording_gives_its_readings_back_and_then_ends() {
        let file = recorded(&[100.0, 200.0]);
        let mut replay = Replay::new(Recording::open(file.path()).unwrap());
        let (mut batch, mut map, mut frame) = (Batch::default(), SourceMap::default(), Frame::default());
        for expected in [100.0, 200.0] {
            batch.begin();
            replay.collect(Timestamp::default(), &mut batch).unwrap();
            frame.begin(Timestamp::default());
            frame.merge(&batch, &mut map, false);
            let gpu = frame.devices.find(DeviceKind::Gpu, "GPU-a").unwrap();
            assert_eq!(frame.value(gpu, Metric::PowerInstant), Some(expected));
        }
        assert_eq!(replay.collect(Timestamp::default(), &mut batch).unwrap_err().reason, Reason::Missing);
    }

    #[test]
    fn a_torn_last_line_is_the_end_and_a_damaged_one_an_error_with_its_number() {
        let mut file = recorded(&[100.0]);
        write!(file, "{{\"torn").unwrap();
        let mut replay = Replay::new(Recording::open(file.path()).unwrap());
        let mut batch = Batch::default();
        replay.collect(Timestamp::default(), &mut batch).unwrap();
        assert_eq!(replay.collect(Timestamp::default(), &mut batch).unwrap_err().reason, Reason::Missing);
        let mut file = recorded(&[100.0]);
        writeln!(file, "nonsense").unwrap();
        let mut replay = Replay::new(Recording::open(file.path()).unwrap());
        replay.collect(Timestamp::default(), &mut batch).unwrap();
        let error = replay.collect(Timestamp::default(), &mut batch).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_recording_is_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "hello").unwrap();
        assert_eq!(Recording::open(file.path()).unwrap_err().reason, Reason::Malformed);
    }
}
