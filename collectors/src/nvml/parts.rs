//! Partitions: the MIG instances of a GPU, each a device of its own with its memory, processes, profile and errors.
use super::calls::memory;
use super::codes::Fault;
use super::gpm::Gpm;
use super::processes::User;
use super::raw::{Handle, getters, parts as raw};
use super::session::{Gpu, Session};
use model::{Absence, Batch, DeviceInfo, DeviceKind, Metric, Reading, Slot, Timestamp, Vendor};
use std::sync::Arc;

/// The most instances of a GPU: seven (NVIDIA's MIG guide), each with at most as many compute instances.
const PARTS_MAX: u32 = 49;
/// Errors that an instance tells of: uncorrected ones outside of DRAM (`nvml.h`), by location.
const ERRORS: [(u32, Metric); 4] = [
    (0, Metric::EccUncorrectedL1),
    (1, Metric::EccUncorrectedL2),
    (3, Metric::EccUncorrectedRegisters),
    (7, Metric::EccUncorrectedSram),
];
/// The type of an uncorrected error.
const UNCORRECTED: u32 = 1;

/// One instance.
#[derive(Debug)]
struct Part {
    uuid: String,
    handle: Handle,
    slot: Slot,
    numbers: (u32, u32),
    gpm: Option<Gpm>,
    /// Whether each location is worth asking for.
    errors: [bool; ERRORS.len()],
    slow: Vec<(Metric, Reading)>,
    seen: bool,
}

/// The instances of a board.
#[derive(Debug)]
pub(super) struct Parts {
    session: Arc<Session>,
    whole: DeviceInfo,
    parts: Vec<Part>,
    /// The board is too old for instances.
    never: bool,
}

impl Parts {
    /// The instances of this board; nobody has looked yet.
    pub(super) fn new(session: &Arc<Session>, whole: &DeviceInfo) -> Self {
        Self { session: Arc::clone(session), whole: whole.clone(), parts: Vec::new(), never: false }
    }

    /// Looks which instances there are, meets new ones, and says which are gone.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn look(&mut self, gpu: &Gpu<'_>, now: Timestamp, batch: &mut Batch) -> Result<(), Fault> {
        if self.never {
            return Ok(());
        }
        let places = match raw::mode(gpu) {
            Ok(true) => raw::places(gpu),
            Ok(false) => Ok(0),
            Err(fault) => {
                self.never = fault.never();
                Err(fault)
            }
        };
        let places = match places {
            Ok(places) => places.min(PARTS_MAX),
            Err(fault) if fault.lost() => return Err(fault),
            // Whoever was there is asked for itself.
            Err(_) => return Ok(()),
        };
        self.parts.iter_mut().for_each(|part| part.seen = false);
        for place in 0..places {
            match raw::at(gpu, place) {
                Ok(handle) => self.meet(gpu, handle, batch)?,
                Err(fault) if fault.lost() => return Err(fault),
                Err(_) => {}
            }
        }
        self.parts.iter().filter(|part| !part.seen).for_each(|part| batch.gone(part.slot, now));
        self.parts.retain(|part| part.seen);
        Ok(())
    }

    fn meet(&mut self, gpu: &Gpu<'_>, handle: Handle, batch: &mut Batch) -> Result<(), Fault> {
        let instance = gpu.beside(handle);
        let uuid = match instance.call("nvmlDeviceGetUUID", |device| device.uuid()) {
            Ok(uuid) => uuid,
            Err(fault) if fault.lost() => return Err(fault),
            Err(_) => return Ok(()),
        };
        if let Some(known) = self.parts.iter_mut().find(|part| part.uuid == uuid) {
            (known.seen, known.handle) = (true, handle);
            return Ok(());
        }
        let numbers = raw::numbers(&instance).unwrap_or((u32::MAX, u32::MAX));
        let slot = batch.device(identity(&instance, &self.whole, &uuid, numbers));
        let gpm = Gpm::meet(&self.session, gpu, Some(numbers.0))?;
        let errors = [true; ERRORS.len()];
        self.parts.push(Part { uuid, handle, slot, numbers, gpm, errors, slow: Vec::new(), seen: true });
        Ok(())
    }

    /// Reads every instance into the batch.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn read(
        &mut self,
        gpu: &Gpu<'_>,
        now: Timestamp,
        slow: bool,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        for part in &mut self.parts {
            part.read(gpu, now, slow, batch)?;
        }
        Ok(())
    }

    /// The instances' slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.parts.iter().map(|part| part.slot)
    }

    /// The slot of the instance that a process is on.
    pub(super) fn of(&self, user: &User) -> Option<Slot> {
        // Some drivers name the GPU instance of a process only.
        let exact = self.parts.iter().find(|part| part.numbers == user.instance);
        let near =
            || self.parts.iter().find(|part| part.numbers.0 == user.instance.0 && part.numbers.0 != u32::MAX);
        exact.or_else(near).map(|part| part.slot)
    }

    /// Says how many processes are on each instance.
    pub(super) fn count(&self, users: &[User], batch: &mut Batch) {
        for part in &self.parts {
            let on_it = users.iter().filter(|user| self.of(user) == Some(part.slot)).count();
            batch.set(part.slot, Metric::Processes, on_it as f64);
        }
    }
}

