//! Sources: each is opened and read once as the agent would, on a thread of its own, for a hung driver must not hang us.
use super::{Check, Facts, Verdict, rights};
use crate::clock::MachineClock;
use crate::config::Config;
use collectors::{Entry, Options};
use model::{Absence, Batch, Calls, Clock as _, Collector, Metric, Reason, Timestamp};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Denied readings whose names are told.
const NAMES_MAX: usize = 3;

/// Boards that a vendor's library shows: a part of the library's name, PCI vendor, and the first digits of the PCI class
/// (display controllers and processing accelerators; PCI Code and ID Assignment Specification).
const BOARDS: &[(&str, &str, &str)] =
    &[("libnvidia-ml", "0x10de", "0x03"), ("libhlml", "0x1da3", "0x12"), ("libdcmi", "0x19e5", "0x12")];

/// What came of reading a source once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Reads {
    /// Readings with a value.
    pub values: usize,
    /// Metrics that were refused.
    pub denied: BTreeSet<Metric>,
    /// How many readings were refused.
    pub refused: usize,
    /// What failed altogether, with its reason.
    pub failed: Vec<(Reason, String)>,
}

/// What became of a source.
#[derive(Debug)]
pub(super) enum Probe {
    /// The host has no such device.
    Nothing,
    /// It could not be opened.
    Shut(Reason, String),
    /// It was read.
    Read(Reads),
    /// It did not return; which call it is in, where that is known.
    Hung(Option<&'static str>, Duration),
}

/// One check a source, and one more for each right that reading it once does not show. Sources have the patience in all.
pub(super) fn checks(
    config: &Config,
    facts: &Facts,
    options: &Options,
    entries: (&[Entry], Duration),
) -> Vec<Check> {
    let (entries, patience) = entries;
    let off = |entry: &Entry| switched_off(config, entry);
    // All at once, so that several that hang cost the patience only once.
    let begun: Vec<_> =
        entries.iter().map(|entry| off(entry).is_none().then(|| begin(entry, options))).collect();
    let due = MachineClock.now().after(patience);
    let mut checks = Vec::new();
    for (entry, begun) in entries.iter().zip(begun) {
        let Some(begun) = begun else {
            let key = off(entry).unwrap_or_default();
            checks.push(Check::new(entry.name, Verdict::None, format!("switched off ({key})")));
            continue;
        };
        let left = due.seconds_since(MachineClock.now()).max(0.0);
        let probe = begun.end(Duration::try_from_secs_f64(left).unwrap_or_default());
        let there = matches!(probe, Probe::Read(_));
        checks.push(judge(entry, probe, facts, &options.roots.sys));
        checks.extend(there.then(|| enforcement(config, entry, facts)).flatten());
    }
    checks
}

/// The key by which the operator switched a source off, or has not switched it on.
fn switched_off(config: &Config, entry: &Entry) -> Option<&'static str> {
    let disabled = config.collectors.disabled.iter().any(|name| name == entry.name);
    let opted_out = entry.name == collectors::host::probe::ENTRY.name && !config.probe;
    disabled.then_some("collectors.disabled").or_else(|| opted_out.then_some("probe.enabled"))
}

/// A source that is being opened.
struct Begun {
    answer: std::sync::mpsc::Receiver<Probe>,
    since: Timestamp,
    present: Arc<Mutex<Calls>>,
}

fn begin(entry: &Entry, options: &Options) -> Begun {
    let calls = Calls::default();
    let present = Arc::new(Mutex::new(calls.clone()));
    let (send, answer) = channel();
    let (open, options, accounts) = (entry.open, Options { calls, ..options.clone() }, Arc::clone(&present));
    let work = move || {
        // Nobody waits any more when the patience is over.
        let _ = send.send(look(open, &options, &accounts));
    };
    // Where no thread can be started, the sender is dropped and the source counts as failed.
    drop(std::thread::Builder::new().name(format!("doctor {}", entry.name)).spawn(work));
    Begun { answer, present, since: MachineClock.now() }
}

impl Begun {
    fn end(self, patience: Duration) -> Probe {
        match self.answer.recv_timeout(patience) {
            Ok(probe) => probe,
            Err(RecvTimeoutError::Timeout) => {
                let calls = self.present.lock().unwrap_or_else(PoisonError::into_inner);
                let seconds = MachineClock.now().seconds_since(self.since);
                Probe::Hung(calls.present(), Duration::try_from_secs_f64(seconds).unwrap_or_default())
            }
            Err(RecvTimeoutError::Disconnected) => {
                Probe::Shut(Reason::Io, "the thread that opened it ended at once".into())
            }
        }
    }
}

/// Opens a source, reads it once, and each device that it hands over.
fn look(open: collectors::OpenCollector, options: &Options, present: &Mutex<Calls>) -> Probe {
    let mut source = match open(options) {
        Ok(Some(source)) => source,
        Ok(None) => return Probe::Nothing,
        Err(error) => return Probe::Shut(error.reason, chain(&error)),
    };
    let mut reads = Reads::default();
    read(source.as_mut(), &mut reads);
    for mut device in source.arrivals() {
        *present.lock().unwrap_or_else(PoisonError::into_inner) = device.calls.clone();
        read(device.collector.as_mut(), &mut reads);
    }
    Probe::Read(reads)
}

