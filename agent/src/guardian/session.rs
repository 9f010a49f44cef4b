//! Sessions: one connection to the guardian each. One agent may be attached; its silence or its end is its death.
use super::peers::Peers;
use super::wire::{self, Answer, Ask, Hello, Lines, PROTOCOL, Status, WRITE_PATIENCE, Welcome};
use crate::actuate::{Keeper, KeeperThread, Report};
use model::Reason;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Beats without a brief after which an agent counts as dead.
const MISSED_BEATS: f64 = 5.0;
/// The least time without a brief that counts: a busy node holds short beats up.
const SILENCE_MIN: Duration = Duration::from_secs(1);
/// The most, whatever an agent says of its beat.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// How long the first line may take.
const HELLO_PATIENCE: Duration = Duration::from_secs(2);
/// How long the keeper may take to give everything back, or to say what is in force.
const KEEPER_PATIENCE: Duration = Duration::from_secs(10);

/// The agent that is attached.
#[derive(Debug)]
struct Attached {
    number: u64,
    hello: Hello,
    stream: UnixStream,
}

/// What all sessions share.
#[derive(Debug)]
pub struct Desk {
    keeper: KeeperThread,
    attached: Mutex<Option<Attached>>,
    last: AtomicU64,
    /// Whether everything was to be given back, and some of it could not be yet.
    released: AtomicBool,
    peers: Peers,
    /// Whether an init system has started the guardian: it then stays when an agent goes, and is replaced by nobody else.
    standing: bool,
    /// How the guardian ends, once it does: with originals given back, or with caps held.
    end: std::sync::mpsc::SyncSender<()>,
}

impl Desk {
    /// A desk at which nobody has been. The keeper's companion is told when the guardian is to end.
    pub fn new(
        (keeper, end): (KeeperThread, std::sync::mpsc::SyncSender<()>),
        peers: Peers,
        standing: bool,
    ) -> Self {
        Self {
            keeper,
            peers,
            standing,
            attached: Mutex::new(None),
            last: AtomicU64::new(0),
            released: AtomicBool::new(false),
            end,
        }
    }

    /// The keeper.
    pub fn keeper(&self) -> &KeeperThread {
        &self.keeper
    }

    /// Who is let in.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Whether it stays when everything is given back. It then has nothing more to give.
    pub fn stays(&self) -> bool {
        if self.standing {
            self.released.store(false, Ordering::Relaxed);
        }
        self.standing
    }

    /// Sees to the end after everything was to be given back: at once where it is, else when it is.
    fn close(&self, all: bool) {
        if all && !self.standing {
            self.finish();
        } else {
            self.released.store(!all, Ordering::Relaxed);
        }
    }

    /// Who this guardian is.
    fn who(&self) -> Welcome {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Welcome { protocol: PROTOCOL, version, pid: std::process::id(), standing: self.standing }
    }

    /// Whether an agent ever attached.
    pub fn was_attached(&self) -> bool {
        self.last.load(Ordering::Relaxed) > 0
    }

    /// Whether an agent is attached now.
    pub fn is_attached(&self) -> bool {
        self.lock().is_some()
    }

    /// Whether everything was to be given back and now is.
    pub fn is_done(&self) -> bool {
        self.released.load(Ordering::Relaxed)
            && self.keeper.answer(|keeper, _| keeper.is_clear(), KEEPER_PATIENCE) == Some(true)
    }

