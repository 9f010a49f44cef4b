//! A part: one process of the lab, a victim that counts what it gets done or an antagonist that gets in its way.
//!
//! It does what the lab says through a file and dies with it: the kernel kills it when the lab goes, and it ends by itself.
mod device;
mod duty;
mod load;
mod work;

use crate::lab::LabError;
use crate::lab::gpu::{Job, Press};
pub(super) use duty::{Progress, Steering};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Bytes of memory that a part takes at most, its stacks included.
const MEMORY_MAX: u64 = 640 << 20;
/// The same of a part on a GPU: a CUDA context takes some hundreds of MiB of the host's memory.
const MEMORY_MAX_CUDA: u64 = 4 << 30;
/// Bytes that a part's file has at most.
const FILE_MAX: u64 = 256 << 20;
/// Threads that an antagonist has at work at most.
pub(super) const THREADS_MAX: usize = 64;

/// What a part does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Arithmetic that needs no memory.
    Compute,
    /// Random reads and writes in a buffer that fits the second-level cache.
    Cached,
    /// A chain of dependent loads through 16 MiB.
    Chase,
    /// A copy from one large buffer to another.
    Stream,
    /// System calls: a byte through a pipe.
    Syscall,
    /// Small writes, each flushed to the disk.
    Disk,
    /// Requests and answers over TCP on the loopback interface.
    Rpc,
}

impl Work {
    /// Every victim.
    pub const ALL: [Self; 7] =
        [Self::Compute, Self::Cached, Self::Chase, Self::Stream, Self::Syscall, Self::Disk, Self::Rpc];

    /// The name in data sets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Cached => "cached",
            Self::Chase => "chase",
            Self::Stream => "stream",
            Self::Syscall => "syscall",
            Self::Disk => "disk",
            Self::Rpc => "rpc",
        }
    }
}

/// What an antagonist presses on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Processors.
    Cpu,
    /// The last-level cache.
    Cache,
    /// The way to memory.
    Bandwidth,
    /// Memory: pages taken, touched and given back.
    Memory,
    /// The disk.
    Disk,
    /// The network stack, over the loopback interface.
    Network,
}

impl Load {
    /// Every antagonist.
    pub const ALL: [Self; 6] =
        [Self::Cpu, Self::Cache, Self::Bandwidth, Self::Memory, Self::Disk, Self::Network];

    /// The name in data sets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cache => "cache",
            Self::Bandwidth => "bandwidth",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
        }
    }
}

/// Flags of a part.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// A victim
    #[arg(long, value_enum, conflicts_with = "load")]
    pub work: Option<Work>,
    /// An antagonist
    #[arg(long, value_enum)]
    pub load: Option<Load>,
    /// A victim on a GPU
    #[arg(long, value_enum, conflicts_with_all = ["work", "load", "press"])]
    pub job: Option<Job>,
    /// An antagonist on a GPU
    #[arg(long, value_enum, conflicts_with_all = ["work", "load"])]
    pub press: Option<Press>,
    /// Which GPU
    #[arg(long, default_value_t = 0)]
    pub device: u32,
    /// The CUDA driver's library
    #[arg(long, default_value = collectors::cuda::LIBRARY)]
    pub cuda: PathBuf,
    /// Threads of an antagonist
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// The processor to stay on
    #[arg(long)]
    pub cpu: Option<usize>,
    /// The folder for the part's files
    #[arg(long)]
    pub folder: PathBuf,
    /// How long it lives at most, in seconds
    #[arg(long)]
    pub seconds: u64,
}

/// Does the part's work until the lab says that it is over.
///
/// # Errors
/// When a bound cannot be set or the work's files or sockets cannot be had.
pub fn run(flags: &Flags) -> Result<(), LabError> {
    let failed = |what: &'static str| move |error: std::io::Error| LabError::io(what, error);
    let on_gpu = flags.job.is_some() || flags.press.is_some();
    bound(if on_gpu { MEMORY_MAX_CUDA } else { MEMORY_MAX }).map_err(failed("set the bounds of a part"))?;
    if let Some(cpu) = flags.cpu {
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(None, &set)
            .map_err(|error| LabError::io("pin a part to its processor", error.into()))?;
    }
    let steering = Steering::open(&flags.folder, flags.seconds).map_err(failed("open the lab's files"))?;
    if on_gpu {
        return device::run(flags, &steering);
    }
    match (flags.work, flags.load) {
        (Some(work), _) => work::run(work, &steering, &flags.folder).map_err(failed("do a victim's work")),
        (None, Some(load)) => {
            let threads = flags.threads.clamp(1, THREADS_MAX);
            load::run(load, threads, &steering, &flags.folder).map_err(failed("do an antagonist's work"))
        }
        (None, None) => Ok(()),
    }
}

/// Has the kernel refuse what is above the bounds, and kill the part when the lab is gone.
fn bound(memory: u64) -> std::io::Result<()> {
    let limit = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    setrlimit(Resource::Data, limit(memory))?;
    setrlimit(Resource::Fsize, limit(FILE_MAX))?;
    setrlimit(Resource::Core, limit(0))?;
    Ok(())
}
