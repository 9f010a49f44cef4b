//! Readers: what a board says of itself, in the units of `nvml.h`.
use crate::abi::{GPU_IS_LOST, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, SUCCESS, field};
use crate::world::{Shared, call, put};
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlFieldValue_t, nvmlMemory_t, nvmlMemory_v2_t, nvmlPciInfo_t, nvmlProcessInfo_t,
    nvmlUtilization_t, nvmlValue_t,
};
use sim::{Board, Fault, Workload};
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong};

/// A handle is the position plus one, so that none is null.
pub(crate) fn handle(index: usize) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(index + 1)
}

pub(crate) fn index_of(device: nvmlDevice_t) -> usize {
    device.addr().wrapping_sub(1)
}

/// Runs a call on a board that is there and not lost.
pub(crate) fn on_board(
    function: &str,
    device: nvmlDevice_t,
    work: impl FnOnce(&mut Shared) -> c_uint,
) -> c_uint {
    call(function, |shared| match shared.node.boards().get(index_of(device)) {
        None => INVALID_ARGUMENT,
        Some(board) if board.has(Fault::Lost) => GPU_IS_LOST,
        Some(_) => work(shared),
    })
}

/// Watts as NVML's whole milliwatts.
pub(crate) fn milliwatts(watts: f64) -> c_uint {
    (watts * 1e3) as c_uint
}

macro_rules! readers {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty),*) -> $out:ty = |$board:ident| $value:expr;)+) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// `out` is null or valid for writes.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: nvmlDevice_t, $($argument: $kind,)* out: *mut $out) -> c_uint {
            on_board(stringify!($name), device, |shared| {
                let $board = &shared.node.boards()[index_of(device)];
                let value: Option<$out> = $value;
                // SAFETY: by the contract of this function.
                value.map_or(NOT_SUPPORTED, |value| unsafe { put(out, value) })
            })
        }
    )+};
}

readers! {
    /// Position.
    nvmlDeviceGetIndex() -> c_uint = |board| Some(board.index);
    /// Minor number.
    nvmlDeviceGetMinorNumber() -> c_uint = |board| Some(board.index);
    /// Architecture: 9 is Hopper, 7 is Ampere.
    nvmlDeviceGetArchitecture() -> c_uint = |board| Some(if board.profile().code() == 0 { 9 } else { 7 });
    /// Average power, milliwatts.
    nvmlDeviceGetPowerUsage() -> c_uint = |board| Some(milliwatts(board.sensor.average_w()));
    /// Energy, millijoules.
    nvmlDeviceGetTotalEnergyConsumption() -> c_ulonglong = |board| Some((board.energy_j * 1e3) as c_ulonglong);
    /// Utilisation, percent.
    nvmlDeviceGetUtilizationRates() -> nvmlUtilization_t = |board| Some(nvmlUtilization_t {
        gpu: (board.busy * 100.0) as c_uint,
        memory: (board.memory_activity * 100.0) as c_uint,
    });
    /// Memory, bytes.
    nvmlDeviceGetMemoryInfo() -> nvmlMemory_t = |board| Some(nvmlMemory_t {
        total: board.profile().memory_bytes,
        free: board.profile().memory_bytes - board.memory_used_bytes,
        used: board.memory_used_bytes,
    });
    /// Temperature, celsius; sensor 0 is the die.
    nvmlDeviceGetTemperature(sensor: c_uint) -> c_uint = |board| (sensor == 0).then_some(board.temperature_c as c_uint);
    /// Temperature limits, celsius: shutdown, slowdown, memory.
    nvmlDeviceGetTemperatureThreshold(limit: c_uint) -> c_uint = |board| match limit {
        0 => Some(board.profile().shutdown_c as c_uint),
        1 => Some(board.profile().slowdown_c as c_uint),
        2 => Some(board.profile().memory_max_c as c_uint),
        _ => None,
    };
    /// Clocks, megahertz: graphics, SM, memory, video.
    nvmlDeviceGetClockInfo(clock: c_uint) -> c_uint = |board| match clock {
        0 | 1 | 3 => Some((board.clock_hz / 1e6) as c_uint),
        2 => Some((board.profile().memory_clock_hz / 1e6) as c_uint),
        _ => None,
    };
    /// Highest clocks, megahertz.
    nvmlDeviceGetMaxClockInfo(clock: c_uint) -> c_uint = |board| match clock {
        0 | 1 | 3 => Some((board.profile().clock_max_hz / 1e6) as c_uint),
        2 => Some((board.profile().memory_clock_hz / 1e6) as c_uint),
        _ => None,
    };
    /// Clock event reasons.
    nvmlDeviceGetCurrentClocksEventReasons() -> c_ulonglong = |board| Some(board.reasons);
    /// Clock event reasons under their older name.
    nvmlDeviceGetCurrentClocksThrottleReasons() -> c_ulonglong = |board| Some(board.reasons);
    /// Requested limit, milliwatts.
    nvmlDeviceGetPowerManagementLimit() -> c_uint = |board| Some(milliwatts(board.requested_w));
    /// Enforced limit, milliwatts.
    nvmlDeviceGetEnforcedPowerLimit() -> c_uint = |board| Some(milliwatts(board.enforced().0));
    /// Default limit, milliwatts.
    nvmlDeviceGetPowerManagementDefaultLimit() -> c_uint = |board| Some(board.profile().limit_max.to_milliwatts());
    /// ECC errors: type 0 corrected, 1 uncorrected; either counter.
    nvmlDeviceGetTotalEccErrors(kind: c_uint, counter: c_uint) -> c_ulonglong =
        |board| board.ecc.get(kind as usize).copied().filter(|_| counter < 2);
    /// PCIe generation.
    nvmlDeviceGetCurrPcieLinkGeneration() -> c_uint = |board| Some(board.profile().pcie_generation);
    /// Highest PCIe generation.
    nvmlDeviceGetMaxPcieLinkGeneration() -> c_uint = |board| Some(board.profile().pcie_generation);
    /// PCIe lanes.
    nvmlDeviceGetCurrPcieLinkWidth() -> c_uint = |board| Some(board.pcie_lanes());
    /// Most PCIe lanes.
    nvmlDeviceGetMaxPcieLinkWidth() -> c_uint = |board| Some(board.profile().pcie_lanes);
    /// PCIe replays.
    nvmlDeviceGetPcieReplayCounter() -> c_uint = |board| Some(board.replays as c_uint);
    /// Performance state.
    nvmlDeviceGetPerformanceState() -> c_uint = |_board| Some(0);
    /// Persistence mode.
    nvmlDeviceGetPersistenceMode() -> c_uint = |_board| Some(1);
    /// Fan: an SXM board has none.
    nvmlDeviceGetFanSpeed() -> c_uint = |_board| None;
    /// Whether it is a MIG instance.
    nvmlDeviceIsMigDeviceHandle() -> c_uint = |_board| Some(0);
}

