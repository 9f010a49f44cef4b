//! One opened DCMI: its functions in both forms, and how a place chooses between them.
use super::codes::CODES;
use super::{LIBRARY, PACKAGED};
use crate::library::{Fault, Library, ask, functions};
use model::error::Reason;
use model::{Calls, OpenError};
use std::ffi::{c_int, c_uint, c_void};
use std::path::Path;

functions! {
    /// The functions that are asked for, by card and device, and flat. A setter is not among them.
    pub(super) struct Dcmi {
        dcmi_init: fn();
        dcmi_get_card_list: fn(*mut c_int, *mut c_int, c_int);
        dcmi_get_device_num_in_card: fn(c_int, *mut c_int);
        dcmi_get_device_die_v2: fn(c_int, c_int, c_uint, *mut c_void);
        dcmi_get_device_chip_info: fn(c_int, c_int, *mut c_void);
        dcmi_get_device_pcie_info_v2: fn(c_int, c_int, *mut c_void);
        dcmi_get_device_power_info: fn(c_int, c_int, *mut c_int);
        dcmi_get_device_health: fn(c_int, c_int, *mut c_uint);
        dcmi_get_device_errorcode_v2: fn(c_int, c_int, *mut c_int, *mut c_uint, c_uint);
        dcmi_get_device_temperature: fn(c_int, c_int, *mut c_int);
        dcmi_get_device_voltage: fn(c_int, c_int, *mut c_uint);
        dcmi_get_device_frequency: fn(c_int, c_int, c_uint, *mut c_uint);
        dcmi_get_device_hbm_info: fn(c_int, c_int, *mut c_void);
        dcmi_get_device_utilization_rate: fn(c_int, c_int, c_int, *mut c_uint);
        dcmi_get_device_ecc_info: fn(c_int, c_int, c_uint, *mut c_void);
        dcmi_get_device_resource_info: fn(c_int, c_int, *mut c_void, *mut c_int);
        dcmiv2_init: fn();
        dcmiv2_get_device_list: fn(*mut c_int, *mut c_int, c_int);
        dcmiv2_get_device_die: fn(c_int, c_uint, *mut c_void);
        dcmiv2_get_device_die_id: fn(c_int, c_uint, *mut c_void);
        dcmiv2_get_device_chip_info: fn(c_int, *mut c_void);
        dcmiv2_get_device_pcie_info: fn(c_int, *mut c_void);
        dcmiv2_get_device_power_info: fn(c_int, *mut c_int);
        dcmiv2_get_device_health: fn(c_int, *mut c_uint);
        dcmiv2_get_device_errorcode: fn(c_int, *mut c_int, *mut c_uint, c_uint);
        dcmiv2_get_device_temperature: fn(c_int, *mut c_int);
        dcmiv2_get_device_voltage: fn(c_int, *mut c_uint);
        dcmiv2_get_device_frequency: fn(c_int, c_uint, *mut c_uint);
        dcmiv2_get_device_hbm_info: fn(c_int, *mut c_void);
        dcmiv2_get_device_utilization_rate: fn(c_int, c_int, *mut c_uint);
        dcmiv2_get_device_ecc_info: fn(c_int, c_uint, *mut c_void);
        dcmiv2_get_device_resource_info: fn(c_int, *mut c_void, *mut c_int);
        dcmiv2_get_device_proc_mem_info: fn(c_int, *mut c_void, *mut c_int);
    }
}

/// Where a device is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// By card, and device in the card.
    Card(c_int, c_int),
    /// By a number of its own.
    Flat(c_int),
}

/// An initialised library. DCMI has no function to end it.
pub(super) struct Session {
    pub(super) table: Dcmi,
    pub(super) calls: Calls,
    pub(super) flat: bool,
    /// Dropped last: the table points into it.
    _library: Library,
}

/// Asks a function in the form that fits the place.
macro_rules! at {
    ($session:expr, $place:expr, $by_card:ident | $flat:ident ($($argument:expr),* $(,)?)) => {
        match $place {
            $crate::ascend::session::Place::Card(card, device) => {
                $crate::library::ask!($session, $by_card(card, device, $($argument),*))
            }
            $crate::ascend::session::Place::Flat(device) => {
                $crate::library::ask!($session, $flat(device, $($argument),*))
            }
        }
    };
}
pub(super) use at;

impl Session {
    /// Loads and starts a library; `None` when the host has none and the operator named none.
    ///
    /// # Errors
    /// When a named library is not there, or one is there and is not DCMI or does not start.
    pub(super) fn open(path: &Path, calls: &Calls) -> Result<Option<Self>, OpenError> {
        let mut library = Library::load(path, LIBRARY)?;
        for packaged in PACKAGED {
            if library.is_none() {
                library = Library::load(Path::new(packaged), packaged)?;
            }
        }
        let Some(library) = library else { return Ok(None) };
        let table = Dcmi::resolve(&library);
        // The flat form is preferred where a library has it: newer parts have no other.
        let flat = table.dcmiv2_init.is_some() && table.dcmiv2_get_device_list.is_some();
        let by_card = table.dcmi_init.is_some()
            && table.dcmi_get_card_list.is_some()
            && table.dcmi_get_device_num_in_card.is_some();
        let what = || format!("open DCMI ({})", path.display());
        if !flat && !by_card {
            let cause = "it lacks functions that nothing can be read without; is it libdcmi.so?";
            return Err(OpenError::new(what(), Reason::SymbolMissing).because(cause));
        }
        let session = Self { table, calls: calls.clone(), flat, _library: library };
        let started = if flat { ask!(session, dcmiv2_init()) } else { ask!(session, dcmi_init()) };
        match started {
            Ok(()) => Ok(Some(session)),
            Err(fault) => Err(OpenError::new(what(), fault.reason()).because(fault)),
        }
    }

    /// The same session without the flat form.
    pub(super) fn by_card(mut self) -> Self {
        self.flat = false;
        let _: Result<(), Fault> = ask!(self, dcmi_init());
        self
    }
}
