//! Energy: what engines use for each token, and `wattkeeper energy`, the report by accelerator, pod and day.
pub mod meter;
mod report;
mod text;
pub mod tuner;

pub use report::Report;

use crate::cli::Energy;
use crate::client::{Client, Target};
use crate::clock::MachineClock;
use crate::config::Config;
use crate::run::Failed;
use crate::tally::{self, days::Day};
use model::Clock as _;
use model::snapshot::Rig;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What energy was counted, by UTC day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// The host.
    pub host: String,
    /// Where data come from.
    pub rig: Rig,
    /// When it was made, in wall-clock milliseconds.
    pub at_ms: i64,
    /// Every day that is kept, in order, the present one among them.
    pub days: Vec<Arc<Day>>,
    /// What was learnt of energy per work at each setting, by whoever learns it.
    #[serde(default)]
    pub curves: Option<serde_json::Value>,
}

/// Adds up energy: asks a running agent, or reads what the last one left in the state directory.
///
/// # Errors
/// When a named agent does not answer, or nobody answers and there are no counts.
pub fn energy(config: &Config, flags: &Energy) -> Result<Report, Failed> {
    if let Some(url) = &flags.attach {
        let target = Target::parse(url)?;
        let source = format!("the agent at {target}");
        return Ok(Report::of(Client::new(target).energy()?, flags.since, source));
    }
    for target in Target::of_config(config) {
        let source = format!("the agent at {target}");
        if let Ok(book) = Client::new(target).energy() {
            return Ok(Report::of(book, flags.since, source));
        }
    }
    let directory = config.state_directory.display();
    match tally::read_days(&config.state_directory)? {
        Some(days) => {
            let host = std::fs::read_to_string(config.collectors.proc.join("sys/kernel/hostname"));
            let host = host.unwrap_or_default().trim().to_owned();
            let at_ms = MachineClock.now().wall_ms;
            let book = Book { host, rig: Rig::Hardware, at_ms, days, curves: None };
            Ok(Report::of(book, flags.since, format!("{directory}, since no agent answers")))
        }
        None => {
            Err(format!("no agent answers, and {directory} (key state.directory) has no energy counts")
                .into())
        }
    }
}
