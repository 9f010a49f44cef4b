//! Intel Gaudi through HLML, loaded at run time. Read-only: that its setter for the power limit works is not proven.
//!
//! One thread reads all devices, since the library's documents do not say that several may call it. Functions, structures and
//! codes are those of the public `hlml.h` (gohlml); power is in milliwatts and energy in millijoules, as in NVML.
mod calls;
mod device;
mod session;

use crate::listed::Listed;
use crate::{Entry, Need, Options};
use model::{Collector, OpenError};
use session::Session;

/// The library as the loader finds it, and where Habana's packages put it.
const LIBRARY: &str = "libhlml.so";
const PACKAGED: &str = "/usr/lib/habanalabs/libhlml.so";

/// Gaudi's line in the table of sources.
pub const ENTRY: Entry = Entry {
    library: Some(LIBRARY),
    ..Entry::worker(
        "gaudi",
        open,
        &[
            Need {
                what: "Gaudi readings (libhlml.so)",
                right: "access to the device files (/dev/accel/accel*)",
                without: "every reading of Gaudi devices",
            },
            Need {
                what: "Gaudi's present PCIe generation and width",
                right: "root, as the library's Go binding says",
                without: "whether the link is slower or narrower than it could be",
            },
        ],
    )
};

/// Opens the source; `None` on a host without Habana's library.
///
/// # Errors
/// When a named library is not there, or one is there and cannot be used.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let session = Session::open(options.library("gaudi", LIBRARY), &options.calls)?;
    Ok(session.map(|session| Box::new(Listed::new(session, "gaudi")) as Box<dyn Collector>))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_set_before_a_setter_is_proven() {
        assert!(ENTRY.actuator.is_none() && ENTRY.reflex.is_none());
        assert!(session::Hlml::NAMES.iter().all(|name| !name.contains("_set_") && !name.contains("inject")));
    }
}
