//! Starting a guardian: this program again, in a process group of its own, with the far end of a pipe as its standard input.
use super::wire;
use crate::config::Config;
use crate::doctor::Facts;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// What lets a process that is not root's write limits: NVML asks for the first, files of root's for the second.
const RIGHTS: [&str; 2] = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"];

/// Starts guardians of one directory, one at a time.
#[derive(Debug)]
pub(super) struct Spawner {
    directory: PathBuf,
    /// Why none is ever started, if so.
    never: Option<String>,
    arguments: Vec<String>,
    /// The last one. Its standard input stays open for as long as this process lives.
    child: Option<Child>,
}

impl Spawner {
    /// Starts guardians with the configuration as it is now, whatever becomes of the file.
    pub(super) fn new(config: &Config) -> Self {
        let set =
            config.handed_down.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]);
        let arguments = ["guardian".to_owned(), "--spawned".to_owned()].into_iter().chain(set).collect();
        let never = never(config, &Facts::of_this_process(&config.collectors.roots()));
        Self { directory: config.guardian_directory().to_owned(), never, arguments, child: None }
    }

    /// Why none is ever started, if so.
    pub(super) fn never(&self) -> Option<&str> {
        self.never.as_deref()
    }

    /// The guardian's directory.
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

/// Why this process is to start no guardian: an init system does, or one that it started could not write limits either.
fn never(config: &Config, facts: &Facts) -> Option<String> {
    if let Some(directory) = &config.guardian.directory {
        let directory = directory.display();
        return Some(format!(
            "no guardian listens in {directory} (key guardian.directory); start `wattkeeper guardian` there as root"
        ));
    }
    // Of a library or a tree that the operator has named himself it cannot be told whom it obeys.
    let usual = config.collectors.libraries.is_empty() && config.collectors.sys == Path::new("/sys");
    let may = facts.user == 0 || RIGHTS.iter().any(|right| facts.has(right));
    (usual && !may).then(|| {
        let user = facts.user;
        format!(
            "no guardian runs, and user {user} lacks the right to write limits (root, or CAP_SYS_ADMIN): start `wattkeeper guardian` \
             as root, with guardian.directory and guardian.user set for both"
        )
    })
}

/// This program: the very file that runs, even where an update has put another one in its place.
fn program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { PathBuf::from("/proc/self/exe") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Override, load};

    fn facts(user: u32, capability: u32) -> Facts {
        let capabilities = 1 << capability;
        Facts { user, capabilities, host_pids: None, files_max: None, container: None, perf_paranoid: None }
    }

    fn config(settings: &[(&str, &str)]) -> Config {
        let one = |(key, value): &(&str, &str)| {
            let (origin, key, value) = ("--set".into(), (*key).into(), (*value).into());
            Override { origin, key, value }
        };
        load(None, &settings.iter().map(one).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn without_the_right_to_write_limits_no_guardian_is_started_and_the_reason_says_what_to_do() {
        let usual = config(&[]);
        let why = never(&usual, &facts(990, 38)).unwrap();
        assert!(
            ["user 990", "CAP_SYS_ADMIN", "wattkeeper guardian"].iter().all(|part| why.contains(part)),
            "{why}"
        );
        for may in [facts(0, 38), facts(990, 21), facts(990, 1)] {
            assert_eq!(never(&usual, &may), None, "{may:?}");
        }
        let named = config(&[("collectors.sys", "/somewhere/sys")]);
        assert_eq!(never(&named, &facts(990, 38)), None);
    }

    #[test]
    fn where_an_init_system_starts_the_guardian_not_even_root_starts_another() {
        let apart = config(&[("guardian.directory", "/run/guardian")]);
        assert!(never(&apart, &facts(0, 21)).unwrap().contains("/run/guardian"));
    }
}
