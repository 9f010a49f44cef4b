//! Every raw call, and with it every `unsafe` block of this source: loading, handles, field values, getters, processes; below
//! this file events, profiling and instances.
//!
//! Functions are taken from the wrapper's table of symbols, never through the binding's methods, which panic when a symbol
//! is missing.
pub(super) mod events;
pub(super) mod getters;
pub(super) mod gpm;
pub(super) mod parts;

use super::codes::Fault;
use super::session::Gpu;
use model::error::{Cause, Reason};
use nvml_wrapper::error::nvml_sym;
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{
    NvmlLib, nvmlDevice_t, nvmlFieldValue_t, nvmlProcessInfo_t, nvmlProcessUtilizationSample_t, nvmlReturn_t,
    nvmlValue_t,
};
use std::ffi::c_uint;
use std::path::Path;

/// The most entries a process list may have; a longer one is not read.
const PROCESSES_MAX: usize = 4096;
/// Room for processes that start between two calls.
const PROCESSES_SPARE: usize = 8;

/// A device's handle. Valid as long as its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle(nvmlDevice_t);

// SAFETY: NVML's handles are opaque values that its documentation allows any thread to use; they are never followed here.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    /// What the library calls it.
    fn raw(self) -> nvmlDevice_t {
        self.0
    }

    /// A handle of nothing, for tests of what never calls a library.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self(std::ptr::null_mut())
    }

    /// The handle of a device.
    pub(super) fn of(device: &Device<'_>) -> Self {
        // SAFETY: the raw handle is kept beside its session and used with that session only.
        Self(unsafe { device.handle() })
    }

    /// The device of a handle, for the time of a call.
    pub(super) fn device(self, nvml: &Nvml) -> Device<'_> {
        // SAFETY: the handle came from this library.
        unsafe { Device::new(self.0, nvml) }
    }
}

