//! A `libcuda.so.1` with one GPU that takes time and computes nothing, for the parts of the lab.
//!
//! What is asked of it is checked as a driver would: contexts, the text of kernels, their names and arguments, bounds of buffers. All
//! processes that name the same file in `WATTKEEPER_FAKE_CUDA` take turns at its engine, as without MPS. `WATTKEEPER_FAKE_CUDA_FAIL`, as
//! `FUNCTION=CODE`, makes one function fail.
#![allow(non_snake_case, reason = "named as the driver's header names them")]
mod engine;

use engine::{Engine, State};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

const SUCCESS: c_int = 0;
const INVALID_VALUE: c_int = 1;
const OUT_OF_MEMORY: c_int = 2;
const NOT_INITIALIZED: c_int = 3;
const INVALID_DEVICE: c_int = 101;
const INVALID_IMAGE: c_int = 200;
const INVALID_CONTEXT: c_int = 201;
const NOT_FOUND: c_int = 500;
/// Memory of the device, in bytes.
const MEMORY_BYTES: usize = 8 << 30;
/// What the driver hands out as a context and as a module.
const CONTEXT: usize = 0x1000;
const MODULE: usize = 0x2000;
/// Time of one unit of arithmetic (a block's turn), of a byte over device memory's bus and the link, and of any launch.
const TURN_PS: u64 = 1000;
const STREAM_PS: u64 = 2;
const COPY_PS: u64 = 60;
const LAUNCH_PS: u64 = 3_000_000;

/// Runs one call, or returns the code that it was made to return.
fn call(function: &str, needs_context: bool, work: impl FnOnce(&mut State) -> c_int) -> c_int {
    let fails = std::env::var("WATTKEEPER_FAKE_CUDA_FAIL").unwrap_or_default();
    if let Some((name, code)) = fails.split_once('=').filter(|(name, _)| *name == function) {
        return code.parse().unwrap_or_else(|_| panic!("{name}: {code} is no code"));
    }
    let mut state = engine::state();
    match (state.started || function == "cuInit", needs_context && !state.current) {
        (false, _) => NOT_INITIALIZED,
        (true, true) => INVALID_CONTEXT,
        (true, false) => work(&mut state),
    }
}

/// Writes a result through a caller's pointer.
///
/// # Safety
/// `out` is null or valid for writes of `T`.
unsafe fn put<T>(out: *mut T, value: T) -> c_int {
    if out.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: not null, and valid by the contract above.
    unsafe { out.write(value) };
    SUCCESS
}

/// Starts the library.
#[unsafe(no_mangle)]
pub extern "C" fn cuInit(flags: c_uint) -> c_int {
    call("cuInit", false, |state| {
        state.started = flags == 0;
        if flags == 0 { SUCCESS } else { INVALID_VALUE }
    })
}

/// How many GPUs there are.
///
/// # Safety
/// `count` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    // SAFETY: by the contract of this function.
    call("cuDeviceGetCount", false, |_| unsafe { put(count, 1) })
}

/// A GPU by its number.
///
/// # Safety
/// `device` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut c_int, number: c_int) -> c_int {
    call("cuDeviceGet", false, |_| match number {
        // SAFETY: by the contract of this function.
        0 => unsafe { put(device, 0) },
        _ => INVALID_DEVICE,
    })
}

/// Memory of a GPU.
///
/// # Safety
/// `bytes` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _: c_int) -> c_int {
    // SAFETY: by the contract of this function.
    call("cuDeviceTotalMem_v2", false, |_| unsafe { put(bytes, MEMORY_BYTES) })
}

/// Takes the context that a process has by default.
///
/// # Safety
/// `context` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, _: c_int) -> c_int {
    call("cuDevicePrimaryCtxRetain", false, |state| {
        state.retained += 1;
        // SAFETY: by the contract of this function.
        unsafe { put(context, std::ptr::without_provenance_mut(CONTEXT)) }
    })
}

/// Gives it back.
#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(_: c_int) -> c_int {
    call("cuDevicePrimaryCtxRelease_v2", false, |state| {
        let left = state.retained.checked_sub(1);
        state.current &= left.is_some_and(|left| left > 0);
        state.retained = left.unwrap_or(0);
        left.map_or(INVALID_CONTEXT, |_| SUCCESS)
    })
}

/// Makes a context current.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: *mut c_void) -> c_int {
    call("cuCtxSetCurrent", false, |state| {
        state.current = context.addr() == CONTEXT && state.retained > 0;
        if state.current { SUCCESS } else { INVALID_CONTEXT }
    })
}

/// Loads kernels.
///
/// # Safety
/// `image` is null or a text that ends with a zero byte; `module` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadData(module: *mut *mut c_void, image: *const c_void) -> c_int {
    call("cuModuleLoadData", true, |state| {
        if image.is_null() {
            return INVALID_VALUE;
        }
        // SAFETY: not null, and ends with a zero byte by the contract of this function.
        let text = unsafe { CStr::from_ptr(image.cast()) }.to_string_lossy().into_owned();
        if ![".version ", ".target ", ".address_size 64"].iter().all(|word| text.contains(word)) {
            return INVALID_IMAGE;
        }
        state.kernels = text;
        // SAFETY: by the contract of this function.
        unsafe { put(module, std::ptr::without_provenance_mut(MODULE)) }
    })
}

