//! A `libdcmi.so` over the simulator: two Ascend 910B in the process that loads it, steered by `fake_dcmi_steer` or, at the
//! start, by the environment variable `WATTKEEPER_FAKE_DCMI` (lines of [`World::steer`] with semicolons between).
//!
//! Both forms of the interface are there. By card, each card has one device; flat, a device's number is its card's. Switches:
//! `profiling` lets the AI cores say that they rest, `noise` fills every answer from that seed.
#![allow(
    missing_docs,
    clippy::missing_safety_doc,
    reason = "the vendor's header documents each function, and asks for pointers that are valid for writes"
)]
#![allow(clippy::cast_possible_wrap, reason = "a node has a handful of boards")]
pub mod device;

use fake_world::{State, World};
use std::ffi::{CStr, c_char, c_int};
use std::sync::Once;

/// Codes of `dcmi_interface_api.h`.
pub(crate) const INVALID_PARAMETER: c_int = -8001;
pub(crate) const DEVICE_NOT_EXIST: c_int = -8008;
pub(crate) const NOT_READY: c_int = -8012;

static WORLD: World = World::new(&sim::profile::ASCEND910B, 2);

/// The world, steered once by the environment.
pub(crate) fn world() -> &'static World {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lines = std::env::var("WATTKEEPER_FAKE_DCMI").unwrap_or_default();
        for line in lines.split(';').filter(|line| !line.trim().is_empty()) {
            assert!(WORLD.steer(line), "WATTKEEPER_FAKE_DCMI: {line:?} is not understood");
        }
    });
    &WORLD
}

/// Steers the world; 0 when the line is understood.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_dcmi_steer(line: *const c_char) -> c_int {
    // SAFETY: a C string, as the tests give it.
    let line = unsafe { CStr::from_ptr(line) }.to_string_lossy();
    c_int::from(!world().steer(&line))
}

/// Writes through a caller's pointer.
pub(crate) unsafe fn put<T>(out: *mut T, value: T) -> c_int {
    if out.is_null() {
        return INVALID_PARAMETER;
    }
    // SAFETY: not null, and valid for writes as the header asks.
    unsafe { out.write_unaligned(value) };
    0
}

/// Runs a function of the board on one card; cards are numbered as boards are listed.
pub(crate) fn on_card(
    function: &str,
    card: c_int,
    device: c_int,
    work: impl FnOnce(&mut State, usize) -> c_int,
) -> c_int {
    let board = usize::try_from(card).ok().filter(|_| device == 0);
    let board = board.and_then(|place| world().enter().listed(place));
    world().call(function, board, Some(NOT_READY), |state| match board {
        Some(index) if !state.board(index).has(sim::Fault::Lost) => work(state, index),
        _ => DEVICE_NOT_EXIST,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn dcmi_init() -> c_int {
    let code = world().call("dcmi_init", None, None, |_| 0);
    world().start(true);
    code
}

#[unsafe(no_mangle)]
pub extern "C" fn dcmiv2_init() -> c_int {
    dcmi_init()
}

fn listed(function: &str, count: *mut c_int, list: *mut c_int, room: c_int) -> c_int {
    world().call(function, None, Some(NOT_READY), |state| {
        let number = state.order.len().min(usize::try_from(room).unwrap_or(0));
        for place in 0..number {
            // SAFETY: the list has as many entries as the caller says.
            unsafe { put(list.add(place), place as c_int) };
        }
        // SAFETY: by the contract of the header.
        unsafe { put(count, number as c_int) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dcmi_get_card_list(count: *mut c_int, list: *mut c_int, room: c_int) -> c_int {
    listed("dcmi_get_card_list", count, list, room)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dcmiv2_get_device_list(list: *mut c_int, count: *mut c_int, room: c_int) -> c_int {
    listed("dcmiv2_get_device_list", count, list, room)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dcmi_get_device_num_in_card(card: c_int, count: *mut c_int) -> c_int {
    // SAFETY: by the contract of the header.
    on_card("dcmi_get_device_num_in_card", card, 0, |_, _| unsafe { put(count, 1) })
}
