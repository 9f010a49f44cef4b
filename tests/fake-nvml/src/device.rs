//! Readers: what a board says of itself, in the units of `nvml.h`.
use crate::abi::{GPU_IS_LOST, INVALID_ARGUMENT, NOT_SUPPORTED};
use crate::extra::PARTS;
use crate::world::{Group, Shared, call, pause, put, world};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlMemory_t, nvmlMemory_v2_t, nvmlUtilization_t};
use sim::Fault;
use sim::board::reason;
use std::ffi::{c_uint, c_ulonglong};

/// Every clock event reason that a board can give.
const REASONS: c_ulonglong =
    reason::IDLE | reason::SW_POWER_CAP | reason::HW_SLOWDOWN | reason::HW_THERMAL | reason::HW_POWER_BRAKE;
/// Traffic of a busy board on each lane, in kilobytes a second. An assumption.
const THROUGHPUT_KB_LANE: f64 = 125e3;
/// How long a real driver samples for a PCIe throughput, in nanoseconds (`nvml.h`).
const THROUGHPUT_SAMPLE_NS: u64 = 20_000_000;

/// A handle is the position plus one, so that none is null.
pub(crate) fn handle(index: usize) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(index + 1)
}

/// The board of a handle; of an instance's handle, the board that it is part of.
pub(crate) fn index_of(device: nvmlDevice_t) -> usize {
    (device.addr() & 0xffff).wrapping_sub(1)
}

/// The handle of an instance of a board.
pub(crate) fn part_handle(index: usize, part: usize) -> nvmlDevice_t {
    std::ptr::without_provenance_mut((index + 1) | (part + 1) << 16)
}

/// The instance of a handle.
pub(crate) fn part_of(device: nvmlDevice_t) -> Option<usize> {
    (device.addr() >> 16).checked_sub(1)
}

/// Waits while calls on a board hang. Events are told all the same.
fn wait_while_hung(function: &str, index: usize) {
    while world().enter().extra.hung & (1 << (index & 63)) != 0 && Group::of(function) != Group::Events {
        pause();
    }
}

/// Runs a call on a board that is there and not lost.
pub(crate) fn on_board(
    function: &str,
    device: nvmlDevice_t,
    work: impl FnOnce(&mut Shared) -> c_uint,
) -> c_uint {
    let index = index_of(device);
    wait_while_hung(function, index);
    call(function, |shared| match shared.node.boards().get(index) {
        None => INVALID_ARGUMENT,
        Some(board) if board.has(Fault::Lost) => GPU_IS_LOST,
        Some(_) => shared.extra.failure(index, function).unwrap_or_else(|| work(shared)),
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
    /// Minor number.
    nvmlDeviceGetMinorNumber() -> c_uint = |board| Some(board.index);
    /// Architecture: 9 is Hopper, 7 is Ampere.
    nvmlDeviceGetArchitecture() -> c_uint = |board| Some(if board.profile().code() == 0 { 9 } else { 7 });
    /// Brand: 14 is NVIDIA, what data centre boards say since they are no longer called Tesla.
    nvmlDeviceGetBrand() -> c_uint = |_board| Some(14);
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
    /// Clock event reasons that it can give.
    nvmlDeviceGetSupportedClocksEventReasons() -> c_ulonglong = |_board| Some(REASONS);
    /// The same under their older name.
    nvmlDeviceGetSupportedClocksThrottleReasons() -> c_ulonglong = |_board| Some(REASONS);
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
    /// One of several fans: an SXM board has none.
    nvmlDeviceGetFanSpeed_v2(_fan: c_uint) -> c_uint = |_board| None;
    /// How many fans.
    nvmlDeviceGetNumFans() -> c_uint = |_board| Some(0);
}

/// Memory with its version, bytes; of an instance its own.
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
        let share = if part_of(device).is_some() { PARTS as u64 + 1 } else { 1 };
        let (total, used) = (board.profile().memory_bytes / share, board.memory_used_bytes / share);
        let version = size_of::<nvmlMemory_v2_t>() as c_uint | (2 << 24);
        // SAFETY: by the contract of this function.
        unsafe {
            put(out, nvmlMemory_v2_t { version, total, reserved: total / 128, free: total - used, used })
        }
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

/// PCIe throughput, kilobytes a second: some of what the board is busy with. Blocks for the time that a real driver samples.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPcieThroughput(
    device: nvmlDevice_t,
    counter: c_uint,
    out: *mut c_uint,
) -> c_uint {
    crate::time::sleep(THROUGHPUT_SAMPLE_NS);
    on_board("nvmlDeviceGetPcieThroughput", device, |shared| {
        let board = &shared.node.boards()[index_of(device)];
        if counter > 1 {
            return INVALID_ARGUMENT;
        }
        let kilobytes = board.busy * f64::from(board.pcie_lanes()) * THROUGHPUT_KB_LANE;
        // SAFETY: by the contract of this function.
        unsafe { put(out, kilobytes as c_uint) }
    })
}
