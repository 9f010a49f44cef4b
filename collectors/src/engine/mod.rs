//! Inference engines' own metrics: tokens and requests as vLLM, SGLang, TGI or llama.cpp count them, read over HTTP.
//!
//! Each engine is read by a source of its own, so that one that hangs holds up no other. Between two readings the last one
//! stands, so a token count is at most an interval old. What an engine does not say is absent. Any application with a histogram
//! of how long its requests take is read the same way, where the operator names that.
mod dialect;
mod http;
mod page;
mod target;

pub use target::{Target, TargetError};

use crate::{Entry, Need, Options};
use http::Fetch;
use model::error::{OpenError, Reason};
use model::{Arrival, Batch, Calls, CollectError, Collector, DeviceInfo, DeviceKind, Slot, Timestamp};
use page::Page;
use std::time::Duration;

/// How long an engine may take for its whole answer, connecting included. Below the half second that a beat of one second
/// waits by default.
const DEADLINE: Duration = Duration::from_millis(400);
/// The most engines read at once.
pub const ENGINES_MAX: usize = 32;

/// The source's entry.
pub const ENTRY: Entry =
    Entry::worker("engine", open, &[Need::none("tokens and requests of inference engines, over HTTP")]);

/// Opens the source; where no engine is configured there is none.
///
/// # Errors
/// None at present.
pub fn open(options: &Options) -> Result<Option<Box<dyn Collector>>, OpenError> {
    if options.engines.is_empty() {
        return Ok(None);
    }
    let engines = options.engines.iter().take(ENGINES_MAX).enumerate();
    let arrivals = engines.map(|(place, target)| arrival(place, target, options.engine_interval)).collect();
    Ok(Some(Box::new(Engines { arrivals })))
}

fn arrival(place: usize, target: &Target, interval: Duration) -> Arrival {
    let name = format!("engine{place}");
    let collector = Box::new(Engine::new(name.clone(), target, interval));
    Arrival { key: target.key(), name: format!("engine/{name}"), collector, calls: Calls::default() }
}

/// The configured engines, handed over once to be read apart.
struct Engines {
    arrivals: Vec<Arrival>,
}

impl Collector for Engines {
    fn name(&self) -> &'static str {
        "engine"
    }

    fn collect(&mut self, _: Timestamp, _: &mut Batch) -> Result<(), CollectError> {
        Ok(())
    }

    fn arrivals(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals)
    }
}

/// How the last reading of an engine ended.
enum Last {
    Read,
    Failed { reason: Reason, message: String },
}

/// One engine.
pub(crate) struct Engine {
    info: DeviceInfo,
    slot: Option<Slot>,
    fetch: Fetch,
    interval: Duration,
    page: Page,
    read: Option<(Timestamp, Last)>,
}

impl Engine {
    pub(crate) fn new(name: String, target: &Target, interval: Duration) -> Self {
        let mut info = DeviceInfo { name, ..DeviceInfo::new(DeviceKind::Engine, target.key()) };
        if !target.devices.is_empty() {
            info.attributes.insert("devices".into(), target.devices.join(","));
        }
        if let Some(group) = &target.group {
            info.attributes.insert("group".into(), group.clone());
        }
        let (fetch, page) = (Fetch::new(target, DEADLINE), Page::with(target.histogram.as_deref()));
        Self { info, slot: None, fetch, interval, page, read: None }
    }

    fn refresh(&mut self) -> Last {
        let read = self.fetch.get().and_then(|body| self.page.read(body));
        match read {
            Ok(()) => Last::Read,
            Err(error) => Last::Failed { reason: error.reason(), message: error.to_string() },
        }
    }

    /// The engine's slot; registered anew when it says that it is another engine or serves another model.
    fn place(&mut self, batch: &mut Batch) -> Slot {
        let name = self.page.dialect().map_or("", |dialect| dialect.name);
        let known = self.info.attributes.get("engine").map_or("", String::as_str);
        let same = (name.is_empty() || known == name) && self.info.model == self.page.model();
        match self.slot.filter(|_| same) {
            Some(slot) => slot,
            None => {
                self.info.model = self.page.model().to_owned();
                if !name.is_empty() {
                    self.info.attributes.insert("engine".into(), name.into());
                }
                *self.slot.insert(batch.device(self.info.clone()))
            }
        }
    }
}

impl Collector for Engine {
    fn name(&self) -> &'static str {
        "engine"
    }

    fn collect(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), CollectError> {
        if self.read.as_ref().is_none_or(|(last, _)| now.since(*last) >= self.interval) {
            let last = self.refresh();
            self.read = Some((now, last));
        }
        let slot = self.place(batch);
        if let Some((_, Last::Failed { reason, message })) = &self.read {
            let operation = format!("read the engine's metrics at {}", self.info.key);
            return Err(CollectError::new(operation, *reason).because(message.clone()));
        }
        for (metric, value) in self.page.values() {
            batch.set(slot, metric, value);
        }
        Ok(())
    }

    /// A slow answer is no sign that the engine is another one, and what it says of itself is read anew each time.
    fn reopen(&mut self, _: Timestamp, _: &mut Batch) -> Result<(), CollectError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
