//! The table of calls: which getter gives which metrics, and how often it is worth asking.
use super::codes::Fault;
use super::raw::{getters, parts};
use super::session::Gpu;
use model::Metric;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor, TemperatureThreshold};
use nvml_wrapper_sys::bindings::{
    NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ACCESS_TIMEOUT_RECOVERY, NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_DEGRADED_BW,
    NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_RECOVERY, NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_UNHEALTHY,
};

/// Where a call puts its values, in base units.
pub(super) type Put<'a> = &'a mut dyn FnMut(Metric, f64);

/// How often a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cadence {
    /// On every beat: whatever moves.
    Beat,
    /// Every ten seconds: what is constant, or moves over hours. In between the last answer stands.
    Slow,
    /// Every hour: what reads the board's flash, as DCGM does.
    Hour,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// What it gives.
    pub(super) metrics: &'static [Metric],
    /// How often.
    pub(super) cadence: Cadence,
    /// The call. What it puts before it fails is taken; what it does not put is absent for the reason of the fault.
    pub(super) read: fn(&Gpu<'_>, Put<'_>) -> Result<(), Fault>,
}

/// Bits of the clock event reasons in `nvml.h` with their flags.
const EVENTS: [(u64, Metric); 8] = [
    (0x1, Metric::EventIdle),
    (0x2, Metric::EventAppClocks),
    (0x4, Metric::EventSwPowerCap),
    (0x8, Metric::EventHwSlowdown),
    (0x10, Metric::EventSyncBoost),
    (0x20, Metric::EventSwThermal),
    (0x40, Metric::EventHwThermal),
    (0x80, Metric::EventPowerBrake),
];

macro_rules! calls {
    ($( $cadence:ident [$($metric:ident),+] |$gpu:ident, $put:ident| $body:expr; )+) => {
        /// Every call. Power, energy, ECC, violations and the limits in force are fields, see `fields.rs`.
        pub(super) const CALLS: &[Call] = &[$( Call {
            metrics: &[$(Metric::$metric),+],
            cadence: Cadence::$cadence,
            read: |$gpu: &Gpu<'_>, $put: Put<'_>| { $body; Ok(()) },
        }, )+];
    };
}

const MEGAHERTZ: f64 = 1e6;

