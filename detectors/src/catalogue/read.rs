//! Reading the catalogue's TOML, ours or an operator's: every problem of a text in one list, and nothing panics.
use super::{Catalogue, Class, Limit, Row, XidRow};
use model::{FaultKind, Metric, Remedy, Severity};
use toml::{Table, Value};

/// Bytes that a text may have.
pub const TEXT_MAX: usize = 1 << 20;
/// Problems listed at most; a file with more is no catalogue.
const PROBLEMS_MAX: usize = 100;
/// Characters of a value that a problem repeats.
const SHOWN_MAX: usize = 60;

/// One thing that is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The row and key, such as `fault pcie_replays: limits.gen5`; empty when the text as a whole is at fault.
    pub place: String,
    /// The value as written, cut short; empty where there is none.
    pub value: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub remedy: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, value, what, remedy } = self;
        match (place.is_empty(), value.is_empty()) {
            (true, _) => write!(f, "{what}; {remedy}"),
            (false, true) => write!(f, "{place} {what}; {remedy}"),
            (false, false) => write!(f, "{place} = {value} {what}; {remedy}"),
        }
    }
}

/// Reads a text into a catalogue. `whole`: the text is part of the program, so rows may be new.
pub(super) fn read(catalogue: &mut Catalogue, text: &str, whole: bool) -> Vec<Problem> {
    let mut reader = Reader { place: String::new(), problems: Vec::new() };
    if text.len() > TEXT_MAX {
        reader.refuse("", None, "is too long", &format!("keep it below {TEXT_MAX} bytes"));
        return reader.problems;
    }
    match toml::from_str::<Table>(text) {
        Ok(table) => tables(catalogue, &table, whole, &mut reader),
        Err(error) => {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            let what = format!("line {line} is not TOML: {}", error.message());
            reader.refuse("", None, &what, "mend that line");
        }
    }
    reader.problems
}

fn tables(catalogue: &mut Catalogue, table: &Table, whole: bool, reader: &mut Reader) {
    let mut seen = Vec::new();
    for (name, value) in table {
        reader.place.clear();
        let rows = match (name.as_str(), value.as_array()) {
            ("fault" | "xid", Some(rows)) => rows,
            ("fault" | "xid", None) => {
                reader.refuse(name, Some(value), "is not a list of rows", &format!("write [[{name}]]"));
                continue;
            }
            _ => {
                reader.refuse(name, Some(value), "is not known", "write rows [[fault]] and [[xid]]");
                continue;
            }
        };
        for (place, row) in rows.iter().enumerate() {
            reader.place = format!("{name} number {}", place + 1);
            let Some(row) = row.as_table() else {
                reader.refuse("", Some(row), "is not a row", &format!("write [[{name}]] and keys below it"));
                continue;
            };
            if name == "fault" {
                fault(catalogue, row, whole, &mut seen, reader);
            } else {
                xid(catalogue, row, whole, &mut seen, reader);
            }
        }
    }
}

/// A row's name, for duplicates: the fault, or the XID's code.
type Name = (Option<FaultKind>, u32);

fn fault(catalogue: &mut Catalogue, table: &Table, whole: bool, seen: &mut Vec<Name>, reader: &mut Reader) {
    let named = |name: &str| FaultKind::ALL.iter().copied().find(|fault| fault.as_str() == name);
    let Some(written) = reader.needed(table, "fault") else { return };
    let fault = written.as_str().and_then(named);
    let fault = fault.filter(|fault| whole || catalogue.rows[*fault as usize].listed);
    let Some(fault) = fault else {
        let known: Vec<_> = catalogue.rows().map(|row| row.fault.as_str()).collect();
        reader.refuse(
            "fault",
            Some(written),
            "is not a fault of the rules",
            &format!("known: {}", known.join(", ")),
        );
        return;
    };
    reader.place = format!("fault {}", fault.as_str());
    if !reader.first((Some(fault), 0), seen) {
        return;
    }
    let Catalogue { rows, limits, .. } = catalogue;
    let row = &mut rows[fault as usize];
    row.listed = true;
    for (key, value) in table.iter().filter(|(key, _)| *key != "fault") {
        match (key.as_str(), value.as_table()) {
            ("limits", Some(table)) => limit(limits, fault, table, reader),
            ("limits", None) => {
                reader.refuse(key, Some(value), "is not a table", "write limits.NAME = NUMBER")
            }
            _ => row.set(key, value, reader),
        }
    }
    if row.pace.raise_beats > row.pace.within_beats {
        let raise = Value::Integer(row.pace.raise_beats.into());
        reader.refuse("raise_beats", Some(&raise), "is more than within_beats", "write at most as many");
    }
    row.worst = row.worst.max(row.severity);
}