/// Calls a function that writes one plain value through its last argument, and accounts for it under its own name. The value
/// handed in is what the function finds there, for those that look at a version.
macro_rules! get {
    ($gpu:expr, $function:ident($($argument:expr),*) => $blank:expr) => {{
        let (gpu, mut value): (&Gpu<'_>, _) = ($gpu, $blank);
        let function = nvml_sym(gpu.nvml().lib().$function.as_ref())?;
        gpu.during(stringify!($function), || {
            // SAFETY: the handle belongs to this library; the only pointer is to a value of the type that the binding names.
            Fault::check(unsafe { function(gpu.handle().0, $($argument,)* &mut value) })
        })?;
        Ok(value)
    }};
}
pub(super) use get;

/// The version that a structure carries in front.
const fn version<T>(number: c_uint) -> c_uint {
    // Structures of NVML are smaller than 16 MiB.
    size_of::<T>() as c_uint | (number << 24)
}

/// Why a library was not started.
#[derive(Debug)]
pub(super) enum LoadError {
    /// The loader does not find it.
    NotFound(Cause),
    /// It is there and does not start.
    Failed(Reason, Cause),
}

/// The error of a library that lacks a function.
fn missing(error: &impl ToString) -> LoadError {
    LoadError::Failed(Reason::SymbolMissing, error.to_string().into())
}

/// Loads and starts a library.
///
/// What cannot be done without is looked for first: the wrapper would panic on drop without `nvmlShutdown`, and a library
/// that finds no device can say nothing.
///
/// # Errors
/// What the loader or the library said.
pub(super) fn load(library: &Path) -> Result<Nvml, LoadError> {
    // SAFETY: the operator names the library, or it is the driver's own; its initialisers are trusted as the driver is.
    let probe = unsafe { NvmlLib::new(library) }.map_err(|error| unloadable(library, error.to_string()))?;
    if let Err(error) = &probe.nvmlInit_v2 {
        // SAFETY: the symbol is only looked for, never called.
        let older = unsafe { probe.__library.get::<unsafe extern "C" fn() -> nvmlReturn_t>(b"nvmlInit\0") };
        let too_old = || LoadError::Failed(Reason::TooOld, error.to_string().into());
        return Err(if older.is_ok() { too_old() } else { missing(error) });
    }
    probe.nvmlShutdown.as_ref().map_err(missing)?;
    probe.nvmlDeviceGetCount_v2.as_ref().map_err(missing)?;
    probe.nvmlDeviceGetHandleByIndex_v2.as_ref().map_err(missing)?;
    probe.nvmlDeviceGetUUID.as_ref().map_err(missing)?;
    Nvml::builder().lib_path(library.as_os_str()).init().map_err(|error| {
        let fault = Fault::from(error);
        LoadError::Failed(fault.reason(), fault.into())
    })
}

/// Why the loader refused, from its message, which is all that it gives. A library for another machine is passed over by the
/// loader as if it were not there.
fn unloadable(library: &Path, message: String) -> LoadError {
    let says = |words: &str| message.contains(words);
    let names_it = says(&format!("{}:", library.display()));
    if says("No such file") && names_it && library.is_absolute() && library.exists() {
        LoadError::Failed(Reason::Malformed, "it is there, but made for another machine".into())
    } else if says("No such file") {
        LoadError::NotFound(message.into())
    } else if says("ermission denied") {
        LoadError::Failed(Reason::Denied, message.into())
    } else {
        LoadError::Failed(Reason::Malformed, message.into())
    }
}

/// A question for the field with this number in a scope: 0 for the whole GPU, else a part, or a link.
pub(super) fn ask(number: u32, scope: u32) -> nvmlFieldValue_t {
    nvmlFieldValue_t {
        fieldId: number,
        scopeId: scope,
        timestamp: 0,
        latencyUsec: 0,
        valueType: 0,
        // A field that the driver does not even touch is no success.
        nvmlReturn: 999,
        value: nvmlValue_t { ullVal: 0 },
    }
}

/// Asks for many fields at once. Answers are told by position: newer drivers renumber some.
///
/// # Errors
/// The fault of the call as a whole.
pub(super) fn field_values(gpu: &Gpu<'_>, values: &mut [nvmlFieldValue_t]) -> Result<(), Fault> {
    let call = nvml_sym(gpu.nvml().lib().nvmlDeviceGetFieldValues.as_ref())?;
    let count = i32::try_from(values.len()).map_err(|_| Fault::INVALID_ARGUMENT)?;
    gpu.during("nvmlDeviceGetFieldValues", || {
        // SAFETY: the device belongs to this library, and the array has as many entries as said.
        Fault::check(unsafe { call(gpu.handle().0, count, values.as_mut_ptr()) })
    })
}

/// The number in an answered field, by the type it came with.
///
/// # Errors
/// The fault of the field.
pub(super) fn answer(value: &nvmlFieldValue_t) -> Result<f64, Fault> {
    Fault::check(value.nvmlReturn)?;
    // Counters are below 2^53 for centuries, so the conversions are exact.
    // SAFETY: every member of the union is valid for any bits; the type code says which one the driver wrote.
    unsafe {
        match value.valueType {
            0 => Ok(value.value.dVal),
            1 => Ok(f64::from(value.value.uiVal)),
            2 => Ok(value.value.ulVal as f64),
            3 => Ok(value.value.ullVal as f64),
            4 => Ok(value.value.sllVal as f64),
            5 => Ok(f64::from(value.value.siVal)),
            6 => Ok(f64::from(value.value.usVal)),
            _ => Err(Fault::UNREADABLE),
        }
    }
}

/// Which processes a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// Those with a compute context.
    Compute,
    /// Those with a graphics context.
    Graphics,
}

/// Reads a list of processes into a buffer that is kept, and gives the part of it that was filled.
///
/// # Errors
/// The fault of the call; `INSUFFICIENT_SIZE` when there are more than [`PROCESSES_MAX`].
pub(super) fn processes<'a>(
    gpu: &Gpu<'_>,
    list: List,
    buffer: &'a mut Vec<nvmlProcessInfo_t>,
) -> Result<&'a [nvmlProcessInfo_t], Fault> {
    let lib = gpu.nvml().lib();
    let (call, name) = match list {
        List::Compute => {
            (lib.nvmlDeviceGetComputeRunningProcesses_v3.as_ref(), "nvmlDeviceGetComputeRunningProcesses_v3")
        }
        List::Graphics => (
            lib.nvmlDeviceGetGraphicsRunningProcesses_v3.as_ref(),
            "nvmlDeviceGetGraphicsRunningProcesses_v3",
        ),
    };
    let call = nvml_sym(call)?;
    let blank = nvmlProcessInfo_t { pid: 0, usedGpuMemory: 0, gpuInstanceId: 0, computeInstanceId: 0 };
    buffer.resize(buffer.len().max(PROCESSES_SPARE), blank);
    loop {
        let mut count = c_uint::try_from(buffer.len()).map_err(|_| Fault::INSUFFICIENT_SIZE)?;
        let result = gpu.during(name, || {
            // SAFETY: the device belongs to this library, and the array has as many entries as said.
            Fault::check(unsafe { call(gpu.handle().0, &mut count, buffer.as_mut_ptr()) })
        });
        let (count, room) = (count as usize, buffer.len());
        match result {
            Ok(()) => return Ok(&buffer[..count.min(room)]),
            Err(Fault::INSUFFICIENT_SIZE) if (room..PROCESSES_MAX).contains(&count) => {
                buffer.resize((count + PROCESSES_SPARE).min(PROCESSES_MAX), blank);
            }
            Err(fault) => return Err(fault),
        }
    }
}