/// Memory with its version, bytes.
///
/// # Safety
/// `out` is null or valid for reads and writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(
    device: nvmlDevice_t,
    out: *mut nvmlMemory_v2_t,
) -> c_uint {
    on_board("nvmlDeviceGetMemoryInfo_v2", device, |shared| {
        let board = &shared.node.boards()[index_of(device)];
        let (total, used) = (board.profile().memory_bytes, board.memory_used_bytes);
        let version = size_of::<nvmlMemory_v2_t>() as c_uint | (2 << 24);
        // SAFETY: by the contract of this function.
        unsafe { put(out, nvmlMemory_v2_t { version, total, reserved: 0, free: total - used, used }) }
    })
}

macro_rules! two_outs {
    ($($(#[$doc:meta])* $name:ident($first:ty, $second:ty) = |$board:ident| $value:expr;)+) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// Both pointers are null or valid for writes.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: nvmlDevice_t, one: *mut $first, two: *mut $second) -> c_uint {
            on_board(stringify!($name), device, |shared| {
                let $board = &shared.node.boards()[index_of(device)];
                let (first, second) = $value;
                // SAFETY: by the contract of this function.
                unsafe { put(one, first).max(put(two, second)) }
            })
        }
    )+};
}

two_outs! {
    /// Smallest and largest limit, milliwatts.
    nvmlDeviceGetPowerManagementLimitConstraints(c_uint, c_uint) =
        |board| (board.profile().limit_min.to_milliwatts(), board.profile().limit_max.to_milliwatts());
    /// Encoder utilisation, percent, and its period, microseconds.
    nvmlDeviceGetEncoderUtilization(c_uint, c_uint) = |_board| (0, 167_000);
    /// Decoder utilisation, percent, and its period, microseconds.
    nvmlDeviceGetDecoderUtilization(c_uint, c_uint) = |_board| (0, 167_000);
    /// ECC mode, present and pending.
    nvmlDeviceGetEccMode(c_uint, c_uint) = |_board| (1, 1);
}

/// How many boards there are; a lost one still counts, as with a real driver.
///
/// # Safety
/// `count` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_uint {
    // SAFETY: by the contract of this function.
    call("nvmlDeviceGetCount_v2", |shared| unsafe { put(count, shared.node.boards().len() as c_uint) })
}

/// The handle of a position.
///
/// # Safety
/// `device` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut nvmlDevice_t) -> c_uint {
    call("nvmlDeviceGetHandleByIndex_v2", |shared| match shared.node.boards().get(index as usize) {
        None => INVALID_ARGUMENT,
        Some(board) if board.has(Fault::Lost) => GPU_IS_LOST,
        // SAFETY: by the contract of this function.
        Some(_) => unsafe { put(device, handle(index as usize)) },
    })
}