fn share(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

fn clock(gpu: &Gpu<'_>, clock: Clock) -> Result<f64, Fault> {
    Ok(f64::from(gpu.call("nvmlDeviceGetClockInfo", |device| device.clock_info(clock))?) * MEGAHERTZ)
}

fn clock_max(gpu: &Gpu<'_>, clock: Clock) -> Result<f64, Fault> {
    Ok(f64::from(gpu.call("nvmlDeviceGetMaxClockInfo", |device| device.max_clock_info(clock))?) * MEGAHERTZ)
}

fn threshold(gpu: &Gpu<'_>, which: TemperatureThreshold) -> Result<f64, Fault> {
    Ok(f64::from(
        gpu.call("nvmlDeviceGetTemperatureThreshold", |device| device.temperature_threshold(which))?,
    ))
}

/// Reads memory in bytes: used, in all, and what the driver keeps for itself. The newer call does not count that as used.
pub(super) fn memory(gpu: &Gpu<'_>, put: Put<'_>) -> Result<(), Fault> {
    let (used, total) = match gpu.call("nvmlDeviceGetMemoryInfo_v2", |device| device.memory_info()) {
        Ok(memory) => {
            put(Metric::MemoryReserved, memory.reserved as f64);
            (memory.used, memory.total)
        }
        Err(fault) if fault.never() || fault == Fault::ARGUMENT_VERSION_MISMATCH => {
            getters::memory_of_old(gpu)?
        }
        Err(fault) => return Err(fault),
    };
    put(Metric::MemoryUsed, used as f64);
    put(Metric::MemorySize, total as f64);
    Ok(())
}

/// Conditions of a device's place in its fabric: where in the mask of its health each has its two bits.
const CONDITIONS: [(u32, Metric); 4] = [
    (NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_DEGRADED_BW, Metric::FabricDegraded),
    (NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_RECOVERY, Metric::FabricRouteRecovery),
    (NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_UNHEALTHY, Metric::FabricRouteUnhealthy),
    (NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_ACCESS_TIMEOUT_RECOVERY, Metric::FabricAccessTimeout),
];

/// What two bits of the mask say: 1 yes, 2 no, else nothing.
fn condition(mask: u32, shift: u32) -> Option<bool> {
    match (mask >> shift) & 0b11 {
        1 => Some(true),
        2 => Some(false),
        _ => None,
    }
}

/// Puts what the fabric manager made of the device. State 0 says that the device is on no fabric.
fn fabric(gpu: &Gpu<'_>, put: Put<'_>) -> Result<(), Fault> {
    let (state, status, health) = getters::fabric(gpu)?;
    if state == 0 {
        return Err(Fault::NOT_SUPPORTED);
    }
    put(Metric::FabricState, f64::from(state));
    put(Metric::FabricStatus, f64::from(status));
    for (shift, metric) in CONDITIONS {
        condition(health, shift).into_iter().for_each(|holds| put(metric, f64::from(u8::from(holds))));
    }
    Ok(())
}

/// The location of `nvml.h` that no field has.
const SRAM: u32 = 7;

/// Puts errors of on-chip memory in the board's life. Drivers before 550 know no threshold, but the count.
fn sram(gpu: &Gpu<'_>, put: Put<'_>) -> Result<(), Fault> {
    match getters::sram_status(gpu) {
        Ok((count, exceeded)) => {
            put(Metric::EccUncorrectedSramAggregate, count as f64);
            put(Metric::SramThreshold, f64::from(u8::from(exceeded)));
        }
        Err(fault) if fault.never() || fault == Fault::ARGUMENT_VERSION_MISMATCH => {
            put(Metric::EccUncorrectedSramAggregate, getters::lifetime_errors(gpu, SRAM)? as f64);
        }
        Err(fault) => return Err(fault),
    }
    Ok(())
}

calls! {
    Beat [Utilization, MemoryActivity] |gpu, put| {
        let rates = gpu.call("nvmlDeviceGetUtilizationRates", |device| device.utilization_rates())?;
        put(Metric::Utilization, share(rates.gpu));
        put(Metric::MemoryActivity, share(rates.memory));
    };
    Beat [EncoderUtilization] |gpu, put| {
        let encoder = gpu.call("nvmlDeviceGetEncoderUtilization", |device| device.encoder_utilization())?;
        put(Metric::EncoderUtilization, share(encoder.utilization));
    };
    Beat [DecoderUtilization] |gpu, put| {
        let decoder = gpu.call("nvmlDeviceGetDecoderUtilization", |device| device.decoder_utilization())?;
        put(Metric::DecoderUtilization, share(decoder.utilization));
    };
    Beat [JpegUtilization] |gpu, put| put(Metric::JpegUtilization, share(getters::jpeg_utilization(gpu)?));
    Beat [OpticalFlowUtilization] |gpu, put|
        put(Metric::OpticalFlowUtilization, share(getters::optical_flow_utilization(gpu)?));
    Beat [MemoryUsed, MemorySize] |gpu, put| memory(gpu, put)?;
    Slow [Bar1Used, Bar1Size] |gpu, put| {
        let window = gpu.call("nvmlDeviceGetBAR1MemoryInfo", |device| device.bar1_memory_info())?;
        put(Metric::Bar1Used, window.used as f64);
        put(Metric::Bar1Size, window.total as f64);
    };
    Beat [ClockSm] |gpu, put| put(Metric::ClockSm, clock(gpu, Clock::SM)?);
    Beat [ClockMemory] |gpu, put| put(Metric::ClockMemory, clock(gpu, Clock::Memory)?);
    Beat [ClockVideo] |gpu, put| put(Metric::ClockVideo, clock(gpu, Clock::Video)?);
    Slow [ClockSmMax] |gpu, put| put(Metric::ClockSmMax, clock_max(gpu, Clock::SM)?);
    Slow [ClockMemoryMax] |gpu, put| put(Metric::ClockMemoryMax, clock_max(gpu, Clock::Memory)?);
    Beat [Temperature] |gpu, put| {
        let degrees = gpu.call("nvmlDeviceGetTemperature", |device| device.temperature(TemperatureSensor::Gpu))?;
        put(Metric::Temperature, f64::from(degrees));
    };
    Beat [TemperatureMargin] |gpu, put| put(Metric::TemperatureMargin, f64::from(getters::margin_temperature(gpu)?));
    Slow [TemperatureSlowdown] |gpu, put| put(Metric::TemperatureSlowdown, threshold(gpu, TemperatureThreshold::Slowdown)?);
    Slow [TemperatureShutdown] |gpu, put| put(Metric::TemperatureShutdown, threshold(gpu, TemperatureThreshold::Shutdown)?);
    Slow [TemperatureMemoryMax] |gpu, put|
        put(Metric::TemperatureMemoryMax, threshold(gpu, TemperatureThreshold::MemoryMax)?);
    Beat [FanSpeed] |gpu, put| put(Metric::FanSpeed, share(gpu.call("nvmlDeviceGetFanSpeed_v2", |device| device.fan_speed(0))?));
    Beat [FanRpm] |gpu, put| put(Metric::FanRpm, f64::from(getters::fan_rpm(gpu)?));
    Beat [EventIdle, EventAppClocks, EventSwPowerCap, EventHwSlowdown, EventSyncBoost, EventSwThermal, EventHwThermal, EventPowerBrake]
        |gpu, put| {
        // Bits that this table does not know are left out.
        let reasons = getters::clock_event_reasons(gpu)?;
        EVENTS.iter().for_each(|(bit, metric)| put(*metric, f64::from(u8::from(reasons & bit != 0))));
    };
    Slow [PowerLimitMin, PowerLimitMax] |gpu, put| {
        let range = gpu.call("nvmlDeviceGetPowerManagementLimitConstraints", |device| {
            device.power_management_limit_constraints()
        })?;
        put(Metric::PowerLimitMin, f64::from(range.min_limit) / 1e3);
        put(Metric::PowerLimitMax, f64::from(range.max_limit) / 1e3);
    };
    Slow [PowerLimitDefault] |gpu, put| {
        let limit = gpu.call("nvmlDeviceGetPowerManagementDefaultLimit", |device| device.power_management_limit_default())?;
        put(Metric::PowerLimitDefault, f64::from(limit) / 1e3);
    };
    Slow [EccCorrectedSram] |gpu, put| put(Metric::EccCorrectedSram, getters::memory_errors(gpu, 0, SRAM)? as f64);
    Slow [EccUncorrectedSram] |gpu, put| put(Metric::EccUncorrectedSram, getters::memory_errors(gpu, 1, SRAM)? as f64);
    Slow [EccUncorrectedSramAggregate, SramThreshold] |gpu, put| sram(gpu, put)?;
    Hour [InforomValid] |gpu, put| put(Metric::InforomValid, f64::from(u8::from(getters::inforom_valid(gpu)?)));
    Slow [RemapBanksMax, RemapBanksHigh, RemapBanksPartial, RemapBanksLow, RemapBanksNone] |gpu, put| {
        let banks = getters::remap_histogram(gpu)?;
        let metrics = [
            Metric::RemapBanksMax, Metric::RemapBanksHigh, Metric::RemapBanksPartial, Metric::RemapBanksLow, Metric::RemapBanksNone,
        ];
        metrics.into_iter().zip(banks).for_each(|(metric, banks)| put(metric, f64::from(banks)));
    };
    Slow [PersistenceMode] |gpu, put| {
        let on = gpu.call("nvmlDeviceGetPersistenceMode", |device| device.is_in_persistent_mode())?;
        put(Metric::PersistenceMode, f64::from(u8::from(on)));
    };
    Slow [PartitionMode] |gpu, put| put(Metric::PartitionMode, f64::from(u8::from(parts::mode(gpu)?)));
    Slow [FabricState, FabricStatus] |gpu, put| fabric(gpu, put)?;
    Slow [NumaNode] |gpu, put|
        put(Metric::NumaNode, f64::from(getters::numa_node(gpu)?.ok_or(Fault::NOT_SUPPORTED)?));
    Beat [PcieGeneration] |gpu, put| put(Metric::PcieGeneration, f64::from(
        gpu.call("nvmlDeviceGetCurrPcieLinkGeneration", |device| device.current_pcie_link_gen())?));
    Beat [PcieWidth] |gpu, put| put(Metric::PcieWidth, f64::from(
        gpu.call("nvmlDeviceGetCurrPcieLinkWidth", |device| device.current_pcie_link_width())?));
    Slow [PcieGenerationMax] |gpu, put| put(Metric::PcieGenerationMax, f64::from(
        gpu.call("nvmlDeviceGetMaxPcieLinkGeneration", |device| device.max_pcie_link_gen())?));
    Slow [PcieWidthMax] |gpu, put| put(Metric::PcieWidthMax, f64::from(
        gpu.call("nvmlDeviceGetMaxPcieLinkWidth", |device| device.max_pcie_link_width())?));
    Beat [PerformanceState] |gpu, put| put(Metric::PerformanceState, f64::from(
        gpu.call("nvmlDeviceGetPerformanceState", |device| device.performance_state())?.as_c()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvml::fields::{BEAT_FIELDS, SLOW_FIELDS};
    use crate::nvml::gpm::GPM_METRICS;
    use model::DeviceKind;

    #[test]
    fn two_bits_of_the_fabrics_mask_say_yes_or_no_or_nothing() {
        let mask = 0b00_01_10_01;
        let said = CONDITIONS.map(|(shift, _)| condition(mask, shift));
        assert_eq!(said, [Some(true), Some(false), Some(true), None]);
        assert_eq!(condition(0b11, 0), None);
    }

    #[test]
    fn every_metric_has_one_source() {
        let mut seen: Vec<Metric> = CALLS.iter().flat_map(|call| call.metrics).copied().collect();
        seen.extend(BEAT_FIELDS.iter().chain(SLOW_FIELDS).map(|field| field.metric));
        seen.extend(GPM_METRICS.iter().map(|row| row.metric));
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert!(seen.iter().all(|metric| metric.column(DeviceKind::Gpu).is_some()));
    }
}
