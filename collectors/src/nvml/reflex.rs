//! The reflex's source: one call a device, handles kept.
use super::fields::{Fields, POWER, usage};
use super::raw::Handle;
use super::roster::{Arrival, Host, Roster};
use super::session::{Lease, Session};
use model::error::Reason;
use model::{Batch, Calls, CollectError, Collector, DeviceInfo, DeviceKind, Slot, Timestamp};
use std::sync::{Arc, Weak};

#[derive(Debug)]
struct Meter {
    handle: Handle,
    slot: Slot,
    fields: Fields,
}

/// Reads instantaneous power. A device without it has no reading, and the reflex counts it at its worst.
#[derive(Debug)]
pub(super) struct Reflex {
    lease: Lease,
    /// The library that the meters' handles belong to.
    of: Weak<Session>,
    meters: Roster<Meter>,
}

impl Reflex {
    pub(super) fn new(session: Session, calls: &Calls) -> Self {
        Self { lease: Lease::new(session, calls), of: Weak::new(), meters: Roster::default() }
    }

    /// The library. Handles of one that was let go of are forgotten.
    fn session(&mut self, now: Timestamp, batch: &mut Batch) -> Result<Arc<Session>, CollectError> {
        let opened = self
            .lease
            .session()
            .map_err(|error| CollectError::new("open NVML again", error.reason).because(error));
        let same = opened.as_ref().is_ok_and(|session| Weak::as_ptr(&self.of) == Arc::as_ptr(session));
        if !same {
            self.meters = Roster::default();
            self.of = opened.as_ref().map(Arc::downgrade).unwrap_or_default();
            let slots: Vec<_> = batch.devices().map(|(slot, _)| slot).collect();
            slots.into_iter().for_each(|slot| batch.gone(slot, now));
        }
        opened
    }
}

/// What a meter is made with.
struct Bench<'a> {
    session: &'a Session,
    calls: &'a Calls,
    batch: &'a mut Batch,
}

impl Host<Meter> for Bench<'_> {
    fn meet(&mut self, Arrival { handle, uuid, .. }: Arrival, _: Timestamp) -> Meter {
        let slot = self.batch.device(DeviceInfo::new(DeviceKind::Gpu, uuid));
        let mut fields = Fields::new(usage(&self.session.gpu(handle, self.calls)));
        fields.add(slot, POWER.iter().copied());
        Meter { handle, slot, fields }
    }

    fn moved(&mut self, _: &mut Meter, _: u32) {}

    fn duplicate(&mut self, _: &mut Meter) {}
}

impl Collector for Reflex {
    fn name(&self) -> &'static str {
        "nvml-reflex"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let session = self.session(now, batch)?;
        let calls = self.lease.calls().clone();
        let bench = &mut Bench { session: &session, calls: &calls, batch: &mut *batch };
        let sought = self.meters.seek(&session, &calls, now, bench);
        if sought.as_ref().is_err_and(|error| error.reason == Reason::Lost) {
            session.condemn();
        }
        sought?;
        let mut orphaned = false;
        self.meters.visit(now, |Meter { handle, slot, fields }| {
            let gpu = session.gpu(*handle, &calls);
            let read = fields.read(&gpu, |slot, metric, reading| batch.put(slot, metric, reading));
            orphaned |= gpu.orphaned();
            read.map(drop).inspect_err(|_| batch.gone(*slot, now))
        });
        if orphaned {
            session.confirm(&calls);
        }
        self.meters.check()
    }
}
