//! `evaluate --interference --gpu`: how far judgements of processes on a shared accelerator are off, on a data set of `lab --gpu`.
//!
//! The estimator is physics and learns nothing but each victim alone; what it has to beat is trained, with one antagonist kept back.
mod figures;

pub use figures::{Figures, Method};

use super::EvaluateError;
use crate::cli::Evaluate;
use crate::lab::gpu::table::{self, Window};
use crate::lab::table::Kind;
use detectors::interference::sharers::{Alone, Limits, Sighting};
use model::Resource;
use model::interference::{Abstention, Estimate};
use std::fmt::Write as _;
use std::path::Path;

/// One window with what the estimator says of it.
#[derive(Debug, Clone)]
pub struct Case {
    window: Window,
    y: f64,
    judged: Result<Estimate, Abstention>,
    /// What a lower clock alone would cost.
    clock_only: f64,
    /// Its share of the time alone at full load.
    full: f64,
    /// The resource that is contended by design; `None` where that is not known.
    resource: Option<Resource>,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Report {
    windows: usize,
    simulated: bool,
    /// All of them, then by way of sharing.
    parts: Vec<(String, Vec<(Method, Figures)>)>,
}

/// Evaluates a data set: the simulated one of the folder where there is no real one.
///
/// # Errors
/// When the folder has no table, or it is of other columns, or the file for JSON cannot be written.
pub fn evaluate(flags: &Evaluate) -> Result<Report, EvaluateError> {
    let folder = flags.data.as_deref().unwrap_or(Path::new("."));
    let json = flags.json.as_deref().map(super::open).transpose()?;
    let folders = [folder.to_owned(), folder.join("interference")];
    let mut paths =
        [false, true].iter().flat_map(|rig| folders.each_ref().map(|folder| folder.join(table::name(*rig))));
    let path = paths.find(|path| path.is_file());
    let path = path.ok_or_else(|| EvaluateError::NoTable(folder.to_owned()))?;
    let report = Report::of(&table::read(&path).map_err(EvaluateError::Table)?);
    if let Some((path, file)) = json {
        super::write_json(path, file, &report.json())?;
    }
    Ok(report)
}

/// Judges every window in the order of recording: what is learnt of a victim alone was there before.
fn cases(windows: &[Window]) -> Vec<Case> {
    let limits = Limits::default();
    let (mut alone, mut block, mut full) = (Alone::default(), 0, 0.0_f64);
    let mut cases = Vec::new();
    for window in windows {
        if window.block != block {
            (alone, block, full) = (Alone::default(), window.block, 0.0);
        }
        if window.kind == Kind::Quiet {
            alone.learn(&window.seen);
            full = full.max(window.seen.busy.unwrap_or(0.0));
        }
        let share = window.seen.own.or(window.seen.busy);
        let by_itself = Sighting { own: share, count: 0, ..window.seen };
        cases.push(Case {
            y: window.y(),
            judged: limits.judge(&window.seen, &alone),
            clock_only: limits.judge(&by_itself, &alone).map_or(1.0, |estimate| estimate.y),
            full,
            resource: contended(window),
            window: window.clone(),
        });
    }
    cases.retain(|case| case.y.is_finite());
    cases
}

/// What an encounter is about, by its design.
fn contended(window: &Window) -> Option<Resource> {
    let turns = window.sharing == "turns";
    match (window.antagonist.as_str(), window.victim.as_str()) {
        ("power", "compute") => Some(Resource::Power),
        ("copy", "copy") => Some(Resource::Pcie),
        ("copy" | "power" | "mixed" | "", _) if !turns || window.antagonist != "mixed" => None,
        (_, "copy") => None,
        _ if turns => Some(Resource::Compute),
        ("memory", "stream" | "decode") => Some(Resource::MemoryBandwidth),
        ("compute", "compute") => Some(Resource::Compute),
        _ => None,
    }
}

impl Report {
    /// Measures a data set.
    pub fn of(windows: &[Window]) -> Self {
        let cases = cases(windows);
        let mut parts = vec![("all".to_owned(), Method::measure(&cases))];
        for sharing in ["turns", "mps"] {
            let part: Vec<Case> =
                cases.iter().filter(|case| case.window.sharing == sharing).cloned().collect();
            if !part.is_empty() {
                parts.push((sharing.to_owned(), Method::measure(&part)));
            }
        }
        Self { windows: windows.len(), simulated: windows.iter().any(|window| window.simulated), parts }
    }

    /// The figures of a method over all windows, or over one way of sharing.
    pub fn figures(&self, part: &str, method: Method) -> Option<&Figures> {
        let (_, methods) = self.parts.iter().find(|(name, _)| name == part)?;
        methods.iter().find(|(other, _)| *other == method).map(|(_, figures)| figures)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.simulated {
            text.push_str("SIMULATED: every window is of a board that does not exist; nothing here was measured on a GPU\n");
        }
        let _ = writeln!(
            text,
            "{} windows; MAE: mean absolute error of y = performance over performance alone, beside antagonists, one kind of them kept\n\
             back from what is trained; answered: the same over windows that wattkeeper judges; cover, width: of its nominal 90 %\n\
             interval; false: control windows whose interval is below 0.9; right: resource named as the encounter was designed, where\n\
             y < 0.9; all shares in percent",
            self.windows
        );
        for (part, methods) in &self.parts {
            let _ = writeln!(
                text,
                "\n{part} ({} windows beside antagonists)\n  {:<18}{:>7}{:>10}{:>8}{:>8}{:>8}{:>8}{:>11}",
                methods.first().map_or(0, |(_, figures)| figures.windows),
                "method",
                "MAE",
                "answered",
                "cover",
                "width",
                "false",
                "right",
                "abstained"
            );
            for (method, figures) in methods {
                let _ = writeln!(text, "  {:<18}{}", method.as_str(), figures.row());
            }
            let own = methods.iter().find(|(method, _)| *method == Method::Wattkeeper);
            let kinds = own.map(|(_, figures)| figures.kinds()).unwrap_or_default();
            let _ = writeln!(text, "  wattkeeper, MAE (bias) beside: {kinds}");
        }
        text
    }

    /// As one object: part → method → figures.
    pub fn json(&self) -> serde_json::Value {
        let methods = |methods: &[(Method, Figures)]| -> serde_json::Value {
            methods
                .iter()
                .map(|(method, figures)| (method.as_str().to_owned(), serde_json::json!(figures)))
                .collect()
        };
        let parts: serde_json::Value =
            self.parts.iter().map(|(part, list)| (part.clone(), methods(list))).collect();
        serde_json::json!({ "windows": self.windows, "simulated": self.simulated, "parts": parts })
    }
}

#[cfg(test)]
mod tests;
