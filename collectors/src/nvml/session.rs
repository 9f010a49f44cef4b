//! One opened library, who holds it, and one of its devices for the time of a call.
use super::codes::Fault;
use super::raw::{self, Handle, LoadError};
use model::error::Reason;
use model::{Calls, OpenError};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The library that a host without NVIDIA's driver may lack without that being an error.
const DEFAULT_LIBRARY: &str = "libnvidia-ml.so.1";

/// An initialised library; dropping it shuts the library down.
#[derive(Debug)]
pub(super) struct Session {
    nvml: Nvml,
    library: PathBuf,
    /// The driver behind the library is gone or another one. The loader gives the same library back as long as anybody
    /// holds it, so that everybody has to let go before a new one can be loaded.
    condemned: AtomicBool,
}

impl Session {
    /// Loads and starts a library; `None` when the host has no driver and the operator named no library.
    ///
    /// # Errors
    /// When a named library is not there, or a library is there and does not start.
    pub(super) fn open(library: &Path, calls: &Calls) -> Result<Option<Self>, OpenError> {
        let what = || format!("open NVML ({})", library.display());
        match calls.during("nvmlInit_v2", || raw::load(library)) {
            Ok(nvml) => {
                let (library, condemned) = (library.to_owned(), AtomicBool::new(false));
                Ok(Some(Self { nvml, library, condemned }))
            }
            Err(LoadError::NotFound(_)) if library == Path::new(DEFAULT_LIBRARY) => Ok(None),
            Err(LoadError::NotFound(cause)) => Err(OpenError::new(what(), Reason::Missing).because(cause)),
            Err(LoadError::Failed(reason, cause)) => Err(OpenError::new(what(), reason).because(cause)),
        }
    }

    /// The wrapper, for calls on the library itself.
    pub(super) fn nvml(&self) -> &Nvml {
        &self.nvml
    }

    /// Whether everybody is to let go of this library.
    pub(super) fn condemned(&self) -> bool {
        self.condemned.load(Ordering::Acquire)
    }

    /// Asks the library whether its driver is still there, after an answer that says no. When it is not, whoever holds the
    /// library is to let go, and those that only lease it are made to.
    pub(super) fn confirm(&self, calls: &Calls) {
        if self.count(calls).is_err_and(Fault::library_gone) {
            self.condemn();
        }
    }

    /// Makes everybody let go.
    pub(super) fn condemn(&self) {
        self.condemned.store(true, Ordering::Release);
        let held = |(_, slot): &(PathBuf, Weak<Slot>)| slot.upgrade().and_then(|slot| lock(&slot).take());
        let of_it = |(library, _): &&(PathBuf, Weak<Slot>)| *library == self.library;
        let held: Vec<_> = leases().iter().filter(of_it).filter_map(held).collect();
        // What is dropped here may shut the library down, which may hang; nobody waits for the list meanwhile.
        drop(held);
    }

    /// How many devices there are, lost ones included.
    ///
    /// # Errors
    /// The fault of the call.
    pub(super) fn count(&self, calls: &Calls) -> Result<u32, Fault> {
        Ok(calls.during("nvmlDeviceGetCount_v2", || self.nvml.device_count())?)
    }

    /// The driver's version.
    ///
    /// # Errors
    /// The fault of the call.
    pub(super) fn driver(&self, calls: &Calls) -> Result<String, Fault> {
        Ok(calls.during("nvmlSystemGetDriverVersion", || self.nvml.sys_driver_version())?)
    }

    /// The handle of a position.
    ///
    /// # Errors
    /// The fault of the call.
    pub(super) fn handle(&self, index: u32, calls: &Calls) -> Result<Handle, Fault> {
        let device = calls.during("nvmlDeviceGetHandleByIndex_v2", || self.nvml.device_by_index(index))?;
        Ok(Handle::of(&device))
    }

    /// The handle of an identity.
    ///
    /// # Errors
    /// The fault of the call.
    pub(super) fn find(&self, uuid: &str, calls: &Calls) -> Result<Handle, Fault> {
        let device = calls.during("nvmlDeviceGetHandleByUUID", || self.nvml.device_by_uuid(uuid))?;
        Ok(Handle::of(&device))
    }

