//! Board profiles: what is fixed about a product. Limits and clocks are the vendor's published ones where there are any.
use model::Watts;

/// The fixed properties of a board.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// The product's name as a driver gives it.
    pub model: &'static str,
    /// Smallest accepted power limit.
    pub limit_min: Watts,
    /// Largest and default power limit.
    pub limit_max: Watts,
    /// Power with no work, in watts.
    pub idle_w: f64,
    /// Power that the heaviest work would draw at the highest clock without a limit, in watts.
    pub full_w: f64,
    /// Highest SM clock, in hertz.
    pub clock_max_hz: f64,
    /// Lowest SM clock that a power limit or a brake can force, in hertz.
    pub clock_min_hz: f64,
    /// Memory clock, in hertz.
    pub memory_clock_hz: f64,
    /// Device memory, in bytes.
    pub memory_bytes: u64,
    /// Die temperature at which clocks are lowered, in celsius.
    pub slowdown_c: f64,
    /// Die temperature at which the board shuts down, in celsius.
    pub shutdown_c: f64,
    /// Highest temperature of the device memory, in celsius.
    pub memory_max_c: f64,
    /// Rise of temperature per watt with a sound cooler, in celsius. An assumption: about 70 °C at the default limit.
    pub celsius_per_watt: f64,
    /// PCIe generation.
    pub pcie_generation: u32,
    /// PCIe lanes.
    pub pcie_lanes: u32,
}

/// H100 SXM5: limits 200 to 700 W and 1980 MHz as NVIDIA's DGX H100 documents give them.
pub const H100: Profile = Profile {
    model: "NVIDIA H100 80GB HBM3",
    limit_min: Watts(200.0),
    limit_max: Watts(700.0),
    idle_w: 72.0,
    full_w: 760.0,
    clock_max_hz: 1980e6,
    clock_min_hz: 345e6,
    memory_clock_hz: 2619e6,
    memory_bytes: 80 << 30,
    slowdown_c: 87.0,
    shutdown_c: 92.0,
    memory_max_c: 95.0,
    celsius_per_watt: 0.055,
    pcie_generation: 5,
    pcie_lanes: 16,
};

/// A100 SXM4: limits 100 to 400 W and 1410 MHz; idle power 63 W as in splitwise-sim's constants.
pub const A100: Profile = Profile {
    model: "NVIDIA A100-SXM4-80GB",
    limit_min: Watts(100.0),
    limit_max: Watts(400.0),
    idle_w: 63.0,
    full_w: 430.0,
    clock_max_hz: 1410e6,
    clock_min_hz: 288e6,
    memory_clock_hz: 1593e6,
    memory_bytes: 80 << 30,
    slowdown_c: 89.0,
    shutdown_c: 92.0,
    memory_max_c: 95.0,
    celsius_per_watt: 0.095,
    pcie_generation: 4,
    pcie_lanes: 16,
};

impl Profile {
    /// The code under which plain state refers to a profile.
    pub fn code(&self) -> u32 {
        u32::from(self.model == A100.model)
    }

    /// The profile of a code; an unknown one is an H100.
    pub fn of(code: u32) -> &'static Self {
        if code == 1 { &A100 } else { &H100 }
    }

    /// The profile with a short name: `h100` or `a100`.
    pub fn named(name: &str) -> Option<&'static Self> {
        match name {
            "h100" => Some(&H100),
            "a100" => Some(&A100),
            _ => None,
        }
    }
}
