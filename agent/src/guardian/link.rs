//! The agent's side: hands briefs to the guardian and takes its reports, on threads of its own; the beat never waits.
//! Attaches to a guardian that is there; where an init system does not, starts one where there is none, and again when it has died.
use super::release::{self, RESTORE_PATIENCE};
use super::spawn::Spawner;
use super::wire::{self, Answer, Ask, Hello, Lines, PROTOCOL};
use crate::actuate::{Brief, PENDING_MAX, Report, refuse_all};
use crate::clock::{MachineClock, join_by, wait_until};
use crate::config::Config;
use crate::rig::OpenHands;
use model::{Clock as _, Reason, Timestamp};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a guardian may take to listen once it is started.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to answer a hello, or to make room for another version.
const HELLO_PATIENCE: Duration = Duration::from_secs(2);
/// From one try to attach to a guardian that is starting to the next.
const TRY: Duration = Duration::from_millis(10);
/// How long after a guardian's death the next one is started; twice as long after each further one.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A guardian that lived this long did not die of its start.
const SOUND: Duration = Duration::from_secs(60);
/// How often a guardian that somebody else has to start is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often a place that another agent has is asked for again.
const BUSY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Mailbox {
    brief: Brief,
    fresh: bool,
    report: Report,
    /// Why there is no guardian now; none while there is one or the first one starts.
    down: Option<Reason>,
    /// Whether the connection is over.
    lost: bool,
    /// Whether caps are held at the end, once it has come.
    stop: Option<bool>,
    /// Whether all is given back, once the guardian has said so.
    stopped: Option<bool>,
}

