//! The table of calls: which getter of the safe wrapper gives which metrics, and how often it is worth asking.
use super::codes::Fault;
use super::raw;
use model::Metric;
use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, TemperatureSensor, TemperatureThreshold,
};

/// Where a call puts its values, in base units.
pub type Put<'a> = &'a mut dyn FnMut(Metric, f64);

/// How often a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// On every beat: whatever moves.
    Beat,
    /// Every ten seconds: what is constant, or moves over hours. In between the last answer stands.
    Slow,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// What it gives.
    pub metrics: &'static [Metric],
    /// How often.
    pub cadence: Cadence,
    /// The call. What it puts before it fails is taken; what it does not put is absent for the reason of the fault.
    pub read: fn(&Device<'_>, Put<'_>) -> Result<(), Fault>,
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
    ($( $cadence:ident [$($metric:ident),+] |$device:ident, $put:ident| $body:expr; )+) => {
        /// Every call. Power, energy, the memory's temperature and the limits in force are fields, see `fields.rs`.
        pub const CALLS: &[Call] = &[$( Call {
            metrics: &[$(Metric::$metric),+],
            cadence: Cadence::$cadence,
            read: |$device: &Device<'_>, $put: Put<'_>| { $body; Ok(()) },
        }, )+];
    };
}

const MEGAHERTZ: f64 = 1e6;

fn share(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

/// Memory used and in all, in bytes. The newer call does not count what the driver keeps for itself as used.
fn memory(device: &Device<'_>) -> Result<(u64, u64), Fault> {
    match device.memory_info().map_err(Fault::from) {
        Ok(memory) => Ok((memory.used, memory.total)),
        Err(fault) if fault.never() || fault == Fault::ARGUMENT_VERSION_MISMATCH => {
            raw::memory_of_old(device)
        }
        Err(fault) => Err(fault),
    }
}

calls! {
    Beat [Utilization, MemoryActivity] |device, put| {
        let rates = device.utilization_rates()?;
        put(Metric::Utilization, share(rates.gpu));
        put(Metric::MemoryActivity, share(rates.memory));
    };
    Beat [EncoderUtilization] |device, put| put(Metric::EncoderUtilization, share(device.encoder_utilization()?.utilization));
    Beat [DecoderUtilization] |device, put| put(Metric::DecoderUtilization, share(device.decoder_utilization()?.utilization));
    Beat [MemoryUsed, MemorySize] |device, put| {
        let (used, total) = memory(device)?;
        put(Metric::MemoryUsed, used as f64);
        put(Metric::MemorySize, total as f64);
    };
    Beat [ClockSm] |device, put| put(Metric::ClockSm, f64::from(device.clock_info(Clock::SM)?) * MEGAHERTZ);
    Beat [ClockMemory] |device, put| put(Metric::ClockMemory, f64::from(device.clock_info(Clock::Memory)?) * MEGAHERTZ);
    Beat [ClockVideo] |device, put| put(Metric::ClockVideo, f64::from(device.clock_info(Clock::Video)?) * MEGAHERTZ);
    Slow [ClockSmMax] |device, put| put(Metric::ClockSmMax, f64::from(device.max_clock_info(Clock::SM)?) * MEGAHERTZ);
    Slow [ClockMemoryMax] |device, put| put(Metric::ClockMemoryMax, f64::from(device.max_clock_info(Clock::Memory)?) * MEGAHERTZ);
    Beat [Temperature] |device, put| put(Metric::Temperature, f64::from(device.temperature(TemperatureSensor::Gpu)?));
    Slow [TemperatureSlowdown] |device, put|
        put(Metric::TemperatureSlowdown, f64::from(device.temperature_threshold(TemperatureThreshold::Slowdown)?));
    Slow [TemperatureShutdown] |device, put|
        put(Metric::TemperatureShutdown, f64::from(device.temperature_threshold(TemperatureThreshold::Shutdown)?));
    Slow [TemperatureMemoryMax] |device, put|
        put(Metric::TemperatureMemoryMax, f64::from(device.temperature_threshold(TemperatureThreshold::MemoryMax)?));
    Beat [FanSpeed] |device, put| put(Metric::FanSpeed, share(device.fan_speed(0)?));
    Beat [EventIdle, EventAppClocks, EventSwPowerCap, EventHwSlowdown, EventSyncBoost, EventSwThermal, EventHwThermal, EventPowerBrake]
        |device, put| {
        // Bits that this table does not know are left out.
        let reasons = raw::clock_event_reasons(device)?;
        EVENTS.iter().for_each(|(bit, metric)| put(*metric, f64::from(u8::from(reasons & bit != 0))));
    };
    Slow [PowerLimitMin, PowerLimitMax] |device, put| {
        let range = device.power_management_limit_constraints()?;
        put(Metric::PowerLimitMin, f64::from(range.min_limit) / 1e3);
        put(Metric::PowerLimitMax, f64::from(range.max_limit) / 1e3);
    };
    Slow [PowerLimitDefault] |device, put| put(Metric::PowerLimitDefault, f64::from(device.power_management_limit_default()?) / 1e3);
    Beat [EccCorrectedVolatile] |device, put|
        put(Metric::EccCorrectedVolatile, device.total_ecc_errors(MemoryError::Corrected, EccCounter::Volatile)? as f64);
    Beat [EccUncorrectedVolatile] |device, put|
        put(Metric::EccUncorrectedVolatile, device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)? as f64);
    Slow [EccCorrectedAggregate] |device, put|
        put(Metric::EccCorrectedAggregate, device.total_ecc_errors(MemoryError::Corrected, EccCounter::Aggregate)? as f64);
    Slow [EccUncorrectedAggregate] |device, put|
        put(Metric::EccUncorrectedAggregate, device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Aggregate)? as f64);
    Beat [PcieGeneration] |device, put| put(Metric::PcieGeneration, f64::from(device.current_pcie_link_gen()?));
    Beat [PcieWidth] |device, put| put(Metric::PcieWidth, f64::from(device.current_pcie_link_width()?));
    Slow [PcieGenerationMax] |device, put| put(Metric::PcieGenerationMax, f64::from(device.max_pcie_link_gen()?));
    Slow [PcieWidthMax] |device, put| put(Metric::PcieWidthMax, f64::from(device.max_pcie_link_width()?));
    Beat [PcieReplays] |device, put| put(Metric::PcieReplays, f64::from(device.pcie_replay_counter()?));
    Beat [PerformanceState] |device, put| put(Metric::PerformanceState, f64::from(device.performance_state()?.as_c()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvml::fields::FIELDS;
    use model::DeviceKind;

    #[test]
    fn every_metric_has_one_source() {
        let mut seen: Vec<Metric> = CALLS.iter().flat_map(|call| call.metrics).copied().collect();
        seen.extend(FIELDS.iter().map(|field| field.metric));
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert!(seen.iter().all(|metric| metric.column(DeviceKind::Gpu).is_some()));
    }

    #[test]
    fn what_moves_is_read_on_every_beat() {
        use model::metric::MetricKind;
        for call in CALLS.iter().filter(|call| call.cadence == Cadence::Slow) {
            for metric in call.metrics {
                let aggregate =
                    matches!(metric, Metric::EccCorrectedAggregate | Metric::EccUncorrectedAggregate);
                assert!(metric.row().kind == MetricKind::Constant || aggregate, "{metric}");
            }
        }
    }
}
