//! What a simulated Gaudi says of itself.
use crate::{INVALID_ARGUMENT, on_board, put, text};
use fake_world::State;
use sim::Board;
use sim::board::reason;
use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};

/// A number from the seed of the switch `noise`, or the true one.
fn noisy(state: &mut State, truth: u64) -> u64 {
    let seed = state.switch("noise");
    if seed == 0 {
        return truth;
    }
    // Numerical Recipes' generator: any numbers will do.
    let next = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    state.switches.insert("noise".to_owned(), next | 1);
    (next as u64).rotate_left(17)
}

macro_rules! numbers {
    ($( $name:ident($kind:ty) |$board:ident| $value:expr; )+) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(handle: *mut c_void, out: *mut $kind) -> c_int {
            on_board(stringify!($name), handle, |state, index| {
                let value = { let $board: &Board = state.board(index); $value as u64 };
                // SAFETY: by the contract of the header.
                unsafe { put(out, noisy(state, value) as $kind) }
            })
        }
    )+ };
}

numbers! {
    hlml_device_get_power_usage(c_uint) |board| (board.sensor.instant_w() * 1e3).round();
    hlml_device_get_total_energy_consumption(c_ulonglong) |board| (board.energy_j * 1e3).round();
    hlml_device_get_power_management_default_limit(c_uint) |board| board.profile().limit_max.0 * 1e3;
    hlml_device_get_pcie_replay_counter(c_uint) |board| board.replays;
    hlml_device_get_curr_pcie_link_generation(c_uint) |board| board.profile().pcie_generation;
    hlml_device_get_curr_pcie_link_width(c_uint) |board| board.pcie_lanes();
    hlml_device_get_current_clocks_throttle_reasons(c_ulonglong) |board|
        u64::from(board.reasons & reason::SW_POWER_CAP != 0) | u64::from(board.reasons & reason::HW_THERMAL != 0) << 1;
}

macro_rules! kinds {
    ($( $name:ident |$board:ident, $kind:ident| $value:expr; )+) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(handle: *mut c_void, $kind: c_uint, out: *mut c_uint) -> c_int {
            on_board(stringify!($name), handle, |state, index| {
                let value: Option<f64> = { let $board: &Board = state.board(index); $value };
                let hidden = stringify!($name).contains("clock") && $kind != 0 && state.switch("soc_only") != 0;
                match value.filter(|_| !hidden) {
                    None => INVALID_ARGUMENT,
                    // SAFETY: by the contract of the header.
                    Some(value) => unsafe { put(out, noisy(state, value.round() as u64) as c_uint) },
                }
            })
        }
    )+ };
}

