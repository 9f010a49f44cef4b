//! Field values: many in one raw call, since the wrapper's own form renumbers and truncates them.
use super::codes::{absence_of_code, code};
use super::session::{Handle, Session};
use model::{Absence, Metric};
use nvml_wrapper_sys::bindings::nvmlFieldValue_t;

/// A field number of `nvml.h` and what it gives.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The number.
    pub number: u32,
    /// The metric.
    pub metric: Metric,
    /// What its raw value is multiplied with to be in base units.
    pub scale: f64,
}

const fn field(number: u32, metric: Metric, scale: f64) -> Field {
    Field { number, metric, scale }
}

/// Every field that is read on a beat. Power 186 is instantaneous, 185 a mean over a second; limit 190 is what is enforced
/// after every limiter, 192 what was requested in band.
pub const FIELDS: [Field; 6] = [
    field(186, Metric::PowerInstant, 1e-3),
    field(185, Metric::PowerAverage, 1e-3),
    field(83, Metric::Energy, 1e-3),
    field(82, Metric::TemperatureMemory, 1.0),
    field(190, Metric::PowerLimitEnforced, 1e-3),
    field(192, Metric::PowerLimitRequested, 1e-3),
];

/// Reads fields; `None` when the library lacks the call. Results are told by position, never by the number they carry.
///
/// # Errors
/// The return code of the call as a whole.
pub(crate) fn read<const N: usize>(
    session: &Session,
    handle: Handle,
    fields: &[Field; N],
) -> Option<Result<[Result<f64, Absence>; N], u32>> {
    let call = session.nvml().lib().nvmlDeviceGetFieldValues.as_ref().ok()?;
    // SAFETY: nvmlFieldValue_t is plain old data, for which zeroes are valid.
    let mut values: [nvmlFieldValue_t; N] = unsafe { std::mem::zeroed() };
    for (value, field) in values.iter_mut().zip(fields) {
        value.fieldId = field.number;
    }
    // A handful of fields always fits.
    let count = i32::try_from(N).unwrap_or(0);
    // SAFETY: the handle belongs to this session, and the array has as many entries as said.
    let result = unsafe { call(handle.raw(), count, values.as_mut_ptr()) };
    if result != code::SUCCESS {
        return Some(Err(result));
    }
    Some(Ok(std::array::from_fn(|place| number(&values[place]).map(|number| number * fields[place].scale))))
}

/// The number in a field value, by its type code.
fn number(value: &nvmlFieldValue_t) -> Result<f64, Absence> {
    if value.nvmlReturn != code::SUCCESS {
        return Err(absence_of_code(value.nvmlReturn));
    }
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
            _ => Err(Absence::Implausible),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nvml_wrapper_sys::bindings::nvmlValue_t;

    #[test]
    fn a_field_is_read_by_its_own_type() {
        // SAFETY: as in `read`.
        let mut value: nvmlFieldValue_t = unsafe { std::mem::zeroed() };
        value.valueType = 2;
        value.value = nvmlValue_t { ulVal: (1 << 33) + 5 };
        assert_eq!(number(&value), Ok(8_589_934_597.0));
        value.valueType = 5;
        value.value = nvmlValue_t { siVal: -7 };
        assert_eq!(number(&value), Ok(-7.0));
        value.valueType = 99;
        assert_eq!(number(&value), Err(Absence::Implausible));
        value.nvmlReturn = 3;
        assert_eq!(number(&value), Err(Absence::Unsupported));
    }
}