impl Part {
    fn read(&mut self, gpu: &Gpu<'_>, now: Timestamp, slow: bool, batch: &mut Batch) -> Result<(), Fault> {
        let (slot, instance) = (self.slot, gpu.beside(self.handle));
        match memory(&instance, &mut |metric, value| batch.set(slot, metric, value)) {
            Ok(()) => batch.flag(slot, Metric::Up, true),
            Err(fault) if fault.lost() => return Err(fault),
            Err(fault) => {
                batch.absent(slot, Metric::MemoryUsed, fault.absence());
                let gone = fault.absence() == Absence::Lost;
                batch.flag(slot, Metric::Up, !gone);
            }
        }
        if let Some(gpm) = &mut self.gpm {
            let worth = gpm.read(gpu, now)?;
            gpm.readings().iter().for_each(|(metric, reading)| batch.put(slot, *metric, *reading));
            if !worth {
                self.gpm = None;
            }
        }
        if slow {
            self.errors(&instance)?;
        }
        self.slow.iter().for_each(|(metric, reading)| batch.put(slot, *metric, *reading));
        Ok(())
    }

    fn errors(&mut self, instance: &Gpu<'_>) -> Result<(), Fault> {
        self.slow.clear();
        for ((location, metric), worth) in ERRORS.into_iter().zip(&mut self.errors) {
            if !*worth {
                continue;
            }
            match getters::memory_errors(instance, UNCORRECTED, location) {
                Ok(count) => self.slow.push((metric, metric.reading(count as f64))),
                Err(fault) if fault.lost() => return Err(fault),
                Err(fault) if fault.never() || fault == Fault::INVALID_ARGUMENT => *worth = false,
                Err(fault) => self.slow.push((metric, Reading::Absent(fault.absence()))),
            }
        }
        Ok(())
    }
}

/// Who an instance is. Its profile stands behind the product's name: `NVIDIA H100 80GB HBM3 MIG 1g.10gb`.
fn identity(instance: &Gpu<'_>, whole: &DeviceInfo, uuid: &str, numbers: (u32, u32)) -> DeviceInfo {
    let model = instance.call("nvmlDeviceGetName", |device| device.name()).unwrap_or_default();
    let profile = model.rsplit_once(" MIG ").map(|(_, profile)| profile.to_owned());
    let (gi, ci) = numbers;
    let known = [
        ("profile", profile),
        ("gi", (gi != u32::MAX).then(|| gi.to_string())),
        ("ci", (ci != u32::MAX).then(|| ci.to_string())),
    ];
    let attribute = |(name, value): (&str, Option<String>)| value.map(|value| (name.to_owned(), value));
    DeviceInfo {
        name: format!("{}/mig{gi}.{ci}", whole.name),
        model,
        vendor: Vendor::Nvidia,
        parent: whole.key.clone(),
        attributes: known.into_iter().filter_map(attribute).collect(),
        ..DeviceInfo::new(DeviceKind::Partition, uuid)
    }
}