fn read(collector: &mut dyn Collector, reads: &mut Reads) {
    let mut batch = Batch::default();
    batch.begin();
    if let Err(error) = collector.collect(MachineClock.now(), &mut batch) {
        reads.failed.push((error.reason, chain(&error)));
        return;
    }
    for reading in batch.readings() {
        match reading.reading.absence() {
            None => reads.values += 1,
            Some(Absence::Denied) => {
                reads.refused += 1;
                reads.denied.insert(reading.metric);
            }
            Some(_) => {}
        }
    }
}

/// An error with what lies beneath it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// What is said of a source.
pub(super) fn judge(entry: &Entry, probe: Probe, facts: &Facts, sys: &Path) -> Check {
    match probe {
        Probe::Nothing => nothing(entry, sys),
        Probe::Shut(Reason::Denied, why) => lacking(entry, why, facts),
        Probe::Shut(_, why) => Check::new(entry.name, Verdict::Failed, why),
        Probe::Hung(call, time) => {
            let call =
                call.map_or("the driver's call".to_owned(), |call| format!("the driver's call {call}"));
            let found = format!("{call} has not returned for {} s", time.as_secs());
            Check { hung: true, ..Check::new(entry.name, Verdict::Failed, found) }
        }
        Probe::Read(reads) if reads.refused > 0 => {
            let names: Vec<_> = reads.denied.iter().take(NAMES_MAX).map(Metric::to_string).collect();
            let more = if reads.denied.len() > NAMES_MAX { " and more" } else { "" };
            let found =
                format!("{} readings, {} denied: {}{more}", reads.values, reads.refused, names.join(", "));
            lacking(entry, found, facts)
        }
        Probe::Read(reads) => {
            match reads.failed.into_iter().max_by_key(|(reason, _)| *reason == Reason::Denied) {
                Some((Reason::Denied, why)) => lacking(entry, why, facts),
                Some((_, why)) => Check::new(entry.name, Verdict::Failed, why),
                None => Check::new(entry.name, Verdict::Ok, format!("{} readings", reads.values)),
            }
        }
    }
}

/// Nothing was found; the PCI bus tells whether there is something after all.
fn nothing(entry: &Entry, sys: &Path) -> Check {
    let library = entry.library.unwrap_or("");
    let boards = BOARDS.iter().find(|(name, ..)| library.contains(name));
    let count = boards.map_or(0, |(_, vendor, class)| on_bus(sys, vendor, class));
    if count == 0 {
        return Check::new(entry.name, Verdict::None, "this host has none");
    }
    let found = format!("{count} boards are on the PCI bus, but {library} was not found");
    let grant = vec![
        "install the vendor's driver library, or name it with collectors.libraries".into(),
        "Kubernetes: the vendor's runtime class, which mounts library and device files".into(),
    ];
    Check::denied(entry.name, found, "every reading of these boards", grant)
}

fn on_bus(sys: &Path, vendor: &str, class: &str) -> usize {
    let Ok(folders) = std::fs::read_dir(sys.join("bus/pci/devices")) else { return 0 };
    let is = |folder: &Path, file: &str, start: &str| {
        std::fs::read_to_string(folder.join(file)).is_ok_and(|text| text.trim().starts_with(start))
    };
    let folders = folders.filter_map(|folder| folder.ok().map(|folder| folder.path()));
    folders.filter(|folder| is(folder, "vendor", vendor) && is(folder, "class", class)).count()
}

/// A source that was refused something: the rights it needs and does not hold, else all that it needs.
fn lacking(entry: &Entry, found: String, facts: &Facts) -> Check {
    let reading = || entry.needs.iter().filter(|need| need.right != "none" && !is_for_enforcement(need));
    let mut needs: Vec<_> =
        reading().filter(|need| rights::is_held(need.right, facts) != Some(true)).collect();
    if needs.is_empty() {
        needs = reading().collect();
    }
    let mut check = Check::new(entry.name, Verdict::Denied, found);
    check.lost = needs.iter().map(|need| need.without.to_owned()).collect();
    check.grant = needs.iter().flat_map(|need| rights::grants(need.right)).collect();
    if needs.iter().any(|need| rights::is_held(need.right, facts) == Some(true)) {
        check.grant =
            vec!["the capability is held: a seccomp profile, AppArmor or SELinux refuses it".into()];
    }
    check
}

pub(super) fn is_for_enforcement(need: &collectors::Need) -> bool {
    need.what.contains("power.enforce")
}

/// Writing limits is never tried; it is asked whether the right is held.
fn enforcement(config: &Config, entry: &Entry, facts: &Facts) -> Option<Check> {
    let need = entry.needs.iter().find(|need| is_for_enforcement(need)).filter(|_| config.power.enforce)?;
    let name = format!("{} limits", entry.name);
    match rights::is_held(need.right, facts) {
        Some(false) => {
            let grant = rights::grants(need.right);
            Some(Check::denied(&name, format!("needs {}", need.right), need.without, grant))
        }
        _ => Some(Check::new(&name, Verdict::Ok, format!("{} is held", need.right))),
    }
}
