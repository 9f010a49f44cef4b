//! Configuration: one TOML file, every key optional, unknown keys refused, all faults reported at once.
//!
//! [`keys::KEYS`] is the one list of keys: documentation, default, check and target of each. The default file, the loader,
//! `--set` and the tests all follow from it.
pub mod keys;
pub mod load;
pub mod parse;

use crate::export::dcgm;
use collectors::engine::Target;
use detectors::Catalogue;
use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use model::snapshot::Rig;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use load::{Fault, Faults, Override, load};

/// Everything an operator can set, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Address of the HTTP server.
    pub listen: SocketAddr,
    /// Path of the unix socket that serves the same, if any.
    pub socket: Option<PathBuf>,
    /// The beat.
    pub beat: Beat,
    /// How far back series reach.
    pub history_span: Duration,
    /// Where data come from.
    pub rig: RigConfig,
    /// Sources.
    pub collectors: Collectors,
    /// Whether memory is probed actively.
    pub probe: bool,
    /// Names of detectors that are switched off.
    pub detectors_disabled: Vec<String>,
    /// False episodes a day that statistics may have.
    pub detectors_budget: f64,
    /// File with changes to the catalogue of faults, if any.
    pub detectors_faults: Option<PathBuf>,
    /// File with a model of interference, if not the built-in one.
    pub interference_model: Option<PathBuf>,
    /// The catalogue with those changes; none where there is no such file.
    pub catalogue: Option<Arc<Catalogue>>,
    /// The power budget.
    pub power: Power,
    /// Where names of pods come from.
    pub cluster: ClusterConfig,
    /// How DCGM's names are served.
    pub dcgm: dcgm::Options,
    /// Where metrics are pushed.
    pub otlp: Otlp,
    /// Directory of the journal and of the energy counts.
    pub state_directory: PathBuf,
    /// File to which every beat is written, if any.
    pub record_path: Option<PathBuf>,
    /// Logging.
    pub log: Log,
    /// The guardian, where it is not started by `run`.
    pub guardian: Guardian,
    /// Keys that a guardian goes by and that are not at their default, with their values as TOML: what `run` starts it with.
    pub handed_down: BTreeMap<String, String>,
}

/// The beat.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Beat {
    /// From one beat to the next.
    pub interval: Duration,
    /// How long a beat waits for its sources, as a share of the interval.
    pub deadline_share: f64,
}

impl Beat {
    /// How long a beat waits for its sources.
    pub fn deadline(&self) -> Duration {
        self.interval.mul_f64(self.deadline_share)
    }
}

/// Where data come from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RigConfig {
    /// Which rig.
    pub kind: Rig,
    /// The simulated board.
    pub sim_board: String,
    /// The number of simulated boards.
    pub sim_boards: usize,
    /// The seed of the simulation.
    pub sim_seed: u64,
    /// The recording to replay.
    pub replay_path: Option<PathBuf>,
}

/// Sources.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Collectors {
    /// Names of sources that are switched off.
    pub disabled: Vec<String>,
    /// Where procfs is.
    pub proc: PathBuf,
    /// Where sysfs is.
    pub sys: PathBuf,
    /// Where device files are.
    pub dev: PathBuf,
    /// The most control groups followed at once.
    pub cgroups_max: usize,
    /// The most control groups whose performance counters are read.
    pub cgroup_counters: usize,
    /// Vendor libraries in place of the usual ones, by source.
    pub libraries: BTreeMap<String, PathBuf>,
    /// Inference engines whose own metrics are read.
    pub engines: Vec<Target>,
    /// From one reading of an engine's metrics to the next.
    pub engine_interval: Duration,
}

impl Collectors {
    /// Where the kernel's file trees are.
    pub fn roots(&self) -> collectors::Roots {
        collectors::Roots { proc: self.proc.clone(), sys: self.sys.clone(), dev: self.dev.clone() }
    }
}

