//! One opened library. Handles are plain values; a device of the safe wrapper is made from one for the time of a call.
use super::codes::reason;
use model::OpenError;
use model::error::Reason;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::nvmlDevice_t;
use std::path::Path;

/// A device's handle. Valid as long as its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle(nvmlDevice_t);

// SAFETY: NVML's handles are opaque values that its documentation allows any thread to use; they are never followed here.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    /// From a raw handle that the library gave.
    pub(crate) fn from_raw(raw: nvmlDevice_t) -> Self {
        Self(raw)
    }

    /// For raw calls.
    pub(crate) fn raw(self) -> nvmlDevice_t {
        self.0
    }
}

/// An initialised library; dropping it shuts the library down.
#[derive(Debug)]
pub(crate) struct Session {
    nvml: Nvml,
}

impl Session {
    /// Loads and starts a library.
    pub(crate) fn open(library: &Path) -> Result<Self, OpenError> {
        let what = || format!("open NVML ({})", library.display());
        let failed = |error: NvmlError| OpenError::new(what(), reason(&error)).because(error);
        let nvml = Nvml::builder().lib_path(library.as_os_str()).init().map_err(failed)?;
        if nvml.lib().nvmlShutdown.is_err() {
            // The wrapper panics when it cannot shut down, so a library without the function is never dropped.
            std::mem::forget(nvml);
            return Err(OpenError::new(what(), Reason::SymbolMissing));
        }
        Ok(Self { nvml })
    }

    /// The wrapper, for calls on the library itself.
    pub(crate) fn nvml(&self) -> &Nvml {
        &self.nvml
    }

    /// How many devices there are.
    pub(crate) fn count(&self) -> Result<u32, NvmlError> {
        self.nvml.device_count()
    }

    /// The handle of a position.
    pub(crate) fn handle(&self, index: u32) -> Result<Handle, NvmlError> {
        let device = self.nvml.device_by_index(index)?;
        // SAFETY: the raw handle is kept beside its session and used with that session only.
        Ok(Handle(unsafe { device.handle() }))
    }

    /// The device of a handle, for the time of a call.
    pub(crate) fn device(&self, handle: Handle) -> Device<'_> {
        // SAFETY: the handle came from this session's library.
        unsafe { Device::new(handle.0, &self.nvml) }
    }

    /// The handle of the device with an identity.
    pub(crate) fn find(&self, uuid: &str) -> Result<Handle, NvmlError> {
        let device = self.nvml.device_by_uuid(uuid)?;
        // SAFETY: as in `handle`.
        Ok(Handle(unsafe { device.handle() }))
    }
}
