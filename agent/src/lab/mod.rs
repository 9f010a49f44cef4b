//! `wattkeeper lab`: how much victims of a known kind slow down beside antagonists, measured on this machine, within bounds.
//!
//! `plan` says who meets whom → a `session` runs `part`s in control `groups` and reads them through the agent's own sources
//! → a `table` of windows, which models are trained on.
mod child;
pub mod gpu;
mod groups;
pub mod part;
mod plan;
mod session;
pub mod table;

pub use part::{Load, Work};
pub use plan::Placement;

use crate::config::Config;
use session::Session;
use std::io::{self, Write as _};
use std::path::PathBuf;
use table::{TableError, Window};

/// Flags of `lab`.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Trains a model on the windows in the folder of --out and writes it there as model.json, after the campaigns
    #[arg(long)]
    pub train: bool,
    /// The folder for the data set; windows that it has already are kept, and a campaign is added
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How many campaigns to record, 0 for none; three in a row meet every combination of intensity and placement
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=12))]
    pub campaigns: u32,
    /// One-second windows of each encounter
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=30))]
    pub windows: u32,
    /// Only this victim; repeatable
    #[arg(long, value_enum, value_name = "VICTIM")]
    pub victim: Vec<Work>,
    /// The order of encounters
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub seed: u64,
    /// The processor that victims stay on
    #[arg(long, default_value_t = 0, value_name = "CPU")]
    pub cpu: usize,
    /// The processor of antagonists that are not on the victim's
    #[arg(long, default_value_t = 1, value_name = "CPU")]
    pub other: usize,
    /// The same on a GPU instead of the processors; with --rig sim on one that does not exist
    #[arg(long)]
    pub gpu: bool,
    /// Which GPU, in the order of PCI addresses
    #[arg(long, default_value_t = 0, value_name = "N", requires = "gpu")]
    pub device: u32,
    /// Only this victim on the GPU; repeatable
    #[arg(long, value_enum, value_name = "JOB", requires = "gpu")]
    pub job: Vec<gpu::Job>,
    /// Milliseconds of a window on a real GPU. Drivers' counters are means over a second
    #[arg(long, default_value_t = 1000, hide = true, value_parser = clap::value_parser!(u64).range(20..=10_000))]
    pub window_ms: u64,
    /// The CUDA driver's library
    #[arg(long, default_value = "libcuda.so.1", value_name = "PATH", requires = "gpu")]
    pub cuda: PathBuf,
    /// A folder on the disk that disk work goes to; by default the system's folder for temporary files
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// The lab cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Something that the system refused.
    #[error("could not {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// There are no control groups.
    #[error("{}: no control groups are mounted there; the lab needs them to tell victims from antagonists", .0.display())]
    NoGroups(PathBuf),
    /// A group cannot be made.
    #[error("could not make the control group {}: run the lab as root", .path.display())]
    Group {
        /// The group.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The sources do not see a group of the lab.
    #[error("the source cgroup does not see {0}; raise collectors.cgroups_max")]
    Unseen(&'static str),
    /// A GPU cannot be worked on.
    #[error(transparent)]
    Cuda(#[from] collectors::cuda::CudaError),
    /// A part has ended before its time.
    #[error("a part of the lab has ended by itself ({0}); what it said is above")]
    Ended(std::process::ExitStatus),
    /// The sources do not see a GPU.
    #[error("--device {0}: the source nvml sees no such GPU; `wattkeeper doctor` says what it needs")]
    NoGpu(u32),
    /// The sources cannot be opened.
    #[error(transparent)]
    Rig(crate::rig::RigError),
    /// The table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// There is nothing to train on.
    #[error(
        "--train: {0} windows beside antagonists are too few to train on; record at least one whole campaign"
    )]
    Few(usize),
    /// There are too few victims to calibrate on.
    #[error(
        "--train: {0} victims are too few: intervals are calibrated on victims that are kept back one by one; record at least {VICTIMS_MIN}"
    )]
    Victims(usize),
    /// Two processors are needed.
    #[error(
        "--cpu {cpu} --other {other}: this machine has {count} processors; give two different ones below that"
    )]
    Processors {
        /// The victim's.
        cpu: usize,
        /// The antagonist's.
        other: usize,
        /// How many there are.
        count: usize,
    },
}

impl LabError {
    pub(crate) fn io(what: &'static str, error: io::Error) -> Self {
        Self::Io { what, error }
    }
}

/// The file of windows in a data set.
pub const TABLE: &str = "windows.csv.gz";

/// The file of a trained model in a data set.
pub const MODEL: &str = "model.json";
/// Windows beside antagonists that a model is trained on at least.
const WINDOWS_MIN: usize = 300;
/// Victims that a model is trained on at least.
const VICTIMS_MIN: usize = 3;

/// Trains a model on a data set and writes it beside it.
fn train(flags: &Flags, windows: &[Window]) -> Result<String, LabError> {
    let (cases, _) = crate::evaluate::interference::cases(windows);
    let met = cases.iter().filter(|case| case.kind == table::Kind::Met).count();
    if met < WINDOWS_MIN {
        return Err(LabError::Few(met));
    }
    let victims = crate::evaluate::interference::victims(&cases.iter().collect::<Vec<_>>()).len();
    if victims < VICTIMS_MIN {
        return Err(LabError::Victims(victims));
    }
    let trained_on = format!("{met} windows beside antagonists, {} in all", windows.len());
    let frozen = crate::evaluate::interference::train(&cases, trained_on);
    let path = flags.out.join(MODEL);
    let text =
        serde_json::to_string(&frozen).map_err(|error| LabError::io("write the model", error.into()))?;
    std::fs::write(&path, text + "\n").map_err(|error| LabError::io("write the model", error))?;
    Ok(format!("{}: trained on {met} windows; use it with key interference.model\n", path.display()))
}

/// Runs the campaigns and writes the data set. Progress goes to standard error.
///
/// # Errors
/// When this user may not make control groups, a part fails, or the table cannot be written. What was recorded before is kept.
pub fn lab(config: &Config, flags: &Flags) -> Result<String, LabError> {
    if flags.gpu {
        return gpu::lab(config, flags);
    }
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    if flags.cpu == flags.other || flags.cpu.max(flags.other) >= count {
        return Err(LabError::Processors { cpu: flags.cpu, other: flags.other, count });
    }
    std::fs::create_dir_all(&flags.out).map_err(|error| LabError::io("make the folder of --out", error))?;
    let path = flags.out.join(TABLE);
    let mut windows = if path.exists() { table::read(&path)? } else { Vec::new() };
    let place = flags.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = place.join(format!("wattkeeper-lab-{}", std::process::id()));
    for _ in 0..flags.campaigns {
        let campaign = windows.iter().map(|window: &Window| window.campaign + 1).max().unwrap_or(0);
        let blocks = windows.iter().map(|window| window.block).max().unwrap_or(0);
        let session = Session::new(config, flags, &folder, campaign)?;
        let told = |line: &str| drop(writeln!(io::stderr(), "{line}"));
        let mut recorded = session.run(told)?;
        recorded.iter_mut().for_each(|window| window.block += blocks);
        windows.extend(recorded);
        table::write(&path, &windows)?;
    }
    let _ = std::fs::remove_dir_all(&folder);
    let mut text = format!("{}: {} windows\n", path.display(), windows.len());
    if flags.train {
        text.push_str(&train(flags, &windows)?);
    }
    Ok(text)
}
