//! Field values: the tables of fields, all of one cadence read in one call, each with the getter that an older driver has in
//! its stead.
//!
//! The wrapper's own form of the call renumbers fields and cuts values off, so the raw one is used.
use super::codes::Fault;
use super::raw;
use super::session::Gpu;
use crate::able::Able;
use model::{Metric, Reading, Slot};
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError, PerformancePolicy};
use nvml_wrapper::enums::device::DeviceArchitecture;
use nvml_wrapper_sys::bindings::{
    NVML_NVLINK_BER_EXP_SHIFT, NVML_NVLINK_BER_EXP_WIDTH, NVML_NVLINK_BER_MANTISSA_SHIFT,
    NVML_NVLINK_BER_MANTISSA_WIDTH, nvmlFieldValue_t,
};

/// What `nvmlDeviceGetPowerUsage` means on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// The power of the moment: GA100 and older.
    Instant,
    /// A mean over a second: other Ampere boards and newer (`nvml.h`).
    Mean,
}

/// Reads in base units what a field would have given.
pub(super) type Instead = fn(&Gpu<'_>, Usage) -> Result<f64, Fault>;

/// How a raw value is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// A number, to be multiplied with this.
    Times(f64),
    /// A share of bits: four bits of mantissa above eight of a negative decimal exponent (`NVML_NVLINK_BER_*`).
    BitErrors,
}

impl Form {
    fn base(self, raw: f64) -> f64 {
        match self {
            Self::Times(scale) => raw * scale,
            Self::BitErrors => {
                // Twelve bits; what is above them says nothing.
                let bits = raw as u64;
                let exponent = (bits >> NVML_NVLINK_BER_EXP_SHIFT) & u64::from(NVML_NVLINK_BER_EXP_WIDTH);
                let mantissa =
                    (bits >> NVML_NVLINK_BER_MANTISSA_SHIFT) & u64::from(NVML_NVLINK_BER_MANTISSA_WIDTH);
                mantissa as f64 * 10.0_f64.powi(-(exponent as i32))
            }
        }
    }
}

/// A field number of `nvml.h` and what it gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// The number.
    pub(super) number: u32,
    /// The part of the board, or the link.
    pub(super) scope: u32,
    /// The metric.
    pub(super) metric: Metric,
    /// How its raw value comes to be in base units.
    pub(super) form: Form,
    /// What is called where the driver or the board does not have the field.
    pub(super) instead: Option<Instead>,
}

const MILLI: f64 = 1e-3;
const NANO: f64 = 1e-9;
const MODULE: u32 = 1;
const MEMORY: u32 = 2;

const fn plain(number: u32, metric: Metric) -> Field {
    Field { number, scope: 0, metric, form: Form::Times(1.0), instead: None }
}

const fn or(number: u32, metric: Metric, scale: f64, instead: Instead) -> Field {
    Field { number, scope: 0, metric, form: Form::Times(scale), instead: Some(instead) }
}

/// Every field that is read on a beat. Power 186 is instantaneous, 185 a mean over a second; limit 190 is what is enforced
/// after every limiter, out-of-band ones included, 192 what was requested in band; 74 to 81 count nanoseconds. Instantaneous
/// power comes first: the reflex reads that row alone.
pub(super) const BEAT_FIELDS: &[Field] = &[
    or(186, Metric::PowerInstant, MILLI, |gpu, usage| power_usage(gpu, usage == Usage::Instant)),
    or(185, Metric::PowerAverage, MILLI, |gpu, usage| power_usage(gpu, usage == Usage::Mean)),
    Field { scope: MODULE, form: Form::Times(MILLI), ..plain(186, Metric::PowerModule) },
    Field { scope: MEMORY, form: Form::Times(MILLI), ..plain(186, Metric::PowerMemory) },
    or(83, Metric::Energy, MILLI, |gpu, _| {
        let call =
            gpu.call("nvmlDeviceGetTotalEnergyConsumption", |device| device.total_energy_consumption());
        Ok(call? as f64 * MILLI)
    }),
    plain(82, Metric::TemperatureMemory),
    or(190, Metric::PowerLimitEnforced, MILLI, |gpu, _| {
        let call = gpu.call("nvmlDeviceGetEnforcedPowerLimit", |device| device.enforced_power_limit());
        Ok(f64::from(call?) * MILLI)
    }),
    or(192, Metric::PowerLimitRequested, MILLI, |gpu, _| {
        let call = gpu.call("nvmlDeviceGetPowerManagementLimit", |device| device.power_management_limit());
        Ok(f64::from(call?) * MILLI)
    }),
    or(74, Metric::ViolationPower, NANO, |gpu, _| violation(gpu, PerformancePolicy::Power)),
    or(75, Metric::ViolationThermal, NANO, |gpu, _| violation(gpu, PerformancePolicy::Thermal)),
    or(76, Metric::ViolationSyncBoost, NANO, |gpu, _| violation(gpu, PerformancePolicy::SyncBoost)),
    or(77, Metric::ViolationBoardLimit, NANO, |gpu, _| violation(gpu, PerformancePolicy::BoardLimit)),
    or(78, Metric::ViolationLowUtilization, NANO, |gpu, _| violation(gpu, PerformancePolicy::LowUtilization)),
    or(79, Metric::ViolationReliability, NANO, |gpu, _| violation(gpu, PerformancePolicy::Reliability)),
    or(80, Metric::ViolationAppClocks, NANO, |gpu, _| violation(gpu, PerformancePolicy::TotalAppClocks)),
    or(81, Metric::ViolationBaseClocks, NANO, |gpu, _| violation(gpu, PerformancePolicy::TotalBaseClocks)),
    or(3, Metric::EccCorrectedVolatile, 1.0, |gpu, _| ecc(gpu, MemoryError::Corrected, EccCounter::Volatile)),
    or(4, Metric::EccUncorrectedVolatile, 1.0, |gpu, _| {
        ecc(gpu, MemoryError::Uncorrected, EccCounter::Volatile)
    }),
    or(94, Metric::PcieReplays, 1.0, |gpu, _| {
        Ok(f64::from(gpu.call("nvmlDeviceGetPcieReplayCounter", |device| device.pcie_replay_counter())?))
    }),
];

