//! `inject`: puts one kind of bounded load on this host and prints, as one line of JSON, what it did and when.
//!
//! The kinds are those of peaclab/HPAS (cpuoccupy, cachecopy, membw, memleak, iobandwidth, netoccupy), written anew.
mod bounds;
mod clock;
mod disk;
mod leak;
mod network;
mod pace;
mod processor;

use clap::{Parser, ValueEnum};
use pace::Pace;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Every processor: the intensity is the share of the time
    Cpu,
    /// The last-level cache, from one processor: the intensity is the share of 32 MiB
    Cache,
    /// The memory bus, from one processor: the intensity is the share of the time
    Bandwidth,
    /// Memory that is not given back: the intensity is the share of 1 GiB
    Leak,
    /// A disk, flushed block by block: the intensity is the share of 256 MiB/s, over and over 512 MiB
    Disk,
    /// The loopback interface: the intensity is the share of 256 MiB/s
    Network,
}

/// Puts bounded load on this host and prints its label.
#[derive(Debug, Parser)]
#[command(name = "inject")]
struct Flags {
    /// What is loaded
    kind: Kind,
    /// How long: 1 to 120
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=bounds::SECONDS_MAX))]
    seconds: u64,
    /// How much: above 0, at most 1
    #[arg(long, value_parser = intensity)]
    intensity: f64,
    /// Where a disk is written; by default the folder for temporary files
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn intensity(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number > 0.0 && number <= 1.0 { Ok(number) } else { Err("above 0 and at most 1".to_owned()) }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match bounds::enforce(flags.seconds).and_then(|()| run(&flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "inject: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> std::io::Result<()> {
    let name = flags.kind.to_possible_value().map(|value| value.get_name().to_owned());
    let start_ms = clock::wall_ms();
    let pace = Pace::new(flags.seconds);
    let bytes = load(flags, pace)?;
    let label = serde_json::json!({
        "kind": name,
        "intensity": flags.intensity,
        "seconds": flags.seconds,
        "start_ms": start_ms,
        "end_ms": clock::wall_ms(),
        "bytes": bytes,
    });
    writeln!(std::io::stdout(), "{label}")
}

/// Loads until the end; gives the bytes leaked, written or sent, where any are.
fn load(flags: &Flags, pace: Pace) -> std::io::Result<Option<u64>> {
    let intensity = flags.intensity;
    match flags.kind {
        Kind::Cpu => processor::occupy(pace, intensity),
        Kind::Cache => processor::cache(pace, intensity),
        Kind::Bandwidth => processor::bandwidth(pace, intensity),
        Kind::Leak => return Ok(Some(leak::leak(pace, intensity))),
        Kind::Disk => {
            let folder = flags.folder.clone().unwrap_or_else(std::env::temp_dir);
            return disk::write(pace, intensity, &folder).map(Some);
        }
        Kind::Network => return network::send(pace, intensity).map(Some),
    }
    Ok(None)
}
