//! Health as fields: violation times, errors by location, rows, pages, and what the driver asks for.
use crate::extra::Bad;
use sim::Board;
use sim::board::reason;

/// Location numbers of `nvml.h` of the fields 7 to 16, two each.
const LOCATIONS: [usize; 5] = [0, 1, 2, 3, 4];

/// Nanoseconds for which a board was held back: derived from its energy, so that it grows only while the board works.
fn held_ns(board: &Board, bit: u64) -> u64 {
    // An assumption: while a reason is in force a tenth of a second is counted for every joule above none.
    if board.reasons & bit == 0 { 0 } else { (board.energy_j * 1e8) as u64 }
}

/// The value of a field of health; `None` for another field.
pub(crate) fn health(board: &Board, bad: &Bad, number: u32) -> Option<u64> {
    let of_hopper = board.profile().code() == 0;
    match number {
        1 => Some(1),
        3 | 5 => Some(board.ecc[0]),
        4 | 6 => Some(board.ecc[1]),
        7..=16 => {
            let place = number as usize - 7;
            Some(bad.ecc[LOCATIONS[place / 2]][place % 2])
        }
        // A board that replaces rows retires no pages.
        29..=31 if !of_hopper => Some(bad.retired[number as usize - 29]),
        74 => Some(held_ns(board, reason::SW_POWER_CAP)),
        75 => Some(held_ns(board, reason::HW_THERMAL)),
        76..=81 => Some(0),
        94 => Some(board.replays),
        142..=145 => Some(bad.remapped[number as usize - 142]),
        230 => Some(bad.recovery),
        _ => None,
    }
}
