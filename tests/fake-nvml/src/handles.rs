//! Handles: how many boards there are, and how each is found.
use crate::abi::{GPU_IS_LOST, INVALID_ARGUMENT, NOT_FOUND};
use crate::device::{handle, index_of, on_board};
use crate::strings::identity;
use crate::world::{Shared, call, put};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlPciInfo_t};
use sim::Fault;
use std::ffi::{CStr, c_char, c_uint};

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
    call("nvmlDeviceGetHandleByIndex_v2", |shared| {
        if index as usize >= shared.node.boards().len() {
            return INVALID_ARGUMENT;
        }
        let board = shared.extra.order[index as usize] as usize;
        if shared.node.boards()[board].has(Fault::Lost) {
            return GPU_IS_LOST;
        }
        // SAFETY: by the contract of this function.
        unsafe { put(device, handle(board)) }
    })
}

/// The position in the driver's list.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetIndex(device: nvmlDevice_t, out: *mut c_uint) -> c_uint {
    on_board("nvmlDeviceGetIndex", device, |shared| {
        let board = index_of(device) as u64;
        let place = shared.extra.order.iter().position(|listed| *listed == board);
        // SAFETY: by the contract of this function.
        place.map_or(NOT_FOUND, |place| unsafe { put(out, place as c_uint) })
    })
}

/// The handle of the board that a text names.
///
/// # Safety
/// `text` is null or a C string; `device` is null or valid for writes.
unsafe fn find(
    function: &str,
    text: *const c_char,
    device: *mut nvmlDevice_t,
    is_it: impl Fn(&Shared, usize, &str) -> bool,
) -> c_uint {
    if text.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and a C string by the contract above.
    let wanted = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    call(function, |shared| {
        let found = (0..shared.node.boards().len()).find(|&index| is_it(shared, index, &wanted));
        match found {
            None => NOT_FOUND,
            Some(index) if shared.node.boards()[index].has(Fault::Lost) => GPU_IS_LOST,
            // SAFETY: by the contract above.
            Some(index) => unsafe { put(device, handle(index)) },
        }
    })
}

/// The handle of an identity.
///
/// # Safety
/// `uuid` is null or a C string; `device` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, device: *mut nvmlDevice_t) -> c_uint {
    let is_it = |shared: &Shared, index: usize, text: &str| identity(shared, index) == text;
    // SAFETY: by the contract of this function.
    unsafe { find("nvmlDeviceGetHandleByUUID", uuid, device, is_it) }
}

/// The handle of a place on the PCI bus, with four or eight digits of its domain.
///
/// # Safety
/// `bus_id` is null or a C string; `device` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(
    bus_id: *const c_char,
    device: *mut nvmlDevice_t,
) -> c_uint {
    let is_it = |_: &Shared, index: usize, text: &str| {
        text.eq_ignore_ascii_case(&address(index)) || text.eq_ignore_ascii_case(&address(index)[4..])
    };
    // SAFETY: by the contract of this function.
    unsafe { find("nvmlDeviceGetHandleByPciBusId_v2", bus_id, device, is_it) }
}

fn bus(index: usize) -> c_uint {
    // At most BOARDS_MAX boards, so the position fits.
    0x10 + 8 * index as c_uint
}

pub(crate) fn address(index: usize) -> String {
    format!("00000000:{:02X}:00.0", bus(index))
}

/// A text with zeroes behind it.
pub(crate) fn padded<const N: usize>(text: &str) -> [c_char; N] {
    let mut bytes = text.bytes().take(N - 1);
    std::array::from_fn(|_| bytes.next().map_or(0, u8::cast_signed))
}

/// The place on the PCI bus.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, out: *mut nvmlPciInfo_t) -> c_uint {
    on_board("nvmlDeviceGetPciInfo_v3", device, |shared| {
        let index = index_of(device);
        let text = address(index);
        // Identifiers of the PCI database: H100 SXM5 80GB and A100 SXM4 80GB.
        let hopper = shared.node.boards()[index].profile().code() == 0;
        let (id, subsystem) = if hopper { (0x2330_10de, 0x16c1_10de) } else { (0x20b2_10de, 0x1463_10de) };
        let info = nvmlPciInfo_t {
            busIdLegacy: padded(&text[4..]),
            domain: 0,
            bus: bus(index),
            device: 0,
            pciDeviceId: id,
            pciSubSystemId: subsystem,
            busId: padded(&text),
        };
        // SAFETY: by the contract of this function.
        unsafe { put(out, info) }
    })
}
