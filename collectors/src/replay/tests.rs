//! Tests of replay: what was recorded comes back as it was, and damage is said with its place.
use super::*;
use model::source::SourceMap;
use model::{Absence, DeviceInfo, Metric, Notice, ProcessUse, Reading};
use std::io::Write as _;
use tempfile::NamedTempFile;

fn second(n: u64) -> Timestamp {
    Timestamp::default().after(std::time::Duration::from_secs(n))
}

fn register(frame: &mut Frame, info: DeviceInfo) -> DeviceId {
    Arc::make_mut(&mut frame.devices).register(&Arc::new(info)).unwrap()
}

fn gpu(key: &str) -> DeviceInfo {
    DeviceInfo { name: "gpu0".into(), ..DeviceInfo::new(DeviceKind::Gpu, key) }
}

/// A beat with one GPU that draws so much.
fn beat(n: u64, key: &str, power: f64) -> Snapshot {
    let node = NodeInfo { host: "gpu-17".into(), beat_s: 0.5, ..NodeInfo::default() };
    let mut snapshot = Snapshot { node: Arc::new(node), ..Snapshot::default() };
    let device = register(&mut snapshot.frame, gpu(key));
    snapshot.frame.begin(second(n));
    snapshot.frame.put(device, Metric::PowerInstant, Reading::Value(power));
    snapshot
}

fn line(snapshot: &Snapshot) -> String {
    serde_json::to_string(snapshot).unwrap() + "\n"
}

