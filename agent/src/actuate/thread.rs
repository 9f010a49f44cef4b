//! The keeper on a thread of its own, which no vendor's driver can hang: devices have threads of theirs. In the agent it serves
//! the beat, in the guardian its sessions.
use super::journal::Journal;
use super::{Brief, Keeper, PENDING_MAX, Report};
use crate::clock::{MachineClock, join_by};
use crate::engine::TICK;
use crate::rig::OpenHands;
use model::{Clock as _, Reason, Timestamp};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Errands that wait for a hung keeper; further ones are dropped with whatever waits for their answer.
const ERRANDS_MAX: usize = 32;

/// Something that is done with the keeper once, between ticks.
pub type Errand = Box<dyn FnOnce(&mut Keeper, Timestamp) + Send>;

#[derive(Default)]
struct Mailbox {
    brief: Brief,
    fresh: bool,
    errands: Vec<Errand>,
    report: Report,
    /// Whether the report has news that nobody has waited for.
    told: bool,
    /// Whether originals are given back at the end, once it has come.
    stop: Option<bool>,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox")
            .field("fresh", &self.fresh)
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Shared {
    mailbox: Mutex<Mailbox>,
    rung: Condvar,
    told: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle of the beat.
#[derive(Debug, Default)]
pub struct KeeperThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl KeeperThread {
    /// Starts the thread; hands and journal are opened on it.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn(hands: OpenHands, directory: PathBuf, enforce: bool) -> std::io::Result<Self> {
        Self::spawn_after(Box::new(|| {}), hands, directory, enforce)
    }

    /// The same, with something that is done on the thread first, such as waiting for who had the journal before.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn_after(
        before: Box<dyn FnOnce() + Send>,
        hands: OpenHands,
        directory: PathBuf,
        enforce: bool,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let work = move || {
            before();
            let state = Journal::open_if_needed(&directory, enforce);
            run(Keeper::new(hands(), state, MachineClock.now()), &inner);
        };
        let thread = std::thread::Builder::new().name("wk-keeper".into()).spawn(work)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands a brief over. Never waits for the keeper's work.
    pub fn brief(&self, brief: &mut Brief) {
        let mut mailbox = self.shared.lock();
        mailbox.brief.absorb(brief, PENDING_MAX);
        mailbox.fresh = true;
        self.shared.rung.notify_one();
    }

    /// Takes what the keeper has to tell. A keeper whose thread has died enforces nothing and says so: `Lost`.
    pub fn report(&self, report: &mut Report) {
        let mut mailbox = self.shared.lock();
        report.taken.clear();
        report.absorb(&mut mailbox.report);
        if self.is_dead() {
            report.refused = Some(Reason::Lost);
        }
    }

    /// Waits until there is news for who attached as this number, or its session is over; says whether there is.
    pub fn news(&self, attached: u64, over: &AtomicBool, report: &mut Report) -> bool {
        let over = || over.load(Ordering::Relaxed);
        let none = |mailbox: &mut Mailbox| !over() && (!mailbox.told || mailbox.report.attached != attached);
        let waited = self.shared.told.wait_while(self.shared.lock(), none);
        let mut mailbox = waited.unwrap_or_else(PoisonError::into_inner);
        if over() {
            return false;
        }
        mailbox.told = false;
        report.taken.clear();
        report.outcomes.clear();
        report.absorb(&mut mailbox.report);
        true
    }

    /// Ends the wait for news of who is told that its session is over.
    pub fn hush(&self, over: &AtomicBool) {
        let _mailbox = self.shared.lock();
        over.store(true, Ordering::Relaxed);
        self.shared.told.notify_all();
    }

    /// Has something done with the keeper before its next tick, at once.
    pub fn errand(&self, errand: Errand) {
        let mut mailbox = self.shared.lock();
        if mailbox.errands.len() < ERRANDS_MAX {
            mailbox.errands.push(errand);
            self.shared.rung.notify_one();
        }
    }

    /// Has something done with the keeper and gives what came of it; `None` when the keeper does not answer in time.
    pub fn answer<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut Keeper, Timestamp) -> T + Send + 'static,
        patience: Duration,
    ) -> Option<T> {
        let (tell, answer) = sync_channel(1);
        self.errand(Box::new(move |keeper, now| {
            // Nobody waits for an answer that comes too late.
            let _ = tell.try_send(errand(keeper, now));
        }));
        answer.recv_timeout(patience).ok()
    }

    /// Whether the keeper's thread has died.
    pub fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Lets the keeper end, with originals given back or caps held, and waits for it no longer than the patience.
    pub fn stop(&mut self, restore: bool, now: Timestamp, patience: Duration) {
        self.shared.lock().stop = Some(restore);
        self.shared.rung.notify_one();
        let Some(thread) = self.thread.take() else { return };
        if !join_by(thread, now.after(patience)) {
            tracing::error!("the keeper does not answer; the journal restores limits at the next start");
        }
    }
}

fn run(mut keeper: Keeper, shared: &Shared) {
    let mut due = MachineClock.now();
    let mut report = Report::default();
    let restore = loop {
        let turn = wait(&mut keeper, shared, due);
        let now = MachineClock.now();
        turn.errands.into_iter().for_each(|errand| errand(&mut keeper, now));
        if let Some(restore) = turn.stop {
            break restore;
        }
        keeper.tick(now);
        keeper.report(&mut report);
        tell(shared, &mut report, turn.briefed);
        // A brief is seen to at once and moves no tick; ticks that were missed are not made up for.
        if due <= now {
            due = due.after(TICK).max(now);
        }
    };
    if restore {
        keeper.stop(MachineClock.now());
    }
}

/// Puts a report where it is fetched or waited for. Who waits is woken for the answer to a brief, and for what happened.
fn tell(shared: &Shared, report: &mut Report, briefed: bool) {
    let news = briefed || !report.outcomes.is_empty() || !report.taken.is_empty();
    let mut mailbox = shared.lock();
    mailbox.report.absorb(report);
    if news {
        mailbox.told = true;
        shared.told.notify_all();
    }
}

/// What a keeper is woken for.
struct Turn {
    briefed: bool,
    errands: Vec<Errand>,
    stop: Option<bool>,
}

/// Waits for the next tick, a brief, an errand or the stop. Without anything to enforce and any call that is late there are no
/// ticks.
fn wait(keeper: &mut Keeper, shared: &Shared, due: Timestamp) -> Turn {
    let idle = |mailbox: &mut Mailbox| !mailbox.fresh && mailbox.errands.is_empty() && mailbox.stop.is_none();
    let mailbox = shared.lock();
    let mut mailbox = if keeper.busy() || keeper.waits() {
        let left = due.since(MachineClock.now());
        shared.rung.wait_timeout_while(mailbox, left, idle).unwrap_or_else(PoisonError::into_inner).0
    } else {
        shared.rung.wait_while(mailbox, idle).unwrap_or_else(PoisonError::into_inner)
    };
    let briefed = std::mem::take(&mut mailbox.fresh);
    if briefed {
        keeper.brief(&mut mailbox.brief);
    }
    Turn { briefed, errands: std::mem::take(&mut mailbox.errands), stop: mailbox.stop }
}

#[cfg(test)]
mod tests;
