//! Not yet written: opens as "this host has no such device".
use crate::Options;
use model::{Actuator, Collector, OpenError};

/// Opens the source.
///
/// # Errors
/// None yet.
pub fn open(_options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    Ok(None)
}

/// Opens the fast source.
///
/// # Errors
/// None yet.
pub fn open_reflex(_options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    Ok(None)
}

/// Opens the actuator.
///
/// # Errors
/// None yet.
pub fn open_actuator(_options: &Options) -> Result<Option<Box<dyn Actuator>>, OpenError> {
    Ok(None)
}