    /// Takes note that a process has died: if it is the agent that is attached, its session ends at once.
    pub fn died(&self, pid: u32) {
        if let Some(attached) = self.lock().as_ref().filter(|attached| attached.hello.pid == pid) {
            let _ = attached.stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends the guardian; what is in force stays as it is.
    pub fn finish(&self) {
        // A place is always free or the end is already on its way.
        let _ = self.end.try_send(());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Attached>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one connection to its end.
pub fn serve(desk: &Arc<Desk>, stream: &UnixStream) {
    if let Err(error) = converse(desk, stream) {
        tracing::debug!("a connection ended: {error}");
    }
}

fn converse(desk: &Arc<Desk>, stream: &UnixStream) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_PATIENCE))?;
    stream.set_read_timeout(Some(HELLO_PATIENCE))?;
    let mut lines = Lines::of(stream)?;
    match lines.receive()? {
        Some(Ask::Hello(hello)) => attach(desk, stream, lines, hello),
        Some(Ask::Status) => wire::send(stream, &status(desk)),
        Some(Ask::Release) => release(desk, stream),
        Some(Ask::Retire) => retire(desk, stream),
        Some(Ask::Brief(_) | Ask::Stop { .. }) => {
            wire::send(stream, &refuse(Reason::Refused, "the first line must be a hello".into()))
        }
        None => Ok(()),
    }
}

fn refuse(reason: Reason, why: String) -> Answer {
    Answer::Refused { reason, why }
}

fn busy(hello: &Hello) -> Answer {
    refuse(Reason::Busy, format!("an agent is attached: process {} of version {}", hello.pid, hello.version))
}

fn status(desk: &Desk) -> Answer {
    let agent = desk.lock().as_ref().map(|attached| attached.hello.clone());
    let (guardian, strangers) = (desk.who(), desk.peers.refused());
    let look = move |keeper: &mut Keeper, now| Status {
        guardian,
        agent,
        strangers,
        orphaned: keeper.is_orphan(),
        refused: keeper.refused(),
        audit_lost: keeper.audit_lost(),
        rows: keeper.rows(now),
    };
    let Some(status) = desk.keeper.answer(look, KEEPER_PATIENCE) else {
        return refuse(Reason::Late, "a driver call has not returned".into());
    };
    Answer::Status(Box::new(status))
}

/// Gives everything back and ends, unless an agent would undo it at once.
fn release(desk: &Desk, stream: &UnixStream) -> io::Result<()> {
    if let Some(attached) = desk.lock().as_ref() {
        return wire::send(stream, &busy(&attached.hello));
    }
    let Some(given) = desk.keeper.answer(|keeper, now| keeper.release(now), KEEPER_PATIENCE) else {
        return wire::send(stream, &refuse(Reason::Late, "a driver call has not returned".into()));
    };
    let all = given.iter().all(|given| given.read_back.is_ok());
    tracing::info!(knobs = given.len(), all, "everything of ours was to be given back");
    let sent = wire::send(stream, &Answer::Released(given));
    desk.close(all);
    sent
}

fn retire(desk: &Desk, stream: &UnixStream) -> io::Result<()> {
    if let Some(attached) = desk.lock().as_ref() {
        return wire::send(stream, &busy(&attached.hello));
    }
    if desk.standing {
        let why = "an init system has started this guardian: update it and start it again there";
        return wire::send(stream, &refuse(Reason::Refused, why.into()));
    }
    tracing::info!("another version takes over; caps stay");
    desk.finish();
    wire::send(stream, &Answer::Stopped { restored: false })
}

/// Attaches an agent and serves it until it stops or dies.
fn attach(desk: &Arc<Desk>, stream: &UnixStream, mut lines: Lines, hello: Hello) -> io::Result<()> {
    if hello.protocol != PROTOCOL {
        let why = format!("this guardian speaks protocol {PROTOCOL}, the agent {}", hello.protocol);
        return wire::send(stream, &refuse(Reason::TooOld, why));
    }
    let silence = (hello.beat_s * MISSED_BEATS).clamp(SILENCE_MIN.as_secs_f64(), SILENCE_MAX.as_secs_f64());
    let silence = Duration::from_secs_f64(silence);
    stream.set_read_timeout(Some(silence))?;
    let number = {
        let mut attached = desk.lock();
        if let Some(other) = attached.as_ref() {
            return wire::send(stream, &busy(&other.hello));
        }
        let number = desk.last.fetch_add(1, Ordering::Relaxed) + 1;
        desk.released.store(false, Ordering::Relaxed);
        tracing::info!(pid = hello.pid, version = hello.version, "an agent is attached");
        *attached = Some(Attached { number, hello, stream: stream.try_clone()? });
        number
    };
    let session = Session { desk, stream, number, silence };
    let ended = wire::send(stream, &Answer::Welcome(desk.who())).and_then(|()| session.run(&mut lines));
    session.end(ended)
}

/// The session of an agent.
struct Session<'a> {
    desk: &'a Arc<Desk>,
    stream: &'a UnixStream,
    number: u64,
    /// How long an agent may be silent.
    silence: Duration,
}

impl Session<'_> {
    /// Hands briefs to the keeper until the agent stops; gives whether caps are to be held, or `None` where it just ended.
    fn run(&self, lines: &mut Lines) -> io::Result<Option<bool>> {
        let over = Arc::new(AtomicBool::new(false));
        let (desk, number, ended) = (Arc::clone(self.desk), self.number, Arc::clone(&over));
        let stream = self.stream.try_clone()?;
        let tell = move || tell(&desk, &stream, number, &ended);
        let teller = std::thread::Builder::new().name("wk-reports".into()).spawn(tell)?;
        let heard = self.hear(lines);
        self.desk.keeper.hush(&over);
        let _ = teller.join();
        heard
    }

    fn hear(&self, lines: &mut Lines) -> io::Result<Option<bool>> {
        loop {
            match lines.receive()? {
                Some(Ask::Brief(mut brief)) => {
                    brief.attached = self.number;
                    self.desk.keeper.brief(&mut brief);
                }
                Some(Ask::Stop { hold }) => return Ok(Some(hold)),
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
                None => return Ok(None),
            }
        }
    }

    /// Sees to what the end of the session asks for: nothing, everything given back, or the fallback.
    fn end(&self, ended: io::Result<Option<bool>>) -> io::Result<()> {
        // An agent that stops to be started again is back by then, and nothing is tightened for it.
        let (number, grace) = (self.number, self.silence);
        let sent = match ended {
            Ok(Some(true)) => {
                tracing::info!("the agent has stopped; its caps are held");
                self.desk.keeper.errand(Box::new(move |keeper, now| keeper.orphan(number, now, grace)));
                wire::send(self.stream, &Answer::Stopped { restored: false })
            }
            Ok(Some(false)) => {
                let given = self.desk.keeper.answer(|keeper, now| keeper.release(now), KEEPER_PATIENCE);
                let restored = given.is_some_and(|given| given.iter().all(|given| given.read_back.is_ok()));
                tracing::info!(restored, "the agent has stopped; limits go back to what they were");
                let sent = wire::send(self.stream, &Answer::Stopped { restored });
                // What one that was started for this agent cannot give back, the next start does from the journal.
                self.desk.close(restored || !self.desk.standing);
                sent
            }
            lost => {
                self.desk
                    .keeper
                    .errand(Box::new(move |keeper, now| keeper.orphan(number, now, Duration::ZERO)));
                lost.map(drop)
            }
        };
        // The agent that was too late to send a brief must see that it is no longer attached.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.desk.lock().take_if(|attached| attached.number == number);
        sent
    }
}

/// Tells the agent what becomes of its briefs, until its session is over or it does not read any more.
fn tell(desk: &Desk, stream: &UnixStream, number: u64, over: &AtomicBool) {
    let mut report = Box::new(Report::default());
    while desk.keeper.news(number, over, &mut report) {
        let answer = Answer::Report(report);
        if wire::send(stream, &answer).is_err() {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        let Answer::Report(sent) = answer else { return };
        report = sent;
    }
}
