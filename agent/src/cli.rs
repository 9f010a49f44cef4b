//! The command line: subcommands, and the flags that hold everywhere.
use crate::config::{Config, Faults, Override, load};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Node agent for accelerator servers: samples, finds faults, keeps a power budget, feeds autoscalers.
#[derive(Debug, Parser)]
#[command(name = "wattkeeper", version, about, max_term_width = 100)]
pub struct Cli {
    /// The flags that hold everywhere.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The flags that hold everywhere.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", env = "WATTKEEPER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Sets one configuration key; repeatable
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Address of the HTTP server (key `listen`)
    #[arg(long, global = true, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Where data come from (key `rig.kind`)
    #[arg(long, global = true, value_name = "RIG")]
    pub rig: Option<RigArg>,
    /// How log lines look (key `log.format`)
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Where data come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RigArg {
    /// This machine
    Hardware,
    /// A node that does not exist
    Sim,
    /// A recording (key `rig.replay.path`)
    Replay,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// For log collectors
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the agent until it is told to stop
    Run,
    /// Shows a node in the terminal: a running agent's, or its own where none answers
    Top(Top),
    /// Shows a simulated node living through load, a fault, a power squeeze and recovery, or through a hang
    Demo(Demo),
    /// Lists every metric
    Catalogue(Catalogue),
    /// Checks or prints configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// One verdict per device and the incidents behind it; exit code 0 healthy, 1 degraded, 2 faulty, 3 unknown
    Diagnose(Diagnose),
    /// Says what energy was used, by accelerator, pod or day
    Energy(Energy),
    /// Checks what each source needs on this host and says what to grant; exit code 0 nothing, 1 something is lost
    Doctor(Doctor),
    /// Gives back every limit that wattkeeper has set; exit code 0 all is back, 1 something is not
    Release,
    /// Shows the power budget, what is capped and why, the journal of original limits, and the guardian
    Power(Power),
    /// Owns the limits while they are enforced and outlives the agent. `run` starts it by itself; started by an init system as root
    /// (keys guardian.directory, guardian.user), it lets `run` be a user without rights
    Guardian(Guardian),
    /// Runs detectors and baselines over labelled data sets, or over faults of the simulator; exit code 0, or 1 when a machine could not be
    /// read
    Evaluate(Evaluate),
    /// Measures on this machine how much work of known kinds slows down beside antagonists, and writes a labelled data set. Loads
    /// both processors it is given for a quarter of an hour a campaign; needs root for control groups. With --gpu it loads a GPU, or
    /// with --rig sim a simulated one, within seconds
    Lab(crate::lab::Flags),
    /// One process of the lab
    #[command(hide = true)]
    LabPart(crate::lab::part::Flags),
}

/// Flags of `top`.
#[derive(Debug, Clone, Args)]
pub struct Top {
    /// The agent to attach to: http://HOST:PORT or unix:PATH; by default key `socket`, then key `listen`
    #[arg(long, value_name = "URL")]
    pub attach: Option<String>,
    /// Never uses colour (also: the variable NO_COLOR)
    #[arg(long)]
    pub no_colour: bool,
}

/// The simulated node of the demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DemoProfile {
    /// Eight H100s
    H100,
    /// Four vendors: 4 H100, 4 MI300X, 2 Gaudi 2, 2 Ascend 910B
    Mixed,
}

/// What happens in the demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Load, a fault, a power squeeze and recovery
    Day,
    /// A budget that shrinks under full load and grows again, with what each cap costs (eight H100s)
    Squeeze,
    /// Driver calls that do not return, while every other device goes on
    Hang,
}

/// Flags of `demo`.
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// The simulated node
    #[arg(long, value_enum, default_value_t = DemoProfile::H100)]
    pub profile: DemoProfile,
    /// What happens
    #[arg(long, value_enum, default_value_t = Scenario::Day)]
    pub scenario: Scenario,
    /// Begins again at the end
    #[arg(long = "loop")]
    pub again: bool,
    /// Event lines instead of the dashboard, also in a terminal
    #[arg(long)]
    pub plain: bool,
    /// How many times faster than real time the story runs, 1 to 100
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub speed: f64,
    /// Never uses colour (also: the variable NO_COLOR)
    #[arg(long)]
    pub no_colour: bool,
}

/// Flags of `catalogue`.
#[derive(Debug, Clone, Args)]
pub struct Catalogue {
    /// JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Lists the sources instead
    #[arg(long, conflicts_with = "json")]
    pub sources: bool,
}

/// What to do with configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Reports every fault; exit code 0 when there is none, else 2
    Check,
    /// Prints the default configuration with its documentation
    Default,
}

/// Flags of `diagnose`.
#[derive(Debug, Clone, Args)]
pub struct Diagnose {
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// The agent to ask: http://HOST:PORT or unix:PATH; by default key `socket`, then key `listen`, then the devices themselves
    #[arg(long, value_name = "URL", conflicts_with = "alone")]
    pub attach: Option<String>,
    /// Looks back over this time: incidents that ended in it as well, such as 45s, 90m, 2h or 1d
    #[arg(long, value_name = "TIME", value_parser = crate::diagnose::parse_since)]
    pub since: Option<std::time::Duration>,
    /// Reads the devices itself even where an agent runs
    #[arg(long)]
    pub alone: bool,
    /// How many beats to look for when reading the devices itself, 2 to 600
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=600))]
    pub beats: u32,
}

/// What energy is added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Accelerators
    Device,
    /// Pods, and whatever else works on accelerators
    Pod,
    /// UTC days
    Day,
}

