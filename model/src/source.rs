//! What one source hands over on one beat: its own devices by slot, their readings, notices and processes.
use crate::catalogue::Metric;
use crate::clock::Timestamp;
use crate::device::{DeviceId, DeviceInfo, TableFull};
use crate::frame::{Absence, Frame, Notice, NoticeKind, Reading};
use crate::pci::PciAddress;
use crate::workload::Workload;
use std::sync::{Arc, LazyLock};

/// A source's own handle to one of its devices; the agent maps it to a [`DeviceId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u16);

/// A reading of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlotReading {
    /// The device.
    pub slot: Slot,
    /// The metric.
    pub metric: Metric,
    /// The value or its absence.
    pub reading: Reading,
}

/// A notice of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotNotice {
    /// The device.
    pub slot: Slot,
    /// What happened.
    pub kind: NoticeKind,
    /// A number that belongs to it, 0 where there is none.
    pub code: u32,
    /// When.
    pub at: Timestamp,
    /// Where, when another source may know the device at this address; the slot's device is told of otherwise.
    pub pci: Option<PciAddress>,
}

/// A process on an accelerator, as a source sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotProcess {
    /// The device.
    pub slot: Slot,
    /// The process id in the host's namespace.
    pub pid: u32,
    /// Its command name; empty when it is to be looked up by pid.
    pub name: Arc<str>,
    /// Device memory it holds, in bytes; `None` where the driver does not say.
    pub memory_bytes: Option<u64>,
    /// Share of the device's compute time that it used, 0 to 1; `None` where the driver does not say.
    pub utilization: Option<f64>,
    /// What it is part of, where the source knows; else it is looked up by pid.
    pub workload: Option<Arc<Workload>>,
}

impl SlotProcess {
    /// A process of which no more is known than that it is there; its name is looked up by pid.
    pub fn new(slot: Slot, pid: u32) -> Self {
        static NAMELESS: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
        let name = Arc::clone(&NAMELESS);
        Self { slot, pid, name, memory_bytes: None, utilization: None, workload: None }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    info: Arc<DeviceInfo>,
    gone: bool,
    generation: u32,
}

/// What one source saw on one beat. Reused from beat to beat: in the steady state nothing is allocated.
///
/// A source registers each device once with [`Batch::device`], keeps the slot, and on each beat sets readings. What it
/// does not set on a beat is `Unsupported` in the frame; a failed read is set with [`Batch::absent`] and its reason.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    readings: Vec<SlotReading>,
    notices: Vec<SlotNotice>,
    processes: Vec<SlotProcess>,
}

impl Batch {
    /// Forgets readings, notices and processes, keeps devices. The agent calls it before each collection.
    pub fn begin(&mut self) {
        self.readings.clear();
        self.notices.clear();
        self.processes.clear();
    }

    /// Adds a device, or finds it again by kind and key (one that was gone is back). A free slot is used again.
    ///
    /// # Panics
    /// When one source registers more than 65,535 devices at once.
    pub fn device(&mut self, info: DeviceInfo) -> Slot {
        let same = |e: &Entry| e.info.kind == info.kind && e.info.key == info.key;
        let found = self.entries.iter().position(same);
        let position =
            found.or_else(|| self.entries.iter().position(|e| e.gone)).unwrap_or(self.entries.len());
        assert!(position < usize::from(u16::MAX), "a source has too many devices");
        let entry = Entry { info: Arc::new(info), gone: false, generation: 0 };
        match self.entries.get_mut(position) {
            Some(old) => *old = Entry { generation: old.generation + 1, ..entry },
            None => self.entries.push(entry),
        }
        Slot(position as u16)
    }

    /// Says that a device has vanished: its series end and a `Gone` notice is made.
    pub fn gone(&mut self, slot: Slot, at: Timestamp) {
        let entry = &mut self.entries[usize::from(slot.0)];
        if !entry.gone {
            entry.gone = true;
            entry.generation += 1;
            self.notice(slot, NoticeKind::Gone, 0, at);
        }
    }

    /// Sets a raw value in base units; what cannot be true becomes `Implausible`.
    pub fn set(&mut self, slot: Slot, metric: Metric, value: f64) {
        self.put(slot, metric, metric.reading(value));
    }

