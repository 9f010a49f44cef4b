//! `wattkeeper doctor`: what this process can read on this host, what is refused, and what to grant. It changes nothing, unless
//! it is told to try the knobs, each of which is then given back.
mod bench;
mod facts;
mod host;
mod interrupt;
mod knobs;
mod probe;
mod rights;
mod trial;

pub use facts::Facts;
pub use knobs::{Knob, Outcome};
pub use rights::table;

use crate::cli::Doctor;
use crate::config::Config;
use collectors::{BUILT_IN, Entry, Options};
use dashboards::format::wrap;
use model::Calls;
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

/// Columns of a terminal that the report fits in.
const COLUMNS: usize = 80;
/// Where the text of a check begins.
const INDENT: usize = 22;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It works.
    Ok,
    /// This host has none, or the operator switched it off.
    None,
    /// It does not work, and no right would help.
    Failed,
    /// It does not work for want of a right.
    Denied,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::None => "none",
            Self::Failed => "FAILED",
            Self::Denied => "DENIED",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its short name: a source's, or that of a property of the process or the host.
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What is lost as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// What to grant, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant: Vec<String>,
    /// Whether a call of it has not returned.
    #[serde(skip)]
    hung: bool,
}

impl Check {
    fn new(name: &str, verdict: Verdict, found: impl Into<String>) -> Self {
        let (name, found) = (name.to_owned(), found.into());
        Self { name, verdict, found, lost: Vec::new(), grant: Vec::new(), hung: false }
    }

    fn denied(name: &str, found: impl Into<String>, lost: &str, grant: Vec<String>) -> Self {
        Self { lost: vec![lost.to_owned()], grant, ..Self::new(name, Verdict::Denied, found) }
    }
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The host.
    pub host: String,
    /// The process and where it runs.
    pub process: Vec<Check>,
    /// Every source, in the order in which a beat reads them.
    pub sources: Vec<Check>,
    /// Why no knob was tried, if that was asked for.
    pub trouble: Option<Check>,
    /// The knobs of every device.
    pub knobs: Vec<Knob>,
}

/// Looks at the process, the host and every source.
pub fn doctor(config: &Config, flags: &Doctor) -> Report {
    let roots = config.collectors.roots();
    let options = Options {
        roots,
        libraries: config.collectors.libraries.clone(),
        cgroups_max: config.collectors.cgroups_max,
        cgroup_counters: config.collectors.cgroup_counters,
        calls: Calls::default(),
        engines: config.collectors.engines.clone(),
        engine_interval: config.collectors.engine_interval,
        probe: config.probe,
    };
    let facts = Facts::of_this_process(&options.roots);
    let process = host::checks(config, &facts);
    let patience = Duration::from_secs(flags.patience);
    let sources = probe::checks(config, &facts, &options, (BUILT_IN, patience));
    let asked = knobs::Asked { probe: flags.probe, patience };
    // What hangs already is not called again.
    let answers = |entry: &&Entry| !sources.iter().any(|check| check.name == entry.name && check.hung);
    let there: Vec<Entry> = BUILT_IN.iter().filter(answers).copied().collect();
    let (knobs, trouble) = knobs::knobs(config, &facts, &options, (&there, asked));
    let host = std::fs::read_to_string(options.roots.proc.join("sys/kernel/hostname")).unwrap_or_default();
    Report { host: host.trim().to_owned(), process, sources, trouble, knobs }
}

impl Report {
    fn denied(&self) -> usize {
        let all = self.process.iter().chain(&self.sources);
        let turned = self.knobs.iter().filter(|knob| knob.denied()).count();
        all.filter(|check| check.verdict == Verdict::Denied).count() + turned
    }

    /// The exit code: 0 when there is nothing to grant, 1 when something is lost for want of a right, or the knobs were to be
    /// tried and were not, or one of them could not be given back.
    pub fn exit_code(&self) -> u8 {
        let stuck = self.knobs.iter().any(|knob| knob.outcome == Outcome::Stuck);
        u8::from(self.denied() > 0 || self.trouble.is_some() || stuck)
    }

    /// What is printed.
    pub fn print(&self, flags: &Doctor) -> String {
        if flags.json { format!("{:#}\n", self.json()) } else { self.text() }
    }

    /// The report for a program.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "host": self.host, "denied": self.denied(), "process": self.process, "sources": self.sources,
            "trouble": self.trouble, "knobs": self.knobs,
        })
    }

    /// The report for a person.
    pub fn text(&self) -> String {
        let told = match self.denied() {
            0 => "nothing is lost for want of a right".to_owned(),
            1 => "one thing is lost for want of a right".to_owned(),
            many => format!("{many} things are lost for want of a right"),
        };
        let mut text = format!("{}: {told}\n", self.host);
        let mut knobs: Vec<Check> = self.knobs.iter().map(Knob::check).collect();
        knobs.splice(0..0, self.trouble.clone());
        let parts = [("this process", &self.process), ("sources", &self.sources), ("knobs", &knobs)];
        for (title, checks) in parts.into_iter().filter(|(_, checks)| !checks.is_empty()) {
            let _ = writeln!(text, "\n{title}");
            checks.iter().for_each(|check| write(&mut text, check));
        }
        text
    }
}

fn write(text: &mut String, check: &Check) {
    let head = format!("  {:<6}  {:<12}", check.verdict.as_str(), check.name);
    paragraph(text, &head, &check.found);
    check.lost.iter().for_each(|lost| paragraph(text, "", &format!("lost: {lost}")));
    check.grant.iter().for_each(|grant| paragraph(text, "", &format!("grant: {grant}")));
}

/// A paragraph beside its head, broken to the width of a terminal.
fn paragraph(text: &mut String, head: &str, words: &str) {
    for (number, line) in wrap(words, COLUMNS - INDENT).into_iter().enumerate() {
        let head = if number == 0 { head } else { "" };
        let width = INDENT - 1;
        let _ = writeln!(text, "{head:<width$} {line}");
    }
}

#[cfg(test)]
mod tests;
