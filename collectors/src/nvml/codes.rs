//! NVML's errors as ours: why one value is absent, and why the whole library fails.
use model::Absence;
use model::error::Reason;
use nvml_wrapper::error::NvmlError;

/// Return codes that raw calls give, as `nvml.h` numbers them.
pub mod code {
    /// The call went well.
    pub const SUCCESS: u32 = 0;
    /// The device does not have it.
    pub const NOT_SUPPORTED: u32 = 3;
    /// Permission was refused.
    pub const NO_PERMISSION: u32 = 4;
    /// The call took too long.
    pub const TIMEOUT: u32 = 10;
    /// The function is not in the driver.
    pub const FUNCTION_NOT_FOUND: u32 = 13;
    /// The device has fallen off the bus.
    pub const GPU_IS_LOST: u32 = 15;
    /// The device must be reset before it can be used.
    pub const RESET_REQUIRED: u32 = 16;
}

/// Whether a call will never work on this device, so that it need not be tried again.
pub fn never(error: &NvmlError) -> bool {
    matches!(error, NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_))
}

/// Whether the device itself is gone.
pub fn lost(error: &NvmlError) -> bool {
    matches!(error, NvmlError::GpuLost | NvmlError::ResetRequired)
}

/// Why a value is absent.
pub fn absence(error: &NvmlError) -> Absence {
    match error {
        NvmlError::NoPermission => Absence::Denied,
        NvmlError::Timeout => Absence::Late,
        NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => {
            Absence::Unsupported
        }
        // An answer that nobody understands is not a value.
        NvmlError::UnexpectedVariant(_) | NvmlError::IncorrectBits(_) | NvmlError::Utf8Error(_) => {
            Absence::Implausible
        }
        _ => Absence::Lost,
    }
}

/// Why a raw value is absent.
pub fn absence_of_code(code: u32) -> Absence {
    match code {
        code::NOT_SUPPORTED | code::FUNCTION_NOT_FOUND => Absence::Unsupported,
        code::NO_PERMISSION => Absence::Denied,
        code::TIMEOUT => Absence::Late,
        _ => Absence::Lost,
    }
}

/// Why the library as a whole, or a write, failed.
pub fn reason(error: &NvmlError) -> Reason {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound | NvmlError::DriverNotLoaded => {
            Reason::Missing
        }
        NvmlError::FailedToLoadSymbol(_) => Reason::SymbolMissing,
        NvmlError::FunctionNotFound | NvmlError::LibRmVersionMismatch => Reason::TooOld,
        NvmlError::NoPermission => Reason::Denied,
        NvmlError::NotSupported => Reason::Unsupported,
        NvmlError::Timeout => Reason::Late,
        NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::Uninitialized | NvmlError::NotFound => {
            Reason::Lost
        }
        NvmlError::InUse => Reason::Busy,
        NvmlError::InvalidArg => Reason::Refused,
        _ => Reason::Library,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_refuses_is_denied_and_what_it_lacks_is_unsupported() {
        assert_eq!(absence(&NvmlError::NoPermission), Absence::Denied);
        assert_eq!(absence(&NvmlError::FailedToLoadSymbol(String::new())), Absence::Unsupported);
        assert_eq!(absence(&NvmlError::GpuLost), Absence::Lost);
        assert_eq!(absence(&NvmlError::UnexpectedVariant(999)), Absence::Implausible);
        assert!(never(&NvmlError::NotSupported) && !never(&NvmlError::NoPermission));
        assert_eq!(reason(&NvmlError::LibRmVersionMismatch), Reason::TooOld);
        assert_eq!(absence_of_code(code::NO_PERMISSION), Absence::Denied);
        assert_eq!(absence_of_code(999), Absence::Lost);
    }
}
