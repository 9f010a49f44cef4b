//! One source on the beat: opened, read, reopened with backoff when it is lost, and accounted for.
use collectors::{OpenCollector, Options};
use model::{Arrival, Batch, Calls, Clock, CollectError, Collector, Reason, Timestamp};
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
    /// Times a collector was given up; the devices that it handed over go with it.
    pub losses: u64,
    /// Whether it is over for good: a device's own source whose device is lost.
    pub ended: bool,
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
    /// A device that another source met; when it is lost, that one looks for it again.
    Arrived,
}

/// A source with its collector, when it is open.
pub struct Opened {
    name: Arc<str>,
    opener: Opener,
    collector: Option<Box<dyn Collector>>,
    clock: Arc<dyn Clock>,
    retry: Option<Timestamp>,
    backoff: Duration,
    ever_open: bool,
    account: Account,
    calls: Calls,
    overdue: bool,
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
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Self {
        // Every source has an account of its own.
        let calls = Calls::default();
        let options = Options { calls: calls.clone(), ..options.clone() };
        Self { calls, ..Self::new(name, Opener::BuiltIn(open, options), None, clock) }
    }

    /// A source that is open already.
    pub fn given(collector: Box<dyn Collector>, clock: Arc<dyn Clock>) -> Self {
        Self::new(collector.name(), Opener::Given, Some(collector), clock)
    }

    /// The source of a device that another source met.
    pub fn arrived(arrival: Arrival, clock: Arc<dyn Clock>) -> Self {
        let Arrival { name, collector, calls, .. } = arrival;
        Self { calls, ..Self::new(&name, Opener::Arrived, Some(collector), clock) }
    }

    fn new(name: &str, opener: Opener, collector: Option<Box<dyn Collector>>, clock: Arc<dyn Clock>) -> Self {
        let ever_open = collector.is_some();
        Self {
            name: Arc::from(name),
            calls: Calls::default(),
            overdue: false,
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
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The account of its calls into drivers.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Says that the last collection came back past its deadline: before the next one, devices are opened again and compared.
    pub fn overdue(&mut self) {
        self.overdue = true;
    }

    /// What is known of it.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Reads the source into the batch, opening it first where that is due; gives the devices that are to be read by
    /// sources of their own.
    pub fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Vec<Arrival> {
        batch.begin();
        if std::mem::take(&mut self.overdue) {
            self.reopen(now, batch);
        }
        if self.collector.is_none() && !self.open(now, batch) {
            return Vec::new();
        }
        let Some(collector) = self.collector.as_mut() else { return Vec::new() };
        let before = self.clock.now();
        let result = collector.collect(now, batch);
        self.account.duration_s = self.clock.now().seconds_since(before);
        let arrivals = collector.arrivals();
        self.settle(now, batch, result);
        arrivals
    }

    /// Opens the devices again and compares, or gives the collector up where it cannot.
    fn reopen(&mut self, now: Timestamp, batch: &mut Batch) {
        let Some(collector) = self.collector.as_mut() else { return };
        match collector.reopen(now, batch) {
            Ok(()) => self.account.reopens += 1,
            // The driver is as deaf as before: the comparison is still to be made.
            Err(error) if error.reason == Reason::Late => self.overdue = true,
            Err(_) => {
                self.lose(now, batch);
                // The driver answers again, so there is nothing to wait for.
                self.retry = None;
            }
        }
    }

    fn settle(&mut self, now: Timestamp, batch: &mut Batch, result: Result<(), CollectError>) {
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
        if let Opener::Given = self.opener {
            return;
        }
        self.collector = None;
        self.account.losses += 1;
        self.account.ended = matches!(self.opener, Opener::Arrived);
        self.retry = Some(now.after(self.backoff));
        self.backoff = (self.backoff * 2).min(BACKOFF_LAST);
        retire_all(batch, now);
    }

    fn fail(&mut self, failure: Failure) {
        self.account.failures[failure.reason as usize] += 1;
        self.account.up = false;
        self.account.failure = Some(Arc::new(failure));
    }
}

/// Says that every device of a batch is gone.
pub fn retire_all(batch: &mut Batch, now: Timestamp) {
    let slots: Vec<_> = batch.devices().map(|(slot, _)| slot).collect();
    for slot in slots {
        batch.gone(slot, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, DeviceKind, OpenError};
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
        let mut source = Opened::built_in("dying", open, &options, clock);
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
