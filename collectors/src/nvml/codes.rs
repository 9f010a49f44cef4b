//! NVML's return codes as ours: why one value is absent, and why a whole call or the library fails.
use model::Absence;
use model::error::Reason;
use nvml_wrapper::error::NvmlError;

/// Why a call failed: a return code of `nvml.h`, or one of our own for what happened on this side of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(u32);

/// What a return code means to us.
#[derive(Debug, Clone, Copy)]
struct Row {
    code: u32,
    name: &'static str,
    /// Why the value is absent that the call should have given.
    absence: Absence,
    /// Why the library, or a write, failed.
    reason: Reason,
}

macro_rules! rows {
    ($( $code:literal $name:ident $absence:ident $reason:ident; )+) => {
        /// Every return code of `nvml.h` (API 13) and what it means to us.
        const ROWS: &[Row] = &[$( Row {
            code: $code, name: stringify!($name), absence: Absence::$absence, reason: Reason::$reason,
        }, )+];
    };
}

rows! {
    1 UNINITIALIZED Lost Lost;
    // Of a getter: the driver does not know the number it was asked for. Of a setter: the value is out of range.
    2 INVALID_ARGUMENT Unsupported Refused;
    3 NOT_SUPPORTED Unsupported Unsupported;
    4 NO_PERMISSION Denied Denied;
    5 ALREADY_INITIALIZED Lost Library;
    6 NOT_FOUND Lost Lost;
    7 INSUFFICIENT_SIZE Lost Library;
    8 INSUFFICIENT_POWER Lost Lost;
    9 DRIVER_NOT_LOADED Lost Missing;
    10 TIMEOUT Late Late;
    11 IRQ_ISSUE Lost Lost;
    12 LIBRARY_NOT_FOUND Unsupported Missing;
    13 FUNCTION_NOT_FOUND Unsupported TooOld;
    14 CORRUPTED_INFOROM Implausible Malformed;
    15 GPU_IS_LOST Lost Lost;
    16 RESET_REQUIRED Lost Lost;
    // Device control is blocked by the operating system or its control groups.
    17 OPERATING_SYSTEM Denied Denied;
    18 LIB_RM_VERSION_MISMATCH Lost TooOld;
    19 IN_USE Late Busy;
    20 MEMORY Lost Full;
    21 NO_DATA Late Late;
    22 VGPU_ECC_NOT_SUPPORTED Unsupported Unsupported;
    23 INSUFFICIENT_RESOURCES Lost Full;
    24 FREQ_NOT_SUPPORTED Unsupported Unsupported;
    25 ARGUMENT_VERSION_MISMATCH Unsupported TooOld;
    26 DEPRECATED Unsupported Unsupported;
    27 NOT_READY Late Busy;
    28 GPU_NOT_FOUND Lost Lost;
    29 INVALID_STATE Lost Library;
    30 RESET_TYPE_NOT_SUPPORTED Unsupported Unsupported;
    999 UNKNOWN Lost Library;
    // Our own: far from any code that NVIDIA hands out.
    0xffff_fffe SYMBOL_MISSING Unsupported SymbolMissing;
    0xffff_ffff UNREADABLE_ANSWER Implausible Malformed;
}

/// What a code means that is newer than the table.
const NEWER: Row =
    Row { code: u32::MAX, name: "a code that is not known", absence: Absence::Lost, reason: Reason::Library };

impl Fault {
    pub(super) const UNINITIALIZED: Self = Self(1);
    pub(super) const INVALID_ARGUMENT: Self = Self(2);
    pub(super) const NOT_SUPPORTED: Self = Self(3);
    /// The board's InfoROM fails its checksums.
    pub(super) const CORRUPTED_INFOROM: Self = Self(14);
    pub(super) const INSUFFICIENT_SIZE: Self = Self(7);
    pub(super) const NOT_FOUND: Self = Self(6);
    pub(super) const TIMEOUT: Self = Self(10);
    pub(super) const GPU_IS_LOST: Self = Self(15);
    pub(super) const ARGUMENT_VERSION_MISMATCH: Self = Self(25);
    pub(super) const SYMBOL_MISSING: Self = Self(0xffff_fffe);
    /// The driver's answer is not one that `nvml.h` describes.
    pub(super) const UNREADABLE: Self = Self(0xffff_ffff);

