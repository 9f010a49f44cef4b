//! Field values: the table of fields, all read in one call, each with the getter that an older driver has in its stead.
//!
//! The wrapper's own form of the call renumbers fields and cuts values off, so the raw one is used.
use super::able::Able;
use super::codes::Fault;
use super::raw;
use model::{Metric, Reading};
use nvml_wrapper::Device;
use nvml_wrapper::enums::device::DeviceArchitecture;

/// What `nvmlDeviceGetPowerUsage` means on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// The power of the moment: GA100 and older.
    Instant,
    /// A mean over a second: other Ampere boards and newer (`nvml.h`).
    Mean,
}

/// Reads in base units what a field would have given.
pub type Instead = fn(&Device<'_>, Usage) -> Result<f64, Fault>;

/// A field number of `nvml.h` and what it gives.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The number.
    pub number: u32,
    /// The metric.
    pub metric: Metric,
    /// What its raw value is multiplied with to be in base units.
    pub scale: f64,
    /// What is called where the driver or the board does not have the field.
    pub instead: Option<Instead>,
}

const MILLI: f64 = 1e-3;

/// Every field that is read on a beat. Power 186 is instantaneous, 185 a mean over a second; limit 190 is what is enforced
/// after every limiter, out-of-band ones included, 192 what was requested in band. Instantaneous power comes first: the
/// reflex reads that row alone.
pub const FIELDS: &[Field] = &[
    Field {
        number: 186,
        metric: Metric::PowerInstant,
        scale: MILLI,
        instead: Some(|device, usage| power_usage(device, usage == Usage::Instant)),
    },
    Field {
        number: 185,
        metric: Metric::PowerAverage,
        scale: MILLI,
        instead: Some(|device, usage| power_usage(device, usage == Usage::Mean)),
    },
    Field {
        number: 83,
        metric: Metric::Energy,
        scale: MILLI,
        instead: Some(|device, _| Ok(device.total_energy_consumption()? as f64 * MILLI)),
    },
    Field { number: 82, metric: Metric::TemperatureMemory, scale: 1.0, instead: None },
    Field {
        number: 190,
        metric: Metric::PowerLimitEnforced,
        scale: MILLI,
        instead: Some(|device, _| Ok(f64::from(device.enforced_power_limit()?) * MILLI)),
    },
    Field {
        number: 192,
        metric: Metric::PowerLimitRequested,
        scale: MILLI,
        instead: Some(|device, _| Ok(f64::from(device.power_management_limit()?) * MILLI)),
    },
];

/// The row that the reflex reads.
pub const POWER: &[Field] = FIELDS.split_at(1).0;

/// The getter of power stands in for one of two fields only: a mean is never shown as the power of the moment.
fn power_usage(device: &Device<'_>, meant: bool) -> Result<f64, Fault> {
    if meant { Ok(f64::from(device.power_usage()?) * MILLI) } else { Err(Fault::NOT_SUPPORTED) }
}

/// What the getter of power means on this device.
fn usage(device: &Device<'_>) -> Usage {
    let pci_device = || device.pci_info().map(|pci| pci.pci_device_id);
    match device.architecture().ok() {
        // GA100 boards, and they alone, have PCI device identifiers 20xx (pci.ids).
        Some(DeviceArchitecture::Ampere) if pci_device().is_ok_and(|id| id >> 24 == 0x20) => Usage::Instant,
        Some(
            DeviceArchitecture::Kepler
            | DeviceArchitecture::Maxwell
            | DeviceArchitecture::Pascal
            | DeviceArchitecture::Volta
            | DeviceArchitecture::Turing,
        ) => Usage::Instant,
        // An architecture that the wrapper does not know is a newer one.
        _ => Usage::Mean,
    }
}

/// What one device has of a table of fields.
#[derive(Debug)]
pub(super) struct Fields {
    rows: &'static [Field],
    able: [Able; FIELDS.len()],
    instead: [Able; FIELDS.len()],
    usage: Usage,
}

impl Fields {
    /// Nothing is known yet of what the device has. The table is [`FIELDS`] or a part of it.
    pub(super) fn new(device: &Device<'_>, rows: &'static [Field]) -> Self {
        let untried = [Able::Untried; FIELDS.len()];
        Self { rows, able: untried, instead: untried, usage: usage(device) }
    }

    /// Reads every field in one call and hands the readings over; gives how many answers cast doubt on the device.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn read(
        &mut self,
        device: &Device<'_>,
        mut put: impl FnMut(Metric, Reading),
    ) -> Result<u32, Fault> {
        let mut values = [raw::ask(0); FIELDS.len()];
        let mut asked = [0; FIELDS.len()];
        let mut count = 0;
        for row in (0..self.rows.len()).filter(|row| self.able[*row] != Able::Lacks) {
            (values[count], asked[count]) = (raw::ask(self.rows[row].number), row);
            count += 1;
        }
        let whole = if count == 0 { Ok(()) } else { raw::field_values(device, &mut values[..count]) };
        let mut answers = [Err(Fault::NOT_SUPPORTED); FIELDS.len()];
        for (value, row) in values.iter().zip(asked).take(count) {
            let answer = whole.and_then(|()| raw::answer(value)).map(|number| number * self.rows[row].scale);
            // A driver that does not know a field's number calls it an invalid argument.
            let never = |fault: Fault| fault.never() || (whole.is_ok() && fault == Fault::INVALID_ARGUMENT);
            self.able[row].learn(&answer, never);
            answers[row] = answer;
        }
        let mut doubts = 0;
        let rows = self.rows;
        for (row, metric) in rows.iter().map(|field| field.metric).enumerate() {
            let lacks = self.able[row] == Able::Lacks;
            let answer = if lacks { self.instead(row, device) } else { answers[row] };
            match answer {
                Ok(value) => put(metric, metric.reading(value)),
                Err(fault) if fault.lost() => return Err(fault),
                Err(fault) => {
                    doubts += u32::from(fault.doubtful());
                    put(metric, Reading::Absent(fault.absence()));
                }
            }
        }
        Ok(doubts)
    }

    /// What the getter gives that stands in for a field.
    fn instead(&mut self, row: usize, device: &Device<'_>) -> Result<f64, Fault> {
        match self.rows[row].instead {
            Some(read) if self.instead[row] != Able::Lacks => {
                let answer = read(device, self.usage);
                self.instead[row].learn(&answer, Fault::never);
                answer
            }
            _ => Err(Fault::NOT_SUPPORTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_one_of_those_that_changed_their_meaning() {
        // Fields from 251 on mean other things before and after driver 580.82.
        assert!(FIELDS.iter().all(|field| field.number < 251));
    }

    #[test]
    fn the_reflex_reads_instantaneous_power_and_nothing_else() {
        assert_eq!(POWER.iter().map(|field| field.metric).collect::<Vec<_>>(), [Metric::PowerInstant]);
    }
}