fn limit(limits: &mut [f64], fault: FaultKind, table: &Table, reader: &mut Reader) {
    for (key, value) in table {
        let Some(limit) = Limit::named(fault, key) else {
            let known: Vec<_> = Limit::of(fault).map(|limit| limit.row().key).collect();
            let remedy =
                format!("known: {}", if known.is_empty() { "none".into() } else { known.join(", ") });
            reader.refuse(&format!("limits.{key}"), Some(value), "is not a limit of this fault", &remedy);
            continue;
        };
        let row = limit.row();
        if let Some(number) = reader.number(&format!("limits.{key}"), value, row.low, row.high) {
            limits[limit as usize] = number;
        }
    }
}

fn xid(catalogue: &mut Catalogue, table: &Table, whole: bool, seen: &mut Vec<Name>, reader: &mut Reader) {
    let Some(written) = reader.needed(table, "code") else { return };
    let code = written.as_integer().and_then(|code| u32::try_from(code).ok());
    let place = code.and_then(|code| catalogue.xids.iter().position(|row| row.code == code));
    let (code, place) = match (code, place, whole) {
        (Some(code), Some(place), _) => (code, place),
        (Some(code), None, true) => {
            catalogue.xids.push(XidRow::blank(code));
            (code, catalogue.xids.len() - 1)
        }
        _ => {
            let last = catalogue.xids.last().map_or(0, |row| row.code);
            let remedy = format!("write a whole number from 1 to {last}");
            return reader.refuse("code", Some(written), "is not an XID of the catalogue", &remedy);
        }
    };
    reader.place = format!("xid {code}");
    if !reader.first((None, code), seen) {
        return;
    }
    let row = &mut catalogue.xids[place];
    for (key, value) in table.iter().filter(|(key, _)| *key != "code") {
        row.set(key, value, reader);
    }
}

impl Row {
    fn set(&mut self, key: &str, value: &Value, reader: &mut Reader) {
        match key {
            "severity" => reader.severity(key, value, &mut self.severity),
            "worst" => reader.severity(key, value, &mut self.worst),
            "remedy" => reader.remedy(key, value, &mut self.remedy),
            "repeats" => reader.whole(key, value, (0, 1000), &mut self.repeats),
            "driver_wins" => reader.truth(key, value, &mut self.driver_wins),
            "raise_beats" => reader.whole(key, value, (1, 64), &mut self.pace.raise_beats),
            "within_beats" => reader.whole(key, value, (1, 64), &mut self.pace.within_beats),
            "quiet_s" => {
                if let Some(number) = reader.number(key, value, 0.0, 604_800.0) {
                    self.pace.quiet_s = number;
                }
            }
            "signals" => reader.metrics(key, value, &mut self.signals),
            "delay" => reader.text(key, value, &mut self.delay),
            "source" => reader.text(key, value, &mut self.source),
            "confirm" => reader.text(key, value, &mut self.confirm),
            _ => reader.unknown(key, value, "severity, worst, remedy, repeats, driver_wins, raise_beats, within_beats, quiet_s, limits, signals, delay, source, confirm"),
        }
    }
}

impl XidRow {
    fn blank(code: u32) -> Self {
        Self {
            code,
            mnemonic: String::new(),
            class: Class::Unused,
            title: String::new(),
            severity: Severity::Warning,
            remedy: Remedy::Investigate,
            repeats: 0,
            policy: String::new(),
            because: String::new(),
        }
    }

    fn set(&mut self, key: &str, value: &Value, reader: &mut Reader) {
        match key {
            "mnemonic" => reader.text(key, value, &mut self.mnemonic),
            "class" => {
                reader.word(key, value, Class::ALL.map(|class| (class.as_str(), class)), &mut self.class)
            }
            "title" => reader.text(key, value, &mut self.title),
            "severity" => reader.severity(key, value, &mut self.severity),
            "remedy" => reader.remedy(key, value, &mut self.remedy),
            "repeats" => reader.whole(key, value, (0, 1000), &mut self.repeats),
            "policy" => reader.text(key, value, &mut self.policy),
            "because" => reader.text(key, value, &mut self.because),
            _ => reader.unknown(
                key,
                value,
                "mnemonic, class, title, severity, remedy, repeats, policy, because",
            ),
        }
    }
}

