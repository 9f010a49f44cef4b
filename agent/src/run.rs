//! `wattkeeper run`: the agent, from its first beat to the restoring of limits.
use crate::cli::Common;
use crate::config::Config;
use crate::engine::{Command, Engine};
use crate::otlp::Push;
use crate::publish::Board;
use crate::serve::Server;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// SIGTERM must end the agent within two seconds: most of them are for restoring limits.
const STOP_PATIENCE: Duration = Duration::from_millis(1500);

/// How long the last push may take once limits are restored.
const FLUSH_PATIENCE: Duration = Duration::from_millis(400);

/// Why the agent could not start or did not end well.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// When the address is taken, the rig cannot be assembled, or limits could not be restored in time.
pub fn run(common: &Common, config: Config) -> Result<(), Failed> {
    let push = Push::new(&config.otlp);
    let board = Board::new().with_dcgm(config.dcgm).with_pushes(push.as_ref().map(Push::tally));
    let board = Arc::new(board);
    let server = Server::start(config.listen, config.socket.clone(), Arc::clone(&board))?;
    let engine = Engine::start(&config, crate::rig::assemble(&config)?, Arc::clone(&board), None)?;
    tracing::info!(listen = %server.local_addr(), rig = config.rig.kind.as_str(), "wattkeeper runs");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pushing = push.map(|push| push.start(board, runtime.handle()));
    runtime.block_on(attend(common, config, &engine))?;
    tracing::info!("stopping: limits go back to what they were");
    let restored = engine.stop(STOP_PATIENCE);
    if let Some(pushing) = pushing {
        runtime.block_on(pushing.finish(FLUSH_PATIENCE));
    }
    server.shutdown();
    if restored {
        Ok(())
    } else {
        Err("the last beat did not end in time; the journal restores limits at the next start".into())
    }
}

/// Waits for signals; SIGHUP reloads, SIGTERM and SIGINT end the wait, and so does the end of a recording.
async fn attend(common: &Common, mut config: Config, engine: &Engine) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload(common, &mut config, engine),
            () = tokio::time::sleep(Duration::from_secs(1)) => if engine.ended() { return Ok(()) },
        }
    }
}

/// Takes over a changed configuration; a bad one leaves the old in force.
fn reload(common: &Common, config: &mut Config, engine: &Engine) {
    match common.load() {
        Ok(new) => {
            for key in config.needs_restart(&new) {
                tracing::warn!(key, "this change takes effect at the next start");
            }
            tracing::info!("configuration reloaded");
            engine.tell(Command::Reconfigure(Box::new(new.clone())));
            *config = new;
        }
        Err(faults) => tracing::error!("the old configuration stays in force: {faults}"),
    }
}
