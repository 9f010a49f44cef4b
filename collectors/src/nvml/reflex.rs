//! The reflex's source: one raw call a device, handles kept.
use super::fields::{self, Field};
use super::session::{Handle, Session};
use model::error::Reason;
use model::{Batch, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Slot, Timestamp};
use std::sync::Arc;

const POWER: [Field; 1] = [Field { number: 186, metric: Metric::PowerInstant, scale: 1e-3 }];
/// From one look for other devices to the next, in seconds.
const SCAN_S: f64 = 10.0;

/// Reads instantaneous power.
pub(super) struct Reflex {
    session: Arc<Session>,
    boards: Vec<(Handle, Slot)>,
    scanned: Option<Timestamp>,
}

impl Reflex {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session, boards: Vec::new(), scanned: None }
    }

    fn scan(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let failed = |error| CollectError::new("count NVIDIA devices", Reason::Lost).because(error);
        let count = self.session.count().map_err(failed)?;
        self.scanned = Some(now);
        self.boards.clear();
        for handle in (0..count).filter_map(|index| self.session.handle(index).ok()) {
            if let Ok(uuid) = self.session.device(handle).uuid() {
                self.boards.push((handle, batch.device(DeviceInfo::new(DeviceKind::Gpu, uuid))));
            }
        }
        Ok(())
    }
}

impl Collector for Reflex {
    fn name(&self) -> &'static str {
        "nvml-reflex"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if self.scanned.is_none_or(|last| now.seconds_since(last) >= SCAN_S) {
            self.scan(now, batch)?;
        }
        for (handle, slot) in &self.boards {
            // A device without the field is left out, and the reflex counts it at its worst.
            if let Some(Ok([Ok(watts)])) = fields::read(&self.session, *handle, &POWER) {
                batch.set(*slot, Metric::PowerInstant, watts);
            }
        }
        Ok(())
    }
}