    /// The device of a handle, for the time of some calls.
    pub(super) fn gpu<'a>(&'a self, handle: Handle, calls: &'a Calls) -> Gpu<'a> {
        Gpu { device: handle.device(&self.nvml), handle, calls, orphaned: Cell::new(false) }
    }
}

/// A device for the time of some calls, each of which is accounted for.
pub(super) struct Gpu<'a> {
    device: Device<'a>,
    handle: Handle,
    calls: &'a Calls,
    orphaned: Cell<bool>,
}

impl<'a> Gpu<'a> {
    /// Makes a call of the safe wrapper under the name that the library gives it.
    ///
    /// # Errors
    /// The fault of the call.
    pub(super) fn call<T>(
        &self,
        function: &'static str,
        work: impl FnOnce(&Device<'a>) -> Result<T, NvmlError>,
    ) -> Result<T, Fault> {
        self.during(function, || work(&self.device).map_err(Fault::from))
    }

    /// Accounts for a call.
    ///
    /// # Errors
    /// The fault of the call.
    pub(super) fn during<T>(
        &self,
        function: &'static str,
        work: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let done = self.calls.during(function, work);
        if done.as_ref().is_err_and(|fault| fault.library_gone()) {
            self.orphaned.set(true);
        }
        done
    }

    /// Whether an answer said that there is no driver any more. One function that says so proves nothing.
    pub(super) fn orphaned(&self) -> bool {
        self.orphaned.get()
    }

    /// The handle of this device.
    pub(super) fn handle(&self) -> Handle {
        self.handle
    }

    /// A device beside this one, such as an instance of it.
    pub(super) fn beside(&self, handle: Handle) -> Self {
        let device = handle.device(self.device.nvml());
        Self { device, handle, calls: self.calls, orphaned: Cell::new(false) }
    }

    /// The library.
    pub(super) fn nvml(&self) -> &'a Nvml {
        self.device.nvml()
    }

    /// The account of the calls.
    pub(super) fn calls(&self) -> &'a Calls {
        self.calls
    }
}

type Slot = Mutex<Option<Arc<Session>>>;

/// Who leases which library.
static LEASES: Mutex<Vec<(PathBuf, Weak<Slot>)>> = Mutex::new(Vec::new());

fn leases() -> std::sync::MutexGuard<'static, Vec<(PathBuf, Weak<Slot>)>> {
    LEASES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock(slot: &Slot) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A library that is held until it is condemned, and then opened again when it is next needed. For those whom nobody drops:
/// actuators and the sources of the reflex.
#[derive(Debug)]
pub(super) struct Lease {
    library: PathBuf,
    slot: Arc<Slot>,
    calls: Calls,
}

impl Lease {
    /// Takes a lease of an opened library.
    pub(super) fn new(session: Session, calls: &Calls) -> Self {
        let library = session.library.clone();
        let slot = Arc::new(Mutex::new(Some(Arc::new(session))));
        let mut leases = leases();
        leases.retain(|(_, slot)| slot.strong_count() > 0);
        leases.push((library.clone(), Arc::downgrade(&slot)));
        Self { library, slot, calls: calls.clone() }
    }

    /// The library, opened again where that is needed. What is given is to be dropped after use.
    ///
    /// # Errors
    /// When it does not open.
    pub(super) fn session(&self) -> Result<Arc<Session>, OpenError> {
        if let Some(session) = lock(&self.slot).as_ref() {
            return Ok(Arc::clone(session));
        }
        // The slot is free meanwhile, so that nobody waits for a driver that hangs.
        let missing = || OpenError::new(format!("open NVML ({})", self.library.display()), Reason::Missing);
        let session = Arc::new(Session::open(&self.library, &self.calls)?.ok_or_else(missing)?);
        *lock(&self.slot) = Some(Arc::clone(&session));
        Ok(session)
    }

    /// The account of the calls.
    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }
}
