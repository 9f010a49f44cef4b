//! Event sets: XID errors, told to every process that registered.
use crate::abi::{INVALID_ARGUMENT, SUCCESS, TIMEOUT};
use crate::device::{handle, index_of};
use crate::world::{now_ns, pause, put, world};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlEventData_t, nvmlEventSet_t};
use sim::BOARDS_MAX;
use std::ffi::{c_uint, c_ulonglong};

/// The event type of an XID critical error.
const XID_CRITICAL: c_ulonglong = 0x8;

/// What a set has registered and already told: XID errors of each board so far, `u64::MAX` where not registered.
struct Set([u64; BOARDS_MAX]);

/// Makes an event set.
///
/// # Safety
/// `set` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetCreate(set: *mut nvmlEventSet_t) -> c_uint {
    let fresh = Box::into_raw(Box::new(Set([u64::MAX; BOARDS_MAX])));
    // SAFETY: by the contract of this function.
    unsafe { put(set, fresh.cast()) }
}

/// Frees an event set.
///
/// # Safety
/// `set` came from `nvmlEventSetCreate` and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetFree(set: nvmlEventSet_t) -> c_uint {
    // SAFETY: by the contract of this function.
    drop(unsafe { Box::from_raw(set.cast::<Set>()) });
    SUCCESS
}

/// The event types of a board.
///
/// # Safety
/// `types` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSupportedEventTypes(
    _device: nvmlDevice_t,
    types: *mut c_ulonglong,
) -> c_uint {
    // SAFETY: by the contract of this function.
    unsafe { put(types, XID_CRITICAL) }
}

/// Registers a board with a set; what happened before is not told.
///
/// # Safety
/// `set` came from `nvmlEventSetCreate` and is not being waited on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceRegisterEvents(
    device: nvmlDevice_t,
    _types: c_ulonglong,
    set: nvmlEventSet_t,
) -> c_uint {
    let index = index_of(device);
    let Some(told) = world().enter().node.boards().get(index).map(|board| board.xids) else {
        return INVALID_ARGUMENT;
    };
    // SAFETY: by the contract of this function.
    unsafe { (*set.cast::<Set>()).0[index] = told };
    SUCCESS
}

/// Waits for an event. A hung driver does not keep events from being told.
///
/// # Safety
/// `set` came from `nvmlEventSetCreate` and only this thread uses it now; `data` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait_v2(
    set: nvmlEventSet_t,
    data: *mut nvmlEventData_t,
    timeout_ms: c_uint,
) -> c_uint {
    // SAFETY: by the contract of this function.
    let set = unsafe { &mut *set.cast::<Set>() };
    let deadline = now_ns() + u64::from(timeout_ms) * 1_000_000;
    loop {
        let news = {
            let shared = world().enter();
            let boards = shared.node.boards().iter().zip(&set.0).enumerate();
            let fresh = boards.filter(|(_, (board, told))| board.xids > **told);
            fresh.map(|(index, (board, told))| (index, board.xid_codes[(told % 16) as usize])).next()
        };
        if let Some((index, code)) = news {
            set.0[index] += 1;
            let none = c_uint::MAX;
            let event = nvmlEventData_t {
                device: handle(index),
                eventType: XID_CRITICAL,
                eventData: c_ulonglong::from(code),
                gpuInstanceId: none,
                computeInstanceId: none,
            };
            // SAFETY: by the contract of this function.
            return unsafe { put(data, event) };
        }
        if now_ns() >= deadline {
            return TIMEOUT;
        }
        pause();
    }
}
