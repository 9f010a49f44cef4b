//! Huawei Ascend through DCMI, loaded at run time. Read-only: DCMI's public headers have no setter for a power limit.
//!
//! One thread reads all devices, since the library's documents do not say that several may call it. Functions, structures and
//! codes are those of the public `dcmi_interface_api.h` and, for the flat `dcmiv2_` functions of newer parts, of
//! `dcmi_interface_api_v2.h`, as Huawei's exporter publishes them; units are those of Huawei's DCMI reference. Where programs of
//! Huawei's call a flat function by another name than the header's, both are looked for.
mod calls;
mod codes;
mod device;
mod doubt;
mod extra;
mod session;

use crate::listed::Listed;
use crate::{Entry, Need, Options};
use model::{Collector, OpenError};
use session::Session;

/// The library as the loader finds it, and where Huawei's packages put it.
const LIBRARY: &str = "libdcmi.so";
const PACKAGED: [&str; 2] =
    ["/usr/local/dcmi/libdcmi.so", "/usr/local/Ascend/driver/lib64/driver/libdcmi.so"];

/// Ascend's line in the table of sources.
pub const ENTRY: Entry = Entry {
    library: Some(LIBRARY),
    ..Entry::worker(
        "ascend",
        open,
        &[Need {
            what: "Ascend readings (libdcmi.so)",
            right: "access to the device files (/dev/davinci*, /dev/davinci_manager), in a container mounted",
            without: "every reading of Ascend devices",
        }],
    )
};

/// Opens the source; `None` on a host without Huawei's library.
///
/// # Errors
/// When a named library is not there, or one is there and cannot be used.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let session = Session::open(options.library("ascend", LIBRARY), &options.calls)?;
    Ok(session.map(|session| Box::new(Listed::new(session, "ascend")) as Box<dyn Collector>))
}

/// The same without the flat functions, as with an older library.
///
/// # Errors
/// As [`open`].
pub fn open_by_card(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    let session = Session::open(options.library("ascend", LIBRARY), &options.calls)?;
    Ok(session.map(|session| Box::new(Listed::new(session.by_card(), "ascend")) as Box<dyn Collector>))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_set_before_a_setter_is_proven() {
        assert!(ENTRY.actuator.is_none() && ENTRY.reflex.is_none());
        assert!(session::Dcmi::NAMES.iter().all(|name| !name.contains("_set_") && !name.contains("reset")));
    }
}
