//! Values of keys: each function checks one kind of value and says what would be right.
use crate::export::dcgm;
use collectors::engine::{ENGINES_MAX, Target};
use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use model::snapshot::Rig;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// What is wrong with a value, and what would be right.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub(super) what: String,
    pub(super) remedy: String,
}

impl Problem {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

fn text<'a>(value: &'a Value, wanted: &str) -> Result<&'a str, Problem> {
    value.as_str().ok_or_else(|| Problem::new("is not a text", format!("write {wanted} in quotes")))
}

pub(super) fn address(value: &Value) -> Result<SocketAddr, Problem> {
    let remedy = r#"write an IP address and a port, such as "127.0.0.1:9477" or "[::1]:9477""#;
    text(value, "an address")?.parse().map_err(|_| Problem::new("is not an address with a port", remedy))
}

pub(super) fn path(value: &Value) -> Result<PathBuf, Problem> {
    match text(value, "a path")? {
        "" => Err(Problem::new("is empty", "write a path, or leave the key out for the default")),
        path => Ok(PathBuf::from(path)),
    }
}

pub(super) fn optional_path(value: &Value) -> Result<Option<PathBuf>, Problem> {
    let path = text(value, "a path")?;
    Ok((!path.is_empty()).then(|| PathBuf::from(path)))
}

pub(super) fn optional_account(value: &Value) -> Result<Option<String>, Problem> {
    let number = value.as_integer().filter(|number| *number >= 0).map(|number| number.to_string());
    let name = number.as_deref().map_or_else(|| text(value, "a name or a number"), Ok)?;
    let sound = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let problem = || Problem::new("is no name of an account", "write a name or a number, in quotes");
    if sound { Ok((!name.is_empty()).then(|| name.to_owned())) } else { Err(problem()) }
}

pub(super) fn truth(value: &Value) -> Result<bool, Problem> {
    value
        .as_bool()
        .ok_or_else(|| Problem::new("is neither true nor false", "write true or false, without quotes"))
}

pub(super) fn word(value: &Value, known: &[&str]) -> Result<String, Problem> {
    let word = text(value, "a word")?;
    let remedy = || format!("write one of {}", known.join(", "));
    known.contains(&word).then(|| word.to_owned()).ok_or_else(|| Problem::new("is not known", remedy()))
}

pub(super) fn rig(value: &Value) -> Result<Rig, Problem> {
    Ok(match word(value, &["hardware", "sim", "replay"])?.as_str() {
        "sim" => Rig::Sim,
        "replay" => Rig::Replay,
        _ => Rig::Hardware,
    })
}

pub(super) fn dcgm_profile(value: &Value) -> Result<dcgm::Profile, Problem> {
    Ok(dcgm::Profile::named(&word(value, &dcgm::Profile::NAMES)?).unwrap_or_default())
}

pub(super) fn dcgm_host_label(value: &Value) -> Result<dcgm::HostLabel, Problem> {
    Ok(dcgm::HostLabel::named(&word(value, &dcgm::HostLabel::NAMES)?).unwrap_or_default())
}

/// The base of an HTTP address, without a slash at its end.
pub(super) fn optional_endpoint(value: &Value) -> Result<Option<Uri>, Problem> {
    let written = text(value, "an address")?.trim_end_matches('/');
    if written.is_empty() {
        return Ok(None);
    }
    let remedy = r#"write "http://HOST:PORT", or leave the key out to push nowhere"#;
    let parsed = written.parse::<Uri>().ok().filter(|uri| uri.authority().is_some() && uri.query().is_none());
    match parsed.as_ref().and_then(Uri::scheme_str) {
        Some("http") => Ok(parsed),
        Some("https") => Err(Problem::new("asks for TLS, which pushes do not have", remedy)),
        _ => Err(Problem::new("is not an address of HTTP", remedy)),
    }
}

/// Texts `name: value`. Values are kept out of logs.
pub(super) fn headers(value: &Value) -> Result<Vec<(HeaderName, HeaderValue)>, Problem> {
    let parse = |line: &String| {
        let (name, value) = line.split_once(':')?;
        let mut value: HeaderValue = value.trim().parse().ok()?;
        value.set_sensitive(true);
        Some((name.trim().parse().ok()?, value))
    };
    let remedy = r#"write a list of header lines such as ["authorization: Bearer TOKEN"]"#;
    let wrong = || Problem::new("holds what is no header line", remedy);
    texts(value)?.iter().map(|line| parse(line).ok_or_else(wrong)).collect()
}

pub(super) fn count(value: &Value, low: i64, high: i64) -> Result<usize, Problem> {
    let remedy = || format!("write a whole number from {low} to {high}");
    let count = value.as_integer().ok_or_else(|| Problem::new("is not a whole number", remedy()))?;
    if !(low..=high).contains(&count) {
        return Err(Problem::new("is out of range", remedy()));
    }
    usize::try_from(count).map_err(|_| Problem::new("is negative", remedy()))
}