kinds! {
    hlml_device_get_temperature |board, kind| match kind {
        0 => Some(board.temperature_c),
        1 => Some(35.0),
        3 => Some(board.memory_temperature_c()),
        4 => Some(board.temperature_c - 5.0),
        _ => None,
    };
    hlml_device_get_temperature_threshold |board, kind| match kind {
        0 => Some(board.profile().shutdown_c),
        1 => Some(board.profile().slowdown_c),
        2 => Some(board.profile().memory_max_c),
        _ => None,
    };
    hlml_device_get_clock_info |board, kind| match kind {
        0 => Some(1000.0),
        3 => Some(board.clock_hz / 1e6),
        _ => None,
    };
    hlml_device_get_max_clock_info |board, kind| match kind {
        0 => Some(1200.0),
        3 => Some(board.profile().clock_max_hz / 1e6),
        _ => None,
    };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_device_get_utilization_rates(handle: *mut c_void, out: *mut c_uint) -> c_int {
    on_board("hlml_device_get_utilization_rates", handle, |state, index| {
        let busy = (state.board(index).busy * 100.0).round() as u64;
        let (busy, grown) = (noisy(state, busy) as c_uint, state.switch("old_structs") == 0);
        // SAFETY: by the contract of the header; newer libraries write a second number behind the first.
        unsafe {
            let code = put(out, busy);
            if grown && code == 0 { put(out.add(1), 77) } else { code }
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_device_get_memory_info(handle: *mut c_void, out: *mut [u64; 3]) -> c_int {
    on_board("hlml_device_get_memory_info", handle, |state, index| {
        let board = state.board(index);
        let (total, used) = (board.profile().memory_bytes, board.memory_used_bytes);
        let memory = [total - used, total, used].map(|truth| noisy(state, truth));
        // SAFETY: by the contract of the header.
        unsafe { put(out, memory) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_device_get_ecc_mode(
    handle: *mut c_void,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> c_int {
    // SAFETY: by the contract of the header.
    on_board("hlml_device_get_ecc_mode", handle, |_, _| unsafe {
        put(current, 1);
        put(pending, 1)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_device_get_total_ecc_errors(
    handle: *mut c_void,
    kind: c_uint,
    _counter: c_uint,
    out: *mut c_ulonglong,
) -> c_int {
    on_board("hlml_device_get_total_ecc_errors", handle, |state, index| {
        if kind != 1 {
            return 3;
        }
        let count = state.board(index).ecc[1];
        // SAFETY: by the contract of the header.
        unsafe { put(out, noisy(state, count)) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_device_get_memory_error_counter(
    handle: *mut c_void,
    kind: c_uint,
    _counter: c_uint,
    place: c_uint,
    out: *mut c_ulonglong,
) -> c_int {
    on_board("hlml_device_get_memory_error_counter", handle, |state, index| {
        // Every error of a board is one of its DRAM.
        let count = match (kind, place) {
            (1, 0) => 0,
            (1, 1) => state.board(index).ecc[1],
            _ => return 3,
        };
        // SAFETY: by the contract of the header.
        unsafe { put(out, noisy(state, count)) }
    })
}

/// Rows replaced for errors of one bit and of two: the switches `rows_single` and `rows_double`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_device_get_replaced_rows(
    handle: *mut c_void,
    cause: c_uint,
    count: *mut c_uint,
    _addresses: *mut c_void,
) -> c_int {
    on_board("hlml_device_get_replaced_rows", handle, |state, _| {
        let rows = state.switch(if cause == 0 { "rows_single" } else { "rows_double" });
        // SAFETY: by the contract of the header.
        unsafe { put(count, noisy(state, rows.unsigned_abs()) as c_uint) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_device_get_replaced_rows_pending_status(
    handle: *mut c_void,
    out: *mut c_uint,
) -> c_int {
    on_board("hlml_device_get_replaced_rows_pending_status", handle, |state, _| {
        let pending = state.switch("rows_pending").unsigned_abs();
        // SAFETY: by the contract of the header.
        unsafe { put(out, noisy(state, pending) as c_uint) }
    })
}

/// The ports of a Gaudi 2: 24, three of which leave the node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_get_mac_addr_info(
    handle: *mut c_void,
    mask: *mut [u64; 2],
    external: *mut [u64; 2],
) -> c_int {
    on_board("hlml_get_mac_addr_info", handle, |state, _| {
        let all = [noisy(state, 0xff_ffff), 0];
        // SAFETY: by the contract of the header.
        unsafe {
            put(external, [0xe0_0000, 0]);
            put(mask, all)
        }
    })
}

/// The lowest ports are down, as many as the switch `ports_down` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_nic_get_link(handle: *mut c_void, port: u32, up: *mut bool) -> c_int {
    on_board("hlml_nic_get_link", handle, |state, _| {
        // SAFETY: by the contract of the header.
        unsafe { put(up, i64::from(port) >= state.switch("ports_down")) }
    })
}

macro_rules! texts {
    ($( $name:ident |$state:ident, $index:ident| $value:expr; )+) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(handle: *mut c_void, out: *mut c_char, length: c_uint) -> c_int {
            on_board(stringify!($name), handle, |$state, $index| {
                let value: String = $value;
                // SAFETY: by the contract of the header.
                unsafe { text(out, length, &value) }
            })
        }
    )+ };
}

texts! {
    hlml_device_get_uuid |state, index| state.uuid(index);
    hlml_get_firmware_spi_version |state, _index| format!("hl-gaudi2-1.{}.0-fake", 20 + state.switch("firmware"));
    hlml_device_get_name |_state, _index| "HL-225H".to_owned();
    hlml_device_get_serial |state, index| format!("AM{:06}{}", 4711 + index, if state.switch("swapped") == 0 { "" } else { "X" });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_get_driver_version(out: *mut c_char, length: c_uint) -> c_int {
    // SAFETY: by the contract of the header.
    unsafe { text(out, length, "1.21.0-fake") }
}

/// `hlml_pci_info_t` as newer libraries have it, 84 bytes, of which older ones have the first 52.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hlml_device_get_pci_info(handle: *mut c_void, out: *mut u8) -> c_int {
    on_board("hlml_device_get_pci_info", handle, |state, index| {
        let size = if state.switch("old_structs") == 0 { 84 } else { 52 };
        let mut bytes = [0x55_u8; 84];
        let address = state.node.pci(index);
        bytes[..4].copy_from_slice(&(index as u32).to_ne_bytes());
        bytes[4..19].fill(0);
        bytes[4..4 + address.len()].copy_from_slice(address.as_bytes());
        if out.is_null() {
            return INVALID_ARGUMENT;
        }
        // SAFETY: the caller gives room for the structure of this library.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), out, size) };
        0
    })
}