    /// Sets a flag.
    pub fn flag(&mut self, slot: Slot, metric: Metric, value: bool) {
        self.put(slot, metric, Reading::Value(f64::from(u8::from(value))));
    }

    /// Sets an absence.
    pub fn absent(&mut self, slot: Slot, metric: Metric, absence: Absence) {
        self.put(slot, metric, Reading::Absent(absence));
    }

    /// Sets a reading.
    pub fn put(&mut self, slot: Slot, metric: Metric, reading: Reading) {
        self.readings.push(SlotReading { slot, metric, reading });
    }

    /// Adds a notice.
    pub fn notice(&mut self, slot: Slot, kind: NoticeKind, code: u32, at: Timestamp) {
        self.notices.push(SlotNotice { slot, kind, code, at, pci: None });
    }

    /// Adds a notice about whatever accelerator is at a PCI address, else about the slot's device.
    pub fn notice_at(&mut self, notice: SlotNotice) {
        self.notices.push(notice);
    }

    /// Adds a process.
    pub fn process(&mut self, process: SlotProcess) {
        self.processes.push(process);
    }

    /// The readings of this beat.
    pub fn readings(&self) -> &[SlotReading] {
        &self.readings
    }

    /// The notices of this beat.
    pub fn notices(&self) -> &[SlotNotice] {
        &self.notices
    }

    /// The processes of this beat.
    pub fn processes(&self) -> &[SlotProcess] {
        &self.processes
    }

    /// The identity behind a slot.
    pub fn info(&self, slot: Slot) -> &Arc<DeviceInfo> {
        &self.entries[usize::from(slot.0)].info
    }

    /// The devices that are there, for tests and one-shot readers.
    pub fn devices(&self) -> impl Iterator<Item = (Slot, &Arc<DeviceInfo>)> {
        self.entries.iter().enumerate().filter(|(_, e)| !e.gone).map(|(n, e)| (Slot(n as u16), &e.info))
    }

    /// The last reading set for a metric on this beat, for tests and one-shot readers.
    pub fn reading(&self, slot: Slot, metric: Metric) -> Option<Reading> {
        self.readings.iter().rev().find(|r| r.slot == slot && r.metric == metric).map(|r| r.reading)
    }

    /// Puts the notices of an older batch, which nobody has read, before this one's own.
    pub fn carry_notices(&mut self, older: &Self) {
        self.notices.splice(0..0, older.notices.iter().copied());
    }

    /// Copies what another batch holds, reusing this one's memory.
    pub fn copy_from(&mut self, other: &Self) {
        self.entries.clone_from(&other.entries);
        self.readings.clone_from(&other.readings);
        self.notices.clone_from(&other.notices);
        self.processes.clone_from(&other.processes);
    }
}

/// How the slots of one source map to the node's devices.
#[derive(Debug, Default)]
pub struct SourceMap {
    mapped: Vec<Mapped>,
    /// Devices refused because the table was full, since the start.
    pub refused: u64,
}

#[derive(Debug, Clone, Copy)]
struct Mapped {
    generation: u32,
    device: Option<DeviceId>,
    gone: bool,
}

impl SourceMap {
    /// The device behind a slot; `None` when the table refused it.
    pub fn device(&self, slot: Slot) -> Option<DeviceId> {
        self.mapped.get(usize::from(slot.0)).and_then(|m| m.device)
    }

    /// The devices of this source that are there, by position.
    fn at(&self, position: usize) -> Option<DeviceId> {
        self.mapped.get(position).filter(|m| !m.gone).and_then(|m| m.device)
    }

    /// Every device of this source that is there.
    pub fn present(&self) -> impl Iterator<Item = DeviceId> {
        (0..self.mapped.len()).filter_map(|position| self.at(position))
    }

    /// Follows the batch's changes into the frame's table. Copies the table only when something changed.
    pub(crate) fn update(&mut self, batch: &Batch, frame: &mut Frame) {
        for (position, entry) in batch.entries.iter().enumerate() {
            let known = self.mapped.get(position).copied();
            if known.is_some_and(|m| m.generation == entry.generation) {
                continue;
            }
            let mapped = self.change(known, entry, frame);
            match self.mapped.get_mut(position) {
                Some(place) => *place = mapped,
                None => self.mapped.push(mapped),
            }
        }
    }

