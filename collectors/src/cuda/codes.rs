//! Return codes of the CUDA driver (`CUresult` of `cuda.h`) that a user of the lab may meet, and what they mean to us.
use crate::library::{Codes, Fault, Scope};
use model::Absence;
use std::ffi::c_int;

const fn fault(code: c_int, name: &'static str, absence: Absence, scope: Scope) -> Fault {
    Fault { code, name, absence, scope }
}

pub(super) const CODES: Codes = Codes(&[
    fault(1, "CUDA_ERROR_INVALID_VALUE", Absence::Implausible, Scope::Value),
    fault(2, "CUDA_ERROR_OUT_OF_MEMORY", Absence::Lost, Scope::Value),
    fault(3, "CUDA_ERROR_NOT_INITIALIZED", Absence::Lost, Scope::Library),
    fault(4, "CUDA_ERROR_DEINITIALIZED", Absence::Lost, Scope::Library),
    fault(46, "CUDA_ERROR_DEVICE_UNAVAILABLE", Absence::Denied, Scope::Device),
    fault(100, "CUDA_ERROR_NO_DEVICE", Absence::Unsupported, Scope::Never),
    fault(101, "CUDA_ERROR_INVALID_DEVICE", Absence::Unsupported, Scope::Never),
    fault(200, "CUDA_ERROR_INVALID_IMAGE", Absence::Unsupported, Scope::Never),
    fault(218, "CUDA_ERROR_INVALID_PTX", Absence::Unsupported, Scope::Never),
    fault(222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", Absence::Unsupported, Scope::Never),
    fault(500, "CUDA_ERROR_NOT_FOUND", Absence::Unsupported, Scope::Never),
    fault(700, "CUDA_ERROR_ILLEGAL_ADDRESS", Absence::Lost, Scope::Device),
    fault(702, "CUDA_ERROR_LAUNCH_TIMEOUT", Absence::Late, Scope::Device),
    fault(719, "CUDA_ERROR_LAUNCH_FAILED", Absence::Lost, Scope::Device),
    fault(803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", Absence::Unsupported, Scope::Never),
    fault(999, "CUDA_ERROR_UNKNOWN", Absence::Lost, Scope::Value),
]);
