//! Further readers: engines, windows, margins, spare rows, errors by location, and the fabric.
use crate::abi::{INVALID_ARGUMENT, NOT_SUPPORTED, SUCCESS};
use crate::device::{index_of, on_board, part_of};
use crate::world::put;
use nvml_wrapper_sys::bindings::{
    nvmlBAR1Memory_t, nvmlDevice_t, nvmlEccSramErrorStatus_t, nvmlGpuFabricInfo_v2_t, nvmlGpuFabricInfoV_t,
    nvmlMarginTemperature_t, nvmlRowRemapperHistogramValues_t, nvmlViolationTime_t,
};
use std::ffi::{c_uint, c_ulong, c_ulonglong};

/// An argument's structure has a version that this library does not know.
const VERSION_MISMATCH: c_uint = 25;
/// Banks of an H100's memory, as `nvidia-smi -q` lists them.
const BANKS: c_uint = 640;

macro_rules! engine {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// Both pointers are null or valid for writes.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: nvmlDevice_t, percent: *mut c_uint, period: *mut c_uint) -> c_uint {
            // SAFETY: by the contract of this function.
            on_board(stringify!($name), device, |_| unsafe { put(percent, 0).max(put(period, 167_000)) })
        }
    )+};
}

engine! {
    /// Utilisation of the engine for pictures.
    nvmlDeviceGetJpgUtilization;
    /// Utilisation of the engine for optical flow.
    nvmlDeviceGetOfaUtilization;
}

/// The window of device memory on the bus: as large as the memory, rounded up, of which a little is in use.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetBAR1MemoryInfo(
    device: nvmlDevice_t,
    out: *mut nvmlBAR1Memory_t,
) -> c_uint {
    on_board("nvmlDeviceGetBAR1MemoryInfo", device, |shared| {
        let total = shared.node.boards()[index_of(device)].profile().memory_bytes.next_power_of_two();
        let used = 3 << 20;
        // SAFETY: by the contract of this function.
        unsafe { put(out, nvmlBAR1Memory_t { bar1Total: total, bar1Free: total - used, bar1Used: used }) }
    })
}

/// How far the die is below its slowdown; Ampere does not say.
///
/// # Safety
/// `out` is null or valid for reads and writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMarginTemperature(
    device: nvmlDevice_t,
    out: *mut nvmlMarginTemperature_t,
) -> c_uint {
    on_board("nvmlDeviceGetMarginTemperature", device, |shared| {
        let board = &shared.node.boards()[index_of(device)];
        if board.profile().code() != 0 {
            return NOT_SUPPORTED;
        }
        // SAFETY: by the contract of this function.
        if out.is_null() || unsafe { (*out).version } != 8 | (1 << 24) {
            return VERSION_MISMATCH;
        }
        let margin = (board.profile().slowdown_c - board.temperature_c) as i32;
        // SAFETY: as above.
        unsafe { put(out, nvmlMarginTemperature_t { version: 8 | (1 << 24), marginTemperature: margin }) }
    })
}

/// Spare rows: a bank with a replaced row has fewer.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetRowRemapperHistogram(
    device: nvmlDevice_t,
    out: *mut nvmlRowRemapperHistogramValues_t,
) -> c_uint {
    on_board("nvmlDeviceGetRowRemapperHistogram", device, |shared| {
        let [corrected, uncorrected, _, failed] = shared.extra.boards[index_of(device)].remapped;
        let high = ((corrected + uncorrected) as c_uint).min(BANKS);
        let (max, none) = (BANKS - high, failed as c_uint);
        // SAFETY: by the contract of this function.
        unsafe { put(out, nvmlRowRemapperHistogramValues_t { max, high, partial: 0, low: 0, none }) }
    })
}

/// Errors by type, counter and location; an instance tells of uncorrected ones outside of DRAM.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryErrorCounter(
    device: nvmlDevice_t,
    kind: c_uint,
    counter: c_uint,
    location: c_uint,
    out: *mut c_ulonglong,
) -> c_uint {
    on_board("nvmlDeviceGetMemoryErrorCounter", device, |shared| {
        if (counter, location, kind) == (1, 7, 1) {
            // SAFETY: by the contract of this function.
            return unsafe { put(out, shared.extra.boards[index_of(device)].sram[0]) };
        }
        let counts = shared.extra.boards[index_of(device)].ecc.get(location as usize);
        match counts.and_then(|counts| counts.get(kind as usize)) {
            None => INVALID_ARGUMENT,
            Some(_) if part_of(device).is_some() && (kind == 0 || location == 2) => NOT_SUPPORTED,
            // SAFETY: by the contract of this function.
            Some(count) => unsafe { put(out, *count) },
        }
    })
}

