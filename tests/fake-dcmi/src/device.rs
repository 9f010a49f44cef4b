//! What a simulated Ascend says of itself, in both forms of the interface.
use crate::{INVALID_PARAMETER, on_card, put};
use fake_world::State;
use std::ffi::{c_int, c_uint, c_void};

const NOT_SUPPORT: c_int = -8255;

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

/// Makes both forms of a function over one body.
macro_rules! both {
    ($( $by_card:ident | $flat:ident ( $($argument:ident: $kind:ty),* ) |$state:ident, $index:ident| $body:expr; )+) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $by_card(card: c_int, device: c_int, $($argument: $kind),*) -> c_int {
            on_card(stringify!($by_card), card, device, |$state, $index| $body)
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $flat(device: c_int, $($argument: $kind),*) -> c_int {
            on_card(stringify!($flat), device, 0, |$state, $index| $body)
        }
    )+ };
}

/// Writes a number through a pointer, or noise.
fn say(state: &mut State, out: *mut c_uint, truth: f64) -> c_int {
    let value = noisy(state, truth.round() as u64) as c_uint;
    // SAFETY: by the contract of the header.
    unsafe { put(out, value) }
}

/// Bytes of a structure.
fn fill(out: *mut c_void, bytes: &[u8]) -> c_int {
    if out.is_null() {
        return INVALID_PARAMETER;
    }
    // SAFETY: the caller gives room for the structure of this library.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), out.cast(), bytes.len()) };
    0
}

fn utilization(state: &State, index: usize, kind: c_int) -> f64 {
    let board = state.board(index);
    match kind {
        2 if state.switch("profiling") != 0 => 0.0,
        2 => board.busy * 100.0,
        12 => board.busy * 40.0,
        10 => board.memory_activity * 100.0,
        // A type that the part does not have succeeds with nothing, as on real ones.
        _ => 0.0,
    }
}

both! {
    dcmi_get_device_power_info | dcmiv2_get_device_power_info(out: *mut c_int) |state, index|
        { let tenths = state.board(index).sensor.instant_w() * 10.0; say(state, out.cast(), tenths) };
    dcmi_get_device_temperature | dcmiv2_get_device_temperature(out: *mut c_int) |state, index|
        { let celsius = state.board(index).temperature_c; say(state, out.cast(), celsius) };
    dcmi_get_device_voltage | dcmiv2_get_device_voltage(out: *mut c_uint) |state, _index| say(state, out, 85.0);
    dcmi_get_device_health | dcmiv2_get_device_health(out: *mut c_uint) |state, index|
        { let health = if state.codes.contains_key(&index) { 2.0 } else { 0.0 }; say(state, out, health) };
    dcmi_get_device_utilization_rate | dcmiv2_get_device_utilization_rate(kind: c_int, out: *mut c_uint) |state, index|
        { let percent = utilization(state, index, kind); say(state, out, percent) };
    dcmi_get_device_frequency | dcmiv2_get_device_frequency(kind: c_uint, out: *mut c_uint) |state, index| {
        let board = state.board(index);
        let megahertz = match kind {
            6 => board.profile().memory_clock_hz / 1e6,
            7 => board.clock_hz / 1e6,
            9 => board.profile().clock_max_hz / 1e6,
            _ => return NOT_SUPPORT,
        };
        say(state, out, megahertz)
    };
    dcmi_get_device_errorcode_v2 | dcmiv2_get_device_errorcode(count: *mut c_int, list: *mut c_uint, room: c_uint) |state, index| {
        let codes = state.codes.get(&index).cloned().unwrap_or_default();
        for (place, code) in codes.iter().take(room as usize).enumerate() {
            // SAFETY: the list has as many entries as the caller says.
            unsafe { put(list.add(place), *code) };
        }
        let number = noisy(state, codes.len() as u64) as c_int;
        // SAFETY: by the contract of the header.
        unsafe { put(count, number) }
    };
    dcmi_get_device_hbm_info | dcmiv2_get_device_hbm_info(out: *mut c_void) |state, index| {
        let board = *state.board(index);
        let mut bytes = [0_u8; 32];
        let size = noisy(state, board.profile().memory_bytes >> 20);
        let used = noisy(state, board.memory_used_bytes >> 20);
        let heat = noisy(state, board.memory_temperature_c().round() as u64) as u32;
        let share = noisy(state, (board.memory_activity * 100.0).round() as u64) as u32;
        bytes[..8].copy_from_slice(&size.to_ne_bytes());
        bytes[8..12].copy_from_slice(&1600_u32.to_ne_bytes());
        bytes[16..24].copy_from_slice(&used.to_ne_bytes());
        bytes[24..28].copy_from_slice(&heat.to_ne_bytes());
        bytes[28..].copy_from_slice(&share.to_ne_bytes());
        fill(out, &bytes)
    };
    dcmi_get_device_chip_info | dcmiv2_get_device_chip_info(out: *mut c_void) |state, index| {
        let _ = index;
        let mut bytes = [0_u8; 100];
        bytes[..6].copy_from_slice(b"Ascend");
        bytes[32..36].copy_from_slice(b"910B");
        bytes[64..66].copy_from_slice(if state.switch("swapped") == 0 { b"V1" } else { b"V2" });
        bytes[96..].copy_from_slice(&24_u32.to_ne_bytes());
        fill(out, &bytes)
    };
    dcmi_get_device_pcie_info_v2 | dcmiv2_get_device_pcie_info(out: *mut c_void) |_state, index| {
        let mut bytes = [0_u8; 64];
        bytes[20..24].copy_from_slice(&(0x10 + 8 * index as u32).to_ne_bytes());
        fill(out, &bytes)
    };
    dcmi_get_device_ecc_info | dcmiv2_get_device_ecc_info(kind: c_uint, out: *mut c_void) |state, index| {
        let [corrected, uncorrected] = state.board(index).ecc;
        let words = [1, corrected, uncorrected, corrected + 100, uncorrected + 10, 3, 1].map(|truth| noisy(state, truth) as u32);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        if kind == 2 { fill(out, &bytes) } else { NOT_SUPPORT }
    };
    dcmi_get_device_die_v2 | dcmiv2_get_device_die(kind: c_uint, out: *mut c_void) |state, index| {
        let words = state.uuid(index).split('-').map(|word| u32::from_str_radix(word, 16).unwrap_or(0)).collect::<Vec<_>>();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        if kind == 1 { fill(out, &bytes) } else { NOT_SUPPORT }
    };
    dcmi_get_device_resource_info | dcmiv2_get_device_resource_info(out: *mut c_void, count: *mut c_int) |state, index| {
        let board = state.board(index);
        let (works, used) = (!board.workload().process().is_empty(), board.memory_used_bytes);
        let mut bytes = [0_u8; 16];
        bytes[..4].copy_from_slice(&(4000 + index as u32).to_ne_bytes());
        bytes[8..].copy_from_slice(&used.to_ne_bytes());
        let code = if works { fill(out, &bytes) } else { 0 };
        let number = noisy(state, u64::from(works)) as c_int;
        // SAFETY: by the contract of the header.
        if code == 0 { unsafe { put(count, number) } } else { code }
    };
}
