//! PCI addresses, in the spellings of kernel, drivers and libraries.

/// Where a device is on the PCI bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// The domain; sixteen bits, or thirty-two where a hypervisor makes some up.
    pub domain: u32,
    /// The bus.
    pub bus: u8,
    /// The device on the bus.
    pub device: u8,
    /// The function of the device; 0 where the text does not name it.
    pub function: u8,
}

impl PciAddress {
    /// An address as the kernel (`0000:3b:00.0`), NVML (`00000000:3B:00.0`) or an XID line (`0000:3b:00`) writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (domain, bus, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let (device, function) = rest.split_once('.').unwrap_or((rest, "0"));
        let digits = |text: &str, most: usize| {
            let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            (hex && (1..=most).contains(&text.len())).then(|| u32::from_str_radix(text, 16).ok())?
        };
        if parts.next().is_some() || domain.len() < 4 || bus.len() != 2 || device.len() != 2 {
            return None;
        }
        Some(Self {
            domain: digits(domain, 8)?,
            bus: digits(bus, 2)?.try_into().ok()?,
            device: digits(device, 2)?.try_into().ok().filter(|device| *device < 32)?,
            function: digits(function, 1)?.try_into().ok().filter(|function| *function < 8)?,
        })
    }

    /// Whether both are of one board: a GPU's sound is another function of it.
    pub fn same_slot(self, other: Self) -> bool {
        Self { function: 0, ..self } == Self { function: 0, ..other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_the_same_address() {
        let address = PciAddress { domain: 0, bus: 0x3b, device: 0, function: 0 };
        for text in ["0000:3b:00.0", "00000000:3B:00.0", "0000:3b:00"] {
            assert_eq!(PciAddress::parse(text), Some(address), "{text}");
        }
        let other = PciAddress::parse("10002:c1:1f.7").unwrap();
        assert_eq!((other.domain, other.device, other.function), (0x10002, 0x1f, 7));
        assert!(address.same_slot(PciAddress { function: 1, ..address }) && !address.same_slot(other));
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            ":",
            "::",
            "0000:3b",
            "3b:00.0",
            "0000:3b:00.8",
            "0000:3b:20.0",
            "0000:3b:00.",
            "0000:3b:00.00",
            "0000:3b:00:0",
            "00x0:3b:00.0",
            "+000:3b:00.0",
            "000000000:3b:00.0",
            "0000:3b:0.0",
            "GPU-3b:00:00.0",
        ] {
            assert_eq!(PciAddress::parse(text), None, "{text}");
        }
    }
}
