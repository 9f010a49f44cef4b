//! One device: who it is, what it can say, and its readings of a beat.
use super::able::Able;
use super::calls::{CALLS, Cadence};
use super::codes::Fault;
use super::fields::{FIELDS, Fields};
use super::processes::Users;
use super::raw::Handle;
use super::roster::Arrival;
use super::session::Session;
use model::source::SlotProcess;
use model::{Absence, Batch, DeviceInfo, DeviceKind, Metric, NoticeKind, Reading, Slot, Timestamp, Vendor};
use nvml_wrapper::Device;
use std::time::Duration;

/// How long the answers of slow calls stand.
const SLOW: Duration = Duration::from_secs(10);

/// What boards share: caches and memory that is kept from board to board and beat to beat.
pub(super) struct Desk {
    pub(super) users: Users,
}

/// A device that was met.
#[derive(Debug)]
pub(super) struct Board {
    uuid: String,
    handle: Handle,
    slot: Slot,
    fields: Fields,
    calls: [Able; CALLS.len()],
    lists: [Able; 2],
    fresh: Vec<(Metric, Reading)>,
    slow: Vec<(Metric, Reading)>,
    slow_due: Timestamp,
    /// By how much the second round of slow calls comes early, so that boards take turns.
    turn: Duration,
    /// XID errors since the source was opened; why they are not known, where nobody can watch for them.
    xids: Result<u64, Absence>,
    last_xid: u32,
}

impl Board {
    /// Meets a device, for the first time or again. What it can do is found out anew, as it may have changed with a reset.
    pub(super) fn meet(arrival: Arrival<'_>, before: Option<Self>, batch: &mut Batch) -> Self {
        let slot = batch.device(identity(&arrival));
        let Arrival { session, index, handle, uuid } = arrival;
        let before = before.filter(|board| board.uuid == uuid);
        let (xids, last_xid) = before.map_or((Ok(0), 0), |board| (board.xids, board.last_xid));
        Self {
            uuid,
            handle,
            slot,
            fields: Fields::new(&session.device(handle), FIELDS),
            calls: [Able::Untried; CALLS.len()],
            lists: [Able::Untried; 2],
            fresh: Vec::new(),
            slow: Vec::new(),
            slow_due: Timestamp::default(),
            turn: Duration::from_secs(u64::from(index) % SLOW.as_secs()),
            xids,
            last_xid,
        }
    }

    /// By which events tell whose they are.
    pub(super) fn handle(&self) -> Handle {
        self.handle
    }

    /// Takes an XID error that the driver reported, also when the device is lost by now.
    pub(super) fn xid(&mut self, code: u32, now: Timestamp, batch: &mut Batch) {
        self.xids = Ok(self.xids.unwrap_or(0) + 1);
        self.last_xid = code;
        // The slot of a device that is gone may have been given to another one.
        if batch.info(self.slot).key == self.uuid {
            batch.notice(self.slot, NoticeKind::Xid, code, now);
        }
    }

    /// Nobody can watch this device for XID errors.
    pub(super) fn unwatched(&mut self, absence: Absence) {
        self.xids = Err(absence);
    }

    /// Reads everything that is due into the batch.
    ///
    /// # Errors
    /// When the device is lost; it is gone from the batch, which has no readings of it.
    pub(super) fn read(
        &mut self,
        session: &Session,
        now: Timestamp,
        desk: &mut Desk,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let device = session.device(self.handle);
        let read = self.ask(&device, now).and_then(|()| desk.users.read(&device, &mut self.lists));
        match read {
            Ok(processes) => {
                self.tell(processes, desk, batch);
                Ok(())
            }
            Err(fault) => {
                batch.gone(self.slot, now);
                Err(fault)
            }
        }
    }

    /// Asks the device for all but its processes.
    fn ask(&mut self, device: &Device<'_>, now: Timestamp) -> Result<(), Fault> {
        let slow = now >= self.slow_due;
        if slow {
            self.slow.clear();
            self.slow_due = now.after(SLOW - std::mem::take(&mut self.turn));
        }
        self.fresh.clear();
        let fresh = &mut self.fresh;
        let doubts = self.fields.read(device, |metric, reading| fresh.push((metric, reading)))?;
        let doubts = doubts + self.call(device, slow)?;
        let silent = self.fresh.iter().all(|(_, reading)| reading.value().is_none());
        if silent && doubts > 0 { Err(Fault::GPU_IS_LOST) } else { Ok(()) }
    }

    /// Makes the calls that are due; gives how many answers cast doubt on the device.
    fn call(&mut self, device: &Device<'_>, slow: bool) -> Result<u32, Fault> {
        let mut doubts = 0;
        for (call, able) in CALLS.iter().zip(&mut self.calls) {
            let due = call.cadence == Cadence::Beat || slow;
            if !due || *able == Able::Lacks {
                continue;
            }
            let kept = if call.cadence == Cadence::Beat { &mut self.fresh } else { &mut self.slow };
            let first = kept.len();
            let answer = (call.read)(device, &mut |metric, value| kept.push((metric, metric.reading(value))));
            able.learn(&answer, Fault::never);
            let Err(fault) = answer else { continue };
            if fault.lost() {
                return Err(fault);
            }
            doubts += u32::from(fault.doubtful());
            let put = kept.len();
            for metric in call.metrics {
                if !kept[first..put].iter().any(|(known, _)| known == metric) {
                    kept.push((*metric, Reading::Absent(fault.absence())));
                }
            }
        }
        Ok(doubts)
    }

    /// Puts everything that was read into the batch.
    fn tell(&self, processes: Reading, desk: &mut Desk, batch: &mut Batch) {
        for (metric, reading) in self.fresh.iter().chain(&self.slow) {
            batch.put(self.slot, *metric, *reading);
        }
        batch.flag(self.slot, Metric::Up, true);
        match self.xids {
            Ok(xids) => batch.set(self.slot, Metric::XidErrors, xids as f64),
            Err(absence) => batch.absent(self.slot, Metric::XidErrors, absence),
        }
        if self.xids.is_ok_and(|xids| xids > 0) {
            batch.set(self.slot, Metric::XidLastCode, f64::from(self.last_xid));
        }
        batch.put(self.slot, Metric::Processes, processes);
        for user in desk.users.users() {
            batch.process(SlotProcess {
                memory_bytes: user.memory_bytes,
                ..SlotProcess::new(self.slot, user.pid)
            });
        }
    }
}

/// Who a device is; what cannot be read of it is left out.
fn identity(arrival: &Arrival<'_>) -> DeviceInfo {
    let Arrival { session, index, handle, uuid } = arrival;
    let device = session.device(*handle);
    let architecture = || device.architecture().map(|known| format!("{known:?}").to_lowercase());
    let attributes = [
        ("pci", device.pci_info().map(|pci| pci.bus_id)),
        ("serial", device.serial()),
        ("vbios", device.vbios_version()),
        ("driver", session.nvml().sys_driver_version()),
        ("architecture", architecture()),
    ];
    let known = |(name, value): (&str, Result<String, _>)| {
        value.ok().filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value))
    };
    DeviceInfo {
        name: format!("gpu{index}"),
        model: device.name().unwrap_or_default(),
        vendor: Vendor::Nvidia,
        attributes: attributes.into_iter().filter_map(known).collect(),
        ..DeviceInfo::new(DeviceKind::Gpu, uuid.as_str())
    }
}
