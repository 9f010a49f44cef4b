//! The guardian: the process that owns the keeper while limits are enforced, and outlives the agent on purpose. On the
//! agent's death it holds the node at its fallback budget; on a clean stop it gives back or holds, as configured.
pub mod link;
pub mod peers;
mod release;
pub mod session;
mod spawn;
pub mod wire;

use crate::actuate::KeeperThread;
use crate::clock::MachineClock;
use crate::config::Config;
use crate::run::Failed;
use model::Clock as _;
use peers::{Guest, Peers};
use rustix::fs::{FlockOperation, Mode, flock};
use session::Desk;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

pub use link::GuardianLink;
pub use release::{RESTORE_PATIENCE, Released, release, relieve};

/// The lock that keeps a second guardian out.
const LOCK: &str = "guardian.lock";
/// What a guest's group may do with the socket: connect, which is writing.
const SOCKET_OPEN: u32 = 0o660;
/// What it may do with the directory: find the socket.
const DIRECTORY_OPEN: u32 = 0o750;
/// Connections at once: one agent, and a few who ask.
const CONNECTIONS_MAX: usize = 8;
/// How long nobody is let in when the system cannot.
const RETRY: Duration = Duration::from_millis(100);
/// How long a guardian whose agent died before it said hello waits for another one.
const ABANDONED: Duration = Duration::from_secs(2);
/// How long an agent that is attached may take to stop once both are told to.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How long the keeper may take to end.
const KEEPER_PATIENCE: Duration = Duration::from_millis(500);

/// Runs the guardian of a state directory until it has nothing more to keep. SIGTERM and SIGINT end it with caps held,
/// unless an agent that stops at the same time asks for more.
///
/// `spawned`: an agent has started it and holds the other end of standard input; it ends when nothing is left to keep. One that an
/// init system has started stays for the next agent.
///
/// # Errors
/// When another guardian runs there, the socket cannot be made, or a user is named whom this machine does not know.
pub fn guard(config: &Config, spawned: bool) -> Result<(), Failed> {
    // Who leads a session already needs none of its own.
    let _ = rustix::process::setsid();
    let directory = config.guardian_directory();
    let guest = Guest::find(&config.guardian)?;
    std::fs::create_dir_all(directory).map_err(|error| trouble(directory, "create", &error))?;
    let _lock = lock(directory)?;
    let listener = listen(directory, guest)?;
    let hands = crate::rig::hands(config);
    let (end, ended) = sync_channel(1);
    let keeper = KeeperThread::spawn(hands, directory.to_owned(), true)?;
    let desk = Arc::new(Desk::new((keeper, end), Peers::new(guest), !spawned));
    serve(&desk, listener)?;
    if spawned {
        watch_agent(&desk)?;
    }
    watch_signals(&desk)?;
    tracing::info!(directory = %directory.display(), "the guardian is ready");
    wait(&desk, &ended);
    let _ = std::fs::remove_file(wire::socket(directory));
    let caps = desk.keeper().answer(|keeper, now| keeper.rows(now).len(), KEEPER_PATIENCE);
    tracing::info!(caps, "the guardian ends");
    Ok(())
}

/// Waits for the end: asked for, because a release is complete after all, or because the keeper has died, which a new process mends better than this one.
fn wait(desk: &Desk, ended: &Receiver<()>) {
    while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        if desk.keeper().is_dead() {
            tracing::error!("the keeper has died; caps stay, and the next guardian takes them over");
            return;
        }
        if desk.is_done() && !desk.stays() {
            return;
        }
    }
}

fn trouble(path: &Path, what: &str, error: &dyn std::fmt::Display) -> Failed {
    format!(
        "the guardian cannot {what} {} (keys guardian.directory, state.directory): {error}",
        path.display()
    )
    .into()
}

fn lock(directory: &Path) -> Result<File, Failed> {
    let path = directory.join(LOCK);
    let file = File::options().create(true).append(true).open(&path);
    let file = file.map_err(|error| trouble(&path, "open", &error))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| format!("another guardian holds {}", path.display()))?;
    Ok(file)
}

/// The socket, for this user alone, or for a guest's group too. One that is there already is a dead guardian's: the lock is ours.
fn listen(directory: &Path, guest: Option<Guest>) -> Result<UnixListener, Failed> {
    let path = wire::socket(directory);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(trouble(&path, "replace", &error));
        }
        _ => {}
    }
    // No other thread runs yet that could make a file meanwhile.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(&path);
    rustix::process::umask(before);
    let listener = listener.map_err(|error| trouble(&path, "listen on", &error))?;
    if let Some(guest) = guest {
        guest.open(&path, SOCKET_OPEN).map_err(|error| trouble(&path, "open to its group", &error))?;
        guest
            .open(directory, DIRECTORY_OPEN)
            .map_err(|error| trouble(directory, "open to its group", &error))?;
    }
    Ok(listener)
}

fn serve(desk: &Arc<Desk>, listener: UnixListener) -> std::io::Result<()> {
    let desk = Arc::clone(desk);
    let open = Arc::new(AtomicUsize::new(0));
    let accept = move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Out of descriptors: others close some.
                crate::clock::wait_until(MachineClock.now().after(RETRY).mono_ns);
                continue;
            };
            if !desk.peers().admit(&stream) {
                continue;
            }
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (desk, open) = (Arc::clone(&desk), Arc::clone(&open));
            let session = move || {
                session::serve(&desk, &stream);
                open.fetch_sub(1, Ordering::Relaxed);
            };
            let name = "wk-session".to_owned();
            if let Err(error) = std::thread::Builder::new().name(name).spawn(session) {
                tracing::error!("a connection gets no thread: {error}");
            }
        }
    };
    std::thread::Builder::new().name("wk-accept".into()).spawn(accept).map(drop)
}

/// Sees the end of the agent that started this process: its end of the pipe closes with it.
fn watch_agent(desk: &Arc<Desk>) -> std::io::Result<()> {
    let desk = Arc::clone(desk);
    let agent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    let watch = move || {
        let mut nothing = [0; 64];
        while std::io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
        agent.into_iter().for_each(|agent| desk.died(agent));
        crate::clock::wait_until(MachineClock.now().after(ABANDONED).mono_ns);
        if !desk.was_attached() {
            tracing::warn!("the agent died before it said what is to be done");
            desk.finish();
        }
    };
    std::thread::Builder::new().name("wk-lifeline".into()).spawn(watch).map(drop)
}

fn watch_signals(desk: &Arc<Desk>) -> std::io::Result<()> {
    let desk = Arc::clone(desk);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watch = move || {
        runtime.block_on(async {
            let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
                signal(SignalKind::hangup()),
            ) else {
                return;
            };
            loop {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    // A terminal that is closed takes nothing with it.
                    _ = hangup.recv() => {}
                }
            }
            let told = MachineClock.now();
            while desk.is_attached() && MachineClock.now().since(told) < STOP_PATIENCE {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        desk.finish();
    };
    std::thread::Builder::new().name("wk-signals".into()).spawn(watch).map(drop)
}
