//! Recorded real runs of the injectors: each parses, is as long as its label says, and shows where the load was.
#![allow(clippy::expect_used, reason = "a test that cannot be set up has failed")]
use collectors::replay::{Recording, Replay};
use model::source::SourceMap;
use model::{Batch, Collector as _, DeviceKind, Frame, Metric, Reading, Timestamp};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};

const KINDS: [&str; 6] = ["cpu", "cache", "bandwidth", "leak", "disk", "network"];
/// What one capture may take in the repository.
const BYTES_MAX: u64 = 150 << 10;
/// Counters that a machine without performance counters does not have.
const HARDWARE: [Metric; 4] =
    [Metric::CoreCycles, Metric::CoreInstructions, Metric::CoreCacheReferences, Metric::CoreCacheMisses];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/injected")
}

/// A capture, replayed beat by beat as the agent does it.
struct Capture {
    label: Value,
    times: Vec<Timestamp>,
    frames: Vec<Frame>,
}

impl Capture {
    fn replayed(kind: &str) -> Self {
        let packed = File::open(folder().join(format!("{kind}.jsonl.gz"))).expect("a capture");
        let mut plain = tempfile::NamedTempFile::new().expect("a file");
        std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut plain).expect("gzip");
        let label = File::open(folder().join(format!("{kind}.label.json"))).expect("a label");
        let label = serde_json::from_reader(label).expect("JSON");

        let mut replay = Replay::new(Recording::open(plain.path()).expect("a recording"));
        let (mut batch, mut map, mut frame) = (Batch::default(), SourceMap::default(), Frame::default());
        let (mut times, mut frames) = (Vec::new(), Vec::new());
        while !replay.ended() {
            let at = replay.at().expect("no line is damaged");
            batch.begin();
            frame.begin(at);
            replay.collect(at, &mut batch).expect("a beat");
            frame.merge(&batch, &mut map, false);
            times.push(at);
            frames.push(frame.clone());
        }
        Self { label, times, frames }
    }

    fn number(&self, key: &str) -> usize {
        self.label[key].as_u64().unwrap_or_else(|| panic!("{key} in {}", self.label)) as usize
    }

    fn bytes(&self) -> f64 {
        self.label["injected"]["bytes"].as_f64().expect("bytes")
    }

    /// The beats under load, as positions; the label counts from 1.
    fn span(&self) -> std::ops::Range<usize> {
        self.number("first_beat") - 1..self.number("last_beat")
    }

    /// A metric, summed over the devices that have it, beat by beat.
    fn series(&self, kind: DeviceKind, metric: Metric) -> Vec<f64> {
        let sum = |frame: &Frame| {
            let values = frame.devices.of_kind(kind).filter_map(|device| frame.value(device.id, metric));
            values.reduce(|a, b| a + b).unwrap_or_else(|| panic!("{metric} is absent"))
        };
        self.frames.iter().map(sum).collect()
    }

    /// How fast a counter grew, under load and not: per second, from each beat to the next, the first and the last beat of the load
    /// left out, since they are partly quiet.
    fn rates(&self, kind: DeviceKind, metric: Metric) -> (Vec<f64>, Vec<f64>) {
        let series = self.series(kind, metric);
        let (mut loaded, mut quiet) = (Vec::new(), Vec::new());
        let span = self.span();
        for beat in 1..series.len() {
            let seconds = (self.times[beat].mono_ns - self.times[beat - 1].mono_ns) as f64 * 1e-9;
            let rate = (series[beat] - series[beat - 1]) / seconds;
            match beat {
                beat if beat > span.start && beat < span.end => loaded.push(rate),
                beat if beat < span.start || beat > span.end => quiet.push(rate),
                _ => {}
            }
        }
        (loaded, quiet)
    }

    /// Fails unless half of the beats under load lie above nine in ten of the others.
    fn assert_rises(&self, kind: DeviceKind, metric: Metric) {
        let (loaded, quiet) = self.rates(kind, metric);
        let (loaded, quiet) = (rank(loaded, 0.5), rank(quiet, 0.9));
        assert!(loaded > quiet, "{metric}: {loaded} a second at the median, {quiet} when quiet");
    }
}

