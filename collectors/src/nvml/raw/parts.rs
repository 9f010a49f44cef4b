//! Partitions: whether a GPU is cut into instances, and which instance is which.
use super::{Handle, get};
use crate::nvml::codes::Fault;
use crate::nvml::session::Gpu;
use nvml_wrapper::error::nvml_sym;
use nvml_wrapper_sys::bindings::nvmlDevice_t;

/// Whether the GPU is cut into instances now.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn mode(gpu: &Gpu<'_>) -> Result<bool, Fault> {
    let mut present = 0;
    let pending: Result<u32, Fault> = get!(gpu, nvmlDeviceGetMigMode(&mut present) => 0);
    pending.map(|_| present != 0)
}

/// How many places for instances there are.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn places(gpu: &Gpu<'_>) -> Result<u32, Fault> {
    get!(gpu, nvmlDeviceGetMaxMigDeviceCount() => 0)
}

/// The instance at a place.
///
/// # Errors
/// The fault of the call: `NOT_FOUND` where the place is empty.
pub(in crate::nvml) fn at(gpu: &Gpu<'_>, place: u32) -> Result<Handle, Fault> {
    let blank: nvmlDevice_t = std::ptr::null_mut();
    let found: Result<_, Fault> = get!(gpu, nvmlDeviceGetMigDeviceHandleByIndex(place) => blank);
    found.map(Handle)
}

/// The numbers of a partition: its GPU instance and its compute instance.
///
/// # Errors
/// The fault of the first call that failed.
pub(in crate::nvml) fn numbers(part: &Gpu<'_>) -> Result<(u32, u32), Fault> {
    let instance: Result<u32, Fault> = get!(part, nvmlDeviceGetGpuInstanceId() => 0);
    let compute: Result<u32, Fault> = get!(part, nvmlDeviceGetComputeInstanceId() => 0);
    Ok((instance?, compute?))
}
