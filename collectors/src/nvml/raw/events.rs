//! Events: the set in which devices are registered, and the wait for the next XID error.
use super::Handle;
use crate::nvml::codes::Fault;
use crate::nvml::session::Session;
use model::Calls;
use nvml_wrapper::error::nvml_sym;
use nvml_wrapper_sys::bindings::{nvmlEventData_t, nvmlEventSet_t};
use std::ffi::c_ulonglong;
use std::sync::Arc;

/// The event type of an XID critical error in `nvml.h`.
const XID_CRITICAL: c_ulonglong = 0x8;

/// A set of devices whose XID errors are waited for together; freed on drop.
pub(in crate::nvml) struct EventSet {
    session: Arc<Session>,
    calls: Calls,
    raw: nvmlEventSet_t,
}

// SAFETY: the set is used by one thread at a time: made on the opener's, then moved to the watcher's.
unsafe impl Send for EventSet {}

impl Drop for EventSet {
    fn drop(&mut self) {
        if let Ok(free) = &self.session.nvml().lib().nvmlEventSetFree {
            // SAFETY: the set came from nvmlEventSetCreate of this session and is not used afterwards.
            self.calls.during("nvmlEventSetFree", || unsafe { free(self.raw) });
        }
    }
}

impl EventSet {
    /// An empty set.
    ///
    /// # Errors
    /// The fault of the call, or that the library lacks what is needed to wait.
    pub(in crate::nvml) fn create(session: &Arc<Session>, calls: &Calls) -> Result<Self, Fault> {
        let lib = session.nvml().lib();
        nvml_sym(lib.nvmlEventSetWait_v2.as_ref())?;
        nvml_sym(lib.nvmlDeviceRegisterEvents.as_ref())?;
        let create = nvml_sym(lib.nvmlEventSetCreate.as_ref())?;
        let mut raw: nvmlEventSet_t = std::ptr::null_mut();
        // SAFETY: the pointer is valid for the write of a handle.
        calls.during("nvmlEventSetCreate", || Fault::check(unsafe { create(&mut raw) }))?;
        Ok(Self { session: Arc::clone(session), calls: calls.clone(), raw })
    }

    /// Adds a device.
    ///
    /// # Errors
    /// The fault of the call: the device may have no events.
    pub(in crate::nvml) fn register(&self, handle: Handle) -> Result<(), Fault> {
        let register = nvml_sym(self.session.nvml().lib().nvmlDeviceRegisterEvents.as_ref())?;
        self.calls.during("nvmlDeviceRegisterEvents", || {
            // SAFETY: device and set belong to this session, and no other thread waits on the set.
            Fault::check(unsafe { register(handle.0, XID_CRITICAL, self.raw) })
        })
    }

    /// Waits for an XID error: the device and the code; `None` when none came in time.
    ///
    /// # Errors
    /// The fault of the call. It may have come at once.
    pub(in crate::nvml) fn wait(&self, wait_ms: u32) -> Result<Option<(Handle, u32)>, Fault> {
        let wait = nvml_sym(self.session.nvml().lib().nvmlEventSetWait_v2.as_ref())?;
        let device = std::ptr::null_mut();
        let mut data =
            nvmlEventData_t { device, eventType: 0, eventData: 0, gpuInstanceId: 0, computeInstanceId: 0 };
        let waited = self.calls.during("nvmlEventSetWait_v2", || {
            // SAFETY: the set belongs to this session and only this thread uses it; the pointer is valid for the write.
            Fault::check(unsafe { wait(self.raw, &mut data, wait_ms) })
        });
        match waited {
            Err(Fault::TIMEOUT) => Ok(None),
            Err(fault) => Err(fault),
            // XID numbers are below a thousand.
            Ok(()) => Ok((data.eventType & XID_CRITICAL != 0)
                .then(|| (Handle(data.device), u32::try_from(data.eventData).unwrap_or(u32::MAX)))),
        }
    }
}
