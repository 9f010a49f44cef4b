//! A frame: every reading of one beat, dense and reused, and what happened between two beats.
use crate::catalogue::Metric;
use crate::clock::Timestamp;
use crate::device::{DeviceId, DeviceTable};
use crate::heard::Heard;
use crate::source::{Batch, SourceMap};
use crate::work::WorkState;
use crate::workload::Workload;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most notices a frame carries; further ones are dropped and counted.
pub const NOTICES_MAX: usize = 256;
/// The most process entries a frame carries; further ones are dropped and counted.
pub const PROCESSES_MAX: usize = 1024;
/// A beat this many times longer than usual is a gap: what was between, nobody saw.
pub const LONG_BEAT: f64 = 3.0;
/// The weight of the newest beat in what is usual.
const BEAT_WEIGHT: f64 = 0.05;

/// Why there is no value. Absent is not zero, and unknown is never healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// The device or host does not have it.
    Unsupported,
    /// Permission was refused.
    Denied,
    /// The device or its driver is gone.
    Lost,
    /// The source did not answer in time.
    Late,
    /// The value read cannot be true.
    Implausible,
    /// The operator switched it off.
    Disabled,
}

impl Absence {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::Denied => "denied",
            Self::Lost => "lost",
            Self::Late => "late",
            Self::Implausible => "implausible",
            Self::Disabled => "disabled",
        }
    }
}

/// One value of one metric of one device at one beat, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reading {
    /// A value in the metric's base unit, finite and plausible.
    Value(f64),
    /// No value.
    Absent(Absence),
}

impl Reading {
    /// The value, if there is one.
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent(_) => None,
        }
    }

    /// The reason, if there is no value.
    pub fn absence(self) -> Option<Absence> {
        match self {
            Self::Value(_) => None,
            Self::Absent(absence) => Some(absence),
        }
    }
}

/// Something that happened at an instant, as a source reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The driver reported an XID error; the code is its number.
    Xid,
    /// The device vanished.
    Gone,
    /// The device came back.
    Back,
    /// The device reported an error of its own; the code is the vendor's.
    Fault,
    /// The device is not what it was before it was opened again: another firmware, driver, slot or product.
    Changed,
    /// Another device gives the same identity; it is not read.
    Duplicate,
    /// The kernel's log tells of an error of an NVSwitch; the code is the SXid's number.
    Sxid,
    /// The kernel's log tells of a machine check; the code is 1 for an exception, 0 for one that was logged only.
    MachineCheck,
    /// The kernel's log tells of an error on the PCIe bus; the code is 0 corrected, 1 uncorrected, 2 uncorrected and fatal.
    PcieAer,
    /// The kernel's log tells that a process was killed for want of memory; the code is 0 the node's, 1 a control group's.
    OutOfMemory,
    /// The kernel's log tells of a task that is blocked for minutes in a call that cannot be interrupted.
    HungTask,
}

/// One notice about one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// About which device.
    pub device: DeviceId,
    /// What happened.
    pub kind: NoticeKind,
    /// A number that belongs to it, 0 where there is none.
    pub code: u32,
    /// When.
    pub at: Timestamp,
}

/// A driver call that has not returned within its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateCall {
    /// The device that it was made for.
    pub device: DeviceId,
    /// The function, as the vendor names it; empty when the source does not say.
    pub call: &'static str,
    /// When the collection began that made it.
    pub since: Timestamp,
}

/// One process on one accelerator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// The accelerator, or the partition of one.
    pub device: DeviceId,
    /// The process id in the host's namespace.
    pub pid: u32,
    /// Its command name, empty when not known.
    pub name: Arc<str>,
    /// Device memory it holds, in bytes; `None` where the driver does not say.
    pub memory_bytes: Option<u64>,
    /// Share of the device's compute time that it used, 0 to 1; `None` where the driver does not say.
    #[serde(default)]
    pub utilization: Option<f64>,
    /// What it is part of; `None` where that is not known.
    #[serde(default)]
    pub workload: Option<Arc<Workload>>,
}

/// What one beat saw.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// When the beat began.
    pub at: Timestamp,
    /// Seconds since the beat before; 0 on the first.
    pub beat_s: f64,
    /// Seconds for which what this beat sees may be held to have lasted: those since the beat before, but over a gap no more
    /// than [`LONG_BEAT`] usual beats.
    pub lasted_s: f64,
    /// The usual length of a beat, in seconds; 0 until one is known.
    pub usual_s: f64,
    /// The devices, shared with every frame since the last change.
    pub devices: Arc<DeviceTable>,
    /// What happened since the last beat.
    pub notices: Vec<Notice>,
    /// Who uses the accelerators.
    pub processes: Vec<ProcessUse>,
    /// What the accelerators are doing, as far as that can be judged; filled in after collection.
    pub works: Vec<WorkState>,
    /// Driver calls that have not returned.
    pub late: Vec<LateCall>,
    /// Notices and processes dropped at their limits since the start.
    pub dropped: u64,
    cells: Vec<Reading>,
    heard: Heard,
}

