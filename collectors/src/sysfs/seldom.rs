//! Readings that change seldom or cost much: taken every few seconds and given again in between.
use super::Gauge;
use model::{Batch, Calls, Metric, Reading, Slot, Timestamp};
use std::time::Duration;

/// How long a reading stands.
const STANDS: Duration = Duration::from_secs(10);

/// The readings of one card that stand for a while.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    gauges: Vec<Gauge>,
    known: Vec<(Metric, Reading)>,
    due: Option<Timestamp>,
}

impl Seldom {
    /// Nothing known yet: the first call takes the readings.
    pub(crate) fn new(gauges: Vec<Gauge>) -> Self {
        Self { gauges, known: Vec::new(), due: None }
    }

    /// Takes the readings anew when they are due; `more` adds those that are not in a file of their own.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        calls: &Calls,
        more: impl FnOnce(&mut Vec<(Metric, Reading)>),
    ) {
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = Some(now.after(STANDS));
        self.known.clear();
        for gauge in &mut self.gauges {
            self.known.push((gauge.metric(), gauge.take(calls)));
        }
        more(&mut self.known);
    }

    /// Puts what is known into the batch.
    pub(crate) fn tell(&self, slot: Slot, batch: &mut Batch) {
        self.known.iter().for_each(|(metric, reading)| batch.put(slot, *metric, *reading));
    }
}
