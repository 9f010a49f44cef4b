//! `lab --gpu`: the lab's protocol on an accelerator, on this machine or, with `--rig sim`, on a board that does not exist.
//!
//! `plan` says who meets whom → a `session` records a campaign on a `Stage`, `simulated` or `real` → a `table` of windows, which
//! `evaluate --interference --gpu` reads.
mod plan;
mod real;
mod session;
mod simulated;
pub mod table;

pub use plan::{Job, Press, Sharing};

use super::{Flags, LabError};
use crate::config::Config;
use model::snapshot::Rig;
use session::{Session, Stage};
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Runs the campaigns, writes the data set, and gives the report. Progress goes to standard error.
///
/// # Errors
/// When there is no GPU or no `libcuda.so.1`, a part fails, or the table cannot be written. What was recorded before is kept.
pub(super) fn lab(config: &Config, flags: &Flags) -> Result<String, LabError> {
    std::fs::create_dir_all(&flags.out).map_err(|error| LabError::io("make the folder of --out", error))?;
    let simulated = config.rig.kind == Rig::Sim;
    let path = flags.out.join(table::name(simulated));
    let mut windows = if path.exists() { table::read(&path)? } else { Vec::new() };
    for _ in 0..flags.campaigns {
        let campaign = windows.iter().map(|window| window.campaign + 1).max().unwrap_or(0);
        let blocks = windows.iter().map(|window| window.block).max().unwrap_or(0);
        let told = |line: &str| drop(writeln!(io::stderr(), "{line}"));
        let mut recorded = if simulated {
            record(simulated::Simulated::new(config, flags, campaign), flags, campaign, told)?
        } else {
            record(real::Real::new(config, flags)?, flags, campaign, told)?
        };
        recorded.iter_mut().for_each(|window| window.block += blocks);
        windows.extend(recorded);
        table::write(&path, &windows)?;
    }
    let mut text = format!("{}: {} windows\n", path.display(), windows.len());
    let _ = write!(text, "{}", crate::evaluate::sharers::Report::of(&windows).text());
    Ok(text)
}

fn record<S: Stage>(
    stage: S,
    flags: &Flags,
    campaign: u32,
    told: impl FnMut(&str),
) -> Result<Vec<table::Window>, LabError> {
    Session { stage, flags, campaign, block: 0, windows: Vec::new() }.run(told)
}
