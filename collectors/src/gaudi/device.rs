//! Which devices HLML lists, and who each is.
use super::calls::CALLS;
use super::session::{CODES, Handle, Place, Session};
use crate::library::{Fault, Room, Scope, ask};
use crate::listed::{Call, Seat, Vendor};
use model::{Batch, DeviceInfo, DeviceKind, Timestamp};
use std::ffi::c_uint;

impl Vendor for Session {
    type Place = Place;
    type Memory = ();

    fn list(&self) -> Result<Vec<Place>, Fault> {
        let mut count: c_uint = 0;
        ask!(self, hlml_device_get_count(&mut count))?;
        let mut places = Vec::new();
        // A node has eight; a count beyond what a table holds is a broken answer.
        for index in 0..count.min(64) {
            let mut handle: Handle = std::ptr::null_mut();
            match ask!(self, hlml_device_get_handle_by_index(index, &mut handle)) {
                Ok(()) => places.push(Place(handle)),
                Err(fault) if fault.scope == Scope::Library => return Err(fault),
                Err(_) => {}
            }
        }
        Ok(places)
    }

    fn identify(&self, Place(handle): Place, number: usize) -> Result<DeviceInfo, Fault> {
        let uuid = self.text(|out, length| ask!(self, hlml_device_get_uuid(handle, out, length)))?;
        if uuid.is_empty() {
            return Err(Fault::UNREADABLE);
        }
        let name = self.text(|out, length| ask!(self, hlml_device_get_name(handle, out, length)));
        let serial = self.text(|out, length| ask!(self, hlml_device_get_serial(handle, out, length)));
        let firmware =
            self.text(|out, length| ask!(self, hlml_get_firmware_spi_version(handle, out, length)));
        let driver = self.text(|out, length| ask!(self, hlml_get_driver_version(out, length)));
        let mut room = Room::new();
        let pci = ask!(self, hlml_device_get_pci_info(handle, room.out()));
        // hlml_pci_info_t begins with the bus number; then comes a text that ends in a zero, of 15 bytes and lately of 19.
        let pci = pci.map(|()| room.text(4, 19));
        let known = |(name, value): (&str, Result<String, Fault>)| {
            value.ok().filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value))
        };
        Ok(DeviceInfo {
            name: format!("gaudi{number}"),
            model: name.unwrap_or_default(),
            vendor: model::Vendor::Intel,
            attributes: [("pci", pci), ("serial", serial), ("driver", driver), ("firmware", firmware)]
                .into_iter()
                .filter_map(known)
                .collect(),
            ..DeviceInfo::new(DeviceKind::Npu, uuid)
        })
    }

    fn calls() -> &'static [Call<Self>] {
        CALLS
    }

    fn add(&self, _: &mut Seat<Self>, _: Timestamp, _: &mut Batch) -> Result<(), Fault> {
        // HLML has no call for the processes of a device.
        Ok(())
    }
}
