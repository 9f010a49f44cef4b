//! NVIDIA GPUs through NVML.
//!
//! To add a metric: a row in the catalogue, and a row in [`calls::CALLS`] (a getter of the safe wrapper) or in
//! [`fields::FIELDS`] (a field number). What a board does not support is found out once and costs nothing afterwards.
mod actuator;
mod board;
pub mod calls;
pub mod codes;
mod events;
pub mod fields;
mod reflex;
mod session;

use crate::Options;
use crate::workload::Names;
use board::Board;
use events::Watcher;
use model::error::Reason;
use model::{Actuator, Batch, CollectError, Collector, OpenError, Timestamp};
use session::{Handle, Session};
use std::path::Path;
use std::sync::Arc;

/// From one look for new or returned devices to the next, in seconds.
const SCAN_S: f64 = 10.0;
/// First and longest wait before a lost device is looked for again, in seconds.
const RETRY_FIRST_S: f64 = 1.0;
const RETRY_LAST_S: f64 = 60.0;

/// The library that a host without NVIDIA's driver may lack without that being an error.
const DEFAULT_LIBRARY: &str = "libnvidia-ml.so.1";

fn session(options: &Options) -> Result<Option<Arc<Session>>, OpenError> {
    match Session::open(&options.nvml_library) {
        Err(error)
            if error.reason == Reason::Missing && options.nvml_library == Path::new(DEFAULT_LIBRARY) =>
        {
            Ok(None)
        }
        opened => opened.map(|session| Some(Arc::new(session))),
    }
}

/// Opens the source of the beat.
///
/// # Errors
/// When the library is there but does not start, or a configured path is not there.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let Some(session) = session(options)? else { return Ok(None) };
    let names = Names::new(&options.roots);
    let watcher = Watcher::start(&session);
    Ok(Some(Box::new(Nvml {
        session,
        watcher,
        names,
        boards: Vec::new(),
        scanned: None,
        retry_s: RETRY_FIRST_S,
    })))
}

/// Opens the source of the reflex: instantaneous power and nothing else.
///
/// # Errors
/// As [`open`].
pub fn open_reflex(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    Ok(session(options)?.map(|session| Box::new(reflex::Reflex::new(session)) as Box<dyn Collector>))
}

/// Opens the actuator.
///
/// # Errors
/// As [`open`].
pub fn open_actuator(options: &Options) -> Result<Option<Box<dyn Actuator>>, OpenError> {
    Ok(session(options)?.map(|session| Box::new(actuator::NvmlActuator::new(session)) as Box<dyn Actuator>))
}

/// The source. Handles are taken once and taken anew after a loss.
struct Nvml {
    session: Arc<Session>,
    watcher: Option<Watcher>,
    names: Names,
    boards: Vec<Board>,
    scanned: Option<Timestamp>,
    /// Wait before a lost device is looked for again, in seconds.
    retry_s: f64,
}

impl Nvml {
    /// Looks for devices when it is time: all of them now and then, lost ones sooner.
    fn scan_if_due(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        let lost = self.boards.iter().any(|board| !board.there());
        let wait_s = if lost { self.retry_s } else { SCAN_S };
        if self.scanned.is_some_and(|last| now.seconds_since(last) < wait_s) {
            return Ok(());
        }
        self.scanned = Some(now);
        self.retry_s = if lost { (self.retry_s * 2.0).min(RETRY_LAST_S) } else { RETRY_FIRST_S };
        let count = self.session.count().map_err(|error| {
            // A driver that does not even count its devices is lost as a whole.
            CollectError::new("count NVIDIA devices", Reason::Lost).because(error)
        })?;
        for index in 0..count {
            // A device that is listed and does not answer is looked for again later.
            let Ok(handle) = self.session.handle(index) else { continue };
            self.meet(index, handle, batch);
        }
        Ok(())
    }

    fn meet(&mut self, index: u32, handle: Handle, batch: &mut Batch) {
        let Ok(uuid) = self.session.device(handle).uuid() else { return };
        match self.boards.iter_mut().find(|board| board.uuid() == uuid) {
            Some(board) if board.there() => {}
            Some(board) => board.welcome(&self.session, index, handle, batch),
            None => self.boards.push(Board::new(&self.session, index, handle, uuid, batch)),
        }
        if let Some(watcher) = &self.watcher {
            watcher.register(handle);
        }
    }
}

impl Collector for Nvml {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        self.scan_if_due(now, batch)?;
        let Self { session, watcher, names, boards, .. } = self;
        if let Some(watcher) = watcher {
            watcher.drain(|handle, code| {
                if let Some(board) = boards.iter_mut().find(|board| board.handle() == handle) {
                    board.xid(code, now, batch);
                }
            });
        }
        names.turn();
        for board in boards.iter_mut().filter(|board| board.there()) {
            board.read(session, now, names, batch);
        }
        Ok(())
    }
}
