//! The push loop: one task composes, another sends, and between them is a short queue.
use super::Tally;
use super::client::{Client, Partial, PushError};
use super::compose::Composer;
use crate::config::Otlp;
use crate::publish::Board;
use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// Pushes that wait at most; with one every 15 s that is four minutes.
const QUEUE_MAX: usize = 16;
/// Tries of one push after the first. Ours: with the delays below about a minute, then the next push tells more.
const RETRIES_MAX: usize = 6;
/// The first delay between two tries.
const DELAY_MIN: Duration = Duration::from_secs(1);
/// The longest delay between two tries, one that the collector asks for included.
const DELAY_MAX: Duration = Duration::from_secs(30);

/// What waits to be sent; the front may be on its way.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<(u64, VecDeque<(u64, Bytes)>)>,
    more: Notify,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, (u64, VecDeque<(u64, Bytes)>)> {
        // Each change is a single step, so a panic elsewhere leaves nothing half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a push; says whether the oldest had to go for it.
    fn add(&self, body: Bytes) -> bool {
        let mut guard = self.lock();
        let (next, waiting) = &mut *guard;
        let full = waiting.len() >= QUEUE_MAX;
        if full {
            waiting.pop_front();
        }
        waiting.push_back((*next, body));
        *next += 1;
        self.more.notify_one();
        full
    }

    fn front(&self) -> Option<(u64, Bytes)> {
        self.lock().1.front().cloned()
    }

    /// Takes off the push with this number; false when it was dropped meanwhile.
    fn done(&self, number: u64) -> bool {
        let waiting = &mut self.lock().1;
        let there = waiting.front().is_some_and(|(front, _)| *front == number);
        if there {
            waiting.pop_front();
        }
        there
    }
}

/// Everything that both tasks share.
#[derive(Debug)]
struct Shared {
    client: Client,
    queue: Queue,
    tally: Arc<Tally>,
    delay_min: Duration,
}

/// A push that can be started.
#[derive(Debug)]
pub struct Push {
    shared: Arc<Shared>,
    interval: Duration,
}

/// A push that runs.
#[derive(Debug)]
pub struct Pushing {
    shared: Arc<Shared>,
    board: Arc<Board>,
    composer: Arc<Mutex<Composer>>,
    composing: JoinHandle<()>,
    sending: JoinHandle<()>,
}

impl Push {
    /// A push to the collector that the configuration names; `None` where it names none.
    pub fn new(config: &Otlp) -> Option<Self> {
        Self::with_delay(config, DELAY_MIN)
    }

    /// The same with another first delay between two tries.
    pub fn with_delay(config: &Otlp, delay_min: Duration) -> Option<Self> {
        let client = Client::new(config)?;
        let shared = Shared { client, queue: Queue::default(), tally: Arc::default(), delay_min };
        Some(Self { shared: Arc::new(shared), interval: config.interval })
    }

    /// Where outcomes are counted.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.shared.tally)
    }

    /// Begins to push what is on the board.
    pub fn start(self, board: Arc<Board>, runtime: &tokio::runtime::Handle) -> Pushing {
        let Self { shared, interval } = self;
        let composer = Arc::new(Mutex::new(Composer::default()));
        let composing = runtime.spawn({
            let (shared, board, composer) = (Arc::clone(&shared), Arc::clone(&board), Arc::clone(&composer));
            async move {
                let mut due = tokio::time::interval(interval);
                due.set_missed_tick_behavior(MissedTickBehavior::Skip);
                loop {
                    due.tick().await;
                    shared.compose(&board, &composer);
                }
            }
        });
        let sending = runtime.spawn({
            let shared = Arc::clone(&shared);
            async move { shared.send().await }
        });
        Pushing { shared, board, composer, composing, sending }
    }
}

impl Pushing {
    /// Ends the tasks and sends what waits and the last snapshot, once each, as far as that is possible in this time.
    pub async fn finish(self, patience: Duration) {
        self.composing.abort();
        self.sending.abort();
        self.shared.compose(&self.board, &self.composer);
        let shared = &self.shared;
        let rest = async {
            while let Some((number, body)) = shared.queue.front() {
                let outcome = shared.client.send(body).await;
                shared.account(number, &outcome);
            }
        };
        if tokio::time::timeout(patience, rest).await.is_err() {
            let left = self.shared.queue.lock().1.len();
            tracing::warn!(left, "pushes are given up: the collector takes too long for a stop");
        }
    }
}

impl Shared {
    /// Puts the present snapshot in the queue; an old one says nothing new.
    fn compose(&self, board: &Board, composer: &Mutex<Composer>) {
        let Some(published) = board.latest().filter(|published| !published.stale()) else { return };
        let mut composer = composer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(body) = composer.body(published.snapshot())
            && self.queue.add(body)
        {
            Tally::add(&self.tally.dropped);
        }
    }

    async fn send(&self) {
        loop {
            let Some((number, body)) = self.queue.front() else {
                self.queue.more.notified().await;
                continue;
            };
            let delays = ExponentialBuilder::default()
                .with_min_delay(self.delay_min)
                .with_max_delay(DELAY_MAX)
                .with_max_times(RETRIES_MAX)
                .with_jitter();
            let outcome = (|| self.client.send(body.clone()))
                .retry(delays)
                .when(PushError::retryable)
                .adjust(|error, delay| {
                    Some(delay?.max(error.retry_after().unwrap_or(Duration::ZERO)).min(DELAY_MAX))
                })
                .await;
            self.account(number, &outcome);
        }
    }

    /// Counts what became of a push, and logs where that is not what became of the one before.
    fn account(&self, number: u64, outcome: &Result<Option<Partial>, PushError>) {
        match outcome {
            Ok(Some(Partial { rejected, message })) => {
                tracing::warn!(rejected, message, "the collector took a push only in part");
            }
            Ok(None) => tracing::debug!("pushed"),
            Err(error) => tracing::warn!(reason = error.reason(), "a push failed: {error}"),
        }
        // One that was dropped while it was on its way is counted already.
        if self.queue.done(number) {
            Tally::add(if outcome.is_ok() { &self.tally.ok } else { &self.tally.failed });
        }
    }
}