/// Unloads them.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(module: *mut c_void) -> c_int {
    call("cuModuleUnload", true, |state| {
        state.kernels.clear();
        if module.addr() == MODULE { SUCCESS } else { INVALID_VALUE }
    })
}

/// A kernel by its name.
///
/// # Safety
/// `function` is null or valid for writes; `name` is a text that ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(
    function: *mut *mut c_void,
    _: *mut c_void,
    name: *const c_char,
) -> c_int {
    call("cuModuleGetFunction", true, |state| {
        // SAFETY: by the contract of this function.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let there = state.kernels.contains(&format!(".entry {name}("));
        match Engine::ALL.iter().position(|kernel| kernel.name() == name).filter(|_| there) {
            // SAFETY: by the contract of this function.
            Some(place) => unsafe { put(function, std::ptr::without_provenance_mut(place + 1)) },
            None => NOT_FOUND,
        }
    })
}

/// Takes device memory.
///
/// # Safety
/// `address` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> c_int {
    call("cuMemAlloc_v2", true, |state| match state.take(bytes, MEMORY_BYTES) {
        // SAFETY: by the contract of this function.
        Some(place) => unsafe { put(address, place) },
        None => OUT_OF_MEMORY,
    })
}

/// Gives device memory back.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(address: u64) -> c_int {
    call("cuMemFree_v2", true, |state| state.buffers.remove(&address).map_or(INVALID_VALUE, |_| SUCCESS))
}

/// Takes memory of the host that copies may come from.
///
/// # Safety
/// `address` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocHost_v2(address: *mut *mut c_void, bytes: usize) -> c_int {
    call("cuMemAllocHost_v2", true, |state| {
        state.host.push(vec![0_u8; bytes]);
        let fresh = state.host.last_mut().map_or(std::ptr::null_mut(), |bytes| bytes.as_mut_ptr().cast());
        // SAFETY: by the contract of this function.
        unsafe { put(address, fresh) }
    })
}

/// Gives it back.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeHost(address: *mut c_void) -> c_int {
    call("cuMemFreeHost", true, |state| {
        let before = state.host.len();
        state.host.retain(|bytes| bytes.as_ptr().addr() != address.addr());
        if state.host.len() < before { SUCCESS } else { INVALID_VALUE }
    })
}

/// Begins a copy from the host.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, bytes: usize, _: *mut c_void) -> c_int {
    call("cuMemcpyHtoDAsync_v2", true, |state| {
        let pinned = state.host.iter().any(|host| host.as_ptr().addr() == from.addr() && host.len() >= bytes);
        if !pinned || !state.holds(to, bytes) {
            return INVALID_VALUE;
        }
        state.queue(bytes as u64 * COPY_PS);
        SUCCESS
    })
}

/// Begins a kernel.
///
/// # Safety
/// `arguments` points to as many pointers as the kernel has arguments, each to a value of the argument's type.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments, reason = "the driver's signature")]
pub unsafe extern "C" fn cuLaunchKernel(
    function: *mut c_void,
    blocks: c_uint,
    blocks_y: c_uint,
    blocks_z: c_uint,
    threads: c_uint,
    threads_y: c_uint,
    threads_z: c_uint,
    shared: c_uint,
    _stream: *mut c_void,
    arguments: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> c_int {
    call("cuLaunchKernel", true, |state| {
        let flat = [blocks_y, blocks_z, threads_y, threads_z] == [1; 4] && shared == 0 && extra.is_null();
        let kernel = function.addr().checked_sub(1).and_then(|place| Engine::ALL.get(place));
        let Some(kernel) = kernel.filter(|_| flat && blocks > 0 && (1..=1024).contains(&threads)) else {
            return INVALID_VALUE;
        };
        if arguments.is_null() {
            return INVALID_VALUE;
        }
        // SAFETY: each argument is a pointer to a value of the kernel's type, by the contract of this function.
        let (word, long) = unsafe {
            (
                |place: usize| (*arguments.add(place)).cast::<c_uint>().read(),
                |place: usize| (*arguments.add(place)).cast::<u64>().read(),
            )
        };
        let (sound, time) = match kernel {
            Engine::Arithmetic => {
                let bytes = 4 * blocks as usize * threads as usize;
                (state.holds(long(0), bytes), u64::from(blocks) * u64::from(word(1)) * TURN_PS)
            }
            Engine::Stream => {
                let bytes = 16 * word(2) as usize;
                (state.holds(long(0), bytes) && state.holds(long(1), bytes), bytes as u64 * 2 * STREAM_PS)
            }
        };
        if !sound {
            return INVALID_VALUE;
        }
        state.queue(time + LAUNCH_PS);
        SUCCESS
    })
}

/// Waits until everything is done.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> c_int {
    let mut due_ns = 0;
    let code = call("cuCtxSynchronize", true, |state| {
        due_ns = state.due();
        SUCCESS
    });
    engine::run(due_ns);
    code
}