fn rank(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

#[test]
fn every_capture_is_small_and_as_long_as_its_label_says() {
    for kind in KINDS {
        let size = folder().join(format!("{kind}.jsonl.gz")).metadata().expect("a capture").len();
        assert!(size <= BYTES_MAX, "{kind}: {size} bytes");
        let capture = Capture::replayed(kind);
        assert_eq!(capture.label["injected"]["kind"], kind);
        assert_eq!(capture.frames.len(), capture.number("beats"), "{kind}");
        let wall = |key: &str| capture.label["injected"][key].as_i64().expect("a time");
        let inside: Vec<_> = (0..capture.times.len())
            .filter(|&beat| (wall("start_ms")..=wall("end_ms")).contains(&capture.times[beat].wall_ms))
            .collect();
        assert_eq!(inside, capture.span().collect::<Vec<_>>(), "{kind}");
        assert!(inside.len() >= 38 && inside[0] >= 50, "{kind}: {inside:?}");
        assert!(capture.frames.len() - capture.span().end >= 25, "{kind}");
    }
}

#[test]
fn load_on_the_processors_shows_in_their_time() {
    Capture::replayed("cpu").assert_rises(DeviceKind::Core, Metric::CoreUser);
}

#[test]
fn a_leak_shows_as_memory_that_is_no_longer_available() {
    let capture = Capture::replayed("leak");
    let (span, leaked) = (capture.span(), capture.bytes());
    let available = capture.series(DeviceKind::Node, Metric::NodeMemoryAvailable);
    let fell = available[span.start] - available[span.end - 1];
    // Others on the machine take and give back memory as well.
    assert!(fell > 0.8 * leaked, "fell by {fell} bytes, {leaked} were leaked");
    let back = available[span.end + 1] - available[span.end - 1];
    assert!(back > 0.8 * leaked, "{back} bytes came back at its end");
}

#[test]
fn load_on_a_disk_shows_in_what_was_written_and_in_stalls() {
    let capture = Capture::replayed("disk");
    let written = capture.series(DeviceKind::Disk, Metric::DiskWrittenBytes);
    let grew = written[capture.span().end] - written[capture.span().start - 1];
    assert!(grew > 0.95 * capture.bytes(), "{grew} bytes, {} were written", capture.bytes());
    capture.assert_rises(DeviceKind::Disk, Metric::DiskWrittenBytes);
    capture.assert_rises(DeviceKind::Node, Metric::PressureIoSome);
}

/// The loopback interface is not followed, so its bytes are nowhere: what is seen is the work of the network stack.
#[test]
fn load_on_the_loopback_interface_shows_in_soft_interrupts_and_switches_only() {
    let capture = Capture::replayed("network");
    capture.assert_rises(DeviceKind::Core, Metric::CoreSoftirq);
    capture.assert_rises(DeviceKind::Node, Metric::ContextSwitches);
    for frame in &capture.frames {
        assert!(frame.devices.of_kind(DeviceKind::Interface).all(|device| device.info.key != "lo"));
    }
}

/// On a machine whose counters cannot be read, nothing tells a full cache or a full memory bus from a busy processor.
#[test]
fn load_on_cache_and_memory_bus_shows_as_a_busy_processor_and_no_more() {
    for kind in ["cache", "bandwidth"] {
        let capture = Capture::replayed(kind);
        capture.assert_rises(DeviceKind::Core, Metric::CoreUser);
        let last = capture.frames.last().expect("a beat");
        for core in last.devices.of_kind(DeviceKind::Core) {
            for metric in HARDWARE {
                assert!(matches!(last.get(core.id, metric), Reading::Absent(_)), "{kind}: {metric}");
            }
        }
    }
}
