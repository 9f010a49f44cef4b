//! The reflex's source: the present power of each card, and nothing else.
use super::CARDS;
use super::card::hwmon;
use crate::Roots;
use crate::sysfs::cards::Card;
use crate::sysfs::{Form, Gauge};
use model::error::Reason;
use model::{
    Absence, Batch, Calls, CollectError, Collector, DeviceInfo, DeviceKind, Metric, Slot, Timestamp,
};
use std::time::Duration;

/// From one look for cards to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

struct Meter {
    card: Card,
    slot: Slot,
    gauge: Gauge,
}

/// Reads `power1_input`. A card that gives only an average has no reading, and the reflex counts it at its worst.
pub(super) struct Reflex {
    roots: Roots,
    calls: Calls,
    meters: Vec<Meter>,
    look_due: Option<Timestamp>,
}

impl Reflex {
    pub(super) fn new(roots: Roots) -> Self {
        Self { roots, calls: Calls::default(), meters: Vec::new(), look_due: None }
    }

    fn look(&mut self, now: Timestamp, batch: &mut Batch) {
        self.look_due = Some(now.after(LOOK_AGAIN));
        let cards = CARDS.cards(&self.roots);
        for card in &cards {
            // Of cards that give one identity none is braked by it.
            let alone = cards.iter().filter(|other| other.key() == card.key()).count() == 1;
            if !alone || self.meters.iter().any(|meter| meter.card.pci == card.pci) {
                continue;
            }
            let row = ("power1_input", Metric::PowerInstant, Form::Number(1e-6));
            let Some(gauge) = hwmon(&card.folder).and_then(|folder| Gauge::found(&row, &folder, &self.calls))
            else {
                continue;
            };
            let slot = batch.device(DeviceInfo::new(DeviceKind::Gpu, card.key()));
            self.meters.push(Meter { card: card.clone(), slot, gauge });
        }
    }
}

impl Collector for Reflex {
    fn name(&self) -> &'static str {
        "amd-reflex"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if self.look_due.is_none_or(|due| now >= due) {
            self.look(now, batch);
        }
        let Self { meters, calls, .. } = self;
        let before = meters.len();
        meters.retain_mut(|Meter { card, slot, gauge }| {
            let reading = gauge.take(calls);
            let lost = reading.absence() == Some(Absence::Lost) || !card.is_there();
            if lost {
                batch.gone(*slot, now);
            } else {
                batch.put(*slot, Metric::PowerInstant, reading);
            }
            !lost
        });
        if meters.is_empty() && before > 0 {
            return Err(CollectError::new("read the power of any AMD card", Reason::Lost));
        }
        Ok(())
    }
}