/// Reads how much of the device each process used since a moment of the driver's clock, in microseconds. A process that used
/// nothing is not among them.
///
/// # Errors
/// The fault of the call; `NOT_FOUND` when there are no samples since then.
pub(super) fn process_utilization<'a>(
    gpu: &Gpu<'_>,
    since_us: u64,
    buffer: &'a mut Vec<nvmlProcessUtilizationSample_t>,
) -> Result<&'a [nvmlProcessUtilizationSample_t], Fault> {
    let call = nvml_sym(gpu.nvml().lib().nvmlDeviceGetProcessUtilization.as_ref())?;
    let blank = nvmlProcessUtilizationSample_t {
        pid: 0,
        timeStamp: 0,
        smUtil: 0,
        memUtil: 0,
        encUtil: 0,
        decUtil: 0,
    };
    buffer.resize(buffer.len().max(PROCESSES_SPARE), blank);
    loop {
        let mut count = c_uint::try_from(buffer.len()).map_err(|_| Fault::INSUFFICIENT_SIZE)?;
        let result = gpu.during("nvmlDeviceGetProcessUtilization", || {
            // SAFETY: the device belongs to this library, and the array has as many entries as said.
            Fault::check(unsafe { call(gpu.handle().0, buffer.as_mut_ptr(), &mut count, since_us) })
        });
        let (count, room) = (count as usize, buffer.len());
        match result {
            Ok(()) => return Ok(&buffer[..count.min(room)]),
            Err(Fault::INSUFFICIENT_SIZE) if (room + 1..=PROCESSES_MAX).contains(&count) => {
                buffer.resize((count + PROCESSES_SPARE).min(PROCESSES_MAX), blank);
            }
            Err(fault) => return Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(kind: u32, value: nvmlValue_t) -> nvmlFieldValue_t {
        nvmlFieldValue_t { valueType: kind, nvmlReturn: 0, value, ..ask(186, 0) }
    }

    #[test]
    fn a_field_is_read_by_its_own_type() {
        let cases = [
            (0, nvmlValue_t { dVal: 0.5 }, 0.5),
            (1, nvmlValue_t { uiVal: u32::MAX }, 4_294_967_295.0),
            (2, nvmlValue_t { ulVal: (1 << 33) + 5 }, 8_589_934_597.0),
            (3, nvmlValue_t { ullVal: 1 << 40 }, 1_099_511_627_776.0),
            (4, nvmlValue_t { sllVal: -(1 << 40) }, -1_099_511_627_776.0),
            (5, nvmlValue_t { siVal: -7 }, -7.0),
            (6, nvmlValue_t { usVal: 65_535 }, 65_535.0),
        ];
        for (kind, value, expected) in cases {
            assert_eq!(answer(&answered(kind, value)), Ok(expected), "type {kind}");
        }
        assert_eq!(answer(&answered(99, nvmlValue_t { ullVal: 1 })), Err(Fault::UNREADABLE));
    }

    #[test]
    fn a_field_that_failed_or_was_not_answered_has_no_number() {
        let mut value = answered(1, nvmlValue_t { uiVal: 5 });
        value.nvmlReturn = 3;
        assert_eq!(answer(&value), Err(Fault::NOT_SUPPORTED));
        assert!(answer(&ask(186, 0)).is_err());
    }

    #[test]
    fn a_loader_that_finds_nothing_is_told_from_one_that_cannot_read_what_it_found() {
        let path = Path::new("x.so");
        let says = |end: &str| unloadable(path, format!("x.so: cannot open shared object file: {end}"));
        assert!(matches!(says("No such file or directory"), LoadError::NotFound(_)));
        let there = std::env::current_exe().unwrap();
        let foreign =
            format!("{}: cannot open shared object file: No such file or directory", there.display());
        assert!(matches!(unloadable(&there, foreign), LoadError::Failed(Reason::Malformed, _)));
        assert!(matches!(says("Permission denied"), LoadError::Failed(Reason::Denied, _)));
        assert!(matches!(
            unloadable(path, "invalid ELF header".into()),
            LoadError::Failed(Reason::Malformed, _)
        ));
    }
}
