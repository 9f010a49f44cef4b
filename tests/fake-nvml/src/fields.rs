//! Field values: many readings in one call, each with a type and a return code of its own.
use crate::abi::{INVALID_ARGUMENT, NOT_SUPPORTED, SUCCESS, field};
use crate::device::{index_of, milliwatts, on_board};
use crate::extra::Bad;
use crate::time::wall_us;
use crate::{links, more};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlFieldValue_t, nvmlValue_t};
use sim::Board;
use std::ffi::{c_int, c_longlong, c_uint, c_ulonglong};

/// Type codes of values.
const UNSIGNED_INT: c_uint = 1;
const UNSIGNED_LONG_LONG: c_uint = 3;
const SIGNED_INT: c_uint = 5;
/// The only scope in which these boards measure power: the GPU, not its module or its memory.
const SCOPE_GPU: c_uint = 0;

/// By how many degrees below the slowdown temperature the board's own control begins. An assumption.
const MARGIN_C: f64 = 2.0;

/// How far the board's own control begins below a limit, as NVML gives temperature limits: whole degrees, below zero.
fn distance(board: &Board, limit_c: f64) -> (nvmlValue_t, c_uint) {
    let target_c = board.profile().slowdown_c - MARGIN_C;
    (nvmlValue_t { siVal: (target_c - limit_c) as c_int }, SIGNED_INT)
}

/// The value of a field with its type code.
fn value_of(board: &Board, bad: &Bad, number: u32, scope: u32) -> Option<(nvmlValue_t, c_uint)> {
    let profile = board.profile();
    let unsigned = |value: c_uint| Some((nvmlValue_t { uiVal: value }, UNSIGNED_INT));
    if field::SCOPED.contains(&number) && scope != SCOPE_GPU {
        return None;
    }
    match number {
        field::MEMORY_TEMPERATURE => unsigned(board.memory_temperature_c() as c_uint),
        field::TOTAL_ENERGY => {
            Some((nvmlValue_t { ullVal: (board.energy_j * 1e3) as c_ulonglong }, UNSIGNED_LONG_LONG))
        }
        field::POWER_AVERAGE => unsigned(milliwatts(board.sensor.average_w())),
        field::POWER_INSTANT => unsigned(milliwatts(board.sensor.instant_w())),
        field::LIMIT_MIN => unsigned(profile.limit_min.to_milliwatts()),
        field::LIMIT_MAX | field::LIMIT_DEFAULT => unsigned(profile.limit_max.to_milliwatts()),
        field::LIMIT_ENFORCED => unsigned(milliwatts(board.enforced().0)),
        field::LIMIT_REQUESTED => unsigned(milliwatts(board.requested_w)),
        field::DISTANCE_SHUTDOWN => Some(distance(board, profile.shutdown_c)),
        field::DISTANCE_SLOWDOWN => Some(distance(board, profile.slowdown_c)),
        field::DISTANCE_MEMORY_MAX | field::DISTANCE_GPU_MAX => Some((nvmlValue_t { siVal: 0 }, SIGNED_INT)),
        _ => {
            let more = more::health(board, bad, number).or_else(|| links::field(board, bad, number, scope));
            more.map(|count| (nvmlValue_t { ullVal: count }, UNSIGNED_LONG_LONG))
        }
    }
}

/// Many values in one call, each with its own return code.
///
/// # Safety
/// `values` is null or valid for reads and writes of `count` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: nvmlDevice_t,
    count: c_int,
    values: *mut nvmlFieldValue_t,
) -> c_uint {
    on_board("nvmlDeviceGetFieldValues", device, |shared| {
        let index = index_of(device);
        let (board, bad) = (&shared.node.boards()[index], &shared.extra.boards[index]);
        let Ok(count) = usize::try_from(count) else { return INVALID_ARGUMENT };
        if values.is_null() {
            return INVALID_ARGUMENT;
        }
        // SAFETY: not null, and valid for so many entries by the contract of this function.
        let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
        let timestamp = c_longlong::try_from(wall_us()).unwrap_or(0);
        for value in values {
            (value.timestamp, value.latencyUsec) = (timestamp, 0);
            match value_of(board, bad, value.fieldId, value.scopeId) {
                Some((number, kind)) => {
                    (value.value, value.valueType, value.nvmlReturn) = (number, kind, SUCCESS)
                }
                None => value.nvmlReturn = NOT_SUPPORTED,
            }
        }
        SUCCESS
    })
}
