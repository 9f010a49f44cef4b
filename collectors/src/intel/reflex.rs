//! The reflex's source: the power of one card since the last tick, from its energy.
use super::CARDS;
use super::power::{channel, hwmon};
use crate::Roots;
use crate::sysfs::cards::{Card, with_key};
use crate::sysfs::growth::Growth;
use crate::sysfs::{Attr, absence};
use model::error::Reason;
use model::{
    Absence, Batch, Calls, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Slot, Timestamp,
};

struct Meter {
    card: Card,
    slot: Slot,
    /// `None` where the card counts no energy.
    attr: Option<Attr>,
    growth: Growth,
}

/// Reads energy alone.
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

    fn look(&self, batch: &mut Batch) -> Result<Meter, CollectError> {
        let card = with_key(CARDS.cards(&self.roots), &self.key).map_err(|count| {
            let reason = if count == 0 { Reason::Lost } else { Reason::Busy };
            CollectError::new(format!("tell which of {count} cards is {}", self.key), reason)
        })?;
        let energy = hwmon(&card.folder).and_then(|folder| Some((channel(&folder)?.energy, folder)));
        let energy = energy.filter(|(name, folder)| folder.join(name).exists());
        let attr = energy.map(|(name, folder)| Attr::new(name, folder.join(name)));
        let slot = batch.device(DeviceInfo::new(DeviceKind::Gpu, self.key.as_str()));
        Ok(Meter { card, slot, attr, growth: Growth::default() })
    }
}

impl Collector for Reflex {
    fn name(&self) -> &'static str {
        "intel-reflex"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let mut meter = match self.meter.take() {
            Some(meter) => meter,
            None => self.look(batch)?,
        };
        let power = meter.attr.as_mut().map(|attr| match attr.number(&self.calls) {
            Ok(microjoules) => meter.growth.rate(now, microjoules).ok_or(Absence::Late),
            Err(error) => Err(absence(&error)),
        });
        if power == Some(Err(Absence::Lost)) || !meter.card.is_there() {
            batch.gone(meter.slot, now);
            return Err(CollectError::new(format!("read the power of {}", self.key), Reason::Lost));
        }
        match power {
            Some(Ok(rate)) => batch.set(meter.slot, Metric::PowerInstant, rate / 1e6),
            Some(Err(reason)) => batch.absent(meter.slot, Metric::PowerInstant, reason),
            None => {}
        }
        self.meter = Some(meter);
        Ok(())
    }
}
