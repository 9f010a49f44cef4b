//! Vendor libraries loaded at run time: tables of functions that may be missing, and why a library cannot be used.
use model::error::{Cause, Reason};
use model::{Absence, OpenError};
use std::ffi::c_int;
use std::path::Path;

/// A library that the loader has found. Dropping it unloads it, so it is the last field of what holds its functions.
#[derive(Debug)]
pub(crate) struct Library(libloading::Library);

impl Library {
    /// Loads a library; `None` when the loader does not find it and it is the usual one, which a host may lack.
    ///
    /// # Errors
    /// When a library that the operator named is not there, or one is there and cannot be loaded: no permission, another
    /// architecture, not a library.
    pub(crate) fn load(path: &Path, usual: &str) -> Result<Option<Self>, OpenError> {
        // SAFETY: the operator names the library, or it is the driver's own; its initialisers are trusted as the driver is.
        match unsafe { libloading::Library::new(path) } {
            Ok(library) => Ok(Some(Self(library))),
            Err(error) => match refusal(&chain(&error)) {
                Reason::Missing if path == Path::new(usual) => Ok(None),
                reason => {
                    let cause: Cause = chain(&error).into();
                    Err(OpenError::new(format!("load {}", path.display()), reason).because(cause))
                }
            },
        }
    }

    /// A function by its name; `None` where the library lacks it.
    ///
    /// # Safety
    /// `F` is the type of the function, as its header declares it.
    pub(crate) unsafe fn function<F: Copy>(&self, name: &str) -> Option<F> {
        // SAFETY: by the contract of this function; the pointer does not outlive the library, which is dropped after it.
        unsafe { self.0.get::<F>(name.as_bytes()) }.ok().map(|symbol| *symbol)
    }
}

/// An error with all that lies beneath it: the loader's own words are at the bottom.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Why the loader refused, from its message, which is all that it gives.
pub(crate) fn refusal(message: &str) -> Reason {
    if message.contains("No such file") {
        Reason::Missing
    } else if message.contains("ermission denied") {
        Reason::Denied
    } else {
        Reason::Malformed
    }
}

/// What a return code says about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// This value, this time.
    Value,
    /// This value, for good: the device or the library does not have it.
    Never,
    /// The device, which is gone.
    Device,
    /// The library or its driver, which is gone.
    Library,
}

/// A return code that is not success, and what it means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: c_int,
    pub(crate) name: &'static str,
    /// Why the value is absent that the call should have given.
    pub(crate) absence: Absence,
    pub(crate) scope: Scope,
}

impl Fault {
    /// The library lacks the function.
    pub(crate) const MISSING: Self =
        Self { code: 0, name: "a missing function", absence: Absence::Unsupported, scope: Scope::Never };
    /// The answer is not one that the vendor's header describes.
    pub(crate) const UNREADABLE: Self =
        Self { code: 0, name: "an unreadable answer", absence: Absence::Implausible, scope: Scope::Value };

    /// Whether the call will never work on this device.
    pub(crate) fn never(self) -> bool {
        self.scope == Scope::Never
    }

    /// The label of a failure as a whole.
    pub(crate) fn reason(self) -> Reason {
        match (self.scope, self.absence) {
            (Scope::Device | Scope::Library, _) => Reason::Lost,
            (_, Absence::Denied) => Reason::Denied,
            (_, Absence::Late) => Reason::Late,
            (_, Absence::Unsupported) if self == Self::MISSING => Reason::SymbolMissing,
            (_, Absence::Unsupported) => Reason::Unsupported,
            _ => Reason::Library,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the library answered {} ({})", self.name, self.code)
    }
}

impl std::error::Error for Fault {}

/// A vendor's return codes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Codes(pub(crate) &'static [Fault]);

impl Codes {
    /// The fault in a return code; one that is not listed says nothing about more than the value.
    pub(crate) fn check(&self, code: c_int) -> Result<(), Fault> {
        let newer =
            Fault { code, name: "a code that is not known", absence: Absence::Lost, scope: Scope::Value };
        match code {
            0 => Ok(()),
            _ => Err(self.0.iter().find(|fault| fault.code == code).copied().unwrap_or(newer)),
        }
    }
}

/// Room for a structure that a newer library may have made larger, zeroed.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct Room(pub(crate) [u8; 512]);

impl Room {
    /// Empty room.
    pub(crate) const fn new() -> Self {
        Self([0; 512])
    }

