//! Vendor libraries loaded at run time: tables of functions that may be missing, and why a library cannot be used.
use model::OpenError;
use model::error::{Cause, Reason};
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

/// Declares a table of a library's functions that return an `int`, each of which the library may lack.
///
/// The table is filled by `resolve`; a call goes through its field, inside `calls.during`.
macro_rules! functions {
    ($(#[$doc:meta])* $vis:vis struct $table:ident { $( $name:ident: fn($($argument:ty),*); )+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        $vis struct $table { $( pub(super) $name: Option<unsafe extern "C" fn($($argument),*) -> std::ffi::c_int>, )+ }

        impl $table {
            /// Looks every function up.
            $vis fn resolve(library: &$crate::library::Library) -> Self {
                // SAFETY: the types are those of the vendor's header.
                unsafe { Self { $( $name: library.function(concat!(stringify!($name), "\0")), )+ } }
            }
        }
    };
}
pub(crate) use functions;

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::c_int;

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
