//! Faults that can be put into a board and taken out again.

/// What can be wrong with a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The board has fallen off the bus.
    Lost,
    /// The power sensor repeats its last value.
    StuckSensor,
    /// The cooler is blocked: twice the rise per watt.
    Cooler,
    /// An external brake holds the clock at its lowest.
    PowerBrake,
    /// The PCIe link runs on a quarter of its lanes.
    PcieWidth,
    /// The board draws a fifth more than its limit, as some do near their floor.
    CapNotHeld,
    /// The driver's calls for the board do not return.
    Hang,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] = [
        Self::Lost,
        Self::StuckSensor,
        Self::Cooler,
        Self::PowerBrake,
        Self::PcieWidth,
        Self::CapNotHeld,
        Self::Hang,
    ];

    /// The bit under which plain state keeps it.
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// The word by which tools name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::StuckSensor => "stuck_sensor",
            Self::Cooler => "cooler",
            Self::PowerBrake => "power_brake",
            Self::PcieWidth => "pcie_width",
            Self::CapNotHeld => "cap_not_held",
            Self::Hang => "hang",
        }
    }

    /// The fault with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == name)
    }
}
