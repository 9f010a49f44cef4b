//! Knobs: which each device has and with which rights; with permission each is tried.
use super::bench::{Bench, MachinePace};
use super::{Check, Facts, Verdict, rights, trial};
use crate::actuate::journal::{Journal, JournalError};
use crate::config::Config;
use collectors::{Entry, Options};
use model::{DeviceInfo, DeviceKind, Knob as Turn, Reason};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long one trial may take beside the driver's calls: two looks at power, the time to follow, and three attempts to give
/// back.
const TRIAL: Duration = Duration::from_secs(15);

/// What became of a knob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is there; nothing was tried.
    There,
    /// It was turned, read back, and power or clock followed.
    Works,
    /// It was turned and read back; the load was not one that shows it.
    Unconfirmed,
    /// It was taken without an error and nothing followed.
    NoEffect,
    /// It was refused.
    Refused,
    /// It could be tried at another time.
    Untried,
    /// The device has no such knob.
    None,
    /// It was turned and could not be turned back.
    Stuck,
}

/// A knob of a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Knob {
    /// The source.
    pub source: String,
    /// The device's key.
    pub device: String,
    /// The device's short name.
    pub name: String,
    /// Which knob.
    pub knob: Turn,
    /// What became of it.
    pub outcome: Outcome,
    /// The position in force, in the knob's unit: watts, hertz or cores.
    pub position: Option<f64>,
    /// The lowest position.
    pub lowest: Option<f64>,
    /// The highest position.
    pub highest: Option<f64>,
    /// The position that was tried.
    pub tried: Option<f64>,
    /// What was then read back.
    pub read_back: Option<f64>,
    /// Power before the trial, in watts.
    pub power_before_w: Option<f64>,
    /// Power under the trial, in watts.
    pub power_after_w: Option<f64>,
    /// The clock before the trial, in hertz.
    pub clock_before_hz: Option<f64>,
    /// The clock under the trial, in hertz.
    pub clock_after_hz: Option<f64>,
    /// Whether the original was given back and read back; `None` when nothing was written.
    pub restored: Option<bool>,
    /// Why it was refused.
    pub reason: Option<Reason>,
    /// The same and more in words.
    pub why: String,
    /// Whether the right to turn it is held; `None` where that cannot be told.
    pub right: Option<bool>,
    /// What to grant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant: Vec<String>,
    /// Devices of the source that it stands for beside its own.
    pub alike: usize,
}

impl Knob {
    pub(super) fn new(info: &DeviceInfo, knob: Turn) -> Self {
        let name = if info.name.is_empty() { info.key.clone() } else { info.name.clone() };
        Self {
            source: String::new(),
            device: info.key.clone(),
            name,
            knob,
            outcome: Outcome::There,
            position: None,
            lowest: None,
            highest: None,
            tried: None,
            read_back: None,
            power_before_w: None,
            power_after_w: None,
            clock_before_hz: None,
            clock_after_hz: None,
            restored: None,
            reason: None,
            why: String::new(),
            right: None,
            grant: Vec::new(),
            alike: 0,
        }
    }

    pub(super) fn with(self, outcome: Outcome, why: impl Into<String>) -> Self {
        Self { outcome, why: why.into(), ..self }
    }

    /// Whether something is lost for want of a right.
    pub(super) fn denied(&self) -> bool {
        self.outcome == Outcome::Refused && self.reason == Some(Reason::Denied)
    }

    /// What is found, in words.
    fn found(&self) -> String {
        let say = |value: Option<f64>| value.map_or("?".to_owned(), |value| self.knob.say(value));
        let watts = |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.0} W"));
        let mut text = self.knob.as_str().to_owned();
        if self.position.is_some() {
            text.push_str(&format!(" {}", say(self.position)));
        }
        if self.lowest.is_some() {
            text.push_str(&format!(" ({} to {})", say(self.lowest), say(self.highest)));
        }
        let why = &self.why;
        text.push_str(&match self.outcome {
            Outcome::There => String::new(),
            Outcome::Works if self.knob == Turn::ClockMax => {
                let (before, after) = (say(self.clock_before_hz), say(self.clock_after_hz));
                format!(": works: at {} the clock went from {before} to {after}", say(self.tried))
            }
            Outcome::Works => {
                let (before, after) = (watts(self.power_before_w), watts(self.power_after_w));
                format!(": works: at {} power went from {before} to {after}", say(self.tried))
            }
            Outcome::Unconfirmed => {
                format!(": reads back {}; not confirmed by power: {why}", say(self.read_back))
            }
            Outcome::NoEffect => {
                let power = self.power_after_w.map_or(String::new(), |_| {
                    format!(": {} before, {} under it", watts(self.power_before_w), watts(self.power_after_w))
                });
                format!(": asked for {}, reads back {}: {why}{power}", say(self.tried), say(self.read_back))
            }
            Outcome::Refused => format!(": refused: {why}"),
            Outcome::Untried => format!(": not tried: {why}"),
            Outcome::None => format!(": no such knob: {why}"),
            Outcome::Stuck => format!(": NOT GIVEN BACK: {why}"),
        });
        match self.right {
            Some(true) if self.outcome == Outcome::There => text.push_str("; the right to turn it is held"),
            Some(false) if self.outcome == Outcome::There => {
                text.push_str("; the right to turn it is not held")
            }
            _ => {}
        }
        if self.alike > 0 {
            text.push_str(&format!("; {} more like it", self.alike));
        }
        text
    }

    /// As a check among the others.
    pub(super) fn check(&self) -> Check {
        let verdict = match self.outcome {
            Outcome::There | Outcome::Works | Outcome::Unconfirmed => Verdict::Ok,
            Outcome::None | Outcome::Untried => Verdict::None,
            Outcome::Refused if self.denied() => Verdict::Denied,
            Outcome::Refused | Outcome::NoEffect | Outcome::Stuck => Verdict::Failed,
        };
        let grant = if verdict == Verdict::Denied || self.right == Some(false) {
            self.grant.clone()
        } else {
            Vec::new()
        };
        Check { grant, ..Check::new(&self.name, verdict, self.found()) }
    }
}

