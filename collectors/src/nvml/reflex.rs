//! The reflex's source: one call a device, handles kept.
use super::fields::{Fields, POWER};
use super::raw::Handle;
use super::roster::{Arrival, Roster};
use super::session::Session;
use model::{Batch, CollectError, Collector, DeviceInfo, DeviceKind, Slot, Timestamp};

#[derive(Debug)]
struct Meter {
    handle: Handle,
    slot: Slot,
    fields: Fields,
}

/// Reads instantaneous power. A device without it has no reading, and the reflex counts it at its worst.
#[derive(Debug)]
pub(super) struct Reflex {
    session: Session,
    meters: Roster<Meter>,
}

impl Reflex {
    pub(super) fn new(session: Session) -> Self {
        Self { session, meters: Roster::default() }
    }
}

impl Collector for Reflex {
    fn name(&self) -> &'static str {
        "nvml-reflex"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let Self { session, meters } = self;
        meters.seek(session, now, |Arrival { session, handle, uuid, .. }, _| {
            let fields = Fields::new(&session.device(handle), POWER);
            Meter { handle, slot: batch.device(DeviceInfo::new(DeviceKind::Gpu, uuid)), fields }
        })?;
        meters.visit(now, |Meter { handle, slot, fields }| {
            let read =
                fields.read(&session.device(*handle), |metric, reading| batch.put(*slot, metric, reading));
            read.map(drop).inspect_err(|_| batch.gone(*slot, now))
        });
        meters.check()
    }
}