pub(super) fn seed(value: &Value) -> Result<u64, Problem> {
    let remedy = "write a whole number from 0 up";
    let seed = value.as_integer().ok_or_else(|| Problem::new("is not a whole number", remedy))?;
    u64::try_from(seed).map_err(|_| Problem::new("is negative", remedy))
}

pub(super) fn number(value: &Value, low: f64, high: f64) -> Result<f64, Problem> {
    let remedy = || format!("write a number from {low} to {high}");
    // A TOML integer up to 2^53 is exact as f64, and the range is far below.
    let number = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
    let number = number.ok_or_else(|| Problem::new("is not a number", remedy()))?;
    (number >= low && number <= high)
        .then_some(number)
        .ok_or_else(|| Problem::new("is out of range", remedy()))
}

pub(super) fn texts(value: &Value) -> Result<Vec<String>, Problem> {
    let problem =
        || Problem::new("is not a list of texts", r#"write a list such as ["gpu0", "process:vllm"]"#);
    let list = value.as_array().ok_or_else(problem)?;
    list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(problem)).collect()
}

pub(super) fn names(value: &Value, known: fn() -> Vec<&'static str>) -> Result<Vec<String>, Problem> {
    let names = texts(value)?;
    match names.iter().find(|name| !known().contains(&name.as_str())) {
        Some(name) => Err(Problem::new(
            format!("names {name:?}, which is not known"),
            format!("known: {}", known().join(", ")),
        )),
        None => Ok(names),
    }
}

/// Texts `NAME=PATH`, each name one of the known ones.
pub(super) fn libraries(
    value: &Value,
    known: fn() -> Vec<&'static str>,
) -> Result<BTreeMap<String, PathBuf>, Problem> {
    let remedy = || format!("write \"SOURCE=PATH\" for each; sources: {}", known().join(", "));
    let pair = |text: &String| match text.split_once('=') {
        Some((name, path)) if known().contains(&name) && !path.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(path)))
        }
        _ => Err(Problem::new(format!("holds {text:?}, which names no library of a source"), remedy())),
    };
    texts(value)?.iter().map(pair).collect()
}

/// Texts `http://IP:PORT/PATH=DEVICE,DEVICE`, each page once.
pub(super) fn engines(value: &Value) -> Result<Vec<Target>, Problem> {
    let remedy = r#"write a list such as ["http://127.0.0.1:8000/metrics=gpu0,gpu1"]"#;
    let mut engines: Vec<Target> = Vec::new();
    for text in texts(value)? {
        let engine = Target::parse(&text)
            .map_err(|error| Problem::new(format!("holds {text:?}, which {error}"), remedy))?;
        if engines.iter().any(|other| other.key() == engine.key()) {
            return Err(Problem::new(format!("names {} twice", engine.key()), remedy));
        }
        engines.push(engine);
    }
    if engines.len() > ENGINES_MAX {
        return Err(Problem::new("is too long", format!("name at most {ENGINES_MAX} engines")));
    }
    Ok(engines)
}

pub(super) fn duration(value: &Value, low: Duration, high: Duration) -> Result<Duration, Problem> {
    let remedy = || {
        format!("write a time with its unit, from {low:?} to {high:?}, such as \"500ms\", \"2s\" or \"1min\"")
    };
    let units = [("ms", 1e-3), ("us", 1e-6), ("min", 60.0), ("s", 1.0), ("h", 3600.0)];
    let (number, factor) =
        quantity(text(value, "a time")?, &units).ok_or_else(|| Problem::new("is not a time", remedy()))?;
    let duration =
        Duration::try_from_secs_f64(number * factor).map_err(|_| Problem::new("is not a time", remedy()))?;
    (low..=high)
        .contains(&duration)
        .then_some(duration)
        .ok_or_else(|| Problem::new("is out of range", remedy()))
}

pub(super) fn watts(value: &Value, low: f64, high: f64) -> Result<f64, Problem> {
    let remedy = || {
        format!(
            "write a power with its unit, from \"{low} W\" to \"{high} W\", such as \"6500 W\" or \"6.5 kW\""
        )
    };
    let units = [("kW", 1e3), ("W", 1.0)];
    let (number, factor) =
        quantity(text(value, "a power")?, &units).ok_or_else(|| Problem::new("is not a power", remedy()))?;
    let watts = number * factor;
    (watts >= low && watts <= high).then_some(watts).ok_or_else(|| Problem::new("is out of range", remedy()))
}

pub(super) fn optional_watts(value: &Value, low: f64, high: f64) -> Result<Option<f64>, Problem> {
    if value.as_str() == Some("") { Ok(None) } else { watts(value, low, high).map(Some) }
}

/// A number and the factor of the first unit it ends in.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<(f64, f64)> {
    let (unit, factor) = units.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some((number, *factor))
}