#[derive(Debug, Default)]
struct Shared {
    mailbox: Mutex<Mailbox>,
    rung: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is to be done, no longer than the patience.
    fn wait(&self, patience: Duration, idle: impl Fn(&mut Mailbox) -> bool) -> MutexGuard<'_, Mailbox> {
        let waited = self.rung.wait_timeout_while(self.lock(), patience, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The handle of the beat.
#[derive(Debug, Default)]
pub struct GuardianLink {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Why an attempt to attach did not succeed.
#[derive(Debug, thiserror::Error)]
enum AttachError {
    /// None runs, and this process is to start none.
    #[error("{0}")]
    Alone(String),
    /// The guardian does not take this agent.
    #[error("{why}")]
    Refused { reason: Reason, why: String },
    /// It could not be started or does not answer.
    #[error("the guardian does not answer: {0}")]
    Io(#[from] io::Error),
    /// It ended at once.
    #[error("the guardian ended at its start ({0}); its log says why")]
    Ended(std::process::ExitStatus),
}

impl GuardianLink {
    /// Starts the thread `wk-guardian`. `before` is done on it first; `hands` are opened only to give originals back at the
    /// end where no guardian is left to do it.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn(before: Box<dyn FnOnce() + Send>, hands: OpenHands, config: &Config) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut link = Link {
            shared: Arc::clone(&shared),
            spawner: Spawner::new(config),
            beat: config.beat.interval,
            told: None,
        };
        let work = move || {
            before();
            link.run(hands);
        };
        let thread = std::thread::Builder::new().name("wk-guardian".into()).spawn(work)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands a brief over. Never waits. Where there is no guardian, its decisions are refused at once.
    pub fn brief(&self, brief: &mut Brief, now: Timestamp) {
        let mut mailbox = self.shared.lock();
        if let Some(reason) = mailbox.down {
            let outcomes = refuse_all(&brief.decisions, reason, now);
            mailbox.report.outcomes.extend(outcomes);
            brief.decisions.clear();
        }
        mailbox.brief.absorb(brief, PENDING_MAX);
        mailbox.fresh = true;
        self.shared.rung.notify_one();
    }

    /// Takes what the guardian has told. Caps are the last that were known: they stay in the hardware without it.
    pub fn report(&self, report: &mut Report) {
        let mut mailbox = self.shared.lock();
        report.taken.clear();
        report.absorb(&mut mailbox.report);
        let dead = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        // Whatever keeps the guardian from this agent, for a reader there is none, or somebody else has it.
        let down = mailbox.down.map(|reason| if reason == Reason::Busy { reason } else { Reason::Lost });
        report.refused = down.or(report.refused).or(dead.then_some(Reason::Lost));
    }

    /// Lets the guardian give originals back and end, or hold caps and stay; waits no longer than the patience.
    pub fn stop(&mut self, hold: bool, now: Timestamp, patience: Duration) {
        self.shared.lock().stop = Some(hold);
        self.shared.rung.notify_one();
        let Some(thread) = self.thread.take() else { return };
        if !join_by(thread, now.after(patience)) {
            tracing::error!("the guardian does not answer; it holds what is in force");
        }
    }
}

/// What the thread works on.
struct Link {
    shared: Arc<Shared>,
    spawner: Spawner,
    beat: Duration,
    /// Why no guardian was started, as it was last logged.
    told: Option<String>,
}

impl Link {
    fn run(&mut self, hands: OpenHands) {
        let mut backoff = BACKOFF;
        loop {
            let pause = match self.attach() {
                Ok((stream, lines)) => {
                    let begun = MachineClock.now();
                    if self.serve(&stream, lines) {
                        return;
                    }
                    tracing::error!("the guardian is gone: caps stay until there is another one");
                    self.down(Reason::Lost);
                    if MachineClock.now().since(begun) >= SOUND {
                        backoff = BACKOFF;
                    }
                    longer(&mut backoff)
                }
                Err(AttachError::Alone(why)) => {
                    if self.down(Reason::Lost) || self.told.replace(why.clone()).as_ref() != Some(&why) {
                        tracing::error!("nothing is enforced, decisions are only advice: {why}");
                    }
                    LOOK
                }
                Err(AttachError::Refused { reason, why }) => {
                    if self.down(reason) {
                        tracing::error!(reason = reason.as_str(), "decisions are only advice: {why}");
                    }
                    BUSY
                }
                Err(error) => {
                    tracing::error!(again_s = backoff.as_secs(), "nothing is enforced: {error}");
                    self.down(Reason::Lost);
                    longer(&mut backoff)
                }
            };
            let stop = self.shared.wait(pause, |mailbox| mailbox.stop.is_none()).stop;
            if let Some(hold) = stop {
                return self.stop_alone(hold, hands);
            }
        }
    }

    /// Notes that there is no guardian; says whether that is new. What was decided for it is refused.
    fn down(&self, reason: Reason) -> bool {
        let mut mailbox = self.shared.lock();
        let decisions = std::mem::take(&mut mailbox.brief.decisions);
        mailbox.report.outcomes.extend(refuse_all(&decisions, reason, MachineClock.now()));
        mailbox.down.replace(reason) != Some(reason)
    }

    /// At the end without a guardian the agent gives originals back itself, if nobody else has the journal.
    fn stop_alone(&mut self, hold: bool, hands: OpenHands) {
        if hold || self.shared.lock().down == Some(Reason::Busy) {
            return;
        }
        if self.spawner.never().is_some() {
            return tracing::warn!("no guardian is there to give limits back; what is in force stays");
        }
        match release::alone(self.spawner.directory(), hands) {
            Ok(given) => tracing::info!(knobs = given.len(), "limits go back to what they were"),
            Err(error) => tracing::error!("limits are not given back: {error}"),
        }
    }

    /// Attaches to the guardian that is there, or to one that is started. One of another version makes room first.
    fn attach(&mut self) -> Result<(UnixStream, Lines), AttachError> {
        if let Some(stream) = self.connect()? {
            match self.greet(stream) {
                Ok(Some(attached)) => return Ok(attached),
                Ok(None) => self.retire("the guardian is of another version")?,
                Err(AttachError::Refused { reason: Reason::TooOld, why }) => self.retire(&why)?,
                Err(error) => return Err(error),
            }
        }
        if let Some(why) = self.spawner.never() {
            return Err(AttachError::Alone(why.to_owned()));
        }
        self.spawner.spawn()?;
        let deadline = MachineClock.now().after(START_PATIENCE);
        while MachineClock.now() < deadline && self.shared.lock().stop.is_none() {
            if let Some(stream) = wire::connect(self.spawner.directory())? {
                let other =
                    || io::Error::other("one of another version took the place of the one that was started");
                return self.greet(stream)?.ok_or_else(|| other().into());
            }
            if let Some(status) = self.spawner.ended()? {
                return Err(AttachError::Ended(status));
            }
            wait_until(MachineClock.now().after(TRY).mono_ns);
        }
        Err(io::Error::from(io::ErrorKind::TimedOut).into())
    }

    /// Connects to the guardian; `None` where none listens.
    fn connect(&self) -> Result<Option<UnixStream>, AttachError> {
        wire::connect(self.spawner.directory()).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let (socket, user) = (wire::socket(self.spawner.directory()), rustix::process::geteuid());
                let why =
                    format!("user {} may not open {} (key guardian.user)", user.as_raw(), socket.display());
                AttachError::Refused { reason: Reason::Denied, why }
            }
            _ => error.into(),
        })
    }

