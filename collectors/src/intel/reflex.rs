//! The reflex's source: the power of each card since the last tick, from its energy.
use super::CARDS;
use super::power::{channel, hwmon};
use crate::Roots;
use crate::sysfs::cards::Card;
use crate::sysfs::growth::Growth;
use crate::sysfs::{Attr, absence};
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
    attr: Attr,
    growth: Growth,
}

/// Reads energy alone.
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
        for card in CARDS.cards(&self.roots) {
            if self.meters.iter().any(|meter| meter.card.pci == card.pci) {
                continue;
            }
            let energy = hwmon(&card.folder).and_then(|folder| Some((channel(&folder)?.energy, folder)));
            let Some((name, folder)) = energy.filter(|(name, folder)| folder.join(name).exists()) else {
                continue;
            };
            let slot = batch.device(DeviceInfo::new(DeviceKind::Gpu, card.key()));
            self.meters.push(Meter {
                card,
                slot,
                attr: Attr::new(name, folder.join(name)),
                growth: Growth::default(),
            });
        }
    }
}

impl Collector for Reflex {
    fn name(&self) -> &'static str {
        "intel-reflex"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if self.look_due.is_none_or(|due| now >= due) {
            self.look(now, batch);
        }
        let Self { meters, calls, .. } = self;
        let before = meters.len();
        meters.retain_mut(|Meter { card, slot, attr, growth }| {
            let read = attr.number(calls);
            let power = match &read {
                Ok(microjoules) => growth.rate(now, *microjoules).ok_or(Absence::Late),
                Err(error) => Err(absence(error)),
            };
            let lost = power == Err(Absence::Lost) || !card.is_there();
            match power {
                _ if lost => batch.gone(*slot, now),
                Ok(rate) => batch.set(*slot, Metric::PowerInstant, rate / 1e6),
                Err(reason) => batch.absent(*slot, Metric::PowerInstant, reason),
            }
            !lost
        });
        if meters.is_empty() && before > 0 {
            return Err(CollectError::new("read the power of any Intel card", Reason::Lost));
        }
        Ok(())
    }
}
