//! Loading: defaults, then the file, then overrides; every fault of all of them in one report.
use super::Config;
use super::keys::{KEYS, Key};
use super::parse::Problem;
use detectors::Catalogue;
use detectors::catalogue::TEXT_MAX;
use model::snapshot::Rig;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use toml::{Table, Value};

/// Sections that the guardian goes by; the rest is none of its business, and may hold secrets that a command line would show.
const GUARDIAN_SECTIONS: [&str; 4] = ["state.", "collectors.", "power.", "log."];

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Where it stands: the file, or the command line.
    pub origin: String,
    /// The key, empty when the file as a whole is at fault.
    pub key: String,
    /// The value as written.
    pub value: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub remedy: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { origin, key, value, what, remedy } = self;
        match (key.is_empty(), value.is_empty()) {
            (true, _) => write!(f, "{origin}: {what}; {remedy}"),
            (false, true) => write!(f, "{origin}: {key} {what}; {remedy}"),
            (false, false) => write!(f, "{origin}: {key} = {value} {what}; {remedy}"),
        }
    }
}

/// Every fault of a configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the configuration has {} fault{}:\n{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, list(.0))]
pub struct Faults(pub Vec<Fault>);

fn list(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n")
}

/// A `key=value` from the command line, with the flag it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// How it was written, for the report: `--set` or a flag of its own.
    pub origin: String,
    /// The key.
    pub key: String,
    /// The value, as TOML; what is not TOML is taken as a text.
    pub value: String,
}

/// Loads a configuration: defaults, then the file if there is one, then the overrides in order.
///
/// # Errors
/// Every fault found, each with its key, value and remedy.
pub fn load(file: Option<&Path>, overrides: &[Override]) -> Result<Config, Faults> {
    let mut config = Config::blank();
    let mut faults = Vec::new();
    for key in KEYS {
        let value = literal(key.default);
        if let Err(problem) = (key.set)(&mut config, &value) {
            faults.push(fault("the default", key.path, key.default, problem));
        }
    }
    if let Some(path) = file {
        read_file(path, &mut config, &mut faults);
    }
    for Override { origin, key, value: text } in overrides {
        match KEYS.iter().find(|known| known.path == key) {
            Some(known) => {
                let value = literal(text);
                if let Err(problem) = (known.set)(&mut config, &value) {
                    faults.push(fault(origin, key, text, problem));
                }
                config.note(known, &value);
            }
            None => faults.push(unknown(origin, key, text)),
        }
    }
    read_catalogue(&mut config, &mut faults);
    check_together(&config, &mut faults);
    if faults.is_empty() { Ok(config) } else { Err(Faults(faults)) }
}

fn literal(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok().filter(|table| table.len() == 1);
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn read_file(path: &Path, config: &mut Config, faults: &mut Vec<Fault>) {
    let origin = path.display().to_string();
    let whole = |what: String, remedy: &str| Fault {
        origin: origin.clone(),
        key: String::new(),
        value: String::new(),
        what,
        remedy: remedy.to_owned(),
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            return faults
                .push(whole(format!("cannot be read: {error}"), "name a readable file with --config"));
        }
    };
    match toml::from_str::<Table>(&text) {
        Ok(table) => walk(&origin, "", &table, config, faults),
        Err(error) => {
            let line =
                error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            faults.push(whole(format!("line {line} is not TOML: {}", error.message()), "mend that line"));
        }
    }
}

/// Reads the operator's changes to the catalogue of faults. Their problems are faults of the configuration: an agent that
/// went on without them would judge by other rules than it was told.
fn read_catalogue(config: &mut Config, faults: &mut Vec<Fault>) {
    let Some(path) = &config.detectors_faults else { return };
    let origin = path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TEXT_MAX as u64 + 1).read_to_end(&mut bytes));
    let text = read.and_then(|_| {
        String::from_utf8(bytes).map_err(|_| std::io::Error::other("it holds what is not UTF-8"))
    });
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            let problem = Problem::new(format!("cannot be read: {error}"), "name a readable file, or none");
            return faults.push(fault(
                "the configuration",
                "detectors.faults",
                &format!("{origin:?}"),
                problem,
            ));
        }
    };
    match Catalogue::with(&text) {
        Ok(catalogue) => config.catalogue = Some(Arc::new(catalogue)),
        Err(problems) => faults.extend(problems.into_iter().map(|problem| {
            let (place, value) = (problem.place, problem.value);
            Fault { origin: origin.clone(), key: place, value, what: problem.what, remedy: problem.remedy }
        })),
    }
}

