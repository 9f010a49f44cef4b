//! The reflex's source: the power of one board, one call a reading, its handle kept.
use super::codes::Fault;
use super::fields::{Fields, POWER, usage};
use super::raw::Handle;
use super::session::{Lease, Session};
use model::{Batch, Calls, CollectError, Collector, DeviceInfo, DeviceKind, Slot, Timestamp};
use std::sync::{Arc, Weak};

#[derive(Debug)]
struct Meter {
    handle: Handle,
    fields: Fields,
}

/// Reads instantaneous power of one board. Where it has no reading, the reflex counts the board at its worst.
#[derive(Debug)]
pub(super) struct Reflex {
    lease: Lease,
    key: String,
    /// The library that the meter's handle belongs to.
    of: Weak<Session>,
    slot: Option<Slot>,
    meter: Option<Meter>,
}

impl Reflex {
    /// The reflex's source of the board with this identity.
    pub(super) fn new(session: Session, key: &str, calls: &Calls) -> Self {
        let (lease, key) = (Lease::new(session, calls), key.to_owned());
        Self { lease, key, of: Weak::new(), slot: None, meter: None }
    }

    /// The library. The handle of one that was let go of is forgotten.
    fn session(&mut self) -> Result<Arc<Session>, CollectError> {
        let session = self
            .lease
            .session()
            .map_err(|error| CollectError::new("open NVML again", error.reason).because(error))?;
        if Weak::as_ptr(&self.of) != Arc::as_ptr(&session) {
            self.meter = None;
            self.of = Arc::downgrade(&session);
        }
        Ok(session)
    }

    /// Finds the board where its handle is not known, and reads it.
    fn read(&mut self, session: &Session, batch: &mut Batch) -> Result<(), Fault> {
        let calls = self.lease.calls();
        let slot = *self
            .slot
            .get_or_insert_with(|| batch.device(DeviceInfo::new(DeviceKind::Gpu, self.key.as_str())));
        let meter = match &mut self.meter {
            Some(meter) => meter,
            none => {
                let handle = session.find(&self.key, calls)?;
                let mut fields = Fields::new(usage(&session.gpu(handle, calls)));
                fields.add(slot, POWER.iter().copied());
                none.insert(Meter { handle, fields })
            }
        };
        let gpu = session.gpu(meter.handle, calls);
        let read = meter.fields.read(&gpu, |slot, metric, reading| batch.put(slot, metric, reading));
        if gpu.orphaned() {
            session.confirm(calls);
        }
        read.map(drop)
    }
}

impl Collector for Reflex {
    fn name(&self) -> &'static str {
        "nvml-reflex"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let session = self.session()?;
        self.read(&session, batch).map_err(|fault| {
            self.meter = None;
            if fault.library_gone() {
                session.confirm(self.lease.calls());
            }
            self.slot.into_iter().for_each(|slot| batch.gone(slot, now));
            CollectError::new(format!("read the power of {}", self.key), fault.reason()).because(fault)
        })
    }
}