    /// Says hello; `None` when the guardian is of another version and can be replaced.
    fn greet(&self, stream: UnixStream) -> Result<Option<(UnixStream, Lines)>, AttachError> {
        stream.set_read_timeout(Some(HELLO_PATIENCE))?;
        let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
        let hello = Hello { protocol: PROTOCOL, version, pid, beat_s: self.beat.as_secs_f64() };
        wire::send(&stream, &Ask::Hello(hello))?;
        let mut lines = Lines::of(&stream)?;
        let strange = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => {
                let why = format!("the guardian's answer is none of protocol {PROTOCOL}: {error}");
                AttachError::Refused { reason: Reason::TooOld, why }
            }
            _ => error.into(),
        };
        match lines.receive().map_err(strange)? {
            Some(Answer::Welcome(guardian))
                if guardian.standing || guardian.version == env!("CARGO_PKG_VERSION") =>
            {
                tracing::info!(pid = guardian.pid, version = guardian.version, "attached to the guardian");
                stream.set_read_timeout(None)?;
                Ok(Some((stream, lines)))
            }
            Some(Answer::Welcome(guardian)) => {
                tracing::info!(
                    pid = guardian.pid,
                    version = guardian.version,
                    "the guardian is of another version"
                );
                Ok(None)
            }
            Some(Answer::Refused { reason, why }) => Err(AttachError::Refused { reason, why }),
            // A guardian closes the connection of a user whom it does not know.
            None => {
                let user = rustix::process::geteuid().as_raw();
                let why = format!("the guardian hangs up on user {user} (key guardian.user)");
                Err(AttachError::Refused { reason: Reason::Denied, why })
            }
            Some(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Asks a guardian of another version to make room, and waits until it has. `which`: what is wrong with it.
    fn retire(&self, which: &str) -> Result<(), AttachError> {
        let deadline = MachineClock.now().after(HELLO_PATIENCE);
        let mut last = "it does not say why".to_owned();
        while MachineClock.now() < deadline {
            match wire::ask(self.spawner.directory(), &Ask::Retire, HELLO_PATIENCE) {
                Ok(None) => return Ok(()),
                Ok(Some(Answer::Refused { why, .. })) => last = why,
                Ok(Some(_)) => {}
                Err(error) => last = error.to_string(),
            }
            wait_until(MachineClock.now().after(TRY * 5).mono_ns);
        }
        let why = format!("{which}, and does not make room: {last}");
        Err(AttachError::Refused { reason: Reason::TooOld, why })
    }

    /// Serves until the agent stops (true) or the connection is lost.
    fn serve(&self, stream: &UnixStream, lines: Lines) -> bool {
        {
            let mut mailbox = self.shared.lock();
            (mailbox.down, mailbox.lost, mailbox.stopped) = (None, false, None);
        }
        let shared = Arc::clone(&self.shared);
        let hear = move || hear(&shared, lines);
        let Ok(hearer) = std::thread::Builder::new().name("wk-reports".into()).spawn(hear) else {
            return false;
        };
        let stopped = self.talk(stream);
        let _ = stream.shutdown(Shutdown::Both);
        let _ = hearer.join();
        stopped
    }

    fn talk(&self, stream: &UnixStream) -> bool {
        let mut brief = Box::new(Brief::default());
        loop {
            let quiet = |mailbox: &mut Mailbox| !mailbox.fresh && !mailbox.lost && mailbox.stop.is_none();
            let mut mailbox = self.shared.wait(Duration::MAX, quiet);
            if mailbox.lost {
                return false;
            }
            let stop = mailbox.stop;
            if std::mem::take(&mut mailbox.fresh) {
                brief.absorb(&mut mailbox.brief, PENDING_MAX);
            }
            drop(mailbox);
            if let Some(hold) = stop {
                return self.part(stream, hold);
            }
            let ask = Ask::Brief(brief);
            let sent = wire::send(stream, &ask);
            let Ask::Brief(unsent) = ask else { return false };
            brief = unsent;
            brief.decisions.clear();
            if sent.is_err() {
                return false;
            }
        }
    }

    /// Says that the agent stops, and waits until the guardian has done what that asks for.
    fn part(&self, stream: &UnixStream, hold: bool) -> bool {
        if wire::send(stream, &Ask::Stop { hold }).is_err() {
            return false;
        }
        let waits = |mailbox: &mut Mailbox| mailbox.stopped.is_none() && !mailbox.lost;
        match self.shared.wait(RESTORE_PATIENCE, waits).stopped {
            Some(restored) => tracing::info!(hold, restored, "the guardian has done what a stop asks for"),
            None => tracing::error!("the guardian has not said that it is done"),
        }
        true
    }
}

/// The pause that is due, and a longer one for the next time.
fn longer(backoff: &mut Duration) -> Duration {
    let pause = *backoff;
    *backoff = (pause * 2).min(BACKOFF_MAX);
    pause
}

/// Takes reports until the connection is over.
fn hear(shared: &Shared, mut lines: Lines) {
    while let Ok(Some(answer)) = lines.receive() {
        let mut mailbox = shared.lock();
        match answer {
            Answer::Report(mut report) => mailbox.report.absorb(&mut report),
            Answer::Stopped { restored } => mailbox.stopped = Some(restored),
            _ => {}
        }
        shared.rung.notify_one();
    }
    shared.lock().lost = true;
    shared.rung.notify_one();
}
