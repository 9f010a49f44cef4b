//! Processes: one on a busy board, or one on each instance of a busy board that is cut, or one for each tenant of a shared board.
use crate::abi::{INSUFFICIENT_SIZE, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, SUCCESS};
use crate::device::{index_of, on_board};
use crate::mig::FIRST;
use crate::time::wall_us;
use crate::world::{Shared, put};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlProcessInfo_t, nvmlProcessUtilizationSample_t};
use sim::seats::Seat;
use sim::{Board, Tenant, Workload};
use std::ffi::{c_uint, c_ulonglong};

/// The process id of the first board's process; no real one is as high.
const FIRST_PID: u32 = 4_194_000;

fn processes(shared: &Shared, index: usize) -> Vec<nvmlProcessInfo_t> {
    let board = &shared.node.boards()[index];
    if board.seats.taken() {
        return seated(board);
    }
    if board.workload() == Workload::Idle {
        return Vec::new();
    }
    let info = |memory: u64, instance: c_uint, compute: c_uint| nvmlProcessInfo_t {
        pid: FIRST_PID + board.index,
        usedGpuMemory: memory,
        gpuInstanceId: instance,
        computeInstanceId: compute,
    };
    let parts = shared.extra.boards[index].mig;
    if parts == 0 {
        return vec![info(board.memory_used_bytes, c_uint::MAX, c_uint::MAX)];
    }
    let of = |part: u64| nvmlProcessInfo_t {
        // Each instance has a process of its own.
        pid: FIRST_PID + 100 + board.index * 10 + part as u32,
        ..info(board.memory_used_bytes / parts, FIRST as c_uint + part as c_uint, 0)
    };
    (0..parts).map(of).collect()
}

/// The process ids of a shared board's tenants, by seat.
fn seats(board: &Board) -> impl Iterator<Item = (u32, &Seat)> {
    let all = (0..).map(|number| FIRST_PID + 1000 + board.index * 10 + number).zip(&board.seats.seats);
    all.filter(|(_, seat)| seat.tenant() != Tenant::Nobody)
}

fn seated(board: &Board) -> Vec<nvmlProcessInfo_t> {
    let info = |(pid, seat): (u32, &Seat)| nvmlProcessInfo_t {
        pid,
        // A share of a size in bytes: the fraction of a byte is of no interest.
        usedGpuMemory: (seat.tenant().need().resident * board.profile().memory_bytes as f64) as u64,
        gpuInstanceId: c_uint::MAX,
        computeInstanceId: c_uint::MAX,
    };
    seats(board).map(info).collect()
}

/// Hands a list over, or says how long it is.
///
/// # Safety
/// `count` is null or valid for reads and writes; `out` is null or valid for writes of as many entries as `count` says.
unsafe fn hand_over<T: Copy>(list: &[T], count: *mut c_uint, out: *mut T) -> c_uint {
    if count.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and valid by the contract above.
    let room = unsafe { *count } as usize;
    // SAFETY: as above.
    unsafe { *count = list.len() as c_uint };
    if room < list.len() || (!list.is_empty() && out.is_null()) {
        return INSUFFICIENT_SIZE;
    }
    // SAFETY: there is room for so many entries, as checked above.
    unsafe { std::ptr::copy_nonoverlapping(list.as_ptr(), out, list.len()) };
    SUCCESS
}

/// The compute processes on a board.
///
/// # Safety
/// `count` is valid for reads and writes; `infos` is null or valid for writes of `count` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    infos: *mut nvmlProcessInfo_t,
) -> c_uint {
    on_board("nvmlDeviceGetComputeRunningProcesses_v3", device, |shared| {
        // SAFETY: by the contract of this function.
        unsafe { hand_over(&processes(shared, index_of(device)), count, infos) }
    })
}

/// The graphics processes on a board: none.
///
/// # Safety
/// `count` is valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    _infos: *mut nvmlProcessInfo_t,
) -> c_uint {
    // SAFETY: by the contract of this function.
    on_board("nvmlDeviceGetGraphicsRunningProcesses_v3", device, |_| unsafe { put(count, 0) })
}

/// How much each process used; not on a board that is cut. An idle board has no samples.
///
/// # Safety
/// `count` is valid for reads and writes; `samples` is null or valid for writes of `count` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetProcessUtilization(
    device: nvmlDevice_t,
    samples: *mut nvmlProcessUtilizationSample_t,
    count: *mut c_uint,
    since_us: c_ulonglong,
) -> c_uint {
    on_board("nvmlDeviceGetProcessUtilization", device, |shared| {
        let index = index_of(device);
        if shared.extra.boards[index].mig != 0 {
            return NOT_SUPPORTED;
        }
        let board = &shared.node.boards()[index];
        let (busy, now_us) = ((board.busy * 100.0) as c_uint, wall_us());
        // That a driver has no samples of single processes under MPS is an assumption.
        if busy == 0 || since_us >= now_us || board.seats.mps() {
            return NOT_FOUND;
        }
        let share = |pid: u32| seats(board).find(|(other, _)| *other == pid).map(|(_, seat)| seat.engine);
        let sample = |process: &nvmlProcessInfo_t| nvmlProcessUtilizationSample_t {
            pid: process.pid,
            timeStamp: now_us,
            smUtil: share(process.pid).map_or(busy, |share| (share * 100.0).round() as c_uint),
            memUtil: (board.memory_activity * 100.0) as c_uint,
            encUtil: 0,
            decUtil: 0,
        };
        let list: Vec<_> = processes(shared, index).iter().map(sample).collect();
        // SAFETY: by the contract of this function.
        unsafe { hand_over(&list, count, samples) }
    })
}