fn walk(origin: &str, prefix: &str, table: &Table, config: &mut Config, faults: &mut Vec<Fault>) {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let section = format!("{path}.");
        if let Some(key) = KEYS.iter().find(|key| key.path == path) {
            if let Err(problem) = (key.set)(config, value) {
                faults.push(fault(origin, &path, &value.to_string(), problem));
            }
            config.note(key, value);
        } else if let (Some(inner), true) =
            (value.as_table(), KEYS.iter().any(|key| key.path.starts_with(&section)))
        {
            walk(origin, &path, inner, config, faults);
        } else {
            faults.push(unknown(origin, &path, &value.to_string()));
        }
    }
}

impl Config {
    /// Remembers what a key was set to, where the guardian goes by it.
    fn note(&mut self, key: &Key, value: &Value) {
        if !GUARDIAN_SECTIONS.iter().any(|section| key.path.starts_with(section)) {
            return;
        }
        if *value == literal(key.default) {
            self.handed_down.remove(key.path);
        } else {
            self.handed_down.insert(key.path.to_owned(), value.to_string());
        }
    }
}

fn check_together(config: &Config, faults: &mut Vec<Fault>) {
    let mut refuse = |key: &str, value: String, what: &str, remedy: &str| {
        faults.push(fault("the configuration", key, &value, Problem::new(what, remedy)));
    };
    if config.power.high < config.power.low {
        refuse(
            "power.high",
            config.power.high.to_string(),
            "is below power.low",
            "write a value from power.low up",
        );
    }
    if config.power.enforce && config.power.budget_w.is_none() {
        refuse("power.enforce", "true".into(), "has nothing to enforce", "set power.budget too");
    }
    if let Some(budget) = config.power.budget_w.filter(|budget| *budget <= config.power.rest_w) {
        refuse(
            "power.budget",
            format!("{budget} W"),
            "leaves accelerators nothing: power.rest alone is as much",
            "write the budget of the whole node, above power.rest",
        );
    }
    if let (Some(fallback), Some(budget)) = (config.power.fallback_w, config.power.budget_w)
        && fallback > budget
    {
        let remedy = "write at most power.budget, or leave it empty for the same";
        refuse("power.fallback", fallback.to_string(), "is above power.budget", remedy);
    }
    let apart = config.guardian.directory.as_ref().is_some_and(|own| *own != config.state_directory);
    if let Some(user) = config.guardian.user.as_ref().filter(|_| !apart) {
        let what = "may not share the directory with the guardian: who writes the journal decides what limits are put back to";
        let remedy = "set guardian.directory to one of its own, other than state.directory";
        refuse("guardian.user", user.clone(), what, remedy);
    }
    if config.rig.kind == Rig::Replay && config.rig.replay_path.is_none() {
        refuse("rig.replay.path", String::new(), "is missing", "name the recording to replay");
    }
}

fn fault(origin: &str, key: &str, value: &str, problem: Problem) -> Fault {
    Fault {
        origin: origin.into(),
        key: key.into(),
        value: value.into(),
        what: problem.what,
        remedy: problem.remedy,
    }
}

fn unknown(origin: &str, key: &str, value: &str) -> Fault {
    let nearest = KEYS.iter().map(|known| known.path).min_by_key(|known| distance(known, key));
    let remedy = nearest.filter(|known| distance(known, key) <= key.len().max(6) / 3).map_or_else(
        || "remove it; `wattkeeper config default` lists every key".to_owned(),
        |known| format!("did you mean {known}? `wattkeeper config default` lists every key"),
    );
    fault(origin, key, value, Problem::new("is not a key", remedy))
}

/// The number of single-character edits from one text to the other (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
