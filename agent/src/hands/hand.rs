//! A hand: the one thread that calls the driver for one device, behind a one-place mailbox as a worker's. A call that does not
//! return holds up this device alone, and the device gets no second thread.
use super::bell::Bell;
use super::grip::{Answer, Open, Task, written};
use model::{Batch, Calls, Knob, Order, Reason, Timestamp};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an answer that came too late still counts for whoever asks the same: positions of knobs change on beats.
const LOOK_FRESH: Duration = Duration::from_secs(2);
/// The same of power, of which the reflex bridges three ticks.
const POWER_FRESH: Duration = Duration::from_millis(300);
/// First and longest wait before the power of a device that is lost is read again: looking for one is a driver's longest call.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct State {
    /// The errand that waits.
    task: Option<Task>,
    /// The volley that is rung for when the errand is done, or the grip is open.
    volley: u64,
    /// Whether the thread is at work: opening, or in an errand.
    busy: bool,
    done: Option<Answer>,
    /// Whether this host has such devices, once their driver was opened, or why that failed.
    opened: Option<Result<bool, Reason>>,
    /// Why the thread has ended.
    ended: Option<Reason>,
    stop: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
    bell: Arc<Bell>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of an attempt to hand an errand over.
#[derive(Debug)]
pub(super) enum Placed {
    /// It is on its way; the answer is to be fetched.
    Waiting,
    /// An earlier call has not returned.
    Late,
    /// There is an answer already.
    Ready(Answer),
}

/// A write or another call that came back after it had been called late.
#[derive(Debug)]
pub struct Returned {
    /// The device.
    pub key: Arc<str>,
    /// The order that was carried out; none where it was a reading.
    pub written: Option<(Order, Result<f64, Reason>)>,
}

/// The keeper's end of a hand. The thread is not joined at the end: a hung driver must not hold up a stop.
#[derive(Debug)]
pub(super) struct Hand {
    key: Arc<str>,
    shared: Arc<Shared>,
    calls: Calls,
    /// Whether the device has ever answered: it is this driver's.
    pub(super) known: bool,
    /// When it was last given something to do.
    pub(super) used: Timestamp,
    /// The errand under way.
    sent: Option<(Task, Timestamp)>,
    /// Since when the errand under way has been late.
    late: Option<Timestamp>,
    /// Whether that was said.
    told: bool,
    /// What an errand came to that was late.
    kept: Option<(Task, Timestamp, Answer)>,
    /// From when on power is read again, and the wait before.
    feel: (Timestamp, Duration),
}

impl Hand {
    /// Starts the thread, which opens the grip first and then rings for this volley.
    ///
    /// # Errors
    /// `Full` when the system has no thread to give.
    pub(super) fn spawn(
        key: &Arc<str>,
        open: &Open,
        (bell, volley): (&Arc<Bell>, u64),
    ) -> Result<Self, Reason> {
        let (task, done, opened, ended) = (None, None, None, None);
        let state = State { task, volley, busy: true, done, opened, ended, stop: false };
        let bell = Arc::clone(bell);
        let shared = Arc::new(Shared { state: Mutex::new(state), asked: Condvar::new(), bell });
        let calls = Calls::default();
        let (inner, open, account, name) =
            (Arc::clone(&shared), Arc::clone(open), calls.clone(), Arc::clone(key));
        let work = move || run(&name, &open, &account, &inner);
        let thread = std::thread::Builder::new().name(format!("wk-hand/{key}")).spawn(work);
        thread.map_err(|error| {
            tracing::warn!(device = &**key, "could not start its thread: {error}");
            Reason::Full
        })?;
        let (used, feel) = (Timestamp::default(), (Timestamp::default(), Duration::ZERO));
        let key = Arc::clone(key);
        let (sent, late, kept) = (None, None, None);
        Ok(Self { key, shared, calls, known: false, used, sent, late, told: false, kept, feel })
    }

    /// Whether its driver was opened, once that is known.
    pub(super) fn opened(&self) -> Option<Result<bool, Reason>> {
        self.shared.lock().opened
    }

