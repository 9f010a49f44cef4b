//! MIG: a Hopper or Ampere board that a test cuts into seven instances of one slice each.
use crate::abi::{INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED};
use crate::device::{index_of, on_board, part_handle, part_of};
use crate::extra::PARTS;
use crate::world::put;
use nvml_wrapper_sys::bindings::nvmlDevice_t;
use std::ffi::c_uint;

/// The profile of every instance.
pub(crate) const PROFILE: &str = "1g.10gb";
/// The number of the first GPU instance: NVIDIA numbers slices from 7 on for this profile.
pub const FIRST: usize = 7;

/// MIG mode: present and pending.
///
/// # Safety
/// Both pointers are null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    device: nvmlDevice_t,
    present: *mut c_uint,
    pending: *mut c_uint,
) -> c_uint {
    on_board("nvmlDeviceGetMigMode", device, |shared| {
        let mode = c_uint::from(shared.extra.boards[index_of(device)].mig != 0);
        // SAFETY: by the contract of this function.
        unsafe { put(present, mode).max(put(pending, mode)) }
    })
}

/// How many places for instances there are.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: nvmlDevice_t, out: *mut c_uint) -> c_uint {
    // SAFETY: by the contract of this function.
    on_board("nvmlDeviceGetMaxMigDeviceCount", device, |_| unsafe { put(out, PARTS as c_uint) })
}

/// The instance at a place. The last place is empty.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: nvmlDevice_t,
    place: c_uint,
    out: *mut nvmlDevice_t,
) -> c_uint {
    on_board("nvmlDeviceGetMigDeviceHandleByIndex", device, |shared| {
        let (index, place) = (index_of(device), place as usize);
        if place >= PARTS {
            return INVALID_ARGUMENT;
        }
        if place as u64 >= shared.extra.boards[index].mig {
            return NOT_FOUND;
        }
        // SAFETY: by the contract of this function.
        unsafe { put(out, part_handle(index, place)) }
    })
}

/// Whether a handle is that of an instance.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceIsMigDeviceHandle(device: nvmlDevice_t, out: *mut c_uint) -> c_uint {
    on_board("nvmlDeviceIsMigDeviceHandle", device, |_| {
        // SAFETY: by the contract of this function.
        unsafe { put(out, c_uint::from(part_of(device).is_some())) }
    })
}

/// The number of the GPU instance.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGpuInstanceId(device: nvmlDevice_t, out: *mut c_uint) -> c_uint {
    on_board("nvmlDeviceGetGpuInstanceId", device, |_| {
        // SAFETY: by the contract of this function.
        part_of(device).map_or(NOT_SUPPORTED, |part| unsafe { put(out, (FIRST + part) as c_uint) })
    })
}

/// The number of the compute instance: the only one of its GPU instance.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeInstanceId(device: nvmlDevice_t, out: *mut c_uint) -> c_uint {
    on_board("nvmlDeviceGetComputeInstanceId", device, |_| {
        // SAFETY: by the contract of this function.
        part_of(device).map_or(NOT_SUPPORTED, |_| unsafe { put(out, 0) })
    })
}
