//! Which devices DCMI lists, and who each is.
use super::calls::CALLS;
use super::codes::CODES;
use super::extra;
use super::session::{Place, Session, at};
use crate::library::{Fault, Room, Scope, ask};
use crate::listed::{Call, Seat, Vendor};
use model::{Batch, DeviceInfo, DeviceKind, Timestamp};
use std::ffi::{c_int, c_uint};

/// The most cards and devices that are listed.
const DEVICES_MAX: u8 = 64;
/// The die that identifies a device, as the header numbers dies.
const VDIE: c_uint = 1;

impl Session {
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

    /// The die that identifies a device.
    fn die(&self, place: Place) -> Result<String, Fault> {
        let mut die = Room::new();
        let asked = at!(self, place, dcmi_get_device_die_v2 | dcmiv2_get_device_die(VDIE, die.out()));
        match (asked, place) {
            (Err(Fault::MISSING), Place::Flat(device)) => {
                ask!(self, dcmiv2_get_device_die_id(device, VDIE, die.out()))?;
            }
            (asked, _) => asked?,
        }
        let words = [0, 4, 8, 12, 16].map(|at| die.u32(at));
        if words == [0; 5] {
            return Err(Fault::UNREADABLE);
        }
        Ok(words.map(|word| format!("{word:08X}")).join("-"))
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
        let pci = self.pci(place);
        let key = match self.die(place) {
            Ok(die) => die,
            // A serial number would be the board's, and a board may have several dies.
            Err(fault) => pci.clone().ok_or(fault)?,
        };
        let mut chip = Room::new();
        let known = at!(self, place, dcmi_get_device_chip_info | dcmiv2_get_device_chip_info(chip.out()));
        // dcmi_chip_info: type, name and version, 32 bytes each.
        let texts = known.map(|()| (chip.text(0, 32), chip.text(32, 32), chip.text(64, 32)));
        let (kind, name, version) = texts.unwrap_or_default();
        let model = format!("{kind} {name}").trim().to_owned();
        let attributes = [("pci", pci.unwrap_or_default()), ("chip_version", version)];
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