/// The power budget.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Power {
    /// The budget of the node in watts; none: power is watched, nothing is decided.
    pub budget_w: Option<f64>,
    /// Whether caps are enforced.
    pub enforce: bool,
    /// Share of the budget at which low-priority work is trimmed.
    pub low: f64,
    /// Share of the budget at which all work is trimmed.
    pub high: f64,
    /// Share of the budget by which power must fall below a threshold before a cap is loosened.
    pub release_gap: f64,
    /// How long it must stay there.
    pub hold: Duration,
    /// Power of everything but accelerators and processor packages, in watts.
    pub rest_w: f64,
    /// Power of the processor packages where it cannot be measured, in watts.
    pub packages_w: f64,
    /// `off` or `limit`: whether processors are held where accelerators have nothing left to give.
    pub host: String,
    /// The lowest limit of a processor package, as a share of what it was.
    pub host_floor: f64,
    /// The smallest quota of a container, in cores.
    pub host_cores: f64,
    /// The budget while the agent is gone, in watts; none: the budget.
    pub fallback_w: Option<f64>,
    /// `restore` or `hold`: what a clean stop does with caps.
    pub on_stop: String,
    /// Devices (`gpu3`, a UUID) and processes (`process:NAME`) whose work matters most.
    pub priority_high: Vec<String>,
    /// Devices and processes whose work matters least.
    pub priority_low: Vec<String>,
    /// The slowdown that is allowed for less energy per work, in percent.
    pub slowdown_max_percent: f64,
}

/// A guardian that an init system has started.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Guardian {
    /// Where its socket, its journal and its audit log are; none: the state directory, and `run` starts it.
    pub directory: Option<PathBuf>,
    /// The user beside root and its own who may attach, by name or number.
    pub user: Option<String>,
    /// The group that may open its socket; none: that user's own.
    pub group: Option<String>,
}

/// Where names of pods come from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterConfig {
    /// The kubelet's PodResources socket.
    pub pod_resources: PathBuf,
    /// The kubelet's folder with one folder of logs a pod.
    pub pod_logs: PathBuf,
    /// The kubelet's folder with one link to a log a container.
    pub container_logs: PathBuf,
}

/// Pushes over OTLP.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Otlp {
    /// The base of the collector's address; none: nothing is pushed.
    pub endpoint: Option<Uri>,
    /// From one push to the next.
    pub interval: Duration,
    /// Headers sent with every push; their values are not shown.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Log {
    /// The lowest level that is written.
    pub level: String,
    /// `text` or `json`.
    pub format: String,
}

impl Config {
    /// Nothing set; [`load`] puts every default in.
    fn blank() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            socket: None,
            beat: Beat::default(),
            history_span: Duration::ZERO,
            rig: RigConfig::default(),
            collectors: Collectors::default(),
            probe: false,
            detectors_disabled: Vec::new(),
            detectors_budget: 0.2,
            detectors_faults: None,
            interference_model: None,
            catalogue: None,
            power: Power::default(),
            cluster: ClusterConfig::default(),
            dcgm: dcgm::Options::default(),
            otlp: Otlp::default(),
            state_directory: PathBuf::new(),
            record_path: None,
            log: Log::default(),
            guardian: Guardian::default(),
            handed_down: BTreeMap::new(),
        }
    }

    /// How many beats a series holds.
    pub fn history_points(&self) -> usize {
        let points = self.history_span.as_secs_f64() / self.beat.interval.as_secs_f64();
        (points.ceil() as usize).clamp(1, HISTORY_POINTS_MAX)
    }

    /// Where the guardian's socket, journal and audit log are.
    pub fn guardian_directory(&self) -> &Path {
        self.guardian.directory.as_deref().unwrap_or(&self.state_directory)
    }

    /// The keys whose change takes effect only at the next start, of those that differ from `other`.
    pub fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let fixed = [
            ("listen", self.listen == other.listen),
            ("socket", self.socket == other.socket),
            ("beat.*", self.beat == other.beat),
            ("history.span", self.history_span == other.history_span),
            ("rig.*", self.rig == other.rig),
            ("collectors.*", self.collectors == other.collectors),
            ("probe.enabled", self.probe == other.probe),
            ("detectors.disabled", self.detectors_disabled == other.detectors_disabled),
            ("detectors.budget", self.detectors_budget == other.detectors_budget),
            (
                "detectors.faults",
                (&self.detectors_faults, &self.catalogue) == (&other.detectors_faults, &other.catalogue),
            ),
            ("interference.model", self.interference_model == other.interference_model),
            ("cluster.*", self.cluster == other.cluster),
            ("dcgm.*", self.dcgm == other.dcgm),
            ("otlp.*", self.otlp == other.otlp),
            ("guardian.*", self.guardian == other.guardian),
            ("state.directory", self.state_directory == other.state_directory),
            ("record.path", self.record_path == other.record_path),
            ("log.*", self.log == other.log),
        ];
        fixed.iter().filter(|(_, same)| !same).map(|(key, _)| *key).collect()
    }
}

/// The most beats a series holds; with a beat of 1 s this is one hour. It bounds the memory of the history.
pub const HISTORY_POINTS_MAX: usize = 3600;

#[cfg(test)]
mod tests;
