//! CUDA for the lab: kernels and copies of our own on one GPU, through the driver's library, loaded at run time.
//!
//! The agent never opens it: a process with a CUDA context keeps a GPU awake and takes its memory. Only parts of the lab do. The
//! functions are those of `cuda.h`; those that NVIDIA has versioned are called by the name with the version.
mod codes;

use crate::library::{Fault, Library, ask, functions};
use codes::CODES;
use model::Calls;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::path::Path;

/// The usual library.
pub const LIBRARY: &str = "libcuda.so.1";
/// The kernels, with the zero byte at the end that the driver wants.
const KERNELS: &str = concat!(include_str!("kernels.ptx"), "\0");
/// Bytes of each of the two buffers in device memory, and of the buffer of the host.
const DEVICE_BYTES: usize = 128 << 20;
const HOST_BYTES: usize = 16 << 20;
/// The share of device memory that the buffers may take.
const MEMORY_SHARE: usize = 4;
/// Threads of a block, and blocks of a large and of a small kernel.
const THREADS: c_uint = 256;
const BLOCKS: c_uint = 1024;
const BLOCKS_SMALL: c_uint = 4;
/// Turns of a large and of a small kernel of arithmetic: about a tenth of a millisecond on a large board, and some microseconds.
const TURNS: c_uint = 512;
const TURNS_SMALL: c_uint = 64;

functions! {
    /// The functions of the driver.
    #[allow(non_snake_case, reason = "named as the driver's header names them")]
    struct Table {
        cuInit: fn(c_uint);
        cuDeviceGetCount: fn(*mut c_int);
        cuDeviceGet: fn(*mut c_int, c_int);
        cuDeviceTotalMem_v2: fn(*mut usize, c_int);
        cuDevicePrimaryCtxRetain: fn(*mut *mut c_void, c_int);
        cuDevicePrimaryCtxRelease_v2: fn(c_int);
        cuCtxSetCurrent: fn(*mut c_void);
        cuCtxSynchronize: fn();
        cuModuleLoadData: fn(*mut *mut c_void, *const c_void);
        cuModuleUnload: fn(*mut c_void);
        cuModuleGetFunction: fn(*mut *mut c_void, *mut c_void, *const c_char);
        cuMemAlloc_v2: fn(*mut u64, usize);
        cuMemFree_v2: fn(u64);
        cuMemAllocHost_v2: fn(*mut *mut c_void, usize);
        cuMemFreeHost: fn(*mut c_void);
        cuMemcpyHtoDAsync_v2: fn(u64, *const c_void, usize, *mut c_void);
        cuLaunchKernel: fn(*mut c_void, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, *mut c_void, *mut *mut c_void, *mut *mut c_void);
    }
}

/// A GPU cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// There is no library.
    #[error(
        "{0}: the loader does not find it; install NVIDIA's driver with its CUDA part, or name its library with --cuda; without a \
         GPU use --rig sim"
    )]
    NoLibrary(String),
    /// The library cannot be loaded.
    #[error("the CUDA driver's library cannot be loaded")]
    Library(#[source] model::OpenError),
    /// There is no such GPU.
    #[error("--device {ordinal}: the CUDA driver sees {count} GPUs; numbers begin with 0")]
    NoDevice {
        /// The number that was asked for.
        ordinal: u32,
        /// How many there are.
        count: c_int,
    },
    /// The buffers would take more than their share.
    #[error(
        "device memory of {0} bytes is too small: the lab takes a quarter of it at most, and needs 256 MiB"
    )]
    Small(usize),
    /// A call has failed.
    #[error("{call} failed: {fault}")]
    Call {
        /// The function.
        call: &'static str,
        /// What it returned.
        fault: String,
    },
}

/// How a call that failed is told.
fn failed(call: &'static str) -> impl Fn(Fault) -> CudaError {
    move |fault| CudaError::Call { call, fault: fault.to_string() }
}

/// Calls a function of the card's table.
macro_rules! must {
    ($card:expr, $name:ident($($argument:expr),* $(,)?)) => {
        ask!($card, $name($($argument),*)).map_err(failed(stringify!($name)))
    };
}

/// A GPU with our kernels and buffers on it. Not for several threads: a context is current to the thread that opened it.
#[derive(Debug)]
pub struct Card {
    table: Table,
    calls: Calls,
    device: c_int,
    retained: bool,
    module: *mut c_void,
    arithmetic: *mut c_void,
    stream: *mut c_void,
    /// Two buffers in device memory, and one of the host's that the driver has pinned.
    buffers: [u64; 2],
    host: *mut c_void,
    /// Dropped last.
    _library: Library,
}

impl Card {
    /// Opens a GPU by its number, in the order of the driver.
    ///
    /// # Errors
    /// When there is no library or no such GPU, its memory is too small, or a call fails. What was taken is given back.
    pub fn open(path: &Path, ordinal: u32) -> Result<Self, CudaError> {
        let library = Library::load(path, LIBRARY).map_err(CudaError::Library)?;
        let library = library.ok_or_else(|| CudaError::NoLibrary(path.display().to_string()))?;
        let mut card = Self {
            table: Table::resolve(&library),
            calls: Calls::default(),
            device: 0,
            retained: false,
            module: std::ptr::null_mut(),
            arithmetic: std::ptr::null_mut(),
            stream: std::ptr::null_mut(),
            buffers: [0; 2],
            host: std::ptr::null_mut(),
            _library: library,
        };
        card.find(ordinal)?;
        card.furnish()?;
        Ok(card)
    }