/// Every field of the whole GPU that is read every ten seconds: what moves over hours.
pub(super) const SLOW_FIELDS: &[Field] = &[
    plain(1, Metric::EccMode),
    or(5, Metric::EccCorrectedAggregate, 1.0, |gpu, _| {
        ecc(gpu, MemoryError::Corrected, EccCounter::Aggregate)
    }),
    or(6, Metric::EccUncorrectedAggregate, 1.0, |gpu, _| {
        ecc(gpu, MemoryError::Uncorrected, EccCounter::Aggregate)
    }),
    plain(7, Metric::EccCorrectedL1),
    plain(8, Metric::EccUncorrectedL1),
    plain(9, Metric::EccCorrectedL2),
    plain(10, Metric::EccUncorrectedL2),
    plain(11, Metric::EccCorrectedMemory),
    plain(12, Metric::EccUncorrectedMemory),
    plain(13, Metric::EccCorrectedRegisters),
    plain(14, Metric::EccUncorrectedRegisters),
    plain(15, Metric::EccCorrectedTexture),
    plain(16, Metric::EccUncorrectedTexture),
    plain(29, Metric::PagesRetiredSingle),
    plain(30, Metric::PagesRetiredDouble),
    plain(31, Metric::PageRetirementPending),
    plain(142, Metric::RowsRemappedCorrectable),
    plain(143, Metric::RowsRemappedUncorrectable),
    plain(144, Metric::RowRemapPending),
    plain(145, Metric::RowRemapFailed),
    plain(193, Metric::TemperatureMarginShutdown),
    plain(194, Metric::TemperatureMarginSlowdown),
    plain(230, Metric::RecoveryAction),
];

/// The row that the reflex reads.
pub(super) const POWER: &[Field] = BEAT_FIELDS.split_at(1).0;

/// The getter of power stands in for one of two fields only: a mean is never shown as the power of the moment.
fn power_usage(gpu: &Gpu<'_>, meant: bool) -> Result<f64, Fault> {
    if !meant {
        return Err(Fault::NOT_SUPPORTED);
    }
    Ok(f64::from(gpu.call("nvmlDeviceGetPowerUsage", |device| device.power_usage())?) * MILLI)
}

fn violation(gpu: &Gpu<'_>, policy: PerformancePolicy) -> Result<f64, Fault> {
    let status = gpu.call("nvmlDeviceGetViolationStatus", |device| device.violation_status(policy))?;
    Ok(status.violation_time as f64 * NANO)
}

fn ecc(gpu: &Gpu<'_>, kind: MemoryError, counter: EccCounter) -> Result<f64, Fault> {
    let count = gpu.call("nvmlDeviceGetTotalEccErrors", |device| device.total_ecc_errors(kind, counter));
    Ok(count? as f64)
}

