//! The reflex's source: the present power of one card, and nothing else.
use super::CARDS;
use super::card::hwmon;
use crate::Roots;
use crate::sysfs::cards::{Card, with_key};
use crate::sysfs::{Form, Gauge};
use model::error::Reason;
use model::{
    Absence, Batch, Calls, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Slot, Timestamp,
};

struct Meter {
    card: Card,
    slot: Slot,
    /// `None` where the card has no such file.
    gauge: Option<Gauge>,
}

/// Reads `power1_input`. A card that gives only an average has no reading, and the reflex counts it at its worst.
pub(super) struct Reflex {
    roots: Roots,
    key: String,
    calls: Calls,
    meter: Option<Meter>,
}

impl Reflex {
    /// The reflex's source of the card with this key.
    pub(super) fn new(roots: Roots, key: &str) -> Self {
        Self { roots, key: key.to_owned(), calls: Calls::default(), meter: None }
    }

    /// Looks for the card. Of cards that give one identity none is braked by it.
    fn look(&self, batch: &mut Batch) -> Result<Meter, CollectError> {
        let card = with_key(CARDS.cards(&self.roots), &self.key).map_err(|count| {
            let reason = if count == 0 { Reason::Lost } else { Reason::Busy };
            CollectError::new(format!("tell which of {count} cards is {}", self.key), reason)
        })?;
        let row = ("power1_input", Metric::PowerInstant, Form::Number(1e-6));
        let gauge = hwmon(&card.folder).and_then(|folder| Gauge::found(&row, &folder, &self.calls));
        let slot = batch.device(DeviceInfo::new(DeviceKind::Gpu, self.key.as_str()));
        Ok(Meter { card, slot, gauge })
    }
}

impl Collector for Reflex {
    fn name(&self) -> &'static str {
        "amd-reflex"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let mut meter = match self.meter.take() {
            Some(meter) => meter,
            None => self.look(batch)?,
        };
        let reading = meter.gauge.as_mut().map(|gauge| gauge.take(&self.calls));
        let lost = reading.is_some_and(|reading| reading.absence() == Some(Absence::Lost));
        if lost || !meter.card.is_there() {
            batch.gone(meter.slot, now);
            return Err(CollectError::new(format!("read the power of {}", self.key), Reason::Lost));
        }
        reading.into_iter().for_each(|reading| batch.put(meter.slot, Metric::PowerInstant, reading));
        self.meter = Some(meter);
        Ok(())
    }
}
