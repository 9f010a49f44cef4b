//! Clocks that a board may be locked to: at full performance, and as lists.
use crate::abi::{INSUFFICIENT_SIZE, INVALID_ARGUMENT};
use crate::device::{index_of, on_board};
use crate::world::put;
use nvml_wrapper_sys::bindings::nvmlDevice_t;
use sim::Profile;
use std::ffi::c_uint;

/// From one clock to the next, in megahertz: an A100's (logs in GPU_Power_Benchmark).
const STEP_MHZ: usize = 15;

fn megahertz(hertz: f64) -> c_uint {
    (hertz / 1e6) as c_uint
}

/// Lowest and highest clock of a domain at a state, megahertz; only of the graphics domain at full performance.
///
/// # Safety
/// Both pointers are null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMinMaxClockOfPState(
    device: nvmlDevice_t,
    domain: c_uint,
    state: c_uint,
    lowest: *mut c_uint,
    highest: *mut c_uint,
) -> c_uint {
    on_board("nvmlDeviceGetMinMaxClockOfPState", device, |shared| {
        if domain > 1 || state != 0 {
            return INVALID_ARGUMENT;
        }
        let profile = shared.node.boards()[index_of(device)].profile();
        let (min, max) = (megahertz(profile.clock_min_hz), megahertz(profile.clock_max_hz));
        // SAFETY: by the contract of this function.
        unsafe { put(lowest, min).max(put(highest, max)) }
    })
}

/// Writes a list as NVML does: the count says how much room there is, and then how many there are.
///
/// # Safety
/// The count is null or valid for reads and writes, the array for as many writes as the count says.
unsafe fn list(count: *mut c_uint, array: *mut c_uint, values: impl Iterator<Item = c_uint>) -> c_uint {
    if count.is_null() || array.is_null() {
        return INVALID_ARGUMENT;
    }
    let values: Vec<c_uint> = values.collect();
    // SAFETY: not null, and valid by the contract above.
    let room = unsafe { count.read() } as usize;
    // SAFETY: as above; a list has few hundred entries.
    unsafe { count.write(values.len() as c_uint) };
    if room < values.len() {
        return INSUFFICIENT_SIZE;
    }
    for (place, value) in values.into_iter().enumerate() {
        // SAFETY: the place is below the room.
        unsafe { array.add(place).write(value) };
    }
    0
}

/// Clocks of the memory, megahertz: one.
///
/// # Safety
/// As the count says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSupportedMemoryClocks(
    device: nvmlDevice_t,
    count: *mut c_uint,
    array: *mut c_uint,
) -> c_uint {
    on_board("nvmlDeviceGetSupportedMemoryClocks", device, |shared| {
        let clock = megahertz(shared.node.boards()[index_of(device)].profile().memory_clock_hz);
        // SAFETY: by the contract of this function.
        unsafe { list(count, array, std::iter::once(clock)) }
    })
}

/// Graphics clocks at a memory clock, megahertz, from the highest down.
///
/// # Safety
/// As the count says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSupportedGraphicsClocks(
    device: nvmlDevice_t,
    memory: c_uint,
    count: *mut c_uint,
    array: *mut c_uint,
) -> c_uint {
    on_board("nvmlDeviceGetSupportedGraphicsClocks", device, |shared| {
        let profile: &Profile = shared.node.boards()[index_of(device)].profile();
        if memory != megahertz(profile.memory_clock_hz) {
            return INVALID_ARGUMENT;
        }
        let (min, max) = (megahertz(profile.clock_min_hz), megahertz(profile.clock_max_hz));
        // SAFETY: by the contract of this function.
        unsafe { list(count, array, (min..=max).rev().step_by(STEP_MHZ)) }
    })
}