    /// The room as a place to write to.
    pub(crate) fn out<T>(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }

    /// A 32-bit number at an offset.
    pub(crate) fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(std::array::from_fn(|n| self.0[at + n]))
    }

    /// A 64-bit number at an offset.
    pub(crate) fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(std::array::from_fn(|n| self.0[at + n]))
    }

    /// A text of at most `length` bytes at an offset, without what is no text.
    pub(crate) fn text(&self, at: usize, length: usize) -> String {
        let bytes = &self.0[at..at + length];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(length);
        let text = String::from_utf8_lossy(&bytes[..end]);
        text.chars()
            .filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER)
            .collect::<String>()
            .trim()
            .to_owned()
    }
}

/// Declares a table of a library's functions that return an `int`, each of which the library may lack.
///
/// The table is filled by `resolve`; a call goes through its field, inside `calls.during`.
macro_rules! functions {
    ($(#[$doc:meta])* $vis:vis struct $table:ident { $( $name:ident: fn($($argument:ty),*); )+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        $vis struct $table { $( pub(super) $name: Option<unsafe extern "C" fn($($argument),*) -> std::ffi::c_int>, )+ }

        impl $table {
            /// The names of the functions, for tests and lists.
            #[allow(dead_code, reason = "not every table's names are asked for")]
            $vis const NAMES: &[&str] = &[$( stringify!($name) ),+];

            /// Looks every function up.
            $vis fn resolve(library: &$crate::library::Library) -> Self {
                // SAFETY: the types are those of the vendor's header.
                unsafe { Self { $( $name: library.function(concat!(stringify!($name), "\0")), )+ } }
            }
        }
    };
}
pub(crate) use functions;

/// Calls a function of a session's table inside its account; `Err` with the fault of the code, or that it is missing.
///
/// The session has the fields `table` and `calls`; `CODES` is in scope.
macro_rules! ask {
    ($session:expr, $name:ident($($argument:expr),* $(,)?)) => {
        match $session.table.$name {
            None => Err($crate::library::Fault::MISSING),
            Some(function) => {
                let call = || {
                    // SAFETY: the table has the type of the vendor's header, every pointer is valid for the call, and what
                    // is written to has room for more than the header asks for.
                    unsafe { function($($argument),*) }
                };
                CODES.check($session.calls.during(stringify!($name), call))
            }
        }
    };
}
pub(crate) use ask;

#[cfg(test)]
mod tests {
    use super::*;

    functions! {
        /// Two functions of the C library, and one that it lacks.
        struct Table {
            abs: fn(c_int);
            labs: fn(c_int);
            wattkeeper_has_no_such_function: fn();
        }
    }

    #[test]
    fn a_table_has_what_the_library_has() {
        let library = Library::load(Path::new("libc.so.6"), "libc.so.6").unwrap().unwrap();
        let table = Table::resolve(&library);
        assert!(table.labs.is_some() && table.wattkeeper_has_no_such_function.is_none());
        // SAFETY: `int abs(int)`, as the C standard has it.
        assert_eq!(unsafe { table.abs.unwrap()(-7) }, 7);
    }

    #[test]
    fn the_usual_library_may_be_missing_and_a_named_one_may_not() {
        assert!(Library::load(Path::new("libnone.so"), "libnone.so").unwrap().is_none());
        let error = Library::load(Path::new("/nowhere/libnone.so"), "libnone.so").unwrap_err();
        assert_eq!(error.reason, Reason::Missing);
    }

    #[test]
    fn what_is_no_library_of_this_machine_is_malformed() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("lib.so");
        // An ELF header of another machine (AArch64, number 183), and nothing else.
        let mut header = vec![0; 64];
        header[..20]
            .copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 183, 0]);
        for content in [b"not a library".to_vec(), Vec::new(), header] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(Library::load(&file, "other.so").unwrap_err().reason, Reason::Malformed);
        }
    }
}
