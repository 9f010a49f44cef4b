//! Workers: what calls a vendor library runs on its own thread behind a one-place mailbox, so that no call can hang the beat.
use crate::source::{Account, Failure, Opened};
use model::{Arrival, Batch, Calls, Reason, Timestamp};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A source on its own thread.
pub struct Worker {
    name: Arc<str>,
    calls: Calls,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    /// The moment for which a collection is wanted; taken by the thread when it starts.
    wanted: Option<Timestamp>,
    /// The moment for which a collection is under way.
    under_way: Option<Timestamp>,
    /// Whether the batch is the answer to the last question.
    fresh: bool,
    /// Whether nobody has taken the batch.
    unread: bool,
    /// Whether a beat began while a collection was under way: it is past its deadline.
    overdue: bool,
    batch: Batch,
    account: Account,
    arrivals: Vec<Arrival>,
    stop: bool,
}

/// What a worker has for a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A collection for this beat, well or badly ended.
    Fresh,
    /// Nothing: the collection that began at this moment is still under way.
    Late(Timestamp),
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Starts a thread for the source. The thread is not joined at the end: a hung driver must not hold up a stop.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn(source: Opened) -> std::io::Result<Self> {
        let (name, calls) = (Arc::clone(source.name()), source.calls().clone());
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        std::thread::Builder::new().name(format!("wk-{name}")).spawn(move || run(source, &inner))?;
        Ok(Self { name, calls, shared })
    }

    /// The collector's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The account of its calls into drivers.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Whether a collection is under way.
    pub fn is_busy(&self) -> bool {
        self.shared.lock().under_way.is_some()
    }

    /// Asks for a collection, unless one is under way.
    pub fn ask(&self, now: Timestamp) {
        let mut state = self.shared.lock();
        if state.under_way.is_none() && state.wanted.is_none() {
            state.wanted = Some(now);
            state.fresh = false;
            self.shared.asked.notify_one();
        } else if state.under_way.is_some() {
            state.overdue = true;
        }
    }

    /// Asks for a collection unless one was asked for already, as of a worker that has just been started.
    pub fn ask_first(&self, now: Timestamp) {
        let idle = {
            let state = self.shared.lock();
            !state.fresh && state.wanted.is_none() && state.under_way.is_none()
        };
        if idle {
            self.ask(now);
        }
    }

    /// Waits for the collection asked for at `now`, at most `patience`. One that was already late is not waited for.
    pub fn wait(&self, now: Timestamp, patience: Duration) -> Answer {
        let state = self.shared.lock();
        let late_since = state.under_way.filter(|&since| since < now);
        if late_since.is_some() && !state.fresh {
            return Answer::Late(late_since.unwrap_or(now));
        }
        let waiting =
            |state: &mut State| !state.fresh && (state.wanted.is_some() || state.under_way.is_some());
        let waited = self.shared.answered.wait_timeout_while(state, patience, waiting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.fresh {
            Answer::Fresh
        } else {
            Answer::Late(state.under_way.or(state.wanted).unwrap_or(now))
        }
    }

    /// Takes the batch and the account of the last collection, and gives the devices that have arrived. The mailbox is never
    /// held during a vendor call.
    pub fn take(&self, batch: &mut Batch, account: &mut Account) -> Vec<Arrival> {
        let mut state = self.shared.lock();
        batch.copy_from(&state.batch);
        account.clone_from(&state.account);
        state.fresh = false;
        state.unread = false;
        std::mem::take(&mut state.arrivals)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.asked.notify_one();
    }
}

fn run(mut source: Opened, shared: &Shared) {
    let mut batch = Batch::default();
    loop {
        let Some((now, overdue)) = next(shared) else { return };
        if overdue {
            source.overdue();
        }
        let mut arrivals = source.collect(now, &mut batch);
        let mut state = shared.lock();
        // What happened since the beat last looked must not be lost when a batch is replaced unread.
        if state.unread {
            batch.carry_notices(&state.batch);
        }
        state.batch.copy_from(&batch);
        state.unread = true;
        state.account.clone_from(source.account());
        state.arrivals.append(&mut arrivals);
        state.under_way = None;
        state.fresh = true;
        shared.answered.notify_one();
    }
}

