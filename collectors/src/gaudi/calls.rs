//! The table of calls: what each function of HLML gives in base units, and how often it is worth asking.
use super::session::{CODES, Handle, Place, Session};
use crate::library::{Fault, Room, Scope, ask};
use crate::listed::Call;
use model::{Absence, Metric};
use std::ffi::{c_uint, c_ulonglong};

/// Sensors, thresholds, clocks and counters of `hlml.h`.
const ON_AIP: c_uint = 0;
const ON_BOARD: c_uint = 1;
/// Of HLML 1.24, by the types of its Python binding; an older library refuses them.
const ON_MEMORY: c_uint = 3;
const ON_REGULATOR: c_uint = 4;
const SHUTDOWN: c_uint = 0;
const SLOWDOWN: c_uint = 1;
const MEMORY_MAX: c_uint = 2;
const SOC: c_uint = 0;
const TPC: c_uint = 3;
const UNCORRECTED: c_uint = 1;
const VOLATILE: c_uint = 0;
const AGGREGATE: c_uint = 1;
const SRAM: c_uint = 0;
const DRAM: c_uint = 1;
/// Why a row was replaced: several single-bit errors, or one of two bits.
const SINGLE_BIT: c_uint = 0;
const DOUBLE_BIT: c_uint = 1;
/// Bits of the reasons for a lower clock.
const BY_POWER: u64 = 1;
const BY_HEAT: u64 = 2;

/// The most ports of a device, `HLML_DEVICE_MAC_MAX_ADDRESSES`.
const PORTS_MAX: usize = 48;
/// A device without ports, such as a PCIe card on its own, has no links.
const NO_PORTS: Fault =
    Fault { code: 3, name: "NOT_SUPPORTED", absence: Absence::Unsupported, scope: Scope::Never };

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

/// The clock of the tensor cores, in hertz. The bindings name it for Goya and the SoC's for Gaudi, so that where the first is
/// refused, or a stopped clock of 0 is given, the second stands for it.
fn compute_clock(read: impl Fn(c_uint) -> Result<f64, Fault>) -> Result<f64, Fault> {
    let clock_mhz = match read(TPC) {
        Ok(clock_mhz) if clock_mhz > 0.0 => clock_mhz,
        Err(fault) if fault.absence != Absence::Unsupported => return Err(fault),
        _ => read(SOC)?,
    };
    Ok(clock_mhz * MEGAHERTZ)
}

/// Uncorrected errors of a kind of memory since the driver was loaded.
fn errors(session: &Session, handle: Handle, place: c_uint) -> Result<f64, Fault> {
    let read =
        |out| ask!(session, hlml_device_get_memory_error_counter(handle, UNCORRECTED, VOLATILE, place, out));
    Ok(large(read)? as f64)
}

/// How many rows were replaced for a cause. Without room for their addresses the library only counts, as its bindings ask it to.
fn rows(session: &Session, handle: Handle, cause: c_uint) -> Result<f64, Fault> {
    number(|out| ask!(session, hlml_device_get_replaced_rows(handle, cause, out, std::ptr::null_mut())))
}

/// Network ports that the device has, and how many of them are up. Two masks of 64 bits say which there are.
fn ports(session: &Session, handle: Handle) -> Result<(u32, u32), Fault> {
    let (mut mask, mut external) = (Room::new(), Room::new());
    ask!(session, hlml_get_mac_addr_info(handle, mask.out(), external.out()))?;
    let has = |port: &u32| mask.u64(if *port < 64 { 0 } else { 8 }) >> (port % 64) & 1 == 1;
    let all = (0..128).filter(has).count();
    // `HLML_DEVICE_MAC_MAX_ADDRESSES`: more bits than that are a broken answer.
    if all == 0 || all > PORTS_MAX {
        return Err(if all == 0 { NO_PORTS } else { Fault::UNREADABLE });
    }
    let mut up = 0;
    for port in (0..128).filter(has) {
        let mut room = Room::new();
        ask!(session, hlml_nic_get_link(handle, port, room.out()))?;
        up += u32::from(room.0[0] != 0);
    }
    Ok((all as u32, up))
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
    false [TemperatureMemory] |session, handle, put|
        put(Metric::TemperatureMemory, number(|out| ask!(session, hlml_device_get_temperature(handle, ON_MEMORY, out)))?);
    false [TemperatureRegulator] |session, handle, put|
        put(Metric::TemperatureRegulator, number(|out| ask!(session, hlml_device_get_temperature(handle, ON_REGULATOR, out)))?);
    false [ClockSm] |session, handle, put|
        put(Metric::ClockSm, compute_clock(|domain| number(|out| ask!(session, hlml_device_get_clock_info(handle, domain, out))))?);
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
    true [EccUncorrectedSram] |session, handle, put|
        put(Metric::EccUncorrectedSram, errors(session, handle, SRAM)?);
    true [EccUncorrectedMemory] |session, handle, put|
        put(Metric::EccUncorrectedMemory, errors(session, handle, DRAM)?);
    true [RowsRemappedCorrectable, RowsRemappedUncorrectable] |session, handle, put| {
        put(Metric::RowsRemappedCorrectable, rows(session, handle, SINGLE_BIT)?);
        put(Metric::RowsRemappedUncorrectable, rows(session, handle, DOUBLE_BIT)?);
    };
    true [RowRemapPending] |session, handle, put|
        put(Metric::RowRemapPending, number(|out| ask!(session, hlml_device_get_replaced_rows_pending_status(handle, out)))?);
    true [Links, LinksUp] |session, handle, put| {
        let (all, up) = ports(session, handle)?;
        put(Metric::Links, f64::from(all));
        put(Metric::LinksUp, f64::from(up));
    };
    true [EccMode] |session, handle, put| {
        let mut pending = Room::new();
        let current = number(|out| ask!(session, hlml_device_get_ecc_mode(handle, out, pending.out())))?;
        put(Metric::EccMode, current);
    };
    true [ClockSmMax] |session, handle, put|
        put(Metric::ClockSmMax, compute_clock(|domain| number(|out| ask!(session, hlml_device_get_max_clock_info(handle, domain, out))))?);
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
