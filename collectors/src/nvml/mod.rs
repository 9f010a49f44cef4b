//! NVIDIA GPUs through NVML.
//!
//! To add a metric: a row in the catalogue, and one row here: in [`calls::CALLS`] for a getter of the safe wrapper, or in
//! [`fields::FIELDS`] for a field number. Nothing else: what a board does not support is found out once and costs nothing
//! afterwards, a fault becomes the absence that [`codes`] gives it, and values stand in base units. Only a function that
//! the wrapper lacks or gets wrong needs a raw call, and that belongs in `raw.rs`.
//!
//! Of the other files, `session` opens the library, `roster` knows which devices answer, `board` reads one of them,
//! `processes` says who uses it, `events` waits for XID errors, `reflex` reads power alone, and `actuator` sets limits.
mod able;
mod actuator;
mod board;
pub mod calls;
pub mod codes;
mod events;
pub mod fields;
mod processes;
mod raw;
mod reflex;
mod roster;
mod session;

use crate::{Entry, Need, Options};
use board::{Board, Desk};
use events::{News, Watcher};
use model::{Absence, Actuator, Batch, CollectError, Collector, OpenError, Timestamp};
use processes::Users;
use roster::Roster;
use session::Session;
use std::sync::Arc;

/// The library as the loader finds it; a host without NVIDIA's driver may lack it.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// NVIDIA's line in the table of sources.
pub const ENTRY: Entry = Entry {
    reflex: Some(open_reflex),
    actuator: Some(open_actuator),
    library: Some(LIBRARY),
    ..Entry::worker(
        "nvml",
        open,
        &[
            Need {
                what: "NVML readings",
                right: "access to the driver's device files (/dev/nvidiactl, /dev/nvidia*)",
                without: "every reading of NVIDIA GPUs",
            },
            Need {
                what: "NVML power limits (only with power.enforce = true)",
                right: "root, or CAP_SYS_ADMIN",
                without: "enforcement; caps stay advice",
            },
        ],
    )
};

/// Opens the source of the beat; `None` on a host without NVIDIA's driver.
///
/// # Errors
/// When the library is there but does not start, or a configured path is not there.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let Some(session) = Session::open(options.library("nvml", LIBRARY))?.map(Arc::new) else {
        return Ok(None);
    };
    let watcher = Watcher::start(&session);
    let desk = Desk { users: Users::default() };
    Ok(Some(Box::new(Nvml { watcher, session, desk, boards: Roster::default() })))
}

/// Opens the source of the reflex: instantaneous power and nothing else; `None` on a host without NVIDIA's driver.
///
/// # Errors
/// As [`open`].
pub fn open_reflex(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let session = Session::open(options.library("nvml", LIBRARY))?;
    Ok(session.map(|session| Box::new(reflex::Reflex::new(session)) as Box<dyn Collector>))
}

/// Opens the actuator; `None` on a host without NVIDIA's driver.
///
/// # Errors
/// As [`open`].
pub fn open_actuator(options: &Options) -> Result<Option<Box<dyn Actuator>>, OpenError> {
    let session = Session::open(options.library("nvml", LIBRARY))?;
    Ok(session.map(|session| Box::new(actuator::NvmlActuator::new(session)) as Box<dyn Actuator>))
}

/// The source of the beat. Handles are taken once, and taken anew after a loss.
struct Nvml {
    /// Dropped first: its thread has a hold on the session.
    watcher: Option<Watcher>,
    session: Arc<Session>,
    desk: Desk,
    boards: Roster<Board>,
}

impl Nvml {
    /// Hands on what the driver reported since the last beat.
    fn listen(&mut self, now: Timestamp, batch: &mut Batch) {
        let Self { watcher, boards, .. } = self;
        for news in watcher.iter().flat_map(Watcher::news) {
            let (News::Xid(whose, _) | News::Unwatched(whose, _)) = news;
            let Some(board) = boards.known().find(|board| board.handle() == whose) else { continue };
            match news {
                News::Xid(_, code) => board.xid(code, now, batch),
                News::Unwatched(_, absence) => board.unwatched(absence),
            }
        }
    }
}

impl Collector for Nvml {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let Self { session, watcher, boards, .. } = self;
        boards.seek(session, now, |arrival, before| {
            let handle = arrival.handle;
            let mut board = Board::meet(arrival, before, batch);
            match watcher {
                Some(watcher) => watcher.register(handle),
                None => board.unwatched(Absence::Unsupported),
            }
            board
        })?;
        self.listen(now, batch);
        let Self { session, desk, boards, .. } = self;
        boards.visit(now, |board| board.read(session, now, desk, batch));
        boards.check()
    }
}
