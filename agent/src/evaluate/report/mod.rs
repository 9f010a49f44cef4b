//! The report: tables for a person and one object for a program, out of the same figures.
mod json;
mod table;
mod text;

use super::machine::Dataset;
use super::metrics::{Figures, average};
use super::trial::Tried;

/// Everything that came out of a trial.
#[derive(Debug)]
pub struct Report {
    tried: Vec<Tried>,
}

/// What one detector came to in one data set.
struct Line<'a> {
    detector: &'static str,
    machines: Vec<(&'a str, &'a Figures)>,
    mean: Figures,
}

impl Report {
    /// Out of every machine tried.
    pub fn new(tried: Vec<Tried>) -> Self {
        Self { tried }
    }

    /// The exit code: 1 when a machine could not be read, else 0.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.tried.iter().any(|tried| tried.entries.is_err()))
    }

    /// The report for a person.
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// The report for a program: data set → detector → machine (and `mean`) → figures.
    pub fn json(&self) -> serde_json::Value {
        json::json(self)
    }

    /// What each detector came to in a set, in the order in which they ran; those that judged no machine are left out.
    fn lines(&self, dataset: Dataset) -> Vec<Line<'_>> {
        let of_set = || self.tried.iter().filter(move |tried| tried.dataset == dataset);
        let mut detectors: Vec<&'static str> = Vec::new();
        for (name, _) in of_set().filter_map(|tried| tried.entries.as_ref().ok()).flatten() {
            if !detectors.contains(name) {
                detectors.push(*name);
            }
        }
        let line = |detector: &'static str| {
            let figures = |tried| figures_of(tried, detector);
            let machines: Vec<_> = of_set().filter_map(figures).collect();
            let mean = average(&machines)?;
            Some(Line { detector, machines, mean })
        };
        detectors.into_iter().filter_map(line).collect()
    }

    /// What was left out, a sentence each.
    fn left_out(&self) -> Vec<String> {
        let mut told = Vec::new();
        for tried in &self.tried {
            let (set, name) = (tried.dataset.as_str(), &tried.name);
            match &tried.entries {
                Err(error) => told.push(format!("{set}/{name}: {error}")),
                Ok(entries) => told.extend(entries.iter().filter_map(|(detector, result)| {
                    Some(format!("{set}/{name}: {detector} {}", result.as_ref().err()?))
                })),
            }
        }
        told
    }
}

/// The machine's name and what a detector came to on it, where it did.
fn figures_of<'a>(tried: &'a Tried, detector: &str) -> Option<(&'a str, &'a Figures)> {
    let entries = tried.entries.as_ref().ok()?;
    let (_, result) = entries.iter().find(|(name, _)| *name == detector)?;
    Some((tried.name.as_str(), result.as_ref().ok()?))
}
