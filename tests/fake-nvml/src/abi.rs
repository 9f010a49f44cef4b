//! Return codes and constants of `nvml.h` that the fake answers with.
use std::ffi::c_uint;

/// The call went well.
pub const SUCCESS: c_uint = 0;
/// `nvmlInit` has not been called.
pub const UNINITIALIZED: c_uint = 1;
/// An argument is out of range.
pub const INVALID_ARGUMENT: c_uint = 2;
/// The board does not have it.
pub const NOT_SUPPORTED: c_uint = 3;
/// Permission was refused.
pub const NO_PERMISSION: c_uint = 4;
/// There is no such device.
pub const NOT_FOUND: c_uint = 6;
/// The buffer is too small.
pub const INSUFFICIENT_SIZE: c_uint = 7;
/// Nothing happened within the time given.
pub const TIMEOUT: c_uint = 10;
/// The driver is another one than the library was made for.
pub const LIB_RM_VERSION_MISMATCH: c_uint = 18;
/// The board has fallen off the bus.
pub const GPU_IS_LOST: c_uint = 15;

/// Field numbers of `nvmlDeviceGetFieldValues`.
pub mod field {
    /// Temperature of the device memory, celsius.
    pub const MEMORY_TEMPERATURE: u32 = 82;
    /// Energy since the driver was loaded, millijoules.
    pub const TOTAL_ENERGY: u32 = 83;
    /// Power averaged over a second, milliwatts.
    pub const POWER_AVERAGE: u32 = 185;
    /// Instantaneous power, milliwatts.
    pub const POWER_INSTANT: u32 = 186;
    /// Smallest, largest and default power limit, milliwatts.
    pub const LIMIT_MIN: u32 = 187;
    /// Largest power limit, milliwatts.
    pub const LIMIT_MAX: u32 = 188;
    /// Default power limit, milliwatts.
    pub const LIMIT_DEFAULT: u32 = 189;
    /// Enforced power limit, out-of-band limits included, milliwatts.
    pub const LIMIT_ENFORCED: u32 = 190;
    /// Requested power limit, milliwatts.
    pub const LIMIT_REQUESTED: u32 = 192;
    /// Distance of the shutdown temperature from the board's own target, celsius.
    pub const DISTANCE_SHUTDOWN: u32 = 193;
    /// Distance of the slowdown temperature, celsius.
    pub const DISTANCE_SLOWDOWN: u32 = 194;
    /// Distance of the memory's highest temperature, celsius.
    pub const DISTANCE_MEMORY_MAX: u32 = 195;
    /// Distance of the board's highest working temperature, celsius.
    pub const DISTANCE_GPU_MAX: u32 = 196;

    /// Fields that look at the scope they are asked with.
    pub const SCOPED: [u32; 7] =
        [POWER_AVERAGE, POWER_INSTANT, LIMIT_MIN, LIMIT_MAX, LIMIT_DEFAULT, LIMIT_ENFORCED, LIMIT_REQUESTED];
}
