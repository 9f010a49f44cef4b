//! Profiling samples of Hopper boards: what the simulator's board does, as the pipes would count it.
use crate::abi::{INVALID_ARGUMENT, NOT_SUPPORTED, SUCCESS};
use crate::device::{index_of, on_board};
use crate::world::{Shared, call, first_call, put};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t};
use std::ffi::c_uint;

/// The memory of a sample. Samples of all processes live on the heap of their own.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    taken: bool,
    busy: f64,
    memory: f64,
    /// Of a shared board: multiprocessors and matrix pipes at work, and bytes a second from the host.
    shared: Option<[f64; 3]>,
    instance: Option<c_uint>,
}

/// Whether the board has profiling samples: Hopper has.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmQueryDeviceSupport(
    device: nvmlDevice_t,
    out: *mut nvmlGpmSupport_t,
) -> c_uint {
    on_board("nvmlGpmQueryDeviceSupport", device, |shared| {
        let supported = c_uint::from(shared.node.boards()[index_of(device)].profile().code() == 0);
        // SAFETY: by the contract of this function.
        unsafe { put(out, nvmlGpmSupport_t { version: 1, isSupportedDevice: supported }) }
    })
}

/// Makes memory for a sample.
///
/// # Safety
/// `out` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleAlloc(out: *mut nvmlGpmSample_t) -> c_uint {
    call("nvmlGpmSampleAlloc", |_| {
        let fresh = Box::into_raw(Box::<Sample>::default());
        // SAFETY: by the contract of this function.
        unsafe { put(out, fresh.cast()) }
    })
}

/// Frees the memory of a sample.
///
/// # Safety
/// `sample` is null, or came from `nvmlGpmSampleAlloc` and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleFree(sample: nvmlGpmSample_t) -> c_uint {
    if sample.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and ours alone by the contract of this function.
    drop(unsafe { Box::from_raw(sample.cast::<Sample>()) });
    first_call("nvmlGpmSampleFree", |_| SUCCESS)
}

fn take(shared: &Shared, index: usize, sample: nvmlGpmSample_t, instance: Option<c_uint>) -> c_uint {
    let cut = shared.extra.boards[index].mig != 0;
    let board = &shared.node.boards()[index];
    if board.profile().code() != 0 || cut != instance.is_some() {
        return NOT_SUPPORTED;
    }
    if sample.is_null() {
        return INVALID_ARGUMENT;
    }
    let tenants = [board.sm_active, board.tensor_active, board.moved[0]];
    let seated = board.seats.taken().then_some(tenants);
    let fresh =
        Sample { taken: true, busy: board.busy, memory: board.memory_activity, shared: seated, instance };
    // SAFETY: not null, and ours alone by the contract of the callers.
    unsafe { sample.cast::<Sample>().write(fresh) };
    SUCCESS
}

/// Takes a sample of a board that is not cut into instances.
///
/// # Safety
/// `sample` is null or came from `nvmlGpmSampleAlloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t) -> c_uint {
    on_board("nvmlGpmSampleGet", device, |shared| take(shared, index_of(device), sample, None))
}

/// Takes a sample of an instance.
///
/// # Safety
/// `sample` is null or came from `nvmlGpmSampleAlloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmMigSampleGet(
    device: nvmlDevice_t,
    instance: c_uint,
    sample: nvmlGpmSample_t,
) -> c_uint {
    on_board("nvmlGpmMigSampleGet", device, |shared| take(shared, index_of(device), sample, Some(instance)))
}

/// The value of a metric: percent, or mebibytes a second. An assumption for all but the first two.
fn value(number: c_uint, sample: &Sample) -> Option<f64> {
    let (busy, memory) = (100.0 * sample.busy, 100.0 * sample.memory);
    const MEBI: f64 = 1_048_576.0;
    match (number, sample.shared) {
        (2, Some([sm, ..])) => return Some(100.0 * sm),
        (5, Some([_, tensor, _])) => return Some(100.0 * tensor),
        (20 | 21, Some([.., host])) => return Some(host / MEBI),
        _ => {}
    }
    match number {
        1 => Some(busy),
        2 => Some(0.9 * busy),
        3 => Some(0.4 * busy),
        4 => Some(0.1 * busy),
        5 => Some(0.6 * busy),
        10 => Some(memory),
        11 => Some(0.0),
        12 | 13 => Some(0.2 * busy),
        20 | 21 => Some(200.0 * sample.busy),
        60 | 61 if sample.instance.is_none() => Some(4000.0 * sample.busy),
        _ => None,
    }
}

/// What happened between two samples.
///
/// # Safety
/// `question` is null or valid for reads and writes of its head and as many metrics as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmMetricsGet(question: *mut nvmlGpmMetricsGet_t) -> c_uint {
    call("nvmlGpmMetricsGet", |_| {
        if question.is_null() {
            return INVALID_ARGUMENT;
        }
        // SAFETY: not null, and the head is valid by the contract of this function.
        let (version, count, one, two) = unsafe {
            ((*question).version, (*question).numMetrics, (*question).sample1, (*question).sample2)
        };
        if version != 1 || one.is_null() || two.is_null() {
            return INVALID_ARGUMENT;
        }
        // SAFETY: both came from nvmlGpmSampleAlloc by the contract of this function.
        let (one, two) = unsafe { (*one.cast::<Sample>(), *two.cast::<Sample>()) };
        if !one.taken || !two.taken {
            return INVALID_ARGUMENT;
        }
        // SAFETY: the array begins there and has as many entries as said.
        let metrics = unsafe {
            let first = (&raw mut (*question).metrics).cast::<nvml_wrapper_sys::bindings::nvmlGpmMetric_t>();
            std::slice::from_raw_parts_mut(first, count as usize)
        };
        for metric in metrics {
            match value(metric.metricId, &two) {
                Some(value) => (metric.value, metric.nvmlReturn) = (value, SUCCESS),
                None => metric.nvmlReturn = NOT_SUPPORTED,
            }
        }
        SUCCESS
    })
}
