//! Board profiles: what is fixed about a product. Limits and clocks are the vendor's published ones where there are any.
use model::{DeviceKind, Vendor, Watts};

/// The fixed properties of a board.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// A short name for configuration and tools.
    pub short: &'static str,
    /// The maker.
    pub vendor: Vendor,
    /// The sort of thing.
    pub kind: DeviceKind,
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
    short: "h100",
    vendor: Vendor::Nvidia,
    kind: DeviceKind::Gpu,
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
    short: "a100",
    vendor: Vendor::Nvidia,
    kind: DeviceKind::Gpu,
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

/// MI300X: 750 W, 192 GB and 2100 MHz as AMD's data sheet gives them. Idle power and the lowest limit are assumptions.
pub const MI300X: Profile = Profile {
    short: "mi300x",
    vendor: Vendor::Amd,
    kind: DeviceKind::Gpu,
    model: "AMD Instinct MI300X",
    limit_min: Watts(300.0),
    limit_max: Watts(750.0),
    idle_w: 140.0,
    full_w: 800.0,
    clock_max_hz: 2100e6,
    clock_min_hz: 132e6,
    memory_clock_hz: 1300e6,
    memory_bytes: 192 << 30,
    slowdown_c: 100.0,
    shutdown_c: 110.0,
    memory_max_c: 105.0,
    celsius_per_watt: 0.055,
    pcie_generation: 5,
    pcie_lanes: 16,
};

/// Data Center GPU Max 1550: 600 W, 128 GB and 1600 MHz as Intel's product page gives them. The rest are assumptions.
pub const MAX1550: Profile = Profile {
    short: "max1550",
    vendor: Vendor::Intel,
    kind: DeviceKind::Gpu,
    model: "Intel Data Center GPU Max 1550",
    limit_min: Watts(150.0),
    limit_max: Watts(600.0),
    idle_w: 120.0,
    full_w: 640.0,
    clock_max_hz: 1600e6,
    clock_min_hz: 300e6,
    memory_clock_hz: 1600e6,
    memory_bytes: 128 << 30,
    slowdown_c: 100.0,
    shutdown_c: 115.0,
    memory_max_c: 95.0,
    celsius_per_watt: 0.065,
    pcie_generation: 5,
    pcie_lanes: 16,
};

/// Gaudi 2 (HL-225H): 600 W and 96 GB as Intel's data sheet gives them; no limit can be set. The rest are assumptions.
pub const GAUDI2: Profile = Profile {
    short: "gaudi2",
    vendor: Vendor::Intel,
    kind: DeviceKind::Npu,
    model: "Gaudi HL-225H",
    limit_min: Watts(600.0),
    limit_max: Watts(600.0),
    idle_w: 100.0,
    full_w: 590.0,
    clock_max_hz: 1650e6,
    clock_min_hz: 400e6,
    memory_clock_hz: 1600e6,
    memory_bytes: 96 << 30,
    slowdown_c: 95.0,
    shutdown_c: 105.0,
    memory_max_c: 95.0,
    celsius_per_watt: 0.065,
    pcie_generation: 4,
    pcie_lanes: 16,
};

/// Ascend 910B: an NPU of about 400 W with 64 GB; no limit can be set. Its figures are assumptions.
pub const ASCEND910B: Profile = Profile {
    short: "ascend910b",
    vendor: Vendor::Huawei,
    kind: DeviceKind::Npu,
    model: "Ascend 910B",
    limit_min: Watts(400.0),
    limit_max: Watts(400.0),
    idle_w: 90.0,
    full_w: 395.0,
    clock_max_hz: 1800e6,
    clock_min_hz: 800e6,
    memory_clock_hz: 1600e6,
    memory_bytes: 64 << 30,
    slowdown_c: 95.0,
    shutdown_c: 105.0,
    memory_max_c: 95.0,
    celsius_per_watt: 0.09,
    pcie_generation: 4,
    pcie_lanes: 16,
};

/// Every profile; its place is the code under which plain state refers to it.
pub const PROFILES: [&Profile; 6] = [&H100, &A100, &MI300X, &MAX1550, &GAUDI2, &ASCEND910B];

impl Profile {
    /// The code under which plain state refers to a profile.
    pub fn code(&self) -> u32 {
        // The list is short.
        PROFILES.iter().position(|known| known.short == self.short).unwrap_or(0) as u32
    }

    /// The profile of a code; an unknown one is an H100.
    pub fn of(code: u32) -> &'static Self {
        PROFILES.get(code as usize).copied().unwrap_or(&H100)
    }

    /// The profile with a short name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.into_iter().find(|profile| profile.short == name)
    }
}
