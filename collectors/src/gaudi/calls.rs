//! The table of calls: what each function of HLML gives in base units, and how often it is worth asking.
use super::session::{CODES, Place, Session};
use crate::library::{Fault, Room, ask};
use crate::listed::Call;
use model::Metric;
use std::ffi::{c_uint, c_ulonglong};

/// Sensors, thresholds, clocks and counters of `hlml.h`.
const ON_AIP: c_uint = 0;
const ON_BOARD: c_uint = 1;
const SHUTDOWN: c_uint = 0;
const SLOWDOWN: c_uint = 1;
const MEMORY_MAX: c_uint = 2;
const SOC: c_uint = 0;
const TPC: c_uint = 3;
const UNCORRECTED: c_uint = 1;
const VOLATILE: c_uint = 0;
const AGGREGATE: c_uint = 1;
/// Bits of the reasons for a lower clock.
const BY_POWER: u64 = 1;
const BY_HEAT: u64 = 2;

const MILLI: f64 = 1e-3;
const MEGAHERTZ: f64 = 1e6;

macro_rules! calls {
    ($( $slow:literal [$($metric:ident),+] |$session:ident, $handle:ident, $put:ident| $body:expr; )+) => {
        /// Every call. `true`: every ten seconds, and in between the last answer stands.
        pub(super) const CALLS: &[Call<Session>] = &[$( Call {
            metrics: &[$(Metric::$metric),+],
            slow: $slow,
            read: |$session, Place($handle), $put| { $body; Ok(()) },
        }, )+];
    };
}

/// A call that gives one unsigned number.
fn number(read: impl FnOnce(*mut c_uint) -> Result<(), Fault>) -> Result<f64, Fault> {
    let mut room = Room::new();
    read(room.out())?;
    Ok(f64::from(room.u32(0)))
}

/// A call that gives one large unsigned number.
fn large(read: impl FnOnce(*mut c_ulonglong) -> Result<(), Fault>) -> Result<u64, Fault> {
    let mut room = Room::new();
    read(room.out())?;
    Ok(room.u64(0))
}

calls! {
    false [Utilization] |session, handle, put| {
        let mut room = Room::new();
        ask!(session, hlml_device_get_utilization_rates(handle, room.out()))?;
        // The structure has grown behind its first number, the share of the AIP in percent.
        put(Metric::Utilization, f64::from(room.u32(0)) / 100.0);
    };
    false [MemoryUsed, MemorySize] |session, handle, put| {
        let mut room = Room::new();
        ask!(session, hlml_device_get_memory_info(handle, room.out()))?;
        // free, total, used; sizes are far below 2^53, so the conversions are exact.
        put(Metric::MemoryUsed, room.u64(16) as f64);
        put(Metric::MemorySize, room.u64(8) as f64);
    };
    false [PowerInstant] |session, handle, put|
        put(Metric::PowerInstant, number(|out| ask!(session, hlml_device_get_power_usage(handle, out)))? * MILLI);
    false [Energy] |session, handle, put| {
        let energy = large(|out| ask!(session, hlml_device_get_total_energy_consumption(handle, out)))?;
        put(Metric::Energy, energy as f64 * MILLI);
    };
    false [Temperature] |session, handle, put|
        put(Metric::Temperature, number(|out| ask!(session, hlml_device_get_temperature(handle, ON_AIP, out)))?);
    false [TemperatureBoard] |session, handle, put|
        put(Metric::TemperatureBoard, number(|out| ask!(session, hlml_device_get_temperature(handle, ON_BOARD, out)))?);
    false [ClockSm] |session, handle, put|
        put(Metric::ClockSm, number(|out| ask!(session, hlml_device_get_clock_info(handle, TPC, out)))? * MEGAHERTZ);
    false [ClockSoc] |session, handle, put|
        put(Metric::ClockSoc, number(|out| ask!(session, hlml_device_get_clock_info(handle, SOC, out)))? * MEGAHERTZ);
    false [EventSwPowerCap, EventHwThermal] |session, handle, put| {
        let reasons = large(|out| ask!(session, hlml_device_get_current_clocks_throttle_reasons(handle, out)))?;
        put(Metric::EventSwPowerCap, f64::from(u8::from(reasons & BY_POWER != 0)));
        put(Metric::EventHwThermal, f64::from(u8::from(reasons & BY_HEAT != 0)));
    };
    false [EccUncorrectedVolatile] |session, handle, put| {
        let count = large(|out| ask!(session, hlml_device_get_total_ecc_errors(handle, UNCORRECTED, VOLATILE, out)))?;
        put(Metric::EccUncorrectedVolatile, count as f64);
    };
    false [PcieReplays] |session, handle, put|
        put(Metric::PcieReplays, number(|out| ask!(session, hlml_device_get_pcie_replay_counter(handle, out)))?);
    false [PcieGeneration] |session, handle, put|
        put(Metric::PcieGeneration, number(|out| ask!(session, hlml_device_get_curr_pcie_link_generation(handle, out)))?);
    false [PcieWidth] |session, handle, put|
        put(Metric::PcieWidth, number(|out| ask!(session, hlml_device_get_curr_pcie_link_width(handle, out)))?);
    true [EccUncorrectedAggregate] |session, handle, put| {
        let count = large(|out| ask!(session, hlml_device_get_total_ecc_errors(handle, UNCORRECTED, AGGREGATE, out)))?;
        put(Metric::EccUncorrectedAggregate, count as f64);
    };
    true [EccMode] |session, handle, put| {
        let mut pending = Room::new();
        let current = number(|out| ask!(session, hlml_device_get_ecc_mode(handle, out, pending.out())))?;
        put(Metric::EccMode, current);
    };
    true [ClockSmMax] |session, handle, put|
        put(Metric::ClockSmMax, number(|out| ask!(session, hlml_device_get_max_clock_info(handle, TPC, out)))? * MEGAHERTZ);
    true [PowerLimitDefault] |session, handle, put| {
        let limit = number(|out| ask!(session, hlml_device_get_power_management_default_limit(handle, out)))?;
        put(Metric::PowerLimitDefault, limit * MILLI);
    };
    true [TemperatureSlowdown] |session, handle, put|
        put(Metric::TemperatureSlowdown, number(|out| ask!(session, hlml_device_get_temperature_threshold(handle, SLOWDOWN, out)))?);
    true [TemperatureShutdown] |session, handle, put|
        put(Metric::TemperatureShutdown, number(|out| ask!(session, hlml_device_get_temperature_threshold(handle, SHUTDOWN, out)))?);
    true [TemperatureMemoryMax] |session, handle, put|
        put(Metric::TemperatureMemoryMax, number(|out| ask!(session, hlml_device_get_temperature_threshold(handle, MEMORY_MAX, out)))?);
}
