//! XID errors: an event set on a thread of its own, since waiting for events blocks.
use super::codes::Fault;
use super::raw::{EventSet, Handle};
use super::session::Session;
use model::Absence;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::time::Duration;

/// How long one wait blocks, in milliseconds: the longest that a stop waits for the thread.
const WAIT_MS: u32 = 200;
/// How long a drop waits for the thread before it leaves a hung driver behind: one wait and a little.
const FAREWELL: Duration = Duration::from_millis(WAIT_MS as u64 + 50);
/// How long the thread rests after a wait that failed, since such a wait may return at once.
const REST: Duration = Duration::from_secs(1);
/// News that waits to be read; further news is dropped, as the first tells the story.
const NEWS_MAX: usize = 256;

/// What the thread has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The driver reported an XID error of this device.
    Xid(Handle, u32),
    /// This device cannot be watched.
    Unwatched(Handle, Absence),
}

/// The handle of the thread.
#[derive(Debug)]
pub(super) struct Watcher {
    news: Receiver<News>,
    /// Devices for the set. Closing it is the thread's sign to end.
    devices: Option<Sender<Handle>>,
    /// Closed by the thread when it ends.
    done: Receiver<()>,
    /// Devices that are in the set since the opening, and were not met yet.
    early: Vec<Handle>,
}

impl Watcher {
    /// Starts the thread; `None` where the driver has no events or the system no thread.
    ///
    /// The devices that are there are registered before the first wait, so that no error after the opening is missed.
    pub(super) fn start(session: &Arc<Session>) -> Option<Self> {
        let set = EventSet::create(session).ok()?;
        let count = session.count().unwrap_or(0);
        let there = (0..count).filter_map(|index| session.handle(index).ok());
        let early: Vec<Handle> = there.filter(|handle| set.register(*handle).is_ok()).collect();
        let (tell, news) = sync_channel(NEWS_MAX);
        let (devices, arrivals) = channel();
        let (alive, done) = channel::<()>();
        let watch = Watch { session: Arc::clone(session), set, watched: early.clone(), arrivals, tell };
        let work = move || {
            watch.run();
            drop(alive);
        };
        std::thread::Builder::new().name("wk-nvml-xid".into()).spawn(work).ok()?;
        Some(Self { news, devices: Some(devices), done, early })
    }

    /// Watches a device that was met, for the first time or again: a driver forgets what it watched when it loses a device.
    pub(super) fn register(&mut self, handle: Handle) {
        if let Some(place) = self.early.iter().position(|known| *known == handle) {
            self.early.swap_remove(place);
        } else if let Some(devices) = &self.devices {
            // A thread that has ended tells of nothing; the readings go on.
            let _ = devices.send(handle);
        }
    }

    /// The news since the last time.
    pub(super) fn news(&self) -> impl Iterator<Item = News> {
        self.news.try_iter()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.devices = None;
        // The thread says nothing: either it ends, which closes the channel, or the driver hangs and it is left behind with
        // a hold on the session, which it gives up when the driver lets it go.
        let _: Result<(), RecvTimeoutError> = self.done.recv_timeout(FAREWELL);
    }
}

/// What the thread works on.
struct Watch {
    session: Arc<Session>,
    set: EventSet,
    watched: Vec<Handle>,
    arrivals: Receiver<Handle>,
    tell: SyncSender<News>,
}

impl Watch {
    fn run(mut self) {
        loop {
            match self.arrivals.try_recv() {
                Ok(handle) => {
                    self.register(handle);
                    continue;
                }
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {}
            }
            match self.set.wait(WAIT_MS) {
                // A full queue has a story to tell already.
                Ok(Some((handle, code))) => drop(self.tell.try_send(News::Xid(handle, code))),
                Ok(None) => {}
                Err(Fault::UNINITIALIZED) => return,
                Err(fault) => match self.arrivals.recv_timeout(REST) {
                    Ok(handle) => self.register(handle),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) if fault.lost() => self.renew(),
                    Err(RecvTimeoutError::Timeout) => {}
                },
            }
        }
    }

    fn register(&mut self, handle: Handle) {
        match self.set.register(handle) {
            Ok(()) if !self.watched.contains(&handle) => self.watched.push(handle),
            Ok(()) => {}
            Err(fault) => drop(self.tell.try_send(News::Unwatched(handle, fault.absence()))),
        }
    }

    /// Makes a set of those that are left: one with a lost device in it fails for all of them. The lost one is watched
    /// again when it is met again.
    fn renew(&mut self) {
        if let Ok(set) = EventSet::create(&self.session) {
            self.watched.retain(|handle| set.register(*handle).is_ok());
            self.set = set;
        }
    }
}