impl Frame {
    /// Clears the frame for a new beat: every cell is `Unsupported` until a source fills it.
    pub fn begin(&mut self, at: Timestamp) {
        self.beat_s = if self.at == Timestamp::default() { 0.0 } else { at.seconds_since(self.at) };
        self.at = at;
        let usual_s = if self.usual_s > 0.0 { self.usual_s } else { self.beat_s };
        self.lasted_s = self.beat_s.min(LONG_BEAT * usual_s);
        self.usual_s = usual_s + BEAT_WEIGHT * (self.lasted_s - usual_s);
        self.notices.clear();
        self.processes.clear();
        self.works.clear();
        self.late.clear();
        self.cells.clear();
        self.cells.resize(self.devices.cells(), Reading::Absent(Absence::Unsupported));
        for device in self.devices.iter().filter(|d| d.gone) {
            let first = device.base as usize;
            let count = crate::catalogue::columns(device.info.kind).len();
            self.cells[first..first + count].fill(Reading::Absent(Absence::Lost));
        }
    }

    /// Whether beats are missing before this one.
    pub fn after_gap(&self) -> bool {
        self.beat_s > self.lasted_s
    }

    /// One reading. A metric that such devices never have is `Unsupported`.
    pub fn get(&self, device: DeviceId, metric: Metric) -> Reading {
        self.devices
            .cell(device, metric)
            .and_then(|cell| self.cells.get(cell).copied())
            .unwrap_or(Reading::Absent(Absence::Unsupported))
    }

    /// The value of one reading.
    pub fn value(&self, device: DeviceId, metric: Metric) -> Option<f64> {
        self.get(device, metric).value()
    }

    /// Whether a flag is set; `None` when not known.
    pub fn flag(&self, device: DeviceId, metric: Metric) -> Option<bool> {
        self.value(device, metric).map(|value| value != 0.0)
    }

    /// What an accelerator is doing; `None` where nothing can be said.
    pub fn work(&self, device: DeviceId) -> Option<&WorkState> {
        self.works.iter().find(|state| state.device == device)
    }

    /// Puts a reading in its cell; ignored when such devices never have the metric.
    pub fn put(&mut self, device: DeviceId, metric: Metric, reading: Reading) {
        if let Some(cell) = self.devices.cell(device, metric) {
            if cell >= self.cells.len() {
                self.cells.resize(self.devices.cells(), Reading::Absent(Absence::Unsupported));
            }
            self.cells[cell] = reading;
        }
    }

    /// Adds a notice, or counts it as dropped at [`NOTICES_MAX`].
    pub fn notice(&mut self, notice: Notice) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(notice);
        } else {
            self.dropped += 1;
        }
    }

    /// Takes over what a source saw: devices, readings, notices and processes.
    ///
    /// A notice that names a PCI address is one about the accelerator there, where one is known. An XID that the driver
    /// and the kernel's log both tell of is taken once.
    ///
    /// `late`: the batch is an old one because the source has not answered in time, so its devices are `Late` and
    /// nothing else is taken.
    pub fn merge(&mut self, batch: &Batch, map: &mut SourceMap, late: bool) {
        map.update(batch, self);
        // A new device of which nothing was read has its cells too.
        self.cells.resize(self.devices.cells(), Reading::Absent(Absence::Unsupported));
        if late {
            for device in map.present() {
                self.fill(device, Absence::Late);
            }
            return;
        }
        for reading in batch.readings() {
            if let Some(device) = map.device(reading.slot) {
                self.put(device, reading.metric, reading.reading);
            }
        }
        for notice in batch.notices() {
            let Some(device) = map.device(notice.slot) else { continue };
            let there = notice.pci.and_then(|pci| self.devices.at_pci(pci));
            let device = there.unwrap_or(device);
            let heard = (device, notice.code);
            let twice =
                notice.kind == NoticeKind::Xid && self.heard.twice(heard, notice.pci.is_some(), self.at);
            if !twice {
                self.notice(Notice { device, kind: notice.kind, code: notice.code, at: notice.at });
            }
        }
        for process in batch.processes() {
            match map.device(process.slot) {
                Some(device) if self.processes.len() < PROCESSES_MAX => self.processes.push(ProcessUse {
                    device,
                    pid: process.pid,
                    name: Arc::clone(&process.name),
                    memory_bytes: process.memory_bytes,
                    utilization: process.utilization,
                    workload: process.workload.clone(),
                }),
                Some(_) => self.dropped += 1,
                None => {}
            }
        }
    }

    /// Makes every reading of a device absent: its source failed as a whole on this beat.
    pub fn fill(&mut self, device: DeviceId, absence: Absence) {
        let kind = self.devices.get(device).info.kind;
        for &metric in crate::catalogue::columns(kind) {
            self.put(device, metric, Reading::Absent(absence));
        }
    }

    /// Every reading of one device, in column order.
    pub fn readings(&self, device: DeviceId) -> impl Iterator<Item = (Metric, Reading)> {
        let kind = self.devices.get(device).info.kind;
        crate::catalogue::columns(kind).iter().map(move |&metric| (metric, self.get(device, metric)))
    }

    /// The cells, in the order of [`DeviceTable::cell`].
    pub fn cells(&self) -> &[Reading] {
        &self.cells
    }
}