    /// Whether its thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.shared.lock().ended.is_some()
    }

    /// Notes that its driver has not been opened in time.
    pub(super) fn is_not_open(&mut self, now: Timestamp) {
        self.call_late(now);
    }

    /// Whether a call of it has not returned within its time.
    pub(super) fn is_late(&self) -> bool {
        self.late.is_some() && self.shared.lock().busy
    }

    /// Whether its call has not returned within the time of a call: a reading of power is called late sooner, and so is a driver
    /// that was being opened for one.
    pub(super) fn hung(&self, now: Timestamp, patience: Duration) -> bool {
        let since = match &self.sent {
            Some((Task::Feel(_), asked)) => Some(*asked),
            Some(_) => None,
            None => self.late,
        };
        self.is_late() && since.is_none_or(|since| now.since(since) >= patience)
    }

    /// Whether an order for this knob is under way that was called late.
    pub(super) fn is_writing(&self, knob: Knob) -> bool {
        let of_it = |(task, _): &(Task, _)| matches!(task, Task::Write(order) if order.knob() == knob);
        self.late.is_some() && self.sent.as_ref().is_some_and(of_it)
    }

    /// Whether nothing is under way, and nothing that came of a late order is to be told.
    pub(super) fn is_idle(&self) -> bool {
        self.late.is_none() && !matches!(self.kept, Some((Task::Write(_), ..)))
    }

    /// Takes note of a late call that has returned.
    fn settle(&mut self) {
        if self.late.is_none() {
            return;
        }
        let mut state = self.shared.lock();
        if state.busy {
            return;
        }
        self.late = None;
        let answer = state.done.take().or(state.ended.map(Err));
        self.kept = self.sent.take().zip(answer).map(|((task, asked), answer)| (task, asked, answer));
    }

    /// What has returned since it was called late, to be told once.
    pub(super) fn returned(&mut self) -> Option<Returned> {
        let late = self.late.is_some();
        self.settle();
        if !late || self.late.is_some() {
            return None;
        }
        let written = match self.kept.take() {
            Some((Task::Write(order), _, answer)) => Some((order, answer.and_then(written))),
            other => {
                self.kept = other;
                None
            }
        };
        if self.told {
            tracing::info!(device = &*self.key, "the driver call that was late has returned");
        }
        Some(Returned { key: Arc::clone(&self.key), written })
    }

    /// Hands an errand over. What is late is not waited for, and nothing is put behind it.
    pub(super) fn place(&mut self, volley: u64, task: Task, now: Timestamp) -> Placed {
        if self.late.is_some() {
            // What came back is taken by [`Hand::returned`] first.
            return Placed::Late;
        }
        if let Some((kept, asked, answer)) = self.kept.take()
            && answers(&kept, &task)
            && now.since(asked) < if matches!(task, Task::Feel(_)) { POWER_FRESH } else { LOOK_FRESH }
        {
            return Placed::Ready(self.learn(&task, answer, now));
        }
        if matches!(task, Task::Feel(_)) && now < self.feel.0 {
            return Placed::Ready(Err(Reason::Lost));
        }
        self.used = now;
        let mut state = self.shared.lock();
        if let Some(reason) = state.ended {
            return Placed::Ready(Err(reason));
        }
        self.sent = Some((task.clone(), now));
        (state.task, state.volley, state.done) = (Some(task), volley, None);
        drop(state);
        self.shared.asked.notify_one();
        Placed::Waiting
    }

    /// Fetches the answer to what was placed. What has not come by now is late; what was not begun is taken back.
    pub(super) fn fetch(&mut self, now: Timestamp) -> Answer {
        let mut state = self.shared.lock();
        let (done, unbegun, ended) = (state.done.take(), state.task.take().is_some(), state.ended);
        let busy = state.busy;
        drop(state);
        if let Some(answer) = done.or(ended.map(Err)) {
            return match self.sent.take() {
                Some((task, _)) => self.learn(&task, answer, now),
                None => answer,
            };
        }
        if unbegun {
            self.sent = None;
        }
        if busy {
            self.call_late(now);
        }
        Err(Reason::Late)
    }

    fn call_late(&mut self, now: Timestamp) {
        self.late = Some(now);
        self.told = false;
        if self.sent.as_ref().is_some_and(|(task, _)| !matches!(task, Task::Feel(_))) {
            self.tell();
        }
    }

    /// Says once that a call hangs. A reading of power that only missed its tick is not worth a word.
    pub(super) fn tell(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            let call = self.calls.present().unwrap_or("");
            tracing::warn!(
                device = &*self.key,
                call,
                "a driver call is late; the other devices do not wait for it"
            );
        }
    }

    /// Learns from an answer whose device it is, and when its power is worth reading.
    fn learn(&mut self, task: &Task, answer: Answer, now: Timestamp) -> Answer {
        self.known |= answer.is_ok();
        if matches!(task, Task::Feel(_)) {
            let wait = match answer {
                Err(Reason::Lost) => (self.feel.1 * 2).clamp(RETRY_FIRST, RETRY_LAST),
                _ => Duration::ZERO,
            };
            self.feel = (now.after(wait), wait);
        }
        answer
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.asked.notify_one();
    }
}

/// Whether what came of one errand answers another.
fn answers(kept: &Task, wanted: &Task) -> bool {
    match (kept, wanted) {
        (Task::Feel(_), Task::Feel(_)) => true,
        (Task::Span(kept), Task::Span(wanted)) => kept == wanted,
        (Task::Look { knob, requested }, Task::Look { knob: other, requested: both }) => {
            knob == other && (*requested || !both)
        }
        _ => false,
    }
}

/// Says of a thread that ends, by a fault of the driver's library too, that it has, to whoever waits for its answer.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended.get_or_insert(Reason::Lost);
        state.busy = false;
        let volley = state.volley;
        drop(state);
        self.0.bell.ring(volley);
    }
}

fn run(key: &str, open: &Open, calls: &Calls, shared: &Shared) {
    let _end = End(shared);
    let opened = open(key, calls);
    let mut state = shared.lock();
    state.opened = Some(opened.as_ref().map(Option::is_some).map_err(|error| error.reason));
    let mut grip = match opened {
        Ok(Some(grip)) => grip,
        Ok(None) => return state.ended = Some(Reason::Unsupported),
        Err(error) => {
            state.ended = Some(error.reason);
            drop(state);
            return tracing::warn!(device = key, reason = error.reason(), "nothing can be turned: {error}");
        }
    };
    let volley = state.volley;
    // An errand that came meanwhile is answered by itself.
    let waits = state.task.is_some();
    state.busy = false;
    drop(state);
    if !waits {
        shared.bell.ring(volley);
    }
    let mut batch = Batch::default();
    while let Some(task) = next(shared) {
        let answer = grip.carry_out(key, &task, &mut batch);
        let mut state = shared.lock();
        (state.done, state.busy) = (Some(answer), false);
        let volley = state.volley;
        drop(state);
        shared.bell.ring(volley);
    }
}

/// Waits for the next errand.
fn next(shared: &Shared) -> Option<Task> {
    let waited = shared.asked.wait_while(shared.lock(), |state| state.task.is_none() && !state.stop);
    let mut state = waited.unwrap_or_else(PoisonError::into_inner);
    if state.stop {
        return None;
    }
    state.busy = true;
    state.task.take()
}