    /// The fault in a return code; `Ok` when the call went well.
    ///
    /// # Errors
    /// The fault.
    pub fn check(code: u32) -> Result<(), Self> {
        if code == 0 { Ok(()) } else { Err(Self(code)) }
    }

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.code == self.0).unwrap_or(&NEWER)
    }

    /// Why the value is absent that the call should have given.
    pub fn absence(self) -> Absence {
        self.row().absence
    }

    /// Why the library, or a write, failed.
    pub fn reason(self) -> Reason {
        self.row().reason
    }

    /// Whether the call will never work on this device, so that it need not be made again.
    pub fn never(self) -> bool {
        matches!(self.0, 3 | 13) || self == Self::SYMBOL_MISSING
    }

    /// Whether the device itself is gone.
    pub fn lost(self) -> bool {
        matches!(self.0, 15 | 16 | 28)
    }

    /// Whether it says that there is no driver behind the library any more, or another one than it was made for.
    pub fn library_gone(self) -> bool {
        matches!(self.0, 1 | 9 | 18)
    }

    /// Whether the driver may no longer know the device: one such answer says nothing, nothing but such answers does.
    pub fn doubtful(self) -> bool {
        !self.never() && !matches!(self.absence(), Absence::Denied | Absence::Late)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NVML answered {} ({})", self.row().name, self.0)
    }
}

impl std::error::Error for Fault {}

#[allow(deprecated, reason = "the wrapper still tells of codes that NVML no longer gives")]
impl From<NvmlError> for Fault {
    fn from(error: NvmlError) -> Self {
        match error {
            NvmlError::FailedToLoadSymbol(_) => Self::SYMBOL_MISSING,
            // The wrapper gives codes that it does not know the same way as values that it does not know.
            NvmlError::UnexpectedVariant(code) if (23..=30).contains(&code) => Self(code),
            NvmlError::UnexpectedVariant(_)
            | NvmlError::IncorrectBits(_)
            | NvmlError::Utf8Error(_)
            | NvmlError::NulError(_)
            | NvmlError::StringTooLong { .. } => Self::UNREADABLE,
            NvmlError::LibloadingError(_) => Self(12),
            other => Self(other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_header_has_a_row_of_its_own() {
        for code in (1..=30).chain([999]) {
            assert_eq!(ROWS.iter().filter(|row| row.code == code).count(), 1, "{code}");
        }
        assert_eq!(ROWS.len(), 31 + 2);
    }

    #[test]
    fn a_code_survives_the_way_through_the_wrapper() {
        for code in (1..=30).chain([999]) {
            assert_eq!(Fault::from(NvmlError::from(code)), Fault(code));
        }
        assert_eq!(Fault::from(NvmlError::UnexpectedVariant(4711)), Fault::UNREADABLE);
        assert_eq!(Fault::from(NvmlError::FailedToLoadSymbol("nvmlX".into())), Fault::SYMBOL_MISSING);
    }

    #[test]
    fn each_code_is_the_absence_and_the_reason_that_say_what_happened() {
        use Absence::{Denied, Implausible, Late, Lost, Unsupported};
        let expected = [
            (Unsupported, "refused", 2..=2),
            (Unsupported, "unsupported", 3..=3),
            (Denied, "denied", 4..=4),
            (Lost, "missing", 9..=9),
            (Late, "late", 10..=10),
            (Unsupported, "too_old", 13..=13),
            (Implausible, "malformed", 14..=14),
            (Lost, "lost", 15..=16),
            (Denied, "denied", 17..=17),
            (Lost, "too_old", 18..=18),
            (Late, "busy", 19..=19),
            (Lost, "library", 999..=999),
            (Lost, "library", 4711..=4711),
            (Unsupported, "symbol_missing", 0xffff_fffe..=0xffff_fffe),
        ];
        for (absence, reason, codes) in expected {
            for fault in codes.map(Fault) {
                assert_eq!((fault.absence(), fault.reason().as_str()), (absence, reason), "{fault}");
            }
        }
    }

    #[test]
    fn only_what_cannot_change_is_given_up_and_only_a_dead_device_is_lost() {
        let which = |test: fn(Fault) -> bool| -> Vec<u32> { (1..=30).filter(|c| test(Fault(*c))).collect() };
        assert_eq!(which(Fault::never), [3, 13]);
        assert_eq!(which(Fault::lost), [15, 16, 28]);
        assert_eq!(which(Fault::library_gone), [1, 9, 18]);
        assert!(Fault::INVALID_ARGUMENT.doubtful() && Fault(999).doubtful());
        assert!(!Fault::NOT_SUPPORTED.doubtful() && !Fault(4).doubtful() && !Fault::TIMEOUT.doubtful());
    }

    #[test]
    fn a_message_names_the_code_as_the_header_does() {
        assert_eq!(Fault::GPU_IS_LOST.to_string(), "NVML answered GPU_IS_LOST (15)");
        assert_eq!(Fault(31).to_string(), "NVML answered a code that is not known (31)");
    }
}
