//! Event sets: XID errors, told to every process that registered.
use crate::abi::{INVALID_ARGUMENT, SUCCESS, TIMEOUT};
use crate::device::{handle, index_of, on_board};
use crate::time::real_ns;
use crate::world::{Shared, call, first_call, pause, put, world};
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
    call("nvmlEventSetCreate", |_| {
        let fresh = Box::into_raw(Box::new(Set([u64::MAX; BOARDS_MAX])));
        // SAFETY: by the contract of this function.
        unsafe { put(set, fresh.cast()) }
    })
}

/// Frees an event set.
///
/// # Safety
/// `set` is null, or came from `nvmlEventSetCreate` and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetFree(set: nvmlEventSet_t) -> c_uint {
    first_call("nvmlEventSetFree", |_| {
        if set.is_null() {
            return INVALID_ARGUMENT;
        }
        // SAFETY: not null, and ours alone by the contract of this function.
        drop(unsafe { Box::from_raw(set.cast::<Set>()) });
        SUCCESS
    })
}

/// The event types of a board.
///
/// # Safety
/// `types` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSupportedEventTypes(
    device: nvmlDevice_t,
    types: *mut c_ulonglong,
) -> c_uint {
    // SAFETY: by the contract of this function.
    on_board("nvmlDeviceGetSupportedEventTypes", device, |_| unsafe { put(types, XID_CRITICAL) })
}

/// Registers a board with a set; what happened before is not told. A second time changes nothing.
///
/// # Safety
/// `set` is null, or came from `nvmlEventSetCreate` and is not being waited on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceRegisterEvents(
    device: nvmlDevice_t,
    types: c_ulonglong,
    set: nvmlEventSet_t,
) -> c_uint {
    on_board("nvmlDeviceRegisterEvents", device, |shared| {
        if set.is_null() || types & XID_CRITICAL == 0 {
            return INVALID_ARGUMENT;
        }
        let index = index_of(device);
        // SAFETY: not null, and ours alone by the contract of this function.
        let told = unsafe { &mut (*set.cast::<Set>()).0[index] };
        if *told == u64::MAX {
            *told = shared.node.boards()[index].xids;
        }
        SUCCESS
    })
}

/// The next XID error that a set was not told: its board and code. A board keeps the last few; older ones are lost.
fn news(shared: &Shared, set: &mut Set) -> Option<(usize, u32)> {
    let mut boards = shared.node.boards().iter().zip(&mut set.0).enumerate();
    let (index, (board, told)) = boards.find(|(_, (board, told))| board.xids > **told)?;
    let kept = board.xid_codes.len() as u64;
    *told = (*told).max(board.xids.saturating_sub(kept));
    let code = board.xid_codes[(*told % kept) as usize];
    *told += 1;
    Some((index, code))
}

/// Waits for an event. A hung driver tells of events unless their own group hangs; a board that is lost tells of them too.
///
/// # Safety
/// `set` is null, or came from `nvmlEventSetCreate` and only this thread uses it now; `data` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait_v2(
    set: nvmlEventSet_t,
    data: *mut nvmlEventData_t,
    timeout_ms: c_uint,
) -> c_uint {
    const NAME: &str = "nvmlEventSetWait_v2";
    if set.is_null() || data.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and ours alone by the contract of this function.
    let set = unsafe { &mut *set.cast::<Set>() };
    let deadline = real_ns() + u64::from(timeout_ms) * 1_000_000;
    loop {
        let shared = world().enter();
        let hung = shared.hung(NAME);
        if !hung {
            if let Some(code) = shared.failure(NAME) {
                return code;
            }
            if let Some((index, code)) = news(&shared, set) {
                // SAFETY: by the contract of this function.
                return unsafe { put(data, xid(index, code)) };
            }
        }
        drop(shared);
        if !hung && real_ns() >= deadline {
            return TIMEOUT;
        }
        pause();
    }
}

fn xid(index: usize, code: u32) -> nvmlEventData_t {
    let none = c_uint::MAX;
    nvmlEventData_t {
        device: handle(index),
        eventType: XID_CRITICAL,
        eventData: c_ulonglong::from(code),
        gpuInstanceId: none,
        computeInstanceId: none,
    }
}