/// What the getter of power means on this device.
pub(super) fn usage(gpu: &Gpu<'_>) -> Usage {
    let pci_device =
        || gpu.call("nvmlDeviceGetPciInfo_v3", |device| device.pci_info()).map(|pci| pci.pci_device_id);
    match gpu.call("nvmlDeviceGetArchitecture", |device| device.architecture()).ok() {
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

/// A field of one device and what is known of it.
#[derive(Debug)]
struct Row {
    slot: Slot,
    field: Field,
    able: Able,
    instead: Able,
    answer: Result<f64, Fault>,
}

/// What one board has of some fields, read together.
pub(super) struct Fields {
    rows: Vec<Row>,
    values: Vec<nvmlFieldValue_t>,
    usage: Usage,
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fields").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Fields {
    /// No fields yet.
    pub(super) fn new(usage: Usage) -> Self {
        Self { rows: Vec::new(), values: Vec::new(), usage }
    }

    /// Adds fields of a device. Nothing is known yet of whether it has them.
    pub(super) fn add(&mut self, slot: Slot, fields: impl IntoIterator<Item = Field>) {
        let answer = Err(Fault::NOT_SUPPORTED);
        let row = |field| Row { slot, field, able: Able::Untried, instead: Able::Untried, answer };
        self.rows.extend(fields.into_iter().map(row));
    }

    /// Reads every field in one call and hands the readings over; gives how many answers cast doubt on the device. What a
    /// device does not have is left out.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn read(
        &mut self,
        gpu: &Gpu<'_>,
        mut put: impl FnMut(Slot, Metric, Reading),
    ) -> Result<u32, Fault> {
        self.ask(gpu);
        let (mut doubts, usage) = (0, self.usage);
        for row in &mut self.rows {
            let answer = if row.able == Able::Lacks { row.instead(gpu, usage) } else { row.answer };
            let metric = row.field.metric;
            match answer {
                Ok(value) => put(row.slot, metric, metric.reading(value)),
                Err(fault) if fault.lost() => return Err(fault),
                Err(fault) if fault.never() => {}
                Err(fault) => {
                    doubts += u32::from(fault.doubtful());
                    put(row.slot, metric, Reading::Absent(fault.absence()));
                }
            }
        }
        Ok(doubts)
    }

    /// Makes the call and keeps the answers.
    fn ask(&mut self, gpu: &Gpu<'_>) {
        let Self { rows, values, .. } = self;
        let worth = |row: &&mut Row| row.able != Able::Lacks;
        values.clear();
        values.extend(rows.iter_mut().filter(worth).map(|row| raw::ask(row.field.number, row.field.scope)));
        let whole = if values.is_empty() { Ok(()) } else { raw::field_values(gpu, values) };
        for (row, value) in rows.iter_mut().filter(worth).zip(values.iter()) {
            row.answer = whole.and_then(|()| raw::answer(value)).map(|number| row.field.form.base(number));
            // A driver that does not know a field's number calls it an invalid argument.
            let never = |fault: Fault| fault.never() || (whole.is_ok() && fault == Fault::INVALID_ARGUMENT);
            row.able.learn(&row.answer, never);
        }
    }
}

impl Row {
    /// What the getter gives that stands in for the field.
    fn instead(&mut self, gpu: &Gpu<'_>, usage: Usage) -> Result<f64, Fault> {
        match self.field.instead {
            Some(read) if self.instead != Able::Lacks => {
                let answer = read(gpu, usage);
                self.instead.learn(&answer, Fault::never);
                answer
            }
            _ => Err(Fault::NOT_SUPPORTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvml::links;
    use crate::nvml::used::FIELDS_USED;
    use std::collections::BTreeSet;

    #[test]
    fn the_fields_used_are_those_listed_and_none_changed_its_meaning() {
        let own = BEAT_FIELDS.iter().chain(SLOW_FIELDS).map(|field| field.number);
        let used: BTreeSet<u32> = own.chain(links::numbers()).collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), FIELDS_USED);
        // Fields from 251 on mean other things before and after driver 580.82.
        assert!(FIELDS_USED.iter().all(|number| *number < 251));
    }

    #[test]
    fn a_share_of_wrong_bits_has_a_mantissa_and_an_exponent() {
        assert!((Form::BitErrors.base(f64::from(3 << 8 | 13)) / 3e-13 - 1.0).abs() < 1e-9);
        // The floor: what a link has on which no error was seen.
        let floor = Form::BitErrors.base(f64::from(15 << 8 | 255));
        assert!(floor > 0.0 && floor < 1.6e-254);
        assert_eq!(Form::BitErrors.base(0.0), 0.0);
    }

    #[test]
    fn the_reflex_reads_instantaneous_power_and_nothing_else() {
        assert_eq!(POWER.iter().map(|field| field.metric).collect::<Vec<_>>(), [Metric::PowerInstant]);
    }
}
