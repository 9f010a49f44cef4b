//! Neighbours: boards with NVLinks read each other through a switch; halves of the node stand on two sockets.
use crate::abi::INVALID_ARGUMENT;
use crate::device::{index_of, on_board};
use crate::world::put;
use nvml_wrapper_sys::bindings::nvmlDevice_t;
use std::ffi::c_uint;

/// Whether two boards read each other's memory over NVLink (index 2) or otherwise: 0 is yes.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetP2PStatus(
    device: nvmlDevice_t,
    other: nvmlDevice_t,
    index: c_uint,
    out: *mut c_uint,
) -> c_uint {
    on_board("nvmlDeviceGetP2PStatus", device, |shared| {
        if index > 5 || index_of(other) >= shared.node.boards().len() {
            return INVALID_ARGUMENT;
        }
        // SAFETY: by the contract of this function.
        unsafe { put(out, 0) }
    })
}

/// How near two boards are: under one host bridge, or on two sockets.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTopologyCommonAncestor(
    device: nvmlDevice_t,
    other: nvmlDevice_t,
    out: *mut c_uint,
) -> c_uint {
    on_board("nvmlDeviceGetTopologyCommonAncestor", device, |shared| {
        let half = shared.node.boards().len() / 2;
        let same = (index_of(device) < half) == (index_of(other) < half);
        // SAFETY: by the contract of this function.
        unsafe { put(out, if same { 40 } else { 50 }) }
    })
}
