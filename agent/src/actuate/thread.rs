//! The keeper on a thread of its own: a hung actuator holds up nobody but the keeper.
use super::journal::Journal;
use super::{Brief, Keeper, Report};
use crate::clock::{MachineClock, wait_until};
use crate::engine::TICK;
use crate::rig::OpenHands;
use model::{Clock as _, Reason, Timestamp};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Decisions that wait for a hung keeper; older ones are dropped, since a beat repeats what still holds.
const PENDING_MAX: usize = 64;

#[derive(Debug, Default)]
struct Mailbox {
    brief: Brief,
    fresh: bool,
    report: Report,
    stop: bool,
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
}

/// The handle of the beat.
#[derive(Debug)]
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
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let work = move || {
            let state = Journal::open_if_needed(&directory, enforce);
            run(Keeper::new(hands(), state, MachineClock.now()), &inner);
        };
        let thread = std::thread::Builder::new().name("wk-keeper".into()).spawn(work)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands a brief over. Never waits for the keeper's work.
    pub fn brief(&self, brief: &mut Brief) {
        let mut mailbox = self.shared.lock();
        mailbox.brief.decisions.append(&mut brief.decisions);
        let surplus = mailbox.brief.decisions.len().saturating_sub(PENDING_MAX);
        mailbox.brief.decisions.drain(..surplus);
        mailbox.brief.devices.clone_from(&brief.devices);
        mailbox.brief.footing.copy_from(&brief.footing);
        mailbox.brief.mode = brief.mode;
        mailbox.fresh = true;
        self.shared.rung.notify_one();
    }

    /// Takes what the keeper has to tell. A keeper whose thread has died enforces nothing and says so: `Lost`.
    pub fn report(&self, report: &mut Report) {
        let mut mailbox = self.shared.lock();
        report.taken.clear();
        report.absorb(&mut mailbox.report);
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            report.refused = Some(Reason::Lost);
        }
    }

    /// Lets the keeper give originals back, and waits for it no longer than the patience.
    pub fn stop(&mut self, now: Timestamp, patience: Duration) {
        self.shared.lock().stop = true;
        self.shared.rung.notify_one();
        let Some(thread) = self.thread.take() else { return };
        let deadline = now.after(patience);
        while !thread.is_finished() && MachineClock.now() < deadline {
            wait_until(MachineClock.now().after(Duration::from_millis(2)).mono_ns);
        }
        if thread.is_finished() {
            let _ = thread.join();
        } else {
            tracing::error!("the keeper does not answer; the journal restores limits at the next start");
        }
    }
}

fn run(mut keeper: Keeper, shared: &Shared) {
    let mut due = MachineClock.now();
    let mut report = Report::default();
    while !wait(&mut keeper, shared, due) {
        let now = MachineClock.now();
        keeper.tick(now);
        keeper.report(&mut report);
        shared.lock().report.absorb(&mut report);
        // A brief is seen to at once and moves no tick; ticks that were missed are not made up for.
        if due <= now {
            due = due.after(TICK).max(now);
        }
    }
    keeper.stop(MachineClock.now());
}

/// Waits for the next tick, a brief or the stop; says whether to stop. Without anything to enforce there are no ticks.
fn wait(keeper: &mut Keeper, shared: &Shared, due: Timestamp) -> bool {
    let idle = |mailbox: &mut Mailbox| !mailbox.fresh && !mailbox.stop;
    let mailbox = shared.lock();
    let mut mailbox = if keeper.busy() {
        let left = due.since(MachineClock.now());
        shared.rung.wait_timeout_while(mailbox, left, idle).unwrap_or_else(PoisonError::into_inner).0
    } else {
        shared.rung.wait_while(mailbox, idle).unwrap_or_else(PoisonError::into_inner)
    };
    if mailbox.fresh {
        mailbox.fresh = false;
        keeper.brief(&mut mailbox.brief);
    }
    mailbox.stop
}

#[cfg(test)]
mod tests;
