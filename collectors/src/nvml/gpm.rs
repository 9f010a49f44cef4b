//! Profiling counters of Hopper and newer: what the pipes did between two samples. Both samples are used again and again.
use super::codes::Fault;
use super::raw::gpm::{Sample, Sheet, supported};
use super::session::{Gpu, Session};
use model::{Absence, Metric, Reading, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// The least time between two samples (`nvml.h`).
const APART: Duration = Duration::from_millis(100);

/// A metric of the profiling counters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    /// Its number in `nvml.h`.
    pub(super) number: u32,
    /// What it gives.
    pub(super) metric: Metric,
    /// What its value is multiplied with to be in base units.
    scale: f64,
}

/// Percent as a share, and mebibytes as bytes (`nvml.h`).
const PERCENT: f64 = 0.01;
const MEBI: f64 = 1_048_576.0;

const fn counter(number: u32, metric: Metric, scale: f64) -> Counter {
    Counter { number, metric, scale }
}

/// Every counter that is asked for.
pub(super) const GPM_METRICS: &[Counter] = &[
    counter(1, Metric::GraphicsActive, PERCENT),
    counter(2, Metric::SmActive, PERCENT),
    counter(3, Metric::SmOccupancy, PERCENT),
    counter(4, Metric::IntegerActive, PERCENT),
    counter(5, Metric::TensorActive, PERCENT),
    counter(10, Metric::DramActive, PERCENT),
    counter(11, Metric::Fp64Active, PERCENT),
    counter(12, Metric::Fp32Active, PERCENT),
    counter(13, Metric::Fp16Active, PERCENT),
    counter(20, Metric::PcieTransmit, MEBI),
    counter(21, Metric::PcieReceive, MEBI),
    counter(60, Metric::LinkReceive, MEBI),
    counter(61, Metric::LinkTransmit, MEBI),
];

/// The counters of a device or of one of its GPU instances.
#[derive(Debug)]
pub(super) struct Gpm {
    /// The GPU instance; `None` for the whole device.
    instance: Option<u32>,
    later: Sample,
    earlier: Sample,
    /// When the later sample was taken.
    taken: Option<Timestamp>,
    sheet: Sheet,
    /// Whether each counter may have a value.
    worth: [bool; GPM_METRICS.len()],
    readings: Vec<(Metric, Reading)>,
}

impl Gpm {
    /// Counters of a device; `None` when it has none.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn meet(
        session: &Arc<Session>,
        gpu: &Gpu<'_>,
        instance: Option<u32>,
    ) -> Result<Option<Self>, Fault> {
        let samples = || Ok((Sample::new(session, gpu)?, Sample::new(session, gpu)?));
        let made = supported(gpu).and_then(|has| if has { samples() } else { Err(Fault::NOT_SUPPORTED) });
        match made {
            Ok((later, earlier)) => Ok(Some(Self {
                instance,
                later,
                earlier,
                taken: None,
                sheet: Sheet::default(),
                worth: [true; GPM_METRICS.len()],
                readings: Vec::with_capacity(GPM_METRICS.len()),
            })),
            Err(fault) if fault.lost() => Err(fault),
            Err(_) => Ok(None),
        }
    }

    /// Reads what happened since the last sample. Beats that are too near to each other repeat the last readings. Gives
    /// whether it is worth asking again.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn read(&mut self, gpu: &Gpu<'_>, now: Timestamp) -> Result<bool, Fault> {
        if self.taken.is_some_and(|taken| now.since(taken) < APART) {
            return Ok(true);
        }
        self.readings.clear();
        let first = self.taken.is_none();
        match self.sample(gpu) {
            Ok(()) => self.taken = Some(now),
            Err(fault) if fault.lost() => return Err(fault),
            Err(fault) => {
                // Without a sample there is nothing to compare the next one with.
                self.taken = None;
                self.all_absent(fault.absence());
                return Ok(!(first && fault.never()));
            }
        }
        if first {
            self.all_absent(Absence::Late);
            return Ok(true);
        }
        self.compare(gpu)?;
        Ok(true)
    }

    fn sample(&mut self, gpu: &Gpu<'_>) -> Result<(), Fault> {
        self.earlier.take(gpu, self.instance)?;
        std::mem::swap(&mut self.earlier, &mut self.later);
        Ok(())
    }

    fn compare(&mut self, gpu: &Gpu<'_>) -> Result<(), Fault> {
        let Self { sheet, earlier, later, worth, readings, .. } = self;
        let asked = std::array::from_fn::<_, { GPM_METRICS.len() }, _>(|row| worth[row]);
        let rows = || GPM_METRICS.iter().enumerate().filter(|(row, _)| asked[*row]);
        let mut answers = rows();
        let told =
            sheet.ask(gpu, (earlier, later), rows().map(|(_, counter)| counter.number), |_, answer| {
                let Some((row, Counter { metric, scale, .. })) = answers.next() else { return };
                match answer {
                    // Counters of a device that has just been reset may be no number.
                    Ok(value) => readings.push((*metric, metric.reading(value * scale))),
                    Err(fault) if fault.never() || fault == Fault::INVALID_ARGUMENT => worth[row] = false,
                    Err(fault) => readings.push((*metric, Reading::Absent(fault.absence()))),
                }
            });
        match told {
            Err(fault) if fault.lost() => Err(fault),
            Err(fault) => {
                self.all_absent(fault.absence());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn all_absent(&mut self, absence: Absence) {
        let worth = GPM_METRICS.iter().zip(self.worth).filter(|(_, worth)| *worth);
        self.readings.extend(worth.map(|(counter, _)| (counter.metric, Reading::Absent(absence))));
    }

    /// What was read last.
    pub(super) fn readings(&self) -> &[(Metric, Reading)] {
        &self.readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvml::used::GPM_USED;

    #[test]
    fn the_counters_used_are_those_listed() {
        assert_eq!(GPM_METRICS.iter().map(|counter| counter.number).collect::<Vec<_>>(), GPM_USED);
    }
}
