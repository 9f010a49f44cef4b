//! The report: one table a split, and what the estimator does by antagonist and by resource.
use super::{Figures, Learner, Method, Placed, Split, Streamed};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Windows of the data set.
    pub windows: usize,
    /// Windows without a profile near their load.
    pub dropped: usize,
    /// Predictions before the fact.
    pub placement: Placed,
    /// What is gained where the truth streams back.
    pub streamed: Vec<(Split, Vec<(Learner, Streamed)>)>,
    /// Figures of every method over every split.
    pub splits: Vec<(Split, Vec<(Method, Figures)>)>,
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.3}"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{:.1}", value * 100.0))
}

impl Report {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} windows, {} without a profile near their load\n\
             MAE: mean absolute error of y = performance over performance alone, beside antagonists; no queue: where nobody\n\
             waits for a processor; cover, width: of the nominal 90 % interval; P, R: at y < 0.8; alarm, false: windows at y < 0.8,\n\
             and of the control, whose interval is below 0.9; right: resource named as the encounter was designed, where y < 0.9; all\n\
             shares in percent\n",
            self.windows, self.dropped
        );
        for (split, methods) in &self.splits {
            let windows = methods.first().map_or((0, 0), |(_, figures)| figures.windows);
            let _ =
                writeln!(text, "\n{} ({} windows, {} without queue)", split.as_str(), windows.0, windows.1);
            let _ = writeln!(
                text,
                "  {:<18}{:>7}{:>10}{:>8}{:>8}{:>7}{:>7}{:>8}{:>8}{:>8}{:>10}",
                "method",
                "MAE",
                "no queue",
                "cover",
                "width",
                "P",
                "R",
                "alarm",
                "false",
                "right",
                "abstained"
            );
            for (method, figures) in methods {
                let _ = writeln!(text, "  {:<18}{}", method.as_str(), row(figures));
            }
            if let Some((_, figures)) = methods.iter().find(|(method, _)| *method == Method::Estimator) {
                by(&mut text, figures);
            }
        }
        stream(&mut text, &self.streamed);
        let shown =
            |share: Option<f64>| share.map_or_else(|| "–".into(), |share| format!("{:.1} %", share * 100.0));
        let _ = writeln!(
            text,
            "\nplacement before the fact, from needs alone, antagonists on the victim's processor: MAE {} over {} windows, of the \
             mean {}; its 90 % interval, learnt from the other victims, held {} and was {} wide; the width of additional time that \
             all windows teach is {:.2}",
            number(self.placement.mae),
            self.placement.windows,
            number(self.placement.mae_of_mean),
            shown(self.placement.coverage),
            number(self.placement.width),
            self.placement.extra
        );
        text
    }

    /// As one object: split → method → figures.
    pub fn json(&self) -> Value {
        let methods = |methods: &[(Method, Figures)]| -> Value {
            methods.iter().map(|(method, figures)| (method.as_str().to_owned(), json!(figures))).collect()
        };
        let splits: Value =
            self.splits.iter().map(|(split, list)| (split.as_str().to_owned(), methods(list))).collect();
        let learners = |list: &[(Learner, Streamed)]| -> Value {
            list.iter().map(|(learner, figures)| (learner.as_str().to_owned(), json!(figures))).collect()
        };
        let streamed: Value =
            self.streamed.iter().map(|(split, list)| (split.as_str().to_owned(), learners(list))).collect();
        json!({
            "windows": self.windows, "without_profile": self.dropped, "splits": splits, "streamed": streamed,
            "placement": self.placement,
        })
    }
}

/// The block of truths that stream back.
fn stream(text: &mut String, splits: &[(Split, Vec<(Learner, Streamed)>)]) {
    let _ = writeln!(
        text,
        "\ntruth streamed back one window late: each victim's windows in their order, kept back from training, beside antagonists"
    );
    for (split, learners) in splits {
        let _ = writeln!(
            text,
            "  {:<34}{:>7}{:>8}{:>8}{:>9}",
            split.as_str(),
            "MAE",
            "cover",
            "width",
            "windows"
        );
        for (learner, figures) in learners {
            let _ = writeln!(
                text,
                "    {:<32}{:>7}{:>8}{:>8}{:>9}",
                learner.as_str(),
                number(figures.mae),
                percent(figures.coverage),
                number(figures.width),
                figures.windows
            );
        }
    }
}

fn row(figures: &Figures) -> String {
    format!(
        "{:>7}{:>10}{:>8}{:>8}{:>7}{:>7}{:>8}{:>8}{:>8}{:>10}",
        number(figures.mae),
        number(figures.mae_without_queue),
        percent(figures.coverage.share),
        number(figures.width),
        percent(figures.precision.share),
        percent(figures.recall.share),
        percent(figures.alarms.share),
        percent(figures.false_alarms.share),
        percent(figures.resource.share),
        percent(figures.abstained.share)
    )
}

fn by(text: &mut String, figures: &Figures) {
    if let Some((low, high)) = figures.mae_between {
        let _ = writeln!(text, "  wattkeeper, MAE over encounters, 95 %: {low:.3} to {high:.3}");
    }
    let kinds: Vec<String> = figures
        .by_antagonist
        .iter()
        .map(|(name, (mae, bias))| format!("{name} {mae:.3} ({bias:+.3})"))
        .collect();
    let _ = writeln!(text, "  wattkeeper, MAE (bias) beside: {}", kinds.join(", "));
    let kinds: Vec<String> = figures
        .by_victim
        .iter()
        .map(|(name, (mae, held))| format!("{name} {mae:.3} ({} %)", percent(held.share)))
        .collect();
    let _ = writeln!(text, "  wattkeeper, MAE (cover) of: {}", kinds.join(", "));
    let resources: Vec<String> = figures
        .resource_by
        .iter()
        .map(|(name, share)| format!("{name} {} % of {}", percent(share.share), share.of))
        .collect();
    let _ = writeln!(text, "  wattkeeper, resource right: {}", resources.join(", "));
}