/// Errors of on-chip memory in the board's life; Ampere's driver knows no threshold.
///
/// # Safety
/// `out` is null or valid for reads and writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSramEccErrorStatus(
    device: nvmlDevice_t,
    out: *mut nvmlEccSramErrorStatus_t,
) -> c_uint {
    on_board("nvmlDeviceGetSramEccErrorStatus", device, |shared| {
        let index = index_of(device);
        if shared.node.boards()[index].profile().code() != 0 {
            return NOT_SUPPORTED;
        }
        let version = size_of::<nvmlEccSramErrorStatus_t>() as c_uint | (1 << 24);
        // SAFETY: by the contract of this function.
        let Some(status) = (unsafe { out.as_mut() }).filter(|status| status.version == version) else {
            return VERSION_MISMATCH;
        };
        let [count, exceeded] = shared.extra.boards[index].sram;
        status.aggregateUncSecDed = count;
        status.bThresholdExceeded = exceeded as c_uint;
        SUCCESS
    })
}

/// Whether the InfoROM passes its checksums.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceValidateInforom(device: nvmlDevice_t) -> c_uint {
    const CORRUPTED_INFOROM: c_uint = 14;
    on_board("nvmlDeviceValidateInforom", device, |shared| {
        if shared.extra.boards[index_of(device)].inforom == 0 { SUCCESS } else { CORRUPTED_INFOROM }
    })
}

/// Registration with the fabric: Hopper boards stand on one. The second version of the structure is the newest known here.
///
/// # Safety
/// `out` is null or valid for reads and writes of what its version says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGpuFabricInfoV(
    device: nvmlDevice_t,
    out: *mut nvmlGpuFabricInfoV_t,
) -> c_uint {
    on_board("nvmlDeviceGetGpuFabricInfoV", device, |shared| {
        if shared.node.boards()[index_of(device)].profile().code() != 0 {
            return NOT_SUPPORTED;
        }
        let version = size_of::<nvmlGpuFabricInfo_v2_t>() as c_uint | (2 << 24);
        // SAFETY: by the contract of this function.
        if out.is_null() || unsafe { (*out).version } != version {
            return VERSION_MISMATCH;
        }
        let info = nvmlGpuFabricInfo_v2_t {
            version,
            clusterUuid: [7; 16],
            status: 0,
            cliqueId: 1,
            state: 3,
            healthMask: shared.extra.boards[index_of(device)].fabric_health as c_uint,
        };
        // SAFETY: as above.
        unsafe { put(out.cast(), info) }
    })
}

/// Near memory: the first half of the boards stands at node 0, the other at node 1.
///
/// # Safety
/// `nodes` is null or valid for writes of `words` words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryAffinity(
    device: nvmlDevice_t,
    words: c_uint,
    nodes: *mut c_ulong,
    _scope: c_uint,
) -> c_uint {
    on_board("nvmlDeviceGetMemoryAffinity", device, |shared| {
        if words == 0 {
            return INVALID_ARGUMENT;
        }
        let second = 2 * index_of(device) >= shared.node.boards().len();
        // SAFETY: by the contract of this function.
        unsafe { put(nodes, 1 << u32::from(second)) }
    })
}

/// Violation times as older programs read them.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetViolationStatus(
    device: nvmlDevice_t,
    policy: c_uint,
    out: *mut nvmlViolationTime_t,
) -> c_uint {
    on_board("nvmlDeviceGetViolationStatus", device, |shared| {
        let index = index_of(device);
        let (board, bad) = (&shared.node.boards()[index], &shared.extra.boards[index]);
        let field = match policy {
            0..=5 => 74 + policy,
            10 | 11 => 70 + policy,
            _ => return INVALID_ARGUMENT,
        };
        let time = crate::more::health(board, bad, field).unwrap_or(0);
        // SAFETY: by the contract of this function.
        unsafe { put(out, nvmlViolationTime_t { referenceTime: 0, violationTime: time }) }
    })
}
