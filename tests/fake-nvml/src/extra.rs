//! What the fake knows beyond the simulator: instances, links, bad rows, single boards that hang or fail, doubles and orders.
use crate::world::hash;
use sim::{BOARDS_MAX, Board};
use std::ffi::c_uint;

/// Links of a board: an H100's eighteen (NVIDIA's data sheet); an A100 has twelve.
pub const LINKS_MAX: usize = 18;
/// Instances of a cut board.
pub const PARTS: usize = 7;
/// Failures of single boards at once.
const FAILURES_MAX: usize = 8;
/// The driver that a new node has.
const DRIVER: u64 = 570 << 16;

/// The state of one board, plain old data.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Bad {
    /// Bits of the links that are down.
    pub links_down: u64,
    /// Errors on each link: replays, recoveries, CRC of flits, CRC of data, ECC.
    pub link_errors: [[u64; 5]; LINKS_MAX],
    /// Corrected and uncorrected errors by location, as `nvml.h` numbers them.
    pub ecc: [[u64; 2]; 8],
    /// Rows replaced for corrected and for uncorrected errors; whether one is pending; whether one failed.
    pub remapped: [u64; 4],
    /// Pages retired for single and for double errors; whether one is pending.
    pub retired: [u64; 3],
    /// What the driver asks for.
    pub recovery: u64,
    /// Uncorrectable errors of on-chip memory in the board's life, and whether they are too many.
    pub sram: [u64; 2],
    /// The fabric manager's mask of health, as `nvml.h` has it.
    pub fabric_health: u64,
    /// Whether the InfoROM is corrupt.
    pub inforom: u64,
    /// Effective and symbol bit errors of each link as `nvml.h` writes them; other than 0 the links are of generation 5.
    pub bit_errors: [u64; 2],
    /// Whether the board is cut into instances.
    pub mig: u64,
    /// Counts up with each new firmware.
    pub vbios: u64,
}

/// The whole of it, plain old data.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Extra {
    /// Each board's own.
    pub boards: [Bad; BOARDS_MAX],
    /// The board at each position of the driver's list.
    pub order: [u64; BOARDS_MAX],
    /// The board whose identity each board gives.
    pub identity: [u64; BOARDS_MAX],
    /// Bits of the boards on which calls hang.
    pub hung: u64,
    /// The driver: its major number above, its minor number in the lowest 16 bits.
    pub driver: u64,
    /// Board plus one, a function's hash, and the code it returns; a board of 0 is a free place.
    failures: [[u64; 3]; FAILURES_MAX],
}

impl Default for Extra {
    fn default() -> Self {
        let bad = Bad {
            links_down: 0,
            link_errors: [[0; 5]; LINKS_MAX],
            ecc: [[0; 2]; 8],
            remapped: [0; 4],
            retired: [0; 3],
            recovery: 0,
            sram: [0; 2],
            fabric_health: 0,
            inforom: 0,
            bit_errors: [0; 2],
            mig: 0,
            vbios: 1,
        };
        let own = std::array::from_fn(|index| index as u64);
        let failures = [[0; 3]; FAILURES_MAX];
        Self { boards: [bad; BOARDS_MAX], order: own, identity: own, hung: 0, driver: DRIVER, failures }
    }
}

impl Extra {
    /// The driver's version as it is written.
    pub(crate) fn driver_text(&self) -> String {
        format!("{}.{:02}.00", self.driver >> 16, self.driver & 0xffff)
    }

    /// The code that a function was made to return for one board.
    pub(crate) fn failure(&self, board: usize, function: &str) -> Option<c_uint> {
        let of_it = |failure: &&[u64; 3]| failure[0] == board as u64 + 1;
        let mut own = self.failures.iter().filter(of_it).peekable();
        own.peek()?;
        let hash = hash(function);
        own.find(|failure| failure[1] == hash).map(|failure| failure[2] as c_uint)
    }

    /// Makes a function fail for one board; 0 lets it work again. Gives whether there was a place.
    pub(crate) fn fail(&mut self, board: usize, function: &str, code: u32) -> bool {
        let (owner, hash) = (board as u64 + 1, hash(function));
        let known = self.failures.iter().position(|failure| failure[..2] == [owner, hash]);
        let place = known.or_else(|| self.failures.iter().position(|failure| failure[0] == 0));
        let fresh = if code == 0 { [0; 3] } else { [owner, hash, u64::from(code)] };
        place.map(|place| self.failures[place] = fresh).is_some()
    }
}

/// How many links a board has.
pub(crate) fn links(board: &Board) -> usize {
    if board.profile().code() == 0 { LINKS_MAX } else { 12 }
}