/// What was asked of the knobs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Whether each is tried.
    pub(super) probe: bool,
    /// How long one call may take.
    pub(super) patience: Duration,
}

/// Why nothing is tried at all.
fn locked(error: &JournalError) -> Check {
    let grant = match error {
        JournalError::Locked { .. } => {
            vec!["stop the agent that enforces, try again, start it again".to_owned()]
        }
        _ => Vec::new(),
    };
    Check { grant, ..Check::new("probe", Verdict::Failed, format!("nothing was tried: {error}")) }
}

/// The knobs of every source that is there, and why nothing was tried, if so.
pub(super) fn knobs(
    config: &Config,
    facts: &Facts,
    options: &Options,
    (entries, asked): (&[Entry], Asked),
) -> (Vec<Knob>, Option<Check>) {
    let journal = if asked.probe { Some(Journal::open(config.guardian_directory())) } else { None };
    let (mut journal, trouble) = match journal {
        Some(Ok(journal)) => (Some(journal), None),
        Some(Err(error)) => (None, Some(locked(&error))),
        None => (None, None),
    };
    let stop = Arc::new(AtomicBool::new(false));
    if journal.is_some() {
        super::interrupt::notice(&stop);
    }
    let mut list = Vec::new();
    let enabled = |entry: &&Entry| !config.collectors.disabled.iter().any(|name| name == entry.name);
    for entry in entries.iter().filter(enabled) {
        let (send, answers) = channel();
        let (entry, options, given, stop) = (*entry, options.clone(), journal.take(), Arc::clone(&stop));
        let probe = given.is_some();
        let work = move || work(&entry, &options, given, (&send, &stop));
        let Ok(worker) = std::thread::Builder::new().name(format!("knobs {}", entry.name)).spawn(work) else {
            continue;
        };
        let patience = asked.patience + if probe { TRIAL } else { Duration::ZERO };
        let hung = loop {
            match answers.recv_timeout(patience) {
                Ok(line) => list.push(righted(line, &entry, facts)),
                Err(RecvTimeoutError::Disconnected) => break false,
                Err(RecvTimeoutError::Timeout) => break true,
            }
        };
        if hung {
            // The thread keeps the journal, and with it the original of what it was about; nothing more is tried.
            let info = DeviceInfo::new(DeviceKind::Node, entry.name);
            let why =
                "the driver's call has not returned; what was turned, if anything, stands in the journal";
            let outcome = if probe { Outcome::Stuck } else { Outcome::Refused };
            let line =
                Knob { reason: Some(Reason::Late), ..Knob::new(&info, Turn::PowerLimit).with(outcome, why) };
            list.push(Knob { source: entry.name.to_owned(), ..line });
            if probe {
                break;
            }
        } else {
            journal = worker.join().ok().flatten();
        }
    }
    (list, trouble)
}

/// Tells of each knob of one source; gives the journal back.
fn work(
    entry: &Entry,
    options: &Options,
    mut journal: Option<Journal>,
    (told, stop): (&Sender<Knob>, &AtomicBool),
) -> Option<Journal> {
    let pace = MachinePace(stop);
    let Ok(Some(mut bench)) = Bench::open(entry, options, super::bench::Pace::now(&pace)) else {
        // Why it does not open is among the sources.
        return journal;
    };
    let mut subjects = bench.subjects();
    let alike = one_group(&mut subjects, &mut bench);
    for subject in subjects {
        for knob in subject.knobs() {
            if stop.load(Ordering::Relaxed) {
                return journal;
            }
            let line = match journal.as_mut() {
                Some(journal) => trial::attempt(&subject, *knob, &mut bench, (journal, &pace)),
                None => trial::look(&subject, *knob, bench.actuator.as_deref_mut().map(|one| one as _)),
            };
            // Nobody listens any more when the patience is over.
            let _ = told.send(Knob { alike, ..line });
        }
    }
    journal
}

/// Of control groups, which may be hundreds, one that can be turned stands for all; gives how many others there are.
fn one_group(subjects: &mut Vec<super::bench::Subject>, bench: &mut Bench) -> usize {
    if subjects.first().is_none_or(|subject| subject.info.kind != DeviceKind::Cgroup) {
        return 0;
    }
    let mut turns = |key: &str| {
        bench.actuator.as_mut().is_some_and(|actuator| actuator.enforced(key, Turn::CpuQuota).is_ok())
    };
    let place = subjects.iter().position(|subject| turns(&subject.info.key)).unwrap_or(0);
    let alike = subjects.len() - 1;
    subjects.swap(0, place);
    subjects.truncate(1);
    alike
}

/// Adds the source, and what is known of the right to turn its knobs.
fn righted(line: Knob, entry: &Entry, facts: &Facts) -> Knob {
    let line = Knob { source: entry.name.to_owned(), ..line };
    let Some(need) = entry.needs.iter().find(|need| super::probe::is_for_enforcement(need)) else {
        return line;
    };
    let root = need.right.starts_with("root") && facts.user == 0;
    let held = rights::is_held(need.right, facts).or_else(|| need.right.starts_with("root").then_some(root));
    Knob { right: held, grant: rights::grants(need.right), ..line }
}