/// The handle of an identity.
///
/// # Safety
/// `uuid` is a C string; `device` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, device: *mut nvmlDevice_t) -> c_uint {
    // SAFETY: by the contract of this function.
    let wanted = unsafe { CStr::from_ptr(uuid) }.to_string_lossy().into_owned();
    call("nvmlDeviceGetHandleByUUID", |shared| {
        let found = (0..shared.node.boards().len()).find(|&index| shared.node.uuid(index) == wanted);
        match found {
            None => NOT_FOUND,
            Some(index) if shared.node.boards()[index].has(Fault::Lost) => GPU_IS_LOST,
            // SAFETY: by the contract of this function.
            Some(index) => unsafe { put(device, handle(index)) },
        }
    })
}

/// The place on the PCI bus.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, out: *mut nvmlPciInfo_t) -> c_uint {
    on_board("nvmlDeviceGetPciInfo_v3", device, |_| {
        let bus = 0x10 + 8 * index_of(device) as c_uint;
        let mut text = [0 as c_char; 32];
        for (place, byte) in text.iter_mut().zip(format!("00000000:{bus:02X}:00.0").bytes()) {
            *place = byte.cast_signed();
        }
        let legacy = std::array::from_fn(|n| text[n.min(15)]);
        let info = nvmlPciInfo_t {
            busIdLegacy: legacy,
            domain: 0,
            bus,
            device: 0,
            pciDeviceId: 0x2330_10de,
            pciSubSystemId: 0x16c1_10de,
            busId: text,
        };
        // SAFETY: by the contract of this function.
        unsafe { put(out, info) }
    })
}

/// The compute processes on a board.
///
/// # Safety
/// `count` is valid for reads and writes; `infos` is null or valid for writes of `count` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    infos: *mut nvmlProcessInfo_t,
) -> c_uint {
    on_board("nvmlDeviceGetComputeRunningProcesses_v3", device, |shared| {
        let board = &shared.node.boards()[index_of(device)];
        let there = c_uint::from(board.workload() != Workload::Idle);
        // SAFETY: by the contract of this function.
        let room = unsafe { *count };
        // SAFETY: by the contract of this function.
        unsafe { *count = there };
        if room < there {
            return crate::abi::INSUFFICIENT_SIZE;
        }
        if there == 1 {
            let none = c_uint::MAX;
            let info = nvmlProcessInfo_t {
                pid: 4_194_000 + board.index,
                usedGpuMemory: board.memory_used_bytes,
                gpuInstanceId: none,
                computeInstanceId: none,
            };
            // SAFETY: there is room for one entry, as checked above.
            unsafe { infos.write(info) };
        }
        SUCCESS
    })
}

/// The graphics processes on a board: none.
///
/// # Safety
/// `count` is valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    _infos: *mut nvmlProcessInfo_t,
) -> c_uint {
    // SAFETY: by the contract of this function.
    on_board("nvmlDeviceGetGraphicsRunningProcesses_v3", device, |_| unsafe { put(count, 0) })
}

/// The value of a field with its NVML type code: 1 is unsigned int, 3 is unsigned long long.
fn field_value(board: &Board, number: u32) -> Option<(nvmlValue_t, c_uint)> {
    let profile = board.profile();
    let unsigned = |value: c_uint| Some((nvmlValue_t { uiVal: value }, 1));
    match number {
        field::MEMORY_TEMPERATURE => unsigned(board.memory_temperature_c() as c_uint),
        field::TOTAL_ENERGY => Some((nvmlValue_t { ullVal: (board.energy_j * 1e3) as c_ulonglong }, 3)),
        field::POWER_AVERAGE => unsigned(milliwatts(board.sensor.average_w())),
        field::POWER_INSTANT => unsigned(milliwatts(board.sensor.instant_w())),
        field::LIMIT_MIN => unsigned(profile.limit_min.to_milliwatts()),
        field::LIMIT_MAX | field::LIMIT_DEFAULT => unsigned(profile.limit_max.to_milliwatts()),
        field::LIMIT_ENFORCED => unsigned(milliwatts(board.enforced().0)),
        field::LIMIT_REQUESTED => unsigned(milliwatts(board.requested_w)),
        _ => None,
    }
}

/// Many values in one call, each with its own return code.
///
/// # Safety
/// `values` is valid for reads and writes of `count` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: nvmlDevice_t,
    count: c_int,
    values: *mut nvmlFieldValue_t,
) -> c_uint {
    on_board("nvmlDeviceGetFieldValues", device, |shared| {
        let board = &shared.node.boards()[index_of(device)];
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: by the contract of this function.
        let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
        for value in values {
            match field_value(board, value.fieldId) {
                Some((number, kind)) => {
                    (value.value, value.valueType, value.nvmlReturn) = (number, kind, SUCCESS)
                }
                None => value.nvmlReturn = NOT_SUPPORTED,
            }
        }
        SUCCESS
    })
}
