//! Errors of the stages. Each has a [`Reason`] from a closed set, and that, never the message, is a label.
use serde::{Deserialize, Serialize};

/// Why something failed, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The file, library or device is not there.
    Missing,
    /// Permission was refused.
    Denied,
    /// Reading or writing failed.
    Io,
    /// What was read does not parse.
    Malformed,
    /// A vendor library answered with an error.
    Library,
    /// A vendor library lacks a function.
    SymbolMissing,
    /// A vendor library is older than what is needed.
    TooOld,
    /// The device or driver is lost.
    Lost,
    /// No answer within the deadline.
    Late,
    /// The device cannot do this.
    Unsupported,
    /// Somebody else holds it.
    Busy,
    /// A limit was reached.
    Full,
    /// The guard or the journal refused.
    Refused,
    /// What was read back is not what was set.
    Mismatch,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::Missing,
        Self::Denied,
        Self::Io,
        Self::Malformed,
        Self::Library,
        Self::SymbolMissing,
        Self::TooOld,
        Self::Lost,
        Self::Late,
        Self::Unsupported,
        Self::Busy,
        Self::Full,
        Self::Refused,
        Self::Mismatch,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Io => "io",
            Self::Malformed => "malformed",
            Self::Library => "library",
            Self::SymbolMissing => "symbol_missing",
            Self::TooOld => "too_old",
            Self::Lost => "lost",
            Self::Late => "late",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::Refused => "refused",
            Self::Mismatch => "mismatch",
        }
    }

    /// The reason behind an I/O error.
    pub fn of_io(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Missing,
            std::io::ErrorKind::PermissionDenied => Self::Denied,
            std::io::ErrorKind::TimedOut => Self::Late,
            std::io::ErrorKind::InvalidData => Self::Malformed,
            _ => Self::Io,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What lies beneath an error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

macro_rules! stage_error {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        #[derive(Debug, thiserror::Error)]
        #[error($text)]
        pub struct $name {
            /// What was being done, as a phrase that fits behind "could not".
            pub operation: String,
            /// Why it failed.
            pub reason: Reason,
            /// What lies beneath.
            #[source]
            pub source: Option<Cause>,
        }

        impl $name {
            /// A failure with nothing beneath it.
            pub fn new(operation: impl Into<String>, reason: Reason) -> Self {
                Self { operation: operation.into(), reason, source: None }
            }

            /// A failure of the operating system.
            pub fn io(operation: impl Into<String>, error: std::io::Error) -> Self {
                Self { operation: operation.into(), reason: Reason::of_io(&error), source: Some(Box::new(error)) }
            }

            /// The same failure with what lies beneath it.
            #[must_use]
            pub fn because(mut self, cause: impl Into<Cause>) -> Self {
                self.source = Some(cause.into());
                self
            }

            /// The label.
            pub fn reason(&self) -> &'static str {
                self.reason.as_str()
            }
        }
    };
}

stage_error!(
    /// A source could not be opened.
    OpenError,
    "could not {operation}: {reason}"
);
stage_error!(
    /// A source failed as a whole on one beat.
    CollectError,
    "could not {operation}: {reason}"
);
stage_error!(
    /// A knob could not be turned or put back.
    ActuateError,
    "could not {operation}: {reason}"
);
