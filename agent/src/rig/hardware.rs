//! The hardware rig: the machine's own kernel files and vendor libraries.
use super::{Assembly, OpenHands, Pace, RigError, node};
use crate::clock::MachineClock;
use crate::config::Config;
use crate::feed::Feed;
use crate::hands::{Grip, Hands, Open};
use crate::line::Place;
use crate::source::Opened;
use crate::worker::Worker;
use collectors::{BUILT_IN, Entry, OpenActuator, OpenReflex, Options};
use model::{Calls, Clock};
use std::sync::Arc;

/// How sources and actuators are opened.
fn options(config: &Config) -> Options {
    Options {
        roots: config.collectors.roots(),
        libraries: config.collectors.libraries.clone(),
        cgroups_max: config.collectors.cgroups_max,
        cgroup_counters: config.collectors.cgroup_counters,
        calls: Calls::default(),
        engines: config.collectors.engines.clone(),
        engine_interval: config.collectors.engine_interval,
        probe: config.probe,
    }
}

/// The machine's hands, not opened yet.
pub(super) fn hands(config: &Config) -> OpenHands {
    let (options, disabled) = (options(config), config.collectors.disabled.clone());
    Box::new(move || open_hands(&options, &disabled))
}

pub(super) fn assemble(config: &Config) -> Result<Assembly, RigError> {
    let options = options(config);
    let clock: Arc<dyn Clock> = Arc::new(MachineClock);
    let enabled = |entry: &&Entry| !config.collectors.disabled.iter().any(|name| name == entry.name);
    let places: Result<Vec<Place>, RigError> = BUILT_IN
        .iter()
        .filter(enabled)
        .map(|entry| {
            let source = Opened::built_in(entry.name, entry.open, &options, Arc::clone(&clock));
            place(entry, source)
        })
        .collect();
    let host = std::fs::read_to_string(options.roots.proc.join("sys/kernel/hostname")).unwrap_or_default();
    Ok(Assembly {
        feed: Feed::new(places?, config.beat.deadline(), Arc::clone(&clock)),
        hands: hands(config),
        clock,
        pace: Pace::Machine,
        node: node(config, host.trim().to_owned(), String::new()),
        energy: true,
        sim: None,
    })
}

fn place(entry: &Entry, source: Opened) -> Result<Place, RigError> {
    match entry.place {
        collectors::Place::Inline => Ok(Place::Inline(Box::new(source))),
        collectors::Place::Worker => Worker::spawn(source)
            .map(Place::Worker)
            .map_err(|source| RigError::Thread { name: entry.name, source }),
    }
}

/// What answers at once is opened here; the devices of a vendor each on a thread of their own, once they are asked about.
fn open_hands(options: &Options, disabled: &[String]) -> Hands {
    let mut hands = Hands::default();
    for entry in BUILT_IN.iter().filter(|entry| !disabled.iter().any(|d| d == entry.name)) {
        let Some(actuator) = entry.actuator else { continue };
        if entry.place == collectors::Place::Worker {
            hands.apart.add(entry.name, grip(options, actuator, entry.reflex));
            continue;
        }
        match actuator(options) {
            Ok(Some(actuator)) => hands.actuators.push(actuator),
            Err(error) => tracing::warn!(actuator = entry.name, reason = error.reason(), "{error}"),
            Ok(None) => {}
        }
    }
    hands
}

/// How the grip of a vendor's device is opened.
fn grip(options: &Options, actuator: OpenActuator, reflex: Option<OpenReflex>) -> Open {
    let options = options.clone();
    Arc::new(move |key: &str, calls: &Calls| {
        let options = Options { calls: calls.clone(), ..options.clone() };
        let Some(actuator) = actuator(&options)? else { return Ok(None) };
        let fast = reflex.map_or(Ok(None), |open| open(&options, key)).unwrap_or_else(|error| {
            tracing::warn!(device = key, reason = error.reason(), "its power is not felt: {error}");
            None
        });
        Ok(Some(Grip { actuator, fast }))
    })
}