/// Takes values, and notes what is wrong with those it does not take.
struct Reader {
    place: String,
    problems: Vec<Problem>,
}

impl Reader {
    fn refuse(&mut self, key: &str, value: Option<&Value>, what: &str, remedy: &str) {
        if self.problems.len() == PROBLEMS_MAX {
            return;
        }
        let place = match (self.place.is_empty(), key.is_empty()) {
            (_, true) => self.place.clone(),
            (true, false) => key.to_owned(),
            (false, false) => format!("{}: {key}", self.place),
        };
        let value =
            value.map(|value| value.to_string().chars().take(SHOWN_MAX).collect()).unwrap_or_default();
        self.problems.push(Problem { place, value, what: what.to_owned(), remedy: remedy.to_owned() });
    }

    fn unknown(&mut self, key: &str, value: &Value, known: &str) {
        self.refuse(key, Some(value), "is not a key of this row", &format!("known: {known}"));
    }

    fn needed<'a>(&mut self, table: &'a Table, key: &str) -> Option<&'a Value> {
        let value = table.get(key);
        if value.is_none() {
            self.refuse(key, None, "is missing", "say which row this is");
        }
        value
    }

    /// Whether a row is the first of its name.
    fn first(&mut self, name: Name, seen: &mut Vec<Name>) -> bool {
        let first = !seen.contains(&name);
        if first {
            seen.push(name);
        } else {
            self.refuse("", None, "is there twice", "keep one row of it");
        }
        first
    }

    fn number(&mut self, key: &str, value: &Value, low: f64, high: f64) -> Option<f64> {
        // A TOML integer up to 2^53 is exact as f64, and every range is far below.
        let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
        let what = match number {
            Some(number) if number >= low && number <= high => return Some(number),
            Some(_) => "is out of range",
            None => "is not a number",
        };
        self.refuse(key, Some(value), what, &format!("write a number from {low} to {high}"));
        None
    }

    fn whole(&mut self, key: &str, value: &Value, (low, high): (u32, u32), target: &mut u32) {
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        match number.filter(|number| (low..=high).contains(number)) {
            Some(number) => *target = number,
            None => {
                let remedy = format!("write a whole number from {low} to {high}");
                self.refuse(key, Some(value), "is not such a number", &remedy);
            }
        }
    }

    fn truth(&mut self, key: &str, value: &Value, target: &mut bool) {
        match value.as_bool() {
            Some(truth) => *target = truth,
            None => self.refuse(
                key,
                Some(value),
                "is neither true nor false",
                "write true or false, without quotes",
            ),
        }
    }

    fn text(&mut self, key: &str, value: &Value, target: &mut String) {
        match value.as_str() {
            Some(text) => text.clone_into(target),
            None => self.refuse(key, Some(value), "is not a text", "write it in quotes"),
        }
    }

    fn word<T: Copy, const N: usize>(
        &mut self,
        key: &str,
        value: &Value,
        known: [(&str, T); N],
        target: &mut T,
    ) {
        let found = value.as_str().and_then(|word| known.iter().find(|(name, _)| *name == word));
        match found {
            Some((_, found)) => *target = *found,
            None => {
                let remedy = format!("write one of {}", known.map(|(name, _)| name).join(", "));
                self.refuse(key, Some(value), "is not known", &remedy);
            }
        }
    }

    fn severity(&mut self, key: &str, value: &Value, target: &mut Severity) {
        let known = [Severity::Info, Severity::Warning, Severity::Critical];
        self.word(key, value, known.map(|severity| (severity.as_str(), severity)), target);
    }

    fn remedy(&mut self, key: &str, value: &Value, target: &mut Remedy) {
        self.word(key, value, Remedy::ALL.map(|remedy| (remedy.as_str(), remedy)), target);
    }

    fn metrics(&mut self, key: &str, value: &Value, target: &mut Vec<Metric>) {
        let wrong = "is not a list of metrics";
        let remedy = "write names as in a recording, such as [\"pcie_replays\"]";
        let Some(list) = value.as_array() else { return self.refuse(key, Some(value), wrong, remedy) };
        let found: Option<Vec<Metric>> = list.iter().map(|name| name.clone().try_into().ok()).collect();
        match found {
            Some(found) => *target = found,
            None => self.refuse(key, Some(value), wrong, remedy),
        }
    }
}
