//! The library itself: start, end, versions, and the strings that name things.
use crate::abi::{INSUFFICIENT_SIZE, INVALID_ARGUMENT, SUCCESS};
use crate::device::{index_of, on_board, part_of};
use crate::mig::PROFILE;
use crate::world::{Shared, call, ended, first_call, put, started};
use nvml_wrapper_sys::bindings::nvmlDevice_t;
use std::ffi::{c_char, c_int, c_uint};

/// Copies a text with its final zero into a caller's buffer.
///
/// # Safety
/// `buffer` is null or valid for writes of `length` bytes.
pub(crate) unsafe fn copy(text: &str, buffer: *mut c_char, length: c_uint) -> c_uint {
    if buffer.is_null() {
        return INVALID_ARGUMENT;
    }
    if text.len() >= length as usize {
        return INSUFFICIENT_SIZE;
    }
    // SAFETY: the buffer has room for the text and its zero, as checked above.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        buffer.add(text.len()).write(0);
    }
    SUCCESS
}

/// Starts the library. It may be started several times and is to be ended as often.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_uint {
    first_call("nvmlInit_v2", |_| {
        started();
        SUCCESS
    })
}

/// Starts the library with flags, which change nothing here.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> c_uint {
    first_call("nvmlInitWithFlags", |_| {
        started();
        SUCCESS
    })
}

/// Ends the library; the state stays. A hung driver does not keep a program from ending.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_uint {
    ended()
}

/// The text of a return code.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(code: c_uint) -> *const c_char {
    let text = match code {
        0 => c"Success",
        1 => c"Uninitialized",
        2 => c"Invalid Argument",
        3 => c"Not Supported",
        4 => c"Insufficient Permissions",
        6 => c"Not Found",
        7 => c"Insufficient Size",
        10 => c"Timeout",
        15 => c"GPU is lost",
        999 => c"Unknown Error",
        _ => c"Another error of the simulated library",
    };
    text.as_ptr()
}

macro_rules! system_text {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// `buffer` is null or valid for writes of `length` bytes.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(buffer: *mut c_char, length: c_uint) -> c_uint {
            // SAFETY: by the contract of this function.
            call(stringify!($name), |_| unsafe { copy($text, buffer, length) })
        }
    )+};
}

system_text! {
    /// The library's version.
    nvmlSystemGetNVMLVersion = "12.570.00.00";
}

/// The driver's version.
///
/// # Safety
/// `buffer` is null or valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(buffer: *mut c_char, length: c_uint) -> c_uint {
    // SAFETY: by the contract of this function.
    call("nvmlSystemGetDriverVersion", |shared| unsafe { copy(&shared.extra.driver_text(), buffer, length) })
}

/// The identity that a board gives.
pub(crate) fn identity(shared: &Shared, index: usize) -> String {
    shared.node.uuid(shared.extra.identity[index] as usize)
}

/// The CUDA version of the driver.
///
/// # Safety
/// `version` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> c_uint {
    // SAFETY: by the contract of this function.
    call("nvmlSystemGetCudaDriverVersion_v2", |_| unsafe { put(version, 12_080) })
}

/// The same under its older name.
///
/// # Safety
/// `version` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion(version: *mut c_int) -> c_uint {
    // SAFETY: by the contract of this function.
    call("nvmlSystemGetCudaDriverVersion", |_| unsafe { put(version, 12_080) })
}

macro_rules! device_text {
    ($($(#[$doc:meta])* $name:ident = |$shared:ident, $device:ident, $index:ident| $text:expr;)+) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// `buffer` is null or valid for writes of `length` bytes.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: nvmlDevice_t, buffer: *mut c_char, length: c_uint) -> c_uint {
            let ($device, $index) = (device, index_of(device));
            on_board(stringify!($name), device, |shared| {
                let $shared = &*shared;
                // SAFETY: by the contract of this function.
                unsafe { copy(&$text, buffer, length) }
            })
        }
    )+};
}

device_text! {
    /// The product's name, with the profile of an instance.
    nvmlDeviceGetName = |shared, device, index| {
        let model = shared.node.boards()[index].profile().model;
        if part_of(device).is_some() { format!("{model} MIG {PROFILE}") } else { model.to_owned() }
    };
    /// The identity.
    nvmlDeviceGetUUID = |shared, device, index| {
        let whole = identity(shared, index);
        part_of(device).map_or(whole.clone(), |part| format!("MIG-{part}{}", &whole[5..]))
    };
    /// The serial number.
    nvmlDeviceGetSerial = |shared, device, index| {
        let _ = device;
        format!("165{:010}", shared.node.seed * 100 + index as u64)
    };
    /// The version of the board's firmware.
    nvmlDeviceGetVbiosVersion = |shared, device, index| {
        let _ = device;
        format!("96.00.{index:02X}.00.{:02X}", shared.extra.boards[index].vbios)
    };
}
