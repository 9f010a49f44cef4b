//! The dashboard's own short memory: power of each accelerator and of the node, from successive snapshots.
use model::{Metric, Snapshot};
use std::collections::{BTreeMap, VecDeque};

/// Points kept of each line.
pub const POINTS_MAX: usize = 300;

/// Lines by the device's key; the node's under the empty key.
#[derive(Debug, Default)]
pub struct Past {
    lines: BTreeMap<String, VecDeque<Option<f64>>>,
    beats: Option<(u64, i64)>,
}

impl Past {
    /// Takes a snapshot, unless it is the one taken last.
    pub fn take(&mut self, snapshot: &Snapshot) {
        let beat = (snapshot.vitals.beats, snapshot.frame.at.wall_ms);
        if self.beats == Some(beat) {
            return;
        }
        self.beats = Some(beat);
        for device in snapshot.frame.devices.iter().filter(|device| device.info.kind.is_accelerator()) {
            let frame = &snapshot.frame;
            let power =
                frame.value(device.id, Metric::PowerInstant).or(frame.value(device.id, Metric::PowerAverage));
            self.push(&device.info.key, power);
        }
        self.push("", snapshot.power.as_ref().map(|power| (power.accelerators + power.rest).0));
    }

    fn push(&mut self, key: &str, point: Option<f64>) {
        let line = self.lines.entry(key.to_owned()).or_default();
        if line.len() == POINTS_MAX {
            line.pop_front();
        }
        line.push_back(point);
    }

    /// The newest points of a line, oldest first.
    pub fn line(&self, key: &str, count: usize) -> Vec<Option<f64>> {
        let Some(line) = self.lines.get(key) else { return Vec::new() };
        line.iter().skip(line.len().saturating_sub(count)).copied().collect()
    }
}
