//! Giving everything back: `wattkeeper release`, and an agent that finds caps in force where nothing is to be enforced.
use super::wire::{self, Answer, Ask, Given};
use crate::actuate::Keeper;
use crate::actuate::journal::{Journal, JournalError};
use crate::clock::{MachineClock, wait_until};
use crate::config::Config;
use crate::rig::OpenHands;
use model::Clock as _;
use std::path::Path;
use std::time::Duration;

/// How long a guardian may take to give everything back: driver calls, some of which are slow.
pub const RESTORE_PATIENCE: Duration = Duration::from_secs(10);

/// How long an init system may take to start the guardian beside the agent.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// How long a guardian may take to see that its agent is dead.
const DEATH_PATIENCE: Duration = Duration::from_secs(1);

/// Nothing could be given back.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The guardian does not do it.
    #[error("the guardian gives nothing back: {0}; stop that agent, or set power.enforce = false there")]
    Refused(String),
    /// It does not answer.
    #[error("the guardian of {directory} does not answer")]
    Silent {
        /// The state directory.
        directory: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What was given back.
#[derive(Debug)]
pub struct Released {
    /// A knob each.
    pub given: Vec<Given>,
}

impl Released {
    /// A line a knob.
    pub fn text(&self) -> String {
        let line = |given: &Given| {
            let (value, what) = (given.knob.say(given.original), given.knob.as_str());
            match given.read_back {
                Ok(now) if now + given.knob.slack() < given.original => {
                    format!(
                        "{}: {what} {value} is back; somebody else holds it at {}\n",
                        given.device,
                        given.knob.say(now)
                    )
                }
                Ok(_) => format!("{}: {what} {value} is back\n", given.device),
                Err(reason) => {
                    format!("{}: {what} {value} is NOT back: {}\n", given.device, reason.as_str())
                }
            }
        };
        if self.given.is_empty() {
            return "nothing of wattkeeper's is in force\n".to_owned();
        }
        self.given.iter().map(line).collect()
    }

    /// 0: everything is back; 1: something is not.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.given.iter().any(|given| given.read_back.is_err()))
    }
}

/// `wattkeeper release`: gives everything back, through the guardian where one runs, else by itself from the journal.
///
/// # Errors
/// When an agent is attached that would undo it, or the journal cannot be used.
pub fn release(config: &Config) -> Result<Released, ReleaseError> {
    let directory = config.guardian_directory();
    let silent = |source| ReleaseError::Silent { directory: directory.display().to_string(), source };
    match wire::ask(directory, &Ask::Release, RESTORE_PATIENCE).map_err(silent)? {
        Some(Answer::Released(given)) => Ok(Released { given }),
        Some(Answer::Refused { why, .. }) => Err(ReleaseError::Refused(why)),
        Some(_) => Err(silent(std::io::ErrorKind::InvalidData.into())),
        None => alone(directory, crate::rig::hands(config)).map(|given| Released { given }),
    }
}

/// Gives everything back from the journal, without a guardian.
///
/// # Errors
/// When the journal cannot be used, such as when another process has it.
pub(super) fn alone(directory: &Path, hands: OpenHands) -> Result<Vec<Given>, ReleaseError> {
    let state = Journal::open_if_needed(directory, false);
    match state.into_open() {
        Err(JournalError::Off) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
        Ok(state) => {
            let now = MachineClock.now();
            let mut keeper = Keeper::new(hands(), state, now);
            keeper.greet(now);
            Ok(keeper.release(now))
        }
    }
}

/// Has a guardian that another agent left behind give everything back: nothing is to be enforced here. `standing`: an init system
/// starts it, perhaps a moment after the agent.
pub fn relieve(directory: &Path, standing: bool) {
    let begun = MachineClock.now();
    let mut answer = wire::ask(directory, &Ask::Release, RESTORE_PATIENCE);
    while standing && matches!(answer, Ok(None)) && MachineClock.now().since(begun) < START_PATIENCE {
        wait_until(MachineClock.now().after(Duration::from_millis(100)).mono_ns);
        answer = wire::ask(directory, &Ask::Release, RESTORE_PATIENCE);
    }
    // The one before may have died a moment ago.
    while matches!(answer, Ok(Some(Answer::Refused { .. })))
        && MachineClock.now().since(begun) < DEATH_PATIENCE
    {
        wait_until(MachineClock.now().after(Duration::from_millis(100)).mono_ns);
        answer = wire::ask(directory, &Ask::Release, RESTORE_PATIENCE);
    }
    match answer {
        Ok(None) => {}
        Ok(Some(Answer::Released(given))) => {
            tracing::info!(knobs = given.len(), "a guardian was left behind; it gives back what it held");
        }
        Ok(Some(Answer::Refused { why, .. })) => tracing::warn!("a guardian goes on: {why}"),
        Ok(Some(_)) => tracing::warn!("a guardian is there and answers something else"),
        Err(error) => tracing::warn!("a guardian is there and does not answer: {error}"),
    }
}
