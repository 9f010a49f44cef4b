//! The actuator: the long-term limit of a processor package, found by its name, written and read back.
//!
//! Only `long_term` is turned. The short-term and peak limits stay as they are, so that one original is all that has to be
//! given back; the package may then pass its limit for as long as the long-term window (`time_window_us`). Nor is `enabled`
//! touched: switching it sets or clears the clamp bit as well, and power can then stay above the limit (thermald#479).
//!
//! A limit that reads back need not hold: firmware may hold another through a different register (MMIO, asusctl#145), or keep
//! the old one. Only power tells, so whoever sets a limit here compares the package's power with it afterwards.
use super::zones;
use crate::Roots;
use crate::host::file::{names, numbered, word};
use model::error::Reason;
use model::{ActuateError, Actuator, Knob, Order, Span};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The lowest limit, as a share of what the package is rated for. An assumption: the kernel has no file for the lowest one, and
/// a package that is held far below half of its rating slows its whole host, the agent included.
const FLOOR_SHARE: f64 = 0.5;
/// Less is no limit of a package, and 0 is none at all.
const LOWEST_W: f64 = 1.0;
const MICRO: f64 = 1e-6;

/// Turns the limits of packages.
#[derive(Debug)]
pub(super) struct RaplActuator {
    roots: Roots,
}

/// The files of a package's limit.
struct Files {
    /// The limit, in microwatts.
    limit: PathBuf,
    /// What the package is rated for, in microwatts; 0 where the processor does not say.
    rated: PathBuf,
    /// The same of the short-term constraint, where there is one.
    peak: Option<PathBuf>,
}

impl RaplActuator {
    pub(super) fn new(roots: Roots) -> Self {
        Self { roots }
    }

    /// The files of the package with this key. Looked for each time: the zones are numbered anew when their driver is.
    fn files(&self, key: &str) -> Result<Files, ActuateError> {
        let failed = |reason| ActuateError::new(format!("find the power limit of {key}"), reason);
        let found = zones(&self.roots);
        let (_, folder) = found.iter().find(|(known, _)| known == key).ok_or_else(|| failed(Reason::Lost))?;
        if !key.starts_with("package-") || key.contains('/') {
            return Err(failed(Reason::Unsupported));
        }
        let number = constraint(folder, "long_term").ok_or_else(|| failed(Reason::Unsupported))?;
        if word(&folder.join("enabled")) == "0" {
            return Err(failed(Reason::Unsupported).because("the limit is switched off (file enabled)"));
        }
        let file = |number: usize, what: &str| folder.join(format!("constraint_{number}_{what}"));
        Ok(Files {
            limit: file(number, "power_limit_uw"),
            rated: file(number, "max_power_uw"),
            peak: constraint(folder, "short_term").map(|number| file(number, "max_power_uw")),
        })
    }
}

/// The number of the constraint with a name: it differs between machines.
fn constraint(folder: &Path, name: &str) -> Option<usize> {
    let number = |file: &String| numbered(file.strip_suffix("_name")?, "constraint_");
    let files = names(folder, |file| file.starts_with("constraint_") && file.ends_with("_name"));
    files.iter().find(|file| word(&folder.join(file)) == name).and_then(number)
}

/// A limit in watts.
fn watts(file: &Path) -> io::Result<f64> {
    let text = std::fs::read_to_string(file)?;
    let number: u64 = text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // Packages draw less than 2^53 microwatts.
    Ok(number as f64 * MICRO)
}

fn failed(what: &str, key: &str) -> impl FnOnce(io::Error) -> ActuateError {
    let operation = format!("{what} the power limit of {key}");
    move |error| match error.raw_os_error() {
        Some(libc::EINVAL) => ActuateError::new(operation, Reason::Refused).because(error),
        Some(libc::ENODEV) => ActuateError::new(operation, Reason::Lost).because(error),
        _ => ActuateError::io(operation, error),
    }
}

impl Actuator for RaplActuator {
    fn name(&self) -> &'static str {
        "rapl"
    }

    /// From a share of the rating to the rating, that of the short-term limit or the present limit, whichever is highest: what
    /// stood before can always be set again.
    fn span(&mut self, key: &str, knob: Knob) -> Result<Span, ActuateError> {
        knob.only(Knob::PowerLimit, key)?;
        let files = self.files(key)?;
        let present = watts(&files.limit).map_err(failed("read", key))?;
        // Without a rating the limit that stands is what the firmware thinks right.
        let said = |file: &PathBuf| watts(file).ok().filter(|rated| *rated >= LOWEST_W);
        let rated = said(&files.rated).unwrap_or(present);
        let peak = files.peak.as_ref().and_then(said).unwrap_or(present);
        let span = Span::new((FLOOR_SHARE * rated).min(present), rated.max(peak).max(present));
        span.ok_or_else(|| {
            ActuateError::new(format!("find what the power limit of {key} may be"), Reason::Malformed)
        })
    }

    fn enforced(&mut self, key: &str, knob: Knob) -> Result<f64, ActuateError> {
        knob.only(Knob::PowerLimit, key)?;
        let files = self.files(key)?;
        watts(&files.limit).map_err(failed("read", key))
    }

    fn apply(&mut self, order: &Order) -> Result<f64, ActuateError> {
        let key = order.key();
        order.knob().only(Knob::PowerLimit, key)?;
        let files = self.files(key)?;
        let microwatts = (order.value() / MICRO).round();
        if !(microwatts.is_finite() && microwatts >= LOWEST_W / MICRO) {
            let what = format!("set the power limit of {key} to {} W", order.value());
            return Err(ActuateError::new(what, Reason::Refused));
        }
        let file = std::fs::OpenOptions::new().write(true).truncate(true).open(&files.limit);
        file.and_then(|mut file| file.write_all(format!("{microwatts:.0}\n").as_bytes()))
            .map_err(failed("set", key))?;
        watts(&files.limit).map_err(failed("read back", key))
    }
}

#[cfg(test)]
mod tests;
