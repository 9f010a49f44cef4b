//! One opened library. Handles are plain values; a device of the safe wrapper is made from one for the time of a call.
use super::codes::Fault;
use super::raw::{self, Handle, LoadError};
use model::OpenError;
use model::error::Reason;
use nvml_wrapper::{Device, Nvml};
use std::path::Path;

/// The library that a host without NVIDIA's driver may lack without that being an error.
const DEFAULT_LIBRARY: &str = "libnvidia-ml.so.1";

/// An initialised library; dropping it shuts the library down.
#[derive(Debug)]
pub(super) struct Session {
    nvml: Nvml,
}

impl Session {
    /// Loads and starts a library; `None` when the host has no driver and the operator named no library.
    ///
    /// # Errors
    /// When a named library is not there, or a library is there and does not start.
    pub(super) fn open(library: &Path) -> Result<Option<Self>, OpenError> {
        let what = || format!("open NVML ({})", library.display());
        match raw::load(library) {
            Ok(nvml) => Ok(Some(Self { nvml })),
            Err(LoadError::NotFound(_)) if library == Path::new(DEFAULT_LIBRARY) => Ok(None),
            Err(LoadError::NotFound(cause)) => Err(OpenError::new(what(), Reason::Missing).because(cause)),
            Err(LoadError::Failed(reason, cause)) => Err(OpenError::new(what(), reason).because(cause)),
        }
    }

    /// The wrapper, for calls on the library itself.
    pub(super) fn nvml(&self) -> &Nvml {
        &self.nvml
    }

    /// How many devices there are, lost ones included.
    ///
    /// # Errors
    /// The fault of the call.
    pub(super) fn count(&self) -> Result<u32, Fault> {
        Ok(self.nvml.device_count()?)
    }

    /// The handle of a position.
    ///
    /// # Errors
    /// The fault of the call.
    pub(super) fn handle(&self, index: u32) -> Result<Handle, Fault> {
        Ok(Handle::of(&self.nvml.device_by_index(index)?))
    }

    /// The handle of an identity.
    ///
    /// # Errors
    /// The fault of the call.
    pub(super) fn find(&self, uuid: &str) -> Result<Handle, Fault> {
        Ok(Handle::of(&self.nvml.device_by_uuid(uuid)?))
    }

    /// The device of a handle, for the time of a call.
    pub(super) fn device(&self, handle: Handle) -> Device<'_> {
        handle.device(&self.nvml)
    }
}
