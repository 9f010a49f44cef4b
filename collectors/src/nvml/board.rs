//! One device: who it is, what it can say, and its readings of a beat.
use super::calls::{CALLS, Cadence};
use super::codes::{absence, code, lost, never};
use super::fields::{self, FIELDS};
use super::session::{Handle, Session};
use crate::workload::Names;
use model::source::SlotProcess;
use model::{Absence, Batch, DeviceInfo, DeviceKind, Metric, NoticeKind, Reading, Slot, Timestamp, Vendor};
use nvml_wrapper::Device;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use std::collections::BTreeMap;

/// How long the answers of slow calls stand, in seconds.
const SLOW_S: f64 = 10.0;

/// A device that was met once.
pub(super) struct Board {
    uuid: String,
    handle: Handle,
    slot: Slot,
    there: bool,
    /// Calls that have not turned out to be unsupported, in the order of [`CALLS`].
    able: [bool; CALLS.len()],
    slow: Vec<(Metric, Reading)>,
    slow_at: Option<Timestamp>,
    xids: u64,
    last_xid: u32,
}

impl Board {
    /// Meets a device for the first time.
    pub(super) fn new(
        session: &Session,
        index: u32,
        handle: Handle,
        uuid: String,
        batch: &mut Batch,
    ) -> Self {
        let slot = batch.device(identity(session, index, handle, &uuid));
        let able = [true; CALLS.len()];
        Self { uuid, handle, slot, there: true, able, slow: Vec::new(), slow_at: None, xids: 0, last_xid: 0 }
    }

    /// Meets a device again that was lost; what it can do may have changed with the driver.
    pub(super) fn welcome(&mut self, session: &Session, index: u32, handle: Handle, batch: &mut Batch) {
        self.slot = batch.device(identity(session, index, handle, &self.uuid));
        (self.handle, self.there, self.able) = (handle, true, [true; CALLS.len()]);
        self.slow.clear();
        self.slow_at = None;
    }

    pub(super) fn uuid(&self) -> &str {
        &self.uuid
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle
    }

    pub(super) fn there(&self) -> bool {
        self.there
    }

    /// Takes an XID error that the driver reported.
    pub(super) fn xid(&mut self, code: u32, now: Timestamp, batch: &mut Batch) {
        self.xids += 1;
        self.last_xid = code;
        batch.notice(self.slot, NoticeKind::Xid, code, now);
    }

    /// Reads everything that is due. A device that turns out to be lost is gone from this beat on.
    pub(super) fn read(&mut self, session: &Session, now: Timestamp, names: &mut Names, batch: &mut Batch) {
        let device = session.device(self.handle);
        let slow = self.slow_at.is_none_or(|last| now.seconds_since(last) >= SLOW_S);
        if self.fields(session, &device, batch) || self.calls(&device, slow, batch) {
            self.there = false;
            batch.gone(self.slot, now);
            return;
        }
        if slow {
            self.slow_at = Some(now);
        }
        for (metric, reading) in &self.slow {
            batch.put(self.slot, *metric, *reading);
        }
        batch.flag(self.slot, Metric::Up, true);
        batch.set(self.slot, Metric::XidErrors, self.xids as f64);
        if self.xids > 0 {
            batch.set(self.slot, Metric::XidLastCode, f64::from(self.last_xid));
        }
        self.processes(&device, names, batch);
    }

    /// Reads field values in one call; says whether the device is lost.
    fn fields(&self, session: &Session, device: &Device<'_>, batch: &mut Batch) -> bool {
        match fields::read(session, self.handle, &FIELDS) {
            Some(Ok(values)) => {
                for (field, value) in FIELDS.iter().zip(values) {
                    match value {
                        Ok(value) => batch.set(self.slot, field.metric, value),
                        Err(absence) => self.fall_back(device, field.metric, absence, batch),
                    }
                }
                false
            }
            Some(Err(code::GPU_IS_LOST | code::RESET_REQUIRED)) => true,
            Some(Err(_)) | None => {
                for field in FIELDS {
                    self.fall_back(device, field.metric, Absence::Unsupported, batch);
                }
                false
            }
        }
    }

