//! The table of calls: what each function of DCMI gives in base units, and how often it is worth asking.
use super::codes::CODES;
use super::session::{Place, Session, at};
use crate::library::{Fault, Room};
use crate::listed::Call;
use model::Metric;
use std::ffi::c_uint;

/// Types of utilisation of DCMI's reference: AI cores and vector cores.
const AI_CORE: i32 = 2;
const VECTOR_CORE: i32 = 12;
/// Types of frequency of `dcmi_interface_api.h`.
const HBM_CLOCK: c_uint = 6;
const AI_CORE_CLOCK: c_uint = 7;
const AI_CORE_CLOCK_MAX: c_uint = 9;
/// The memory whose errors are asked for, as the header numbers kinds of devices.
const HBM: c_uint = 2;
/// Where the header counts in megabytes, npu-smi shows them as those of 2^20 bytes.
const MEGABYTE: f64 = 1_048_576.0;
const MEGAHERTZ: f64 = 1e6;
/// What some functions give for a value that they do not have.
const NOT_THERE: [u32; 3] = [0x7fff_ffff, 0xffff_ffff, 0x7ffd];

macro_rules! calls {
    ($( $slow:literal [$($metric:ident),+] |$session:ident, $place:ident, $put:ident| $body:expr; )+) => {
        /// Every call. `true`: every ten seconds, and in between the last answer stands.
        pub(super) const CALLS: &[Call<Session>] = &[$( Call {
            metrics: &[$(Metric::$metric),+],
            slow: $slow,
            read: |$session, $place, $put| { $body; Ok(()) },
        }, )+];
    };
}

/// A number that is there.
fn there(number: u32) -> Result<u32, Fault> {
    if NOT_THERE.contains(&number) { Err(Fault::UNREADABLE) } else { Ok(number) }
}

fn utilization(session: &Session, place: Place, kind: i32) -> Result<f64, Fault> {
    let mut room = Room::new();
    at!(
        session,
        place,
        dcmi_get_device_utilization_rate | dcmiv2_get_device_utilization_rate(kind, room.out())
    )?;
    Ok(f64::from(there(room.u32(0))?) / 100.0)
}

fn frequency(session: &Session, place: Place, kind: c_uint) -> Result<f64, Fault> {
    let mut room = Room::new();
    at!(session, place, dcmi_get_device_frequency | dcmiv2_get_device_frequency(kind, room.out()))?;
    Ok(f64::from(there(room.u32(0))?) * MEGAHERTZ)
}

calls! {
    false [PowerInstant] |session, place, put| {
        let mut room = Room::new();
        at!(session, place, dcmi_get_device_power_info | dcmiv2_get_device_power_info(room.out()))?;
        // Tenths of a watt.
        put(Metric::PowerInstant, f64::from(there(room.u32(0))?.cast_signed()) / 10.0);
    };
    false [Temperature] |session, place, put| {
        let mut room = Room::new();
        at!(session, place, dcmi_get_device_temperature | dcmiv2_get_device_temperature(room.out()))?;
        put(Metric::Temperature, f64::from(there(room.u32(0))?.cast_signed()));
    };
    false [Voltage] |session, place, put| {
        let mut room = Room::new();
        at!(session, place, dcmi_get_device_voltage | dcmiv2_get_device_voltage(room.out()))?;
        // Hundredths of a volt, by DCMI's reference.
        put(Metric::Voltage, f64::from(there(room.u32(0))?) / 100.0);
    };
    false [Utilization] |session, place, put| put(Metric::Utilization, utilization(session, place, AI_CORE)?);
    false [VectorUtilization] |session, place, put|
        put(Metric::VectorUtilization, utilization(session, place, VECTOR_CORE)?);
    false [MemoryUsed, MemorySize, TemperatureMemory, DramActive] |session, place, put| {
        let mut room = Room::new();
        at!(session, place, dcmi_get_device_hbm_info | dcmiv2_get_device_hbm_info(room.out()))?;
        // dcmi_hbm_info: size, clock, use, temperature, share of the bandwidth. Sizes are far below 2^53.
        put(Metric::MemorySize, room.u64(0) as f64 * MEGABYTE);
        put(Metric::MemoryUsed, room.u64(16) as f64 * MEGABYTE);
        put(Metric::TemperatureMemory, f64::from(there(room.u32(24))?.cast_signed()));
        put(Metric::DramActive, f64::from(there(room.u32(28))?) / 100.0);
    };
    false [ClockSm] |session, place, put| put(Metric::ClockSm, frequency(session, place, AI_CORE_CLOCK)?);
    true [ClockSmMax] |session, place, put| put(Metric::ClockSmMax, frequency(session, place, AI_CORE_CLOCK_MAX)?);
    true [ClockMemory] |session, place, put| put(Metric::ClockMemory, frequency(session, place, HBM_CLOCK)?);
    false [EccMode, EccCorrectedVolatile, EccUncorrectedVolatile, EccCorrectedAggregate, EccUncorrectedAggregate, PagesRetiredSingle, PagesRetiredDouble]
        |session, place, put| {
        let mut room = Room::new();
        at!(session, place, dcmi_get_device_ecc_info | dcmiv2_get_device_ecc_info(HBM, room.out()))?;
        // dcmi_ecc_info: whether ECC is on, counts of single and double bit errors, both over the device's life, pages put aside.
        // That the first pair counts from the start is read from the names of the fields.
        let metrics = [
            Metric::EccMode, Metric::EccCorrectedVolatile, Metric::EccUncorrectedVolatile, Metric::EccCorrectedAggregate,
            Metric::EccUncorrectedAggregate, Metric::PagesRetiredSingle, Metric::PagesRetiredDouble,
        ];
        for (place, metric) in metrics.into_iter().enumerate() {
            put(metric, f64::from(there(room.u32(4 * place))?));
        }
    };
    false [HealthCode] |session, place, put| {
        let mut room = Room::new();
        at!(session, place, dcmi_get_device_health | dcmiv2_get_device_health(room.out()))?;
        // 0 well, 1 to 3 a warning, an alarm and a critical alarm; all ones where the device does not answer.
        put(Metric::HealthCode, f64::from(there(room.u32(0))?));
    };
}
