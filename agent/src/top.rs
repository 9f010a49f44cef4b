//! `wattkeeper top`: the dashboard over a running agent, or over its own rig where none answers.
use crate::cli::Top;
use crate::client::{Client, Poller, Target};
use crate::config::Config;
use crate::engine::Engine;
use crate::publish::Board;
use crate::run::Failed;
use dashboards::{Feed, Options};
use std::sync::Arc;
use std::time::Duration;

/// How long its own rig may take to end.
const STOP_PATIENCE: Duration = Duration::from_millis(1500);

/// Shows a node until the user leaves.
///
/// # Errors
/// When a named agent does not answer, the rig cannot be assembled, or the terminal fails.
pub fn top(config: &Config, flags: &Top) -> Result<(), Failed> {
    let options = options(flags.no_colour);
    if let Some(url) = &flags.attach {
        return attach(Target::parse(url)?, config, options);
    }
    for target in Target::of_config(config) {
        if Client::new(target.clone()).state().is_ok() {
            return attach(target, config, options);
        }
    }
    alone(config, options)
}

/// What the terminal can show, by the conventions of NO_COLOR and TERM.
pub fn options(no_colour: bool) -> Options {
    let term = std::env::var("TERM").unwrap_or_default();
    let quiet = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let unicode = locale.is_none_or(|locale| locale.to_uppercase().contains("UTF")) && term != "linux";
    Options { colour: !no_colour && !quiet && term != "dumb", unicode }
}

fn attach(target: Target, config: &Config, options: Options) -> Result<(), Failed> {
    let name = format!("attached to {target}");
    let poller = Poller::start(Client::new(target), config.beat.interval.max(Duration::from_millis(250)))?;
    let mut feed = || {
        let (snapshot, failure) = poller.latest();
        let note = failure.map_or_else(|| name.clone(), |failure| format!("{name}: {failure}"));
        Feed { snapshot, note, ended: false }
    };
    Ok(dashboards::show(options, &mut feed)?)
}

fn alone(config: &Config, options: Options) -> Result<(), Failed> {
    // A dashboard must not write limits: an agent is what an operator enables for that.
    let mut config = config.clone();
    config.power.enforce = false;
    let board = Arc::new(Board::new());
    // The counts of energy are the agent's.
    let assembly = crate::rig::Assembly { energy: false, ..crate::rig::assemble(&config)? };
    let engine = Engine::start(&config, assembly, Arc::clone(&board), None)?;
    let mut feed = || Feed {
        snapshot: board.latest().map(|published| Arc::clone(published.snapshot())),
        note: "no agent answers: reading this node directly, observing only".to_owned(),
        ended: engine.ended(),
    };
    let shown = dashboards::show(options, &mut feed);
    engine.stop(STOP_PATIENCE);
    Ok(shown?)
}
