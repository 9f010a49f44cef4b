//! Setters: what changes a board.
use crate::abi::{INVALID_ARGUMENT, NO_PERMISSION, SUCCESS};
use crate::device::{index_of, on_board};
use crate::world::Shared;
use model::Watts;
use nvml_wrapper_sys::bindings::nvmlDevice_t;
use sim::Board;
use std::ffi::c_uint;

fn change(function: &str, device: nvmlDevice_t, work: impl FnOnce(&mut Board) -> bool) -> c_uint {
    on_board(function, device, |shared: &mut Shared| {
        if shared.read_only != 0 {
            return NO_PERMISSION;
        }
        if work(&mut shared.node.boards[index_of(device)]) { SUCCESS } else { INVALID_ARGUMENT }
    })
}

/// Sets the power limit, in milliwatts.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceSetPowerManagementLimit(device: nvmlDevice_t, limit: c_uint) -> c_uint {
    change("nvmlDeviceSetPowerManagementLimit", device, |board| {
        board.set_power_limit(Watts::from_milliwatts(limit))
    })
}

/// From this number on a bound is no clock but a symbol: the clock at full power, or none (`nvml.h`).
const SYMBOLS_FROM: c_uint = 0xffff_ff00;

/// Locks the SM clock, in megahertz; only the upper bound acts. Bounds are both numbers or both symbols, and one pair
/// replaces the other whole, so that none is refused for what was locked before.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceSetGpuLockedClocks(device: nvmlDevice_t, min: c_uint, max: c_uint) -> c_uint {
    change("nvmlDeviceSetGpuLockedClocks", device, |board| {
        let symbolic = max >= SYMBOLS_FROM;
        let valid = if symbolic { min >= SYMBOLS_FROM } else { min <= max && max > 0 };
        if valid {
            let highest_hz = board.profile().clock_max_hz;
            board.locked_hz = if symbolic { highest_hz } else { (f64::from(max) * 1e6).min(highest_hz) };
        }
        valid
    })
}

/// Unlocks the SM clock.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceResetGpuLockedClocks(device: nvmlDevice_t) -> c_uint {
    change("nvmlDeviceResetGpuLockedClocks", device, |board| {
        board.locked_hz = 0.0;
        true
    })
}

/// Sets persistence mode, which is always on here.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceSetPersistenceMode(device: nvmlDevice_t, _mode: c_uint) -> c_uint {
    change("nvmlDeviceSetPersistenceMode", device, |_| true)
}
