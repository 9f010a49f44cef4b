//! XID errors: an event set on a thread of its own, since waiting for events blocks. What it hears goes to the post of the
//! board at once, so that a bus that hangs holds nothing up.
use super::codes::Fault;
use super::post::{Post, Routes};
use super::raw::Handle;
use super::raw::events::EventSet;
use super::session::Session;
use model::{Absence, Calls};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long one wait blocks, in milliseconds: the longest that a stop waits for the thread.
const WAIT_MS: u32 = 200;
/// How long a drop waits for the thread before it leaves a hung driver behind: one wait and a little.
const FAREWELL: Duration = Duration::from_millis(WAIT_MS as u64 + 50);
/// How long the thread rests after a wait that failed, since such a wait may return at once.
const REST: Duration = Duration::from_secs(1);

/// The handle of the thread.
#[derive(Debug)]
pub(super) struct Watcher {
    routes: Arc<Mutex<Routes>>,
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
    pub(super) fn start(session: &Arc<Session>, calls: &Calls) -> Option<Self> {
        // The thread has an account of its own, as it waits in a call all the time.
        let set = EventSet::create(session, &Calls::default()).ok()?;
        let count = session.count(calls).unwrap_or(0);
        let there = (0..count).filter_map(|index| session.handle(index, calls).ok());
        let early: Vec<Handle> = there.filter(|handle| set.register(*handle).is_ok()).collect();
        let routes = Arc::new(Mutex::new(Routes::default()));
        let (devices, arrivals) = channel();
        let (alive, done) = channel::<()>();
        let watch = Watch {
            session: Arc::clone(session),
            set,
            watched: early.clone(),
            arrivals,
            routes: Arc::clone(&routes),
        };
        let work = move || {
            watch.run();
            drop(alive);
        };
        std::thread::Builder::new().name("wk-nvml-xid".into()).spawn(work).ok()?;
        Some(Self { routes, devices: Some(devices), done, early })
    }

    /// Watches a device that was met, for the first time or again: a driver forgets what it watched when it loses a device.
    pub(super) fn register(&mut self, handle: Handle, post: &Post) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).lead(handle, post);
        if let Some(place) = self.early.iter().position(|known| *known == handle) {
            self.early.swap_remove(place);
        } else if let Some(devices) = &self.devices {
            // A thread that has ended tells of nothing; the readings go on.
            let _ = devices.send(handle);
        }
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
    routes: Arc<Mutex<Routes>>,
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
            if self.session.condemned() {
                return;
            }
            match self.set.wait(WAIT_MS) {
                Ok(Some((handle, code))) => self.post(handle).xid(code),
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

    fn post(&self, handle: Handle) -> Post {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).of(handle)
    }

    fn register(&mut self, handle: Handle) {
        let unwatched: Option<Absence> = match self.set.register(handle) {
            Ok(()) => None,
            Err(fault) => Some(fault.absence()),
        };
        if unwatched.is_none() && !self.watched.contains(&handle) {
            self.watched.push(handle);
        }
        self.post(handle).open().unwatched = unwatched;
    }

    /// Makes a set of those that are left: one with a lost device in it fails for all of them. The lost one is watched
    /// again when it is met again.
    fn renew(&mut self) {
        if let Ok(set) = EventSet::create(&self.session, &Calls::default()) {
            self.watched.retain(|handle| set.register(*handle).is_ok());
            self.set = set;
        }
    }
}