    fn change(&mut self, known: Option<Mapped>, entry: &Entry, frame: &mut Frame) -> Mapped {
        let generation = entry.generation;
        let before = known.and_then(|m| m.device);
        if entry.gone {
            if let Some(device) = before {
                Arc::make_mut(&mut frame.devices).retire(device);
            }
            return Mapped { generation, device: before, gone: true };
        }
        let table = Arc::make_mut(&mut frame.devices);
        let was_gone = table.find(entry.info.kind, &entry.info.key).is_some_and(|d| table.get(d).gone);
        let device = match table.register(&entry.info) {
            Ok(device) => Some(device),
            Err(TableFull) => {
                self.refused += 1;
                None
            }
        };
        if let Some(old) = before.filter(|old| Some(*old) != device && known.is_some_and(|m| !m.gone)) {
            table.retire(old);
        }
        if let Some(device) = device.filter(|_| was_gone) {
            frame.notice(Notice { device, kind: NoticeKind::Back, code: 0, at: frame.at });
        }
        Mapped { generation, device, gone: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceKind;

    fn gpu(key: &str) -> DeviceInfo {
        DeviceInfo::new(DeviceKind::Gpu, key)
    }

    #[test]
    fn a_source_fills_the_frame_by_identity() {
        let (mut batch, mut map, mut frame) = (Batch::default(), SourceMap::default(), Frame::default());
        let slot = batch.device(gpu("GPU-a"));
        batch.set(slot, Metric::PowerInstant, 321.0);
        frame.begin(Timestamp::default());
        frame.merge(&batch, &mut map, false);
        let device = frame.devices.find(DeviceKind::Gpu, "GPU-a").unwrap();
        assert_eq!(frame.value(device, Metric::PowerInstant), Some(321.0));
        assert_eq!(frame.get(device, Metric::Energy), Reading::Absent(Absence::Unsupported));
    }

    #[test]
    fn a_late_source_leaves_no_old_value_behind() {
        let (mut batch, mut map, mut frame) = (Batch::default(), SourceMap::default(), Frame::default());
        let slot = batch.device(gpu("GPU-a"));
        batch.set(slot, Metric::PowerInstant, 321.0);
        frame.begin(Timestamp::default());
        frame.merge(&batch, &mut map, true);
        let device = frame.devices.find(DeviceKind::Gpu, "GPU-a").unwrap();
        assert_eq!(frame.get(device, Metric::PowerInstant), Reading::Absent(Absence::Late));
    }

    #[test]
    fn a_vanished_device_is_lost_and_returns_under_its_handle() {
        let (mut batch, mut map, mut frame) = (Batch::default(), SourceMap::default(), Frame::default());
        let slot = batch.device(gpu("GPU-a"));
        frame.begin(Timestamp::default());
        frame.merge(&batch, &mut map, false);
        let device = frame.devices.find(DeviceKind::Gpu, "GPU-a").unwrap();

        batch.begin();
        batch.gone(slot, Timestamp::default());
        frame.begin(Timestamp::default());
        frame.merge(&batch, &mut map, false);
        assert_eq!(frame.notices[0].kind, NoticeKind::Gone);
        assert!(frame.devices.get(device).gone);

        batch.begin();
        let again = batch.device(gpu("GPU-a"));
        batch.set(again, Metric::PowerInstant, 80.0);
        frame.begin(Timestamp::default());
        frame.merge(&batch, &mut map, false);
        assert_eq!(frame.notices[0].kind, NoticeKind::Back);
        assert_eq!(frame.value(device, Metric::PowerInstant), Some(80.0));
    }

    #[test]
    fn the_steady_state_does_not_copy_the_device_table() {
        let (mut batch, mut map, mut frame) = (Batch::default(), SourceMap::default(), Frame::default());
        batch.device(gpu("GPU-a"));
        frame.begin(Timestamp::default());
        frame.merge(&batch, &mut map, false);
        let shared = Arc::clone(&frame.devices);
        frame.begin(Timestamp::default());
        frame.merge(&batch, &mut map, false);
        assert!(Arc::ptr_eq(&shared, &frame.devices));
    }
}