/// Flags of `energy`.
#[derive(Debug, Clone, Args)]
pub struct Energy {
    /// What energy is added up by
    #[arg(long, value_enum, default_value_t = By::Device)]
    pub by: By,
    /// Looks back over this time, in whole UTC days, such as 12h, 7d or 366d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = crate::diagnose::parse_since)]
    pub since: std::time::Duration,
    /// JSON instead of text: every day with all that is known of it
    #[arg(long)]
    pub json: bool,
    /// The agent to ask: http://HOST:PORT or unix:PATH; by default key `socket`, then key `listen`, then the state directory
    #[arg(long, value_name = "URL")]
    pub attach: Option<String>,
}

/// Flags of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct Doctor {
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Tries each knob: its original goes to the journal, it is turned one small step down, read back, compared with power, and
    /// given back. Writes to devices, for seconds each; refused while an agent enforces. A clock that somebody else locked is free
    /// afterwards, as NVML does not show such a lock
    #[arg(long)]
    pub probe: bool,
    /// How long sources may take to open and to be read once, in seconds, 1 to 600
    #[arg(long, default_value_t = 15, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub patience: u64,
}

/// Flags of `power`.
#[derive(Debug, Clone, Args)]
pub struct Power {
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// The agent to ask: http://HOST:PORT or unix:PATH; by default key `socket`, then key `listen`
    #[arg(long, value_name = "URL")]
    pub attach: Option<String>,
}

/// Flags of `guardian`.
#[derive(Debug, Clone, Copy, Args)]
pub struct Guardian {
    /// An agent has started it and holds the other end of standard input, whose end is the agent's
    #[arg(long)]
    pub spawned: bool,
}

/// Flags of `evaluate`.
#[derive(Debug, Clone, Args)]
pub struct Evaluate {
    /// The folder that holds the data sets: smd/*.npz, asd/*.npz, nab/data/*.csv and their labels
    #[arg(long, value_name = "DIR", required_unless_present_any = ["simulated", "power"], conflicts_with = "simulated")]
    pub data: Option<PathBuf>,
    /// Writes the figures as one object as well: data set, detector, machine, figures
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Runs only this detector, beside the random score; repeatable
    #[arg(long, value_name = "NAME")]
    pub detector: Vec<String>,
    /// Runs only this machine; repeatable
    #[arg(long, value_name = "NAME")]
    pub machine: Vec<String>,
    /// Injects each fault of the simulator with each seed, and lets sound nodes live
    #[arg(long)]
    pub simulated: bool,
    /// How many seeds each fault is tried with
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub seeds: u32,
    /// The first seed
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub first_seed: u64,
    /// Healthy node-hours
    #[arg(long, default_value_t = 1000.0, value_name = "H")]
    pub hours: f64,
    /// Seconds from one beat to the next; by default 1, and 10 for faults that take days
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=60))]
    pub beat: Option<u32>,
    /// Tries only this fault; repeatable
    #[arg(long, value_name = "NAME")]
    pub fault: Vec<String>,
    /// Leaves this detector out; repeatable
    #[arg(long, value_name = "NAME")]
    pub without: Vec<String>,
    /// Measures estimates of interference on a data set that `lab` wrote, in the folder of --data
    #[arg(long, requires = "data", conflicts_with_all = ["simulated", "power"])]
    pub interference: bool,
    /// Of processes on a shared GPU, on a data set that `lab --gpu` wrote
    #[arg(long, requires = "interference")]
    pub gpu: bool,
    /// Lets policies of power hold the budget of simulated nodes, side by side
    #[arg(long, conflicts_with_all = ["data", "simulated"])]
    pub power: bool,
    /// Node-days that each policy of power runs, one a seed
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub days: u32,
    /// How many run at a time; by default as many as there are processors
    #[arg(long, value_name = "J")]
    pub jobs: Option<usize>,
    /// Runs only this policy of power, beside none; repeatable
    #[arg(long, value_name = "NAME")]
    pub policy: Vec<String>,
    /// How many times as often as on real nodes things go wrong on these
    #[arg(long, default_value_t = 10.0, value_name = "FACTOR")]
    pub mishaps: f64,
    /// Nodes whose processors have much work of their own on a tighter budget, and a row that turns processors as well
    #[arg(long, requires = "power")]
    pub host: bool,
}

impl Common {
    /// Loads the configuration that file and flags make.
    ///
    /// # Errors
    /// Every fault of both.
    pub fn load(&self) -> Result<Config, Faults> {
        load(self.config.as_deref(), &self.overrides())
    }

    fn overrides(&self) -> Vec<Override> {
        let set = |text: &String| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            Override { origin: "--set".into(), key: key.trim().into(), value: value.trim().into() }
        };
        let flag = |flag: &str, key: &str, value: Option<String>| {
            value.map(|value| Override { origin: flag.into(), key: key.into(), value })
        };
        let word = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
        let flags = [
            flag("--listen", "listen", self.listen.clone()),
            flag("--rig", "rig.kind", self.rig.map(|rig| word(&rig))),
            flag("--log-format", "log.format", self.log_format.map(|format| word(&format))),
        ];
        self.set.iter().map(set).chain(flags.into_iter().flatten()).collect()
    }

    /// Whether the operator chose an address, rather than taking the default.
    pub fn chose_listen(&self) -> bool {
        self.listen.is_some()
            || self.set.iter().any(|text| text.starts_with("listen"))
            || self.config.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_that_hold_everywhere_may_stand_behind_the_subcommand() {
        let line =
            ["wattkeeper", "run", "--rig", "sim", "--set", "beat.interval=100ms", "--listen", "127.0.0.1:1"];
        let config = Cli::try_parse_from(line).unwrap().common.load().unwrap();
        assert_eq!(config.rig.kind, model::snapshot::Rig::Sim);
        assert_eq!(config.beat.interval.as_millis(), 100);
        assert_eq!(config.listen.port(), 1);
    }
}
