//! Control of what the fake knows beyond the simulator: single boards, instances, links, rows, orders and drivers.
use crate::Control;
use crate::extra::{Bad, LINKS_MAX, PARTS};
use crate::world::Shared;
use std::io::{Error, ErrorKind, Result};

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}

impl Control {
    fn shared<R>(&self, board: usize, work: impl FnOnce(&mut Shared) -> R) -> Result<R> {
        let mut shared = self.world().enter();
        if board >= shared.node.boards().len() {
            return Err(wrong("there is no such board"));
        }
        Ok(work(&mut shared))
    }

    /// Changes what one board has of bad rows, links, pages and errors.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn spoil(&self, board: usize, work: impl FnOnce(&mut Bad)) -> Result<()> {
        self.shared(board, |shared| work(&mut shared.extra.boards[board]))
    }

    /// Lets every call on one board hang, or lets them return. Events are told all the same.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn hang_board(&self, board: usize, hang: bool) -> Result<()> {
        self.shared(board, |shared| {
            let bit = 1 << board;
            shared.extra.hung = if hang { shared.extra.hung | bit } else { shared.extra.hung & !bit };
        })
    }

    /// Makes a function return a code for one board; 0 lets it work again.
    ///
    /// # Errors
    /// When there is no such board, or too many functions fail already.
    pub fn fail_board(&self, board: usize, function: &str, code: u32) -> Result<()> {
        let placed = self.shared(board, |shared| shared.extra.fail(board, function, code))?;
        if placed { Ok(()) } else { Err(wrong("too many functions fail already")) }
    }

    /// Cuts a board into this many instances; 0 makes it whole.
    ///
    /// # Errors
    /// When there is no such board, or it cannot be cut so often.
    pub fn cut(&self, board: usize, parts: usize) -> Result<()> {
        if parts > PARTS {
            return Err(wrong("a board has at most seven instances"));
        }
        self.spoil(board, |bad| bad.mig = parts as u64)
    }

    /// Lets a link go down or come up.
    ///
    /// # Errors
    /// When there is no such board or link.
    pub fn link(&self, board: usize, link: usize, up: bool) -> Result<()> {
        if link >= LINKS_MAX {
            return Err(wrong("there is no such link"));
        }
        let bit = 1 << link;
        self.spoil(board, |bad| {
            bad.links_down = if up { bad.links_down & !bit } else { bad.links_down | bit }
        })
    }

    /// Lets a board give the identity of another one.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn impersonate(&self, board: usize, whom: usize) -> Result<()> {
        self.shared(board.max(whom), |shared| shared.extra.identity[board] = whom as u64)
    }

    /// Lets the driver list the boards in another order.
    ///
    /// # Errors
    /// When it is not each board once.
    pub fn reorder(&self, order: &[usize]) -> Result<()> {
        let mut shared = self.world().enter();
        let count = shared.node.boards().len();
        if order.len() != count || (0..count).any(|board| !order.contains(&board)) {
            return Err(wrong("each board is to be listed once"));
        }
        for (place, board) in order.iter().enumerate() {
            shared.extra.order[place] = *board as u64;
        }
        Ok(())
    }

    /// Puts another driver in: libraries that are loaded were made for the old one and say so. As with a real one, locked
    /// clocks and power limits are lost with the old one.
    pub fn driver(&self, major: u32, minor: u16) {
        let mut shared = self.world().enter();
        shared.extra.driver = u64::from(major) << 16 | u64::from(minor);
        let count = shared.node.boards().len();
        for board in &mut shared.node.boards[..count] {
            board.locked_hz = 0.0;
            let limit = board.profile().limit_max;
            board.set_power_limit(limit);
        }
    }

    /// Unlocks the clock of a board as another program would.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn unlock(&self, board: usize) -> Result<()> {
        self.shared(board, |shared| shared.node.boards[board].locked_hz = 0.0)
    }
}
