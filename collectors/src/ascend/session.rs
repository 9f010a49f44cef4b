//! One opened DCMI: its functions in both forms, and who its devices are.
use super::calls::CALLS;
use super::codes::CODES;
use super::extra;
use super::{LIBRARY, PACKAGED};
use crate::library::{Fault, Library, Room, Scope, ask, functions};
use crate::listed::{Call, Seat, Vendor};
use model::error::Reason;
use model::{Batch, Calls, DeviceInfo, DeviceKind, OpenError, Timestamp};
use std::ffi::{c_int, c_uint, c_void};
use std::path::Path;

/// The most cards and devices that are listed.
const DEVICES_MAX: u8 = 64;
/// The die that identifies a device, as the header numbers dies.
const VDIE: c_uint = 1;

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
        dcmi_get_device_resource_info: fn(c_int, c_int, *mut c_void, *mut c_int);
        dcmiv2_init: fn();
        dcmiv2_get_device_list: fn(*mut c_int, *mut c_int, c_int);
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
    flat: bool,
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

    fn cards(&self) -> Result<Vec<Place>, Fault> {
        let (mut count, mut cards): (c_int, _) = (0, [0; DEVICES_MAX as usize]);
        let room = c_int::from(DEVICES_MAX);
        ask!(self, dcmi_get_card_list(&mut count, cards.as_mut_ptr(), room))?;
        let mut places = Vec::new();
        for card in cards.into_iter().take(usize::try_from(count).unwrap_or(0)) {
            let mut devices: c_int = 0;
            match ask!(self, dcmi_get_device_num_in_card(card, &mut devices)) {
                Ok(()) => places.extend((0..devices.clamp(0, room)).map(|device| Place::Card(card, device))),
                Err(fault) if fault.scope == Scope::Library => return Err(fault),
                Err(_) => {}
            }
        }
        places.truncate(DEVICES_MAX.into());
        Ok(places)
    }

    fn flat(&self) -> Result<Vec<Place>, Fault> {
        let (mut count, mut devices): (c_int, _) = (0, [0; DEVICES_MAX as usize]);
        ask!(self, dcmiv2_get_device_list(devices.as_mut_ptr(), &mut count, DEVICES_MAX.into()))?;
        Ok(devices.into_iter().take(usize::try_from(count).unwrap_or(0)).map(Place::Flat).collect())
    }

    /// The PCI address; `None` where it is not given.
    fn pci(&self, place: Place) -> Option<String> {
        let mut room = Room::new();
        at!(self, place, dcmi_get_device_pcie_info_v2 | dcmiv2_get_device_pcie_info(room.out())).ok()?;
        // dcmi_pcie_info_all: four ids, domain, bus, device, function.
        let [domain, bus, device, function] = [16, 20, 24, 28].map(|at| room.u32(at));
        (domain <= 0xffff && bus <= 0xff && device <= 0x1f && function <= 7)
            .then(|| format!("{domain:04x}:{bus:02x}:{device:02x}.{function}"))
    }
}

impl Vendor for Session {
    type Place = Place;
    type Memory = extra::Memory;

    fn list(&self) -> Result<Vec<Place>, Fault> {
        if self.flat { self.flat() } else { self.cards() }
    }

    fn identify(&self, place: Place, number: usize) -> Result<DeviceInfo, Fault> {
        let mut die = Room::new();
        at!(self, place, dcmi_get_device_die_v2 | dcmiv2_get_device_die_id(VDIE, die.out()))?;
        let words = [0, 4, 8, 12, 16].map(|at| die.u32(at));
        if words == [0; 5] {
            return Err(Fault::UNREADABLE);
        }
        let key = words.map(|word| format!("{word:08X}")).join("-");
        let mut chip = Room::new();
        let known = at!(self, place, dcmi_get_device_chip_info | dcmiv2_get_device_chip_info(chip.out()));
        // dcmi_chip_info: type, name and version, 32 bytes each.
        let texts = known.map(|()| (chip.text(0, 32), chip.text(32, 32), chip.text(64, 32)));
        let (kind, name, version) = texts.unwrap_or_default();
        let model = format!("{kind} {name}").trim().to_owned();
        let attributes = [("pci", self.pci(place).unwrap_or_default()), ("chip_version", version)];
        Ok(DeviceInfo {
            name: format!("ascend{number}"),
            model,
            vendor: model::Vendor::Huawei,
            attributes: attributes
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            ..DeviceInfo::new(DeviceKind::Npu, key)
        })
    }

    fn calls() -> &'static [Call<Self>] {
        CALLS
    }

    fn add(&self, seat: &mut Seat<Self>, now: Timestamp, batch: &mut Batch) -> Result<(), Fault> {
        extra::add(self, seat, now, batch)
    }
}
