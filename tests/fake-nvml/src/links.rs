//! NVLinks: eighteen of the fourth generation on a Hopper board, twelve of the third on an Ampere board.
use crate::abi::{INVALID_ARGUMENT, NOT_SUPPORTED};
use crate::device::{index_of, on_board};
use crate::extra::{Bad, links};
use crate::handles::{address, padded};
use crate::world::put;
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlPciInfo_t};
use sim::Board;
use std::ffi::{c_uint, c_ulonglong};

/// Speed of a link in one direction, in megabytes a second: 25 GB/s of the fourth and the third generation alike.
const SPEED_MB: u64 = 25_000;
/// Traffic of a board, in kibibytes for each joule. An assumption.
const KIB_PER_JOULE: f64 = 4096.0;

fn down(bad: &Bad, link: usize) -> bool {
    bad.links_down & (1 << link) != 0
}

/// The value of a field of a link; `None` for another field.
pub(crate) fn field(board: &Board, bad: &Bad, number: u32, scope: u32) -> Option<u64> {
    let link = scope as usize;
    if number == 91 {
        return Some(links(board) as u64);
    }
    if link >= links(board) {
        return None;
    }
    let errors = bad.link_errors[link];
    if bad.bit_errors != [0; 2] {
        return newer(board, bad, number, link);
    }
    match number {
        // Whole kibibytes of what has gone over this link.
        138 | 139 => Some((board.energy_j * KIB_PER_JOULE) as u64 / (links(board) as u64)),
        161 => Some(errors[0]),
        162 => Some(errors[1]),
        163 => Some(errors[2]),
        164 => Some(if down(bad, link) { 0 } else { SPEED_MB }),
        165 => Some(u64::from(!down(bad, link))),
        _ => None,
    }
}

/// The value of a field of a link of generation 5, which counts in another way.
fn newer(board: &Board, bad: &Bad, number: u32, link: usize) -> Option<u64> {
    match number {
        164 => Some(if down(bad, link) { 0 } else { 2 * SPEED_MB }),
        165 => Some(u64::from(!down(bad, link))),
        202 | 204 => Some((board.energy_j * KIB_PER_JOULE * 1024.0) as u64 / (links(board) as u64)),
        206..=209 | 211 | 214 | 221 => Some(0),
        215 => Some(bad.link_errors[link][1]),
        220 => Some(bad.bit_errors[0]),
        222 => Some(bad.bit_errors[1]),
        _ => None,
    }
}

/// Runs a call on a link that the board has.
fn on_link(
    function: &str,
    device: nvmlDevice_t,
    link: c_uint,
    work: impl FnOnce(&Board, &Bad, usize) -> c_uint,
) -> c_uint {
    on_board(function, device, |shared| {
        let index = index_of(device);
        let board = &shared.node.boards()[index];
        if link as usize >= links(board) {
            return INVALID_ARGUMENT;
        }
        work(board, &shared.extra.boards[index], link as usize)
    })
}

/// Whether a link is up.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetNvLinkState(
    device: nvmlDevice_t,
    link: c_uint,
    out: *mut c_uint,
) -> c_uint {
    on_link("nvmlDeviceGetNvLinkState", device, link, |_, bad, link| {
        // SAFETY: by the contract of this function.
        unsafe { put(out, c_uint::from(!down(bad, link))) }
    })
}

/// The version of a link: 7 is the fifth generation, 6 the fourth, 4 the third.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetNvLinkVersion(
    device: nvmlDevice_t,
    link: c_uint,
    out: *mut c_uint,
) -> c_uint {
    on_link("nvmlDeviceGetNvLinkVersion", device, link, |board, bad, _| {
        let newer = bad.bit_errors != [0; 2];
        // SAFETY: by the contract of this function.
        unsafe {
            put(
                out,
                if newer {
                    7
                } else if board.profile().code() == 0 {
                    6
                } else {
                    4
                },
            )
        }
    })
}

/// Errors on a link; Hopper counts ECC errors no more.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetNvLinkErrorCounter(
    device: nvmlDevice_t,
    link: c_uint,
    counter: c_uint,
    out: *mut c_ulonglong,
) -> c_uint {
    on_link("nvmlDeviceGetNvLinkErrorCounter", device, link, |board, bad, link| {
        match bad.link_errors[link].get(counter as usize) {
            None => INVALID_ARGUMENT,
            Some(_) if counter == 4 && board.profile().code() == 0 => NOT_SUPPORTED,
            // SAFETY: by the contract of this function.
            Some(count) => unsafe { put(out, *count) },
        }
    })
}

/// Where a link leads: to a switch behind the boards.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetNvLinkRemotePciInfo_v2(
    device: nvmlDevice_t,
    link: c_uint,
    out: *mut nvmlPciInfo_t,
) -> c_uint {
    on_link("nvmlDeviceGetNvLinkRemotePciInfo_v2", device, link, |_, _, link| {
        let text = address(20 + link % 4);
        let info = nvmlPciInfo_t {
            busIdLegacy: padded(&text[4..]),
            domain: 0,
            bus: 0,
            device: 0,
            pciDeviceId: 0x22a3_10de,
            pciSubSystemId: 0,
            busId: padded(&text),
        };
        // SAFETY: by the contract of this function.
        unsafe { put(out, info) }
    })
}