    /// What an older driver gives through a getter of its own. Its power is a mean over a second on Ampere and newer.
    fn fall_back(&self, device: &Device<'_>, metric: Metric, absent: Absence, batch: &mut Batch) {
        let milli = |value: Result<u32, NvmlError>| value.map(|value| f64::from(value) / 1e3);
        let value = match (absent, metric) {
            (Absence::Unsupported, Metric::PowerAverage) => milli(device.power_usage()),
            (Absence::Unsupported, Metric::Energy) => {
                device.total_energy_consumption().map(|energy| energy as f64 / 1e3)
            }
            (Absence::Unsupported, Metric::PowerLimitEnforced) => milli(device.enforced_power_limit()),
            (Absence::Unsupported, Metric::PowerLimitRequested) => milli(device.power_management_limit()),
            _ => return batch.absent(self.slot, metric, absent),
        };
        match value {
            Ok(value) => batch.set(self.slot, metric, value),
            Err(error) => batch.absent(self.slot, metric, absence(&error)),
        }
    }

    /// Makes the calls that are due; says whether the device is lost.
    fn calls(&mut self, device: &Device<'_>, slow: bool, batch: &mut Batch) -> bool {
        if slow {
            self.slow.clear();
        }
        for (place, call) in CALLS.iter().enumerate() {
            let due = call.cadence == Cadence::Beat || slow;
            if !due || !self.able[place] {
                continue;
            }
            let (slot, kept) = (self.slot, &mut self.slow);
            let mut put = |metric: Metric, reading: Reading| match call.cadence {
                Cadence::Beat => batch.put(slot, metric, reading),
                Cadence::Slow => kept.push((metric, reading)),
            };
            match (call.read)(device, &mut |metric, value| put(metric, metric.reading(value))) {
                Ok(()) => {}
                Err(error) if lost(&error) => return true,
                Err(error) => {
                    self.able[place] = !never(&error);
                    let absent = Reading::Absent(absence(&error));
                    call.metrics.iter().for_each(|metric| put(*metric, absent));
                }
            }
        }
        false
    }

    fn processes(&self, device: &Device<'_>, names: &mut Names, batch: &mut Batch) {
        let mut count = 0_u32;
        let lists = [device.running_compute_processes(), device.running_graphics_processes()];
        if let [Err(error), Err(_)] = &lists {
            return batch.absent(self.slot, Metric::Processes, absence(error));
        }
        for process in lists.into_iter().flatten().flatten() {
            count += 1;
            let memory_bytes = match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            };
            batch.process(SlotProcess {
                slot: self.slot,
                pid: process.pid,
                name: names.name(process.pid),
                memory_bytes,
            });
        }
        batch.set(self.slot, Metric::Processes, f64::from(count));
    }
}

/// Who a device is; what cannot be read of it is left out.
fn identity(session: &Session, index: u32, handle: Handle, uuid: &str) -> DeviceInfo {
    let device = session.device(handle);
    let known = [
        ("pci", device.pci_info().map(|pci| pci.bus_id)),
        ("serial", device.serial()),
        ("vbios", device.vbios_version()),
        ("driver", session.nvml().sys_driver_version()),
        (
            "architecture",
            device.architecture().map(|architecture| format!("{architecture:?}").to_lowercase()),
        ),
    ];
    let attributes: BTreeMap<_, _> = known
        .into_iter()
        .filter_map(|(name, value)| value.ok().map(|value| (name.to_owned(), value)))
        .collect();
    DeviceInfo {
        name: format!("gpu{index}"),
        model: device.name().unwrap_or_default(),
        vendor: Vendor::Nvidia,
        attributes,
        ..DeviceInfo::new(DeviceKind::Gpu, uuid)
    }
}
