//! One source on the beat: opened, read, reopened with backoff when it is lost, and accounted for.
use collectors::{OpenCollector, Options};
use model::{Batch, Clock, Collector, Reason, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// First and longest wait before a lost source is opened again.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_LAST: Duration = Duration::from_secs(60);

/// Why a source has nothing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The label.
    pub reason: Reason,
    /// The chain of errors as a sentence.
    pub message: String,
}

impl Failure {
    fn of(reason: Reason, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            message.push_str(": ");
            message.push_str(&inner.to_string());
            cause = inner.source();
        }
        Self { reason, message }
    }
}

/// What is known of a source, for health and for its own metrics.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Whether the last collection went well.
    pub up: bool,
    /// Why not.
    pub failure: Option<Arc<Failure>>,
    /// How long the last collection took, in seconds.
    pub duration_s: f64,
    /// Collections that went well.
    pub collections: u64,
    /// Times it was opened again.
    pub reopens: u64,
    /// Failures in the order of [`Reason::ALL`].
    pub failures: [u64; Reason::ALL.len()],
}

impl Account {
    /// Failures by reason, those that happened.
    pub fn failures(&self) -> BTreeMap<Reason, u64> {
        Reason::ALL.into_iter().zip(self.failures).filter(|(_, count)| *count > 0).collect()
    }
}

/// Where a source's collector comes from.
pub enum Opener {
    /// From the built-in table, any number of times.
    BuiltIn(OpenCollector, Options),
    /// Already open; it cannot be opened again.
    Given,
}

/// A source with its collector, when it is open.
pub struct Opened {
    name: &'static str,
    opener: Opener,
    collector: Option<Box<dyn Collector>>,
    clock: Arc<dyn Clock>,
    retry: Option<Timestamp>,
    backoff: Duration,
    ever_open: bool,
    account: Account,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("name", &self.name).field("open", &self.collector.is_some()).finish()
    }
}

impl Opened {
    /// A source of the built-in table; it is opened on its first collection.
    pub fn built_in(
        name: &'static str,
        open: OpenCollector,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::new(name, Opener::BuiltIn(open, options), None, clock)
    }

    /// A source that is open already.
    pub fn given(collector: Box<dyn Collector>, clock: Arc<dyn Clock>) -> Self {
        Self::new(collector.name(), Opener::Given, Some(collector), clock)
    }

    fn new(
        name: &'static str,
        opener: Opener,
        collector: Option<Box<dyn Collector>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let ever_open = collector.is_some();
        Self {
            name,
            opener,
            collector,
            clock,
            retry: None,
            backoff: BACKOFF_FIRST,
            ever_open,
            account: Account::default(),
        }
    }

    /// The collector's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What is known of it.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Reads the source into the batch, opening it first where that is due.
    pub fn collect(&mut self, now: Timestamp, batch: &mut Batch) {
        batch.begin();
        if self.collector.is_none() && !self.open(now, batch) {
            return;
        }
        let Some(collector) = self.collector.as_mut() else { return };
        let before = self.clock.now();
        let result = collector.collect(now, batch);
        self.account.duration_s = self.clock.now().seconds_since(before);
        match result {
            Ok(()) => {
                self.account.up = true;
                self.account.failure = None;
                self.account.collections += 1;
                self.backoff = BACKOFF_FIRST;
            }
            Err(error) => {
                let failure = Failure::of(error.reason, &error);
                if failure.reason == Reason::Lost {
                    self.lose(now, batch);
                }
                self.fail(failure);
            }
        }
    }

    /// Tries to open; says whether there is a collector now.
    fn open(&mut self, now: Timestamp, batch: &mut Batch) -> bool {
        if self.retry.is_some_and(|due| now < due) {
            return false;
        }
        let Opener::BuiltIn(open, options) = &self.opener else { return false };
        match open(options) {
            Ok(Some(collector)) => {
                self.account.reopens += u64::from(self.ever_open);
                self.ever_open = true;
                self.collector = Some(collector);
                // A new collector registers its devices anew; those it does not find again stay gone.
                retire_all(batch, now);
                true
            }
            Ok(None) => {
                self.retry = Some(now.after(BACKOFF_LAST));
                let message = "this host has no such device".to_owned();
                self.account.up = false;
                self.account.failure = Some(Arc::new(Failure { reason: Reason::Unsupported, message }));
                false
            }
            Err(error) => {
                self.retry = Some(now.after(self.backoff));
                self.backoff = (self.backoff * 2).min(BACKOFF_LAST);
                self.fail(Failure::of(error.reason, &error));
                false
            }
        }
    }

    fn lose(&mut self, now: Timestamp, batch: &mut Batch) {
        if let Opener::BuiltIn(..) = self.opener {
            self.collector = None;
            self.retry = Some(now.after(self.backoff));
            self.backoff = (self.backoff * 2).min(BACKOFF_LAST);
            retire_all(batch, now);
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.account.failures[failure.reason as usize] += 1;
        self.account.up = false;
        self.account.failure = Some(Arc::new(failure));
    }
}

fn retire_all(batch: &mut Batch, now: Timestamp) {
    let slots: Vec<_> = batch.devices().map(|(slot, _)| slot).collect();
    for slot in slots {
        batch.gone(slot, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CollectError, DeviceInfo, DeviceKind, OpenError};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct StillClock(Mutex<Timestamp>);
    impl Clock for StillClock {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    struct Dying;
    impl Collector for Dying {
        fn name(&self) -> &'static str {
            "dying"
        }
        fn collect(&mut self, _: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
            if batch.devices().count() == 0 {
                batch.device(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"));
                return Ok(());
            }
            Err(CollectError::new("read the driver", Reason::Lost))
        }
    }

    #[test]
    fn a_lost_source_retires_its_devices_and_is_reopened_after_the_backoff() {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        fn open(_: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
            OPENED.fetch_add(1, Ordering::Relaxed);
            Ok(Some(Box::new(Dying)))
        }
        let options = Options::default();
        let clock = Arc::new(StillClock(Mutex::new(Timestamp::default())));
        let mut source = Opened::built_in("dying", open, options, clock);
        let mut batch = Batch::default();
        let second = |n: u64| Timestamp::default().after(Duration::from_secs(n));
        source.collect(second(0), &mut batch);
        assert!(source.account().up);
        source.collect(second(1), &mut batch);
        assert_eq!(source.account().failure.as_ref().map(|f| f.reason), Some(Reason::Lost));
        assert_eq!(batch.notices().len(), 1);
        source.collect(second(1), &mut batch);
        assert_eq!(OPENED.load(Ordering::Relaxed), 1, "it must wait for the backoff");
        source.collect(second(3), &mut batch);
        assert_eq!((OPENED.load(Ordering::Relaxed), source.account().reopens), (2, 1));
        assert!(source.account().up);
    }
}
