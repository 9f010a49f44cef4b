//! One opened HLML: its functions and its codes.
use super::{LIBRARY, PACKAGED};
use crate::library::{Codes, Fault, Library, Room, Scope, ask, functions};
use model::error::Reason;
use model::{Absence, Calls, OpenError};
use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::path::Path;

/// A device's handle as the library gives it.
pub(super) type Handle = *mut c_void;

functions! {
    /// The functions of `hlml.h` that are asked for. A setter is not among them.
    pub(super) struct Hlml {
        hlml_init: fn();
        hlml_shutdown: fn();
        hlml_device_get_count: fn(*mut c_uint);
        hlml_device_get_handle_by_index: fn(c_uint, *mut Handle);
        hlml_device_get_uuid: fn(Handle, *mut u8, c_uint);
        hlml_device_get_name: fn(Handle, *mut u8, c_uint);
        hlml_device_get_serial: fn(Handle, *mut u8, c_uint);
        hlml_device_get_pci_info: fn(Handle, *mut c_void);
        hlml_get_driver_version: fn(*mut u8, c_uint);
        hlml_device_get_utilization_rates: fn(Handle, *mut c_void);
        hlml_device_get_memory_info: fn(Handle, *mut c_void);
        hlml_device_get_power_usage: fn(Handle, *mut c_uint);
        hlml_device_get_total_energy_consumption: fn(Handle, *mut c_ulonglong);
        hlml_device_get_power_management_default_limit: fn(Handle, *mut c_uint);
        hlml_device_get_temperature: fn(Handle, c_uint, *mut c_uint);
        hlml_device_get_temperature_threshold: fn(Handle, c_uint, *mut c_uint);
        hlml_device_get_clock_info: fn(Handle, c_uint, *mut c_uint);
        hlml_device_get_max_clock_info: fn(Handle, c_uint, *mut c_uint);
        hlml_device_get_current_clocks_throttle_reasons: fn(Handle, *mut c_ulonglong);
        hlml_device_get_ecc_mode: fn(Handle, *mut c_uint, *mut c_uint);
        hlml_device_get_total_ecc_errors: fn(Handle, c_uint, c_uint, *mut c_ulonglong);
        hlml_device_get_pcie_replay_counter: fn(Handle, *mut c_uint);
        hlml_device_get_curr_pcie_link_generation: fn(Handle, *mut c_uint);
        hlml_device_get_curr_pcie_link_width: fn(Handle, *mut c_uint);
        hlml_device_get_memory_error_counter: fn(Handle, c_uint, c_uint, c_uint, *mut c_ulonglong);
        hlml_device_get_replaced_rows: fn(Handle, c_uint, *mut c_uint, *mut c_void);
        hlml_device_get_replaced_rows_pending_status: fn(Handle, *mut c_uint);
        hlml_get_firmware_spi_version: fn(Handle, *mut u8, c_uint);
        hlml_get_mac_addr_info: fn(Handle, *mut u64, *mut u64);
        hlml_nic_get_link: fn(Handle, u32, *mut u8);
    }
}

const fn code(code: c_int, name: &'static str, absence: Absence, scope: Scope) -> Fault {
    Fault { code, name, absence, scope }
}

/// The return codes of `hlml.h`.
pub(super) const CODES: Codes = Codes(&[
    code(1, "UNINITIALIZED", Absence::Lost, Scope::Library),
    code(2, "INVALID_ARGUMENT", Absence::Unsupported, Scope::Value),
    code(3, "NOT_SUPPORTED", Absence::Unsupported, Scope::Never),
    code(5, "ALREADY_INITIALIZED", Absence::Lost, Scope::Value),
    code(6, "NOT_FOUND", Absence::Lost, Scope::Device),
    code(7, "INSUFFICIENT_SIZE", Absence::Implausible, Scope::Value),
    code(9, "DRIVER_NOT_LOADED", Absence::Lost, Scope::Library),
    code(10, "TIMEOUT", Absence::Late, Scope::Value),
    code(15, "AIP_IS_LOST", Absence::Lost, Scope::Device),
    code(20, "MEMORY", Absence::Lost, Scope::Value),
    code(21, "NO_DATA", Absence::Late, Scope::Value),
    code(49, "UNKNOWN", Absence::Lost, Scope::Value),
]);

/// An initialised library; dropping it shuts the library down.
pub(super) struct Session {
    pub(super) table: Hlml,
    pub(super) calls: Calls,
    /// Dropped last: the table points into it.
    _library: Library,
}

/// Where a device is listed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place(pub(super) Handle);

// SAFETY: HLML's handles are opaque values; they are never followed here, and used by one thread at a time.
unsafe impl Send for Place {}

impl Session {
    /// Loads and starts a library; `None` when the host has none and the operator named none.
    ///
    /// # Errors
    /// When a named library is not there, or one is there and is not HLML or does not start.
    pub(super) fn open(path: &Path, calls: &Calls) -> Result<Option<Self>, OpenError> {
        let mut library = Library::load(path, LIBRARY)?;
        if library.is_none() {
            library = Library::load(Path::new(PACKAGED), PACKAGED)?;
        }
        let Some(library) = library else { return Ok(None) };
        let table = Hlml::resolve(&library);
        let what = || format!("open HLML ({})", path.display());
        let needed = table.hlml_init.is_some()
            && table.hlml_shutdown.is_some()
            && table.hlml_device_get_count.is_some()
            && table.hlml_device_get_handle_by_index.is_some()
            && table.hlml_device_get_uuid.is_some();
        if !needed {
            let cause = "it lacks functions that nothing can be read without; is it libhlml.so?";
            return Err(OpenError::new(what(), Reason::SymbolMissing).because(cause));
        }
        let session = Self { table, calls: calls.clone(), _library: library };
        match ask!(session, hlml_init()) {
            Ok(()) => Ok(Some(session)),
            // Another user of the library in this process has started it, and ends it.
            Err(Fault { code: 5, .. }) => {
                let mut session = session;
                session.table.hlml_shutdown = None;
                Ok(Some(session))
            }
            Err(fault) => {
                let reason = if fault.code == 9 { Reason::Missing } else { fault.reason() };
                // It was not started, so it is not shut down.
                let mut session = session;
                session.table.hlml_shutdown = None;
                Err(OpenError::new(what(), reason).because(fault))
            }
        }
    }

    /// A text that a function writes.
    pub(super) fn text(
        &self,
        read: impl FnOnce(*mut u8, c_uint) -> Result<(), Fault>,
    ) -> Result<String, Fault> {
        let mut room = Room::new();
        // The header's fields are shorter; what a library writes beyond still has room.
        read(room.out(), 96)?;
        Ok(room.text(0, 96))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What a library says while it is shut down is of no use to anybody.
        let _: Result<(), Fault> = ask!(self, hlml_shutdown());
    }
}
