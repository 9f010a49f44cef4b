//! A `libhlml.so` over the simulator: two Gaudi 2 in the process that loads it, steered by `fake_hlml_steer` or, at the start, by
//! the environment variable `WATTKEEPER_FAKE_HLML` (lines of [`World::steer`] with semicolons between).
//!
//! Switches: `old_structs` gives the shorter structures of older libraries, `noise` fills every answer from that seed,
//! `soc_only` leaves no clock but the SoC's, `firmware` is another firmware, `ports_down`, `rows_single`, `rows_double` and
//! `rows_pending` are counts.
#![allow(
    missing_docs,
    clippy::missing_safety_doc,
    reason = "the vendor's header documents each function, and asks for pointers that are valid for writes"
)]
#![allow(clippy::cast_possible_wrap, reason = "a node has a handful of boards")]
pub mod device;

use fake_world::{State, World};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Once;

/// Codes of `hlml.h`.
pub(crate) const UNINITIALIZED: c_int = 1;
pub(crate) const INVALID_ARGUMENT: c_int = 2;
pub(crate) const AIP_IS_LOST: c_int = 15;

static WORLD: World = World::new(&sim::profile::GAUDI2, 2);

/// The world, steered once by the environment.
pub(crate) fn world() -> &'static World {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lines = std::env::var("WATTKEEPER_FAKE_HLML").unwrap_or_default();
        for line in lines.split(';').filter(|line| !line.trim().is_empty()) {
            assert!(WORLD.steer(line), "WATTKEEPER_FAKE_HLML: {line:?} is not understood");
        }
    });
    &WORLD
}

/// Steers the world; 0 when the line is understood.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hlml_steer(line: *const c_char) -> c_int {
    // SAFETY: a C string, as the tests give it.
    let line = unsafe { CStr::from_ptr(line) }.to_string_lossy();
    c_int::from(!world().steer(&line))
}

/// Writes through a caller's pointer.
pub(crate) unsafe fn put<T>(out: *mut T, value: T) -> c_int {
    if out.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and valid for writes as the header asks.
    unsafe { out.write_unaligned(value) };
    0
}

/// Writes a text with its end.
pub(crate) unsafe fn text(out: *mut c_char, length: c_uint, value: &str) -> c_int {
    if out.is_null() || (length as usize) <= value.len() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller gives room for `length` bytes.
    unsafe {
        std::ptr::copy_nonoverlapping(value.as_ptr().cast(), out, value.len());
        out.add(value.len()).write(0);
    }
    0
}

/// The board behind a handle.
pub(crate) fn board_of(handle: *mut c_void) -> Option<usize> {
    (handle as usize).checked_sub(1)
}

/// Runs a function of one board.
pub(crate) fn on_board(
    function: &str,
    handle: *mut c_void,
    work: impl FnOnce(&mut State, usize) -> c_int,
) -> c_int {
    let board = board_of(handle);
    world().call(function, board, Some(UNINITIALIZED), |state| match board {
        Some(index) if index >= state.identity.len() => INVALID_ARGUMENT,
        Some(index) if state.board(index).has(sim::Fault::Lost) => AIP_IS_LOST,
        Some(index) => work(state, index),
        None => INVALID_ARGUMENT,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn hlml_init() -> c_int {
    world().call("hlml_init", None, None, |_| 0);
    world().start(true);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn hlml_shutdown() -> c_int {
    world().start(false);
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_device_get_count(count: *mut c_uint) -> c_int {
    world().call("hlml_device_get_count", None, Some(UNINITIALIZED), |state| {
        // SAFETY: by the contract of the header. There are two.
        unsafe { put(count, state.order.len() as c_uint) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_device_get_handle_by_index(index: c_uint, out: *mut *mut c_void) -> c_int {
    world().call("hlml_device_get_handle_by_index", None, Some(UNINITIALIZED), |state| {
        match state.listed(index as usize) {
            None => INVALID_ARGUMENT,
            Some(board) if state.board(board).has(sim::Fault::Lost) => AIP_IS_LOST,
            // SAFETY: by the contract of the header.
            Some(board) => unsafe { put(out, (board + 1) as *mut c_void) },
        }
    })
}