fn file(text: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

fn recorded(snapshots: &[Snapshot]) -> NamedTempFile {
    file(snapshots.iter().map(line).collect::<String>())
}

/// A replay merged into frames, as the agent does it.
struct Run {
    replay: Replay,
    batch: Batch,
    map: SourceMap,
    frame: Frame,
}

impl Run {
    fn new(file: &NamedTempFile) -> Self {
        let replay = Replay::new(Recording::open(file.path()).unwrap());
        Self { replay, batch: Batch::default(), map: SourceMap::default(), frame: Frame::default() }
    }

    fn beat(&mut self) -> Result<(), CollectError> {
        let now = self.replay.at().unwrap_or_default();
        self.batch.begin();
        self.frame.begin(now);
        self.replay.collect(now, &mut self.batch)?;
        self.frame.merge(&self.batch, &mut self.map, false);
        Ok(())
    }

    fn power(&self, key: &str) -> Option<f64> {
        let device = self.frame.devices.find(DeviceKind::Gpu, key)?;
        self.frame.value(device, Metric::PowerInstant)
    }
}

/// A beat with all that a frame can hold.
fn full() -> Snapshot {
    let mut snapshot = beat(3, "GPU-a", 0.1 + 0.2);
    let frame = &mut snapshot.frame;
    let mut info = DeviceInfo::new(DeviceKind::Cgroup, "docker/abc");
    info.attributes.insert("container".into(), "abc".into());
    let group = register(frame, info);
    let node = register(frame, DeviceInfo::new(DeviceKind::Node, "gpu-17"));
    let gpu = frame.devices.find(DeviceKind::Gpu, "GPU-a").unwrap();
    let source = register(frame, DeviceInfo::new(DeviceKind::Source, "nvml"));
    frame.put(source, Metric::SourceUp, Reading::Value(1.0));
    frame.put(gpu, Metric::Energy, Reading::Absent(Absence::Denied));
    frame.put(gpu, Metric::Temperature, Reading::Absent(Absence::Implausible));
    frame.put(group, Metric::CgroupCpu, Reading::Value(1e-300));
    frame.put(node, Metric::Load1, Reading::Value(3.0));
    frame.notices.push(Notice { device: gpu, kind: NoticeKind::Xid, code: 79, at: second(2) });
    let process = |pid, memory_bytes| ProcessUse {
        device: gpu,
        pid,
        name: Arc::from("train"),
        memory_bytes,
        utilization: None,
        workload: None,
    };
    frame.processes = vec![process(7, Some(1 << 40)), process(8, None)];
    snapshot
}

#[test]
fn what_was_recorded_comes_back_reading_by_reading() {
    let full = full();
    let mut run = Run::new(&recorded(std::slice::from_ref(&full)));
    run.beat().unwrap();
    let mut compared = 0;
    for device in full.frame.devices.iter().filter(|device| device.info.kind != DeviceKind::Source) {
        let again = run.frame.devices.find(device.info.kind, &device.info.key).expect("a device");
        assert_eq!(run.frame.devices.get(again).info, device.info);
        for (metric, reading) in full.frame.readings(device.id) {
            assert_eq!(run.frame.get(again, metric), reading, "{} {metric}", device.info.key);
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared} readings");
    assert_eq!(run.frame.devices.of_kind(DeviceKind::Source).count(), 0, "the agent has its own sources");
    let gpu = run.frame.devices.find(DeviceKind::Gpu, "GPU-a").unwrap();
    let notice = Notice { device: gpu, kind: NoticeKind::Xid, code: 79, at: second(2) };
    assert_eq!(run.frame.notices, [notice]);
    let processes: Vec<_> = run.frame.processes.iter().map(|p| (p.device, p.pid, p.memory_bytes)).collect();
    assert_eq!(processes, [(gpu, 7, Some(1 << 40)), (gpu, 8, None)]);
}

#[test]
fn a_clock_can_follow_the_recorded_time_to_the_end() {
    let mut run =
        Run::new(&recorded(&[beat(5, "GPU-a", 100.0), beat(6, "GPU-a", 200.0), beat(60, "GPU-a", 1.0)]));
    for (time, power) in [(5, 100.0), (6, 200.0), (60, 1.0)] {
        assert_eq!((run.replay.at(), run.replay.ended()), (Some(second(time)), false));
        run.beat().unwrap();
        assert_eq!(run.power("GPU-a"), Some(power));
    }
    assert_eq!((run.replay.at(), run.replay.ended()), (None, true));
    for _ in 0..2 {
        assert_eq!(run.beat().unwrap_err().reason, Reason::Missing);
    }
}

#[test]
fn the_recorded_node_is_named() {
    let file = recorded(&[beat(5, "GPU-a", 100.0)]);
    let recording = Recording::open(file.path()).unwrap();
    assert_eq!((recording.host(), recording.beat_s(), recording.start()), ("gpu-17", 0.5, second(5)));
    assert_eq!(Replay::new(recording).node().host, "gpu-17");
}

#[test]
fn a_recording_that_names_no_beat_has_one_of_a_second() {
    for beat_s in [0.0, -1.0] {
        let mut snapshot = beat(1, "GPU-a", 1.0);
        Arc::make_mut(&mut snapshot.node).beat_s = beat_s;
        assert_eq!(Recording::open(recorded(&[snapshot]).path()).unwrap().beat_s(), 1.0);
    }
}

#[test]
fn a_device_that_went_or_is_no_longer_named_is_gone_and_may_come_back() {
    let mut went = beat(2, "GPU-b", 20.0);
    let old = register(&mut went.frame, gpu("GPU-a"));
    Arc::make_mut(&mut went.frame.devices).retire(old);
    let beats = [beat(1, "GPU-a", 10.0), went, beat(3, "GPU-a", 30.0), beat(4, "GPU-b", 40.0)];
    let mut run = Run::new(&recorded(&beats));
    for (present, power) in [("GPU-a", 10.0), ("GPU-b", 20.0), ("GPU-a", 30.0), ("GPU-b", 40.0)] {
        run.beat().unwrap();
        assert_eq!(run.power(present), Some(power));
        let keys: Vec<_> = run.frame.devices.of_kind(DeviceKind::Gpu).map(|d| d.info.key.as_str()).collect();
        assert_eq!(keys, [present]);
    }
}

#[test]
fn a_device_that_is_known_better_later_is_registered_anew() {
    let mut later = beat(2, "GPU-a", 20.0);
    let info = DeviceInfo { model: "H100".into(), ..gpu("GPU-a") };
    register(&mut later.frame, info);
    let mut run = Run::new(&recorded(&[beat(1, "GPU-a", 10.0), later]));
    run.beat().unwrap();
    run.beat().unwrap();
    let device = run.frame.devices.of_kind(DeviceKind::Gpu).next().unwrap();
    assert_eq!(device.info.model, "H100");
    assert!(run.frame.notices.is_empty(), "it neither went nor came back: {:?}", run.frame.notices);
}

#[test]
fn a_torn_last_line_is_the_end() {
    let text = line(&beat(1, "GPU-a", 1.0));
    let mut run = Run::new(&file(format!("{text}{}", &text[..text.len() / 2])));
    run.beat().unwrap();
    assert!(run.replay.ended());
    assert_eq!(run.beat().unwrap_err().reason, Reason::Missing);
}

#[test]
fn a_damaged_line_is_an_error_with_its_number_and_the_rest_is_replayed() {
    for damage in [&b"nonsense\n"[..], b"{}\n", b"\n", b"\xff\xfe\n"] {
        let mut text = line(&beat(1, "GPU-a", 1.0)).into_bytes();
        text.extend_from_slice(damage);
        text.extend_from_slice(line(&beat(3, "GPU-a", 3.0)).as_bytes());
        let mut run = Run::new(&file(text));
        run.beat().unwrap();
        assert_eq!((run.replay.at(), run.replay.ended()), (None, false), "{damage:?}");
        let error = run.beat().unwrap_err();
        assert_eq!(error.reason, Reason::Malformed, "{damage:?}");
        assert!(error.to_string().contains("line 2 "), "{error}");
        run.beat().unwrap();
        assert_eq!(run.power("GPU-a"), Some(3.0));
        assert!(run.replay.ended());
    }
}

#[test]
fn a_line_that_is_too_long_is_an_error_and_then_the_end() {
    let mut text = line(&beat(1, "GPU-a", 1.0)).into_bytes();
    text.resize(text.len() + LINE_MAX as usize + 10, b' ');
    text.extend_from_slice(b"\n");
    let mut run = Run::new(&file(text));
    run.beat().unwrap();
    let error = run.beat().unwrap_err();
    assert_eq!(error.reason, Reason::Full);
    assert!(error.to_string().contains("line 2 "), "{error}");
    assert_eq!(run.beat().unwrap_err().reason, Reason::Missing);
}

#[test]
fn what_is_no_recording_is_refused() {
    let reason = |path: &Path| Recording::open(path).unwrap_err().reason;
    assert_eq!(reason(file("hello\n").path()), Reason::Malformed);
    assert_eq!(reason(file("").path()), Reason::Malformed);
    assert_eq!(reason(Path::new("/nowhere/recording")), Reason::Missing);
}