    fn find(&mut self, ordinal: u32) -> Result<(), CudaError> {
        must!(self, cuInit(0))?;
        let mut count = 0;
        must!(self, cuDeviceGetCount(&raw mut count))?;
        let known = c_int::try_from(ordinal).ok().filter(|number| *number < count);
        let number = known.ok_or(CudaError::NoDevice { ordinal, count })?;
        must!(self, cuDeviceGet(&raw mut self.device, number))?;
        let mut bytes = 0;
        must!(self, cuDeviceTotalMem_v2(&raw mut bytes, self.device))?;
        if bytes / MEMORY_SHARE < 2 * DEVICE_BYTES {
            return Err(CudaError::Small(bytes));
        }
        Ok(())
    }

    fn furnish(&mut self) -> Result<(), CudaError> {
        let mut context = std::ptr::null_mut();
        must!(self, cuDevicePrimaryCtxRetain(&raw mut context, self.device))?;
        self.retained = true;
        must!(self, cuCtxSetCurrent(context))?;
        must!(self, cuModuleLoadData(&raw mut self.module, KERNELS.as_ptr().cast()))?;
        let function = |into: *mut *mut c_void, name: &CStr| {
            must!(self, cuModuleGetFunction(into, self.module, name.as_ptr()))
        };
        let (mut arithmetic, mut stream) = (std::ptr::null_mut(), std::ptr::null_mut());
        function(&raw mut arithmetic, c"arithmetic")?;
        function(&raw mut stream, c"stream")?;
        (self.arithmetic, self.stream) = (arithmetic, stream);
        for place in 0..self.buffers.len() {
            let mut buffer = 0;
            must!(self, cuMemAlloc_v2(&raw mut buffer, DEVICE_BYTES))?;
            self.buffers[place] = buffer;
        }
        must!(self, cuMemAllocHost_v2(&raw mut self.host, HOST_BYTES))?;
        self.wait()
    }

    fn launch(
        &self,
        function: *mut c_void,
        blocks: c_uint,
        arguments: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        let (none, default) = (std::ptr::null_mut(), std::ptr::null_mut());
        must!(
            self,
            cuLaunchKernel(function, blocks, 1, 1, THREADS, 1, 1, 0, default, arguments.as_mut_ptr(), none)
        )
    }

    /// Begins arithmetic: on all multiprocessors, or, `small`, on few and for a few microseconds.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn compute(&self, small: bool) -> Result<(), CudaError> {
        let (blocks, mut turns) = if small { (BLOCKS_SMALL, TURNS_SMALL) } else { (BLOCKS, TURNS) };
        // Every thread writes four bytes, so that the buffer is large enough.
        let mut out = self.buffers[0];
        self.launch(self.arithmetic, blocks, &mut [(&raw mut out).cast(), (&raw mut turns).cast()])
    }

    /// Begins a copy of one buffer to the other within device memory.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn stream(&self) -> Result<(), CudaError> {
        let [mut to, mut from] = self.buffers;
        // The number of pieces is far below 2^32.
        let mut pieces = (DEVICE_BYTES / 16) as c_uint;
        let arguments = &mut [(&raw mut to).cast(), (&raw mut from).cast(), (&raw mut pieces).cast()];
        self.launch(self.stream, BLOCKS, arguments)
    }

    /// Begins a copy from the host.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn copy(&self) -> Result<(), CudaError> {
        let (to, from, default) = (self.buffers[1], self.host.cast_const(), std::ptr::null_mut());
        must!(self, cuMemcpyHtoDAsync_v2(to, from, HOST_BYTES, default))
    }

    /// Waits until all that was begun is done.
    ///
    /// # Errors
    /// When something that was begun has failed.
    pub fn wait(&self) -> Result<(), CudaError> {
        must!(self, cuCtxSynchronize())
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        // Whatever fails now is given back by the driver when the process ends.
        for buffer in self.buffers.into_iter().filter(|buffer| *buffer != 0) {
            let _ = ask!(self, cuMemFree_v2(buffer));
        }
        if !self.host.is_null() {
            let _ = ask!(self, cuMemFreeHost(self.host));
        }
        if !self.module.is_null() {
            let _ = ask!(self, cuModuleUnload(self.module));
        }
        if self.retained {
            let _ = ask!(self, cuDevicePrimaryCtxRelease_v2(self.device));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_the_driver_is_told_what_to_do() {
        let told = Card::open(Path::new(LIBRARY), 0).unwrap_err().to_string();
        assert!(told.contains("libcuda.so.1") && told.contains("--rig sim"), "{told}");
        let named = Card::open(Path::new("/nowhere/libcuda.so.1"), 0).unwrap_err();
        assert!(matches!(named, CudaError::Library(_)), "{named}");
    }

    #[test]
    fn a_library_that_is_another_one_lacks_the_first_call() {
        let told = Card::open(Path::new("libc.so.6"), 0).unwrap_err().to_string();
        assert!(told.contains("cuInit") && told.contains("a missing function"), "{told}");
    }

    #[test]
    fn the_kernels_are_those_that_are_launched() {
        for name in ["arithmetic", "stream"] {
            assert!(KERNELS.contains(&format!(".visible .entry {name}(")));
        }
        assert!(KERNELS.ends_with('\0') && KERNELS.matches('\0').count() == 1);
    }
}
