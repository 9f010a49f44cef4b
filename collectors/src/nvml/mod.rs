//! NVIDIA GPUs through NVML.
//!
//! To add a metric: a row in the catalogue, and one row here: in `calls.rs` for a getter, in `fields.rs` or `links.rs` for a
//! field number, in `gpm.rs` for a profiling counter. Nothing else: what a board does not support is found out once and costs
//! nothing afterwards, a fault becomes the absence that [`codes`] gives it, and values stand in base units. Only a function that
//! the wrapper lacks or gets wrong needs a raw call, and that belongs in `raw`. Every function, field and counter that is asked
//! for is listed in [`used`].
//!
//! Of the other files, `session` opens the library and lets go of it, `bus` meets devices and hands each over to a source of its
//! own, `roster` knows which answer, `board` reads one of them, `identity` says who it is, `post` is what passes between bus and
//! board, `parts` reads instances, `processes` says who uses it, `events` waits for XID errors, `reflex` reads the power of one board alone, and
//! `actuator` sets limits and, with `clocks`, locks clocks.
mod actuator;
mod board;
mod bus;
mod calls;
mod clocks;
pub mod codes;
mod events;
mod fields;
mod gpm;
mod identity;
mod links;
mod parts;
mod post;
mod processes;
mod raw;
mod reflex;
mod roster;
mod session;
pub mod used;

use crate::{Entry, Need, Options};
use bus::Bus;
use model::{Actuator, Collector, OpenError};
use session::Session;

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
                what: "NVIDIA processes on instances of a partitioned GPU",
                right: "root, or the capability files of /proc/driver/nvidia/capabilities",
                without: "which instance a process is on",
            },
            Need {
                what: "NVML power limits and locked clocks (only with power.enforce = true)",
                right: "root, or CAP_SYS_ADMIN",
                without: "enforcement; caps stay advice",
            },
        ],
    )
};

/// Opens the source that meets GPUs; `None` on a host without NVIDIA's driver.
///
/// # Errors
/// When the library is there but does not start, or a configured path is not there.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let session = Session::open(options.library("nvml", LIBRARY), &options.calls)?;
    Ok(session.map(|session| Box::new(Bus::new(session, &options.calls)) as Box<dyn Collector>))
}

/// Opens the source of the reflex for the board with a key: instantaneous power and nothing else; `None` on a host without
/// NVIDIA's driver.
///
/// # Errors
/// As [`open`].
pub fn open_reflex(options: &Options, key: &str) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let session = Session::open(options.library("nvml", LIBRARY), &options.calls)?;
    Ok(session
        .map(|session| Box::new(reflex::Reflex::new(session, key, &options.calls)) as Box<dyn Collector>))
}

/// Opens the actuator; `None` on a host without NVIDIA's driver.
///
/// # Errors
/// As [`open`].
pub fn open_actuator(options: &Options) -> Result<Option<Box<dyn Actuator>>, OpenError> {
    let session = Session::open(options.library("nvml", LIBRARY), &options.calls)?;
    Ok(session
        .map(|session| Box::new(actuator::NvmlActuator::new(session, &options.calls)) as Box<dyn Actuator>))
}