/// Waits for the next question: its moment, and whether the last answer came past its deadline.
fn next(shared: &Shared) -> Option<(Timestamp, bool)> {
    let waiting = |state: &mut State| state.wanted.is_none() && !state.stop;
    let waited = shared.asked.wait_while(shared.lock(), waiting);
    let mut state = waited.unwrap_or_else(PoisonError::into_inner);
    if state.stop {
        return None;
    }
    let now = state.wanted.take()?;
    state.under_way = Some(now);
    Some((now, std::mem::take(&mut state.overdue)))
}

/// The failure of a source that has not answered in time.
///
/// `call`: the driver call that it is in, where it says so.
pub fn late(call: Option<&str>, since: Timestamp, now: Timestamp) -> Failure {
    let what = call.map_or("the collection".to_owned(), |call| format!("driver call {call}"));
    let message = format!("{what} has not returned for {:.1} s", now.seconds_since(since));
    Failure { reason: Reason::Late, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MachineClock;
    use model::{CollectError, Collector, DeviceInfo, DeviceKind};
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Hangs until it is told to go on.
    struct Gated(Receiver<()>);
    impl Collector for Gated {
        fn name(&self) -> &'static str {
            "gated"
        }
        fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
            batch.device(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"));
            self.0.recv().map_err(|_| CollectError::new("go on", Reason::Lost))
        }
    }

    fn gated() -> (Worker, Sender<()>) {
        let (go, gate) = channel();
        let source = Opened::given(Box::new(Gated(gate)), Arc::new(MachineClock));
        (Worker::spawn(source).unwrap(), go)
    }

    fn second(n: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(n))
    }

    #[test]
    fn a_hung_call_is_late_at_once_on_the_next_beat_and_fresh_when_it_returns() {
        let (worker, go) = gated();
        worker.ask(second(1));
        assert_eq!(worker.wait(second(1), Duration::from_millis(5)), Answer::Late(second(1)));
        worker.ask(second(2));
        // An hour of patience would hang this test if a late call were waited for.
        assert_eq!(worker.wait(second(2), Duration::from_secs(3600)), Answer::Late(second(1)));
        go.send(()).unwrap();
        let (mut batch, mut account) = (Batch::default(), Account::default());
        while worker.wait(second(1), Duration::from_secs(5)) != Answer::Fresh {}
        worker.take(&mut batch, &mut account);
        assert!(account.up);
        assert_eq!(batch.devices().count(), 1);
    }

    #[test]
    fn notices_of_an_answer_that_came_too_late_are_not_lost() {
        struct Noticing(Receiver<u32>);
        impl Collector for Noticing {
            fn name(&self) -> &'static str {
                "noticing"
            }
            fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
                let slot = batch.device(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"));
                let code = self.0.recv().map_err(|_| CollectError::new("go on", Reason::Lost))?;
                batch.notice(slot, model::NoticeKind::Xid, code, now);
                Ok(())
            }
        }
        let (go, gate) = channel();
        let worker = Worker::spawn(Opened::given(Box::new(Noticing(gate)), Arc::new(MachineClock))).unwrap();
        worker.ask(second(1));
        assert_eq!(worker.wait(second(1), Duration::ZERO), Answer::Late(second(1)));
        go.send(79).unwrap();
        while worker.wait(second(1), Duration::from_secs(5)) != Answer::Fresh {}
        go.send(31).unwrap();
        worker.ask(second(2));
        assert_eq!(worker.wait(second(2), Duration::from_secs(5)), Answer::Fresh);
        let (mut batch, mut account) = (Batch::default(), Account::default());
        worker.take(&mut batch, &mut account);
        assert_eq!(batch.notices().iter().map(|n| n.code).collect::<Vec<_>>(), [79, 31]);
    }

    #[test]
    fn a_dropped_worker_does_not_wait_for_a_hung_call() {
        let (worker, go) = gated();
        worker.ask(second(1));
        drop(worker);
        drop(go);
    }
}
