//! Not yet written: opens as "this host has no such device".
use crate::Options;
use model::{Collector, OpenError};

/// Opens the source.
///
/// # Errors
/// None yet.
pub fn open(_options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    Ok(None)
}
