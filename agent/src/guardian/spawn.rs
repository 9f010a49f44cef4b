//! Starting a guardian: this program again, in a process group of its own, with the far end of a pipe as its standard input.
use super::wire;
use crate::config::Config;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Starts guardians of one state directory, one at a time.
#[derive(Debug)]
pub(super) struct Spawner {
    directory: PathBuf,
    arguments: Vec<String>,
    /// The last one. Its standard input stays open for as long as this process lives.
    child: Option<Child>,
}

impl Spawner {
    /// Starts guardians with the configuration as it is now, whatever becomes of the file.
    pub(super) fn new(config: &Config) -> Self {
        let set =
            config.guardian.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]);
        let arguments = ["guardian".to_owned(), "--spawned".to_owned()].into_iter().chain(set).collect();
        Self { directory: config.state_directory.clone(), arguments, child: None }
    }

    /// The state directory.
    pub(super) fn directory(&self) -> &PathBuf {
        &self.directory
    }

    /// Starts one unless the last one still runs.
    ///
    /// # Errors
    /// When the system has no process to give.
    pub(super) fn spawn(&mut self) -> io::Result<()> {
        if self.child.is_some() && self.ended()?.is_none() {
            return Ok(());
        }
        let mut command = Command::new(program()?);
        command.arg0("wattkeeper").args(&self.arguments).env_remove("WATTKEEPER_CONFIG").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command.spawn()?;
        tracing::info!(pid = child.id(), socket = %wire::socket(&self.directory).display(), "a guardian is started");
        self.child = Some(child);
        Ok(())
    }

    /// Whether the last one has ended, and how. One that has is no zombie after this.
    ///
    /// # Errors
    /// When the system does not say.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
        if ended.is_some() {
            self.child = None;
        }
        Ok(ended)
    }
}

/// This program: the very file that runs, even where an update has put another one in its place.
fn program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { PathBuf::from("/proc/self/exe") })
}
