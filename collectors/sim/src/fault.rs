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
    /// The board gets less done at the same clock: a third of each pipe's work is lost while it looks as busy.
    Straggler,
    /// The clock is held at three quarters of its highest, and no reason is given.
    DownClock,
    /// The work's memory grows steadily until nearly all of it is used.
    MemoryLeak,
    /// The cooler sits badly: a third more rise per watt, too little for a slowdown.
    BadSeat,
    /// A neighbour on the host takes the processors that feed the board and the others of its NUMA node.
    Neighbour,
    /// PCIe packets are sent again, two a second.
    PcieReplays,
    /// A row of device memory waits for a reset to be replaced.
    RemapPending,
    /// A row of device memory could not be replaced.
    RemapFailed,
    /// Memory errors that ECC corrects, two a second.
    EccCorrected,
    /// One link to the other boards is down.
    LinkDown,
    /// Errors on the links to the other boards, two a second.
    LinkErrors,
    /// The chassis fan in front of the board stands still.
    FanStop,
    /// The driver answers for the board ever more slowly.
    SlowAnswers,
    /// The driver no longer gives the temperature of the board's memory.
    Vanished,
    /// The cooler wears: the rise per watt grows by a quarter a day.
    HeatCreep,
    /// A service of the host takes ever more of its memory.
    HostLeak,
    /// A process of the control group that has the board takes ever more of the group's memory.
    GroupLeak,
    /// The board's job fills the page cache, and then stops: no fault, though it looks like one at first.
    CacheFills,
    /// A process of the board's job fills a pool of its own, which no kernel can take back, and then stops: no fault either.
    PoolFills,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 26] = [
        Self::Lost,
        Self::StuckSensor,
        Self::Cooler,
        Self::PowerBrake,
        Self::PcieWidth,
        Self::CapNotHeld,
        Self::Hang,
        Self::Straggler,
        Self::DownClock,
        Self::MemoryLeak,
        Self::BadSeat,
        Self::Neighbour,
        Self::PcieReplays,
        Self::RemapPending,
        Self::RemapFailed,
        Self::EccCorrected,
        Self::LinkDown,
        Self::LinkErrors,
        Self::FanStop,
        Self::SlowAnswers,
        Self::Vanished,
        Self::HeatCreep,
        Self::HostLeak,
        Self::GroupLeak,
        Self::CacheFills,
        Self::PoolFills,
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
            Self::Straggler => "straggler",
            Self::DownClock => "down_clock",
            Self::MemoryLeak => "memory_leak",
            Self::BadSeat => "bad_seat",
            Self::Neighbour => "neighbour",
            Self::PcieReplays => "pcie_replays",
            Self::RemapPending => "remap_pending",
            Self::RemapFailed => "remap_failed",
            Self::EccCorrected => "ecc_corrected",
            Self::LinkDown => "link_down",
            Self::LinkErrors => "link_errors",
            Self::FanStop => "fan_stop",
            Self::SlowAnswers => "slow_answers",
            Self::Vanished => "vanished",
            Self::HeatCreep => "heat_creep",
            Self::HostLeak => "host_leak",
            Self::GroupLeak => "group_leak",
            Self::CacheFills => "cache_fills",
            Self::PoolFills => "pool_fills",
        }
    }

    /// The fault with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == name)
    }
}
