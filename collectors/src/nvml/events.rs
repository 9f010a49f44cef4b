//! XID errors: an event set on a thread of its own, since waiting for events blocks.
use super::codes::code;
use super::session::{Handle, Session};
use nvml_wrapper_sys::bindings::{nvmlEventData_t, nvmlEventSet_t};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::time::Duration;

/// The event type of an XID critical error in `nvml.h`.
const XID_CRITICAL: u64 = 0x8;
/// How long one wait blocks, in milliseconds: the longest that a stop waits for the thread.
const WAIT_MS: u32 = 200;
/// Errors that wait to be read; further ones are dropped, as the first ones tell the story.
const ERRORS_MAX: usize = 256;
/// How long a drop waits for the thread before it leaves a hung driver behind.
const FAREWELL: Duration = Duration::from_millis(400);

/// An event set, freed on drop.
struct Set {
    session: Arc<Session>,
    raw: nvmlEventSet_t,
}

// SAFETY: the set is used by one thread at a time: made on the opener's, then moved to the watcher's.
unsafe impl Send for Set {}

impl Drop for Set {
    fn drop(&mut self) {
        if let Ok(free) = &self.session.nvml().lib().nvmlEventSetFree {
            // SAFETY: the set came from nvmlEventSetCreate of this session and is not used afterwards.
            unsafe { free(self.raw) };
        }
    }
}

impl Set {
    fn create(session: &Arc<Session>) -> Option<Self> {
        let lib = session.nvml().lib();
        // Without the other two there is nothing to wait with.
        let (create, _, _) = (
            lib.nvmlEventSetCreate.as_ref().ok()?,
            lib.nvmlEventSetWait_v2.as_ref().ok()?,
            lib.nvmlDeviceRegisterEvents.as_ref().ok()?,
        );
        let mut raw: nvmlEventSet_t = std::ptr::null_mut();
        // SAFETY: the pointer is valid for the write of a handle.
        let result = unsafe { create(&mut raw) };
        (result == code::SUCCESS).then(|| Self { session: Arc::clone(session), raw })
    }

    fn register(&self, handle: Handle) {
        if let Ok(register) = &self.session.nvml().lib().nvmlDeviceRegisterEvents {
            // SAFETY: device and set belong to this session. A device without events is simply not told of.
            unsafe { register(handle.raw(), XID_CRITICAL, self.raw) };
        }
    }

    /// Waits for one XID error.
    fn wait(&self) -> Option<(Handle, u32)> {
        let wait = self.session.nvml().lib().nvmlEventSetWait_v2.as_ref().ok()?;
        // SAFETY: nvmlEventData_t is plain old data, for which zeroes are valid.
        let mut data: nvmlEventData_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set belongs to this session and only this thread uses it; the pointer is valid for the write.
        let result = unsafe { wait(self.raw, &mut data, WAIT_MS) };
        let told = result == code::SUCCESS && data.eventType & XID_CRITICAL != 0;
        // XID numbers are below a thousand.
        told.then(|| (Handle::from_raw(data.device), data.eventData as u32))
    }
}

/// The handle of the thread.
pub(super) struct Watcher {
    errors: Receiver<(Handle, u32)>,
    /// New devices for the set.
    devices: Sender<Handle>,
    /// Closed by the thread when it ends.
    done: Receiver<()>,
    known: std::cell::RefCell<Vec<Handle>>,
}

impl Watcher {
    /// Starts the thread; `None` where the driver has no events or the system no thread.
    ///
    /// The devices that are there are registered before the first wait, so that no error after the opening is missed.
    pub(super) fn start(session: &Arc<Session>) -> Option<Self> {
        let set = Set::create(session)?;
        let count = session.count().unwrap_or(0);
        let known: Vec<Handle> = (0..count).filter_map(|index| session.handle(index).ok()).collect();
        known.iter().for_each(|handle| set.register(*handle));
        let (told, errors) = sync_channel(ERRORS_MAX);
        let (devices, arrivals) = channel();
        let (alive, done) = channel::<()>();
        let watch = move || {
            watch(&set, &arrivals, &told);
            drop(alive);
        };
        std::thread::Builder::new().name("wk-nvml-xid".into()).spawn(watch).ok()?;
        Some(Self { errors, devices, done, known: known.into() })
    }

    /// Adds a device to the set, once.
    pub(super) fn register(&self, handle: Handle) {
        let mut known = self.known.borrow_mut();
        if !known.contains(&handle) {
            known.push(handle);
            // A thread that has ended tells of nothing; the readings go on.
            let _ = self.devices.send(handle);
        }
    }

    /// Takes the errors since the last time.
    pub(super) fn drain(&self, mut take: impl FnMut(Handle, u32)) {
        while let Ok((handle, code)) = self.errors.try_recv() {
            take(handle, code);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Replacing the sender closes the channel, which is the thread's sign to end.
        self.devices = channel().0;
        // An error of the other kind means that it has ended.
        let hung = self.done.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout);
        debug_assert!(!hung || cfg!(not(test)), "the watcher did not end");
    }
}

fn watch(set: &Set, arrivals: &Receiver<Handle>, told: &SyncSender<(Handle, u32)>) {
    loop {
        loop {
            match arrivals.try_recv() {
                Ok(handle) => set.register(handle),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        if let Some(error) = set.wait() {
            // A full queue has a story to tell already.
            let _ = told.try_send(error);
        }
    }
}
