//! The return codes of DCMI and what they mean to us.
use crate::library::{Codes, Fault, Scope};
use model::Absence;
use std::ffi::c_int;

const fn code(code: c_int, name: &'static str, absence: Absence, scope: Scope) -> Fault {
    Fault { code, name, absence, scope }
}

/// The return codes of `dcmi_interface_api.h`, which count down from -8000.
pub(super) const CODES: Codes = Codes(&[
    code(-8001, "INVALID_PARAMETER", Absence::Unsupported, Scope::Value),
    code(-8002, "OPER_NOT_PERMITTED", Absence::Denied, Scope::Value),
    code(-8003, "MEM_OPERATE_FAIL", Absence::Lost, Scope::Value),
    code(-8004, "SECURE_FUN_FAIL", Absence::Lost, Scope::Value),
    code(-8005, "INNER_ERR", Absence::Lost, Scope::Value),
    code(-8006, "TIME_OUT", Absence::Late, Scope::Value),
    code(-8007, "INVALID_DEVICE_ID", Absence::Lost, Scope::Device),
    code(-8008, "DEVICE_NOT_EXIST", Absence::Lost, Scope::Device),
    code(-8009, "IOCTL_FAIL", Absence::Lost, Scope::Value),
    code(-8010, "SEND_MSG_FAIL", Absence::Lost, Scope::Value),
    code(-8011, "RECV_MSG_FAIL", Absence::Lost, Scope::Value),
    // So spelled in the header.
    code(-8012, "NOT_REDAY", Absence::Late, Scope::Value),
    code(-8013, "NOT_SUPPORT_IN_CONTAINER", Absence::Denied, Scope::Value),
    code(-8014, "FILE_OPERATE_FAIL", Absence::Lost, Scope::Value),
    code(-8015, "RESET_FAIL", Absence::Lost, Scope::Value),
    code(-8016, "ABORT_OPERATE", Absence::Lost, Scope::Value),
    code(-8017, "IS_UPGRADING", Absence::Late, Scope::Value),
    code(-8020, "RESOURCE_OCCUPIED", Absence::Late, Scope::Value),
    code(-8022, "PARTITION_NOT_RIGHT", Absence::Unsupported, Scope::Value),
    code(-8023, "CONFIG_INFO_NOT_EXIST", Absence::Unsupported, Scope::Value),
    code(-8255, "NOT_SUPPORT", Absence::Unsupported, Scope::Never),
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_does_not_have_is_given_up_and_a_device_that_is_not_there_is_lost() {
        let scope = |number: c_int| CODES.check(number).unwrap_err().scope;
        assert_eq!((scope(-8255), scope(-8008), scope(-8006)), (Scope::Never, Scope::Device, Scope::Value));
        assert_eq!(CODES.check(-8002).unwrap_err().absence, Absence::Denied);
        assert_eq!(CODES.check(-9999).unwrap_err().scope, Scope::Value, "a code that is not known");
        assert!(CODES.check(0).is_ok());
    }
}
