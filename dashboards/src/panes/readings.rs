//! Readings of one accelerator, grouped by what they are about, in as many columns as fit.
use crate::app::App;
use crate::format::{fit, reading};
use model::{Absence, DeviceId, Metric, Reading};
use ratatui::text::{Line, Span};

/// A group's title and the first word of the families in it; the first that fits takes a metric.
const GROUPS: &[(&str, &str)] = &[
    ("load", "utilization"),
    ("power", "power"),
    ("energy", "energy"),
    ("temperature", "temperature"),
    ("fan", "fan"),
    ("why the clock is lower", "clock_event_active"),
    ("clock", "clock"),
    ("memory", "memory"),
    ("memory errors", "ecc_errors"),
    ("XID errors", "xid"),
    ("PCIe link", "pcie"),
    ("other", ""),
];

/// Width of one reading.
const CELL: usize = 39;
/// Width of a reading's value.
const VALUE: usize = 14;

/// One block a group; a group of which the device has nothing is one line.
pub(super) fn lines(app: &App, device: DeviceId, width: usize) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let mut groups: Vec<Vec<(Metric, Reading)>> = vec![Vec::new(); GROUPS.len()];
    for (metric, value) in snapshot.frame.readings(device) {
        groups[group(metric)].push((metric, value));
    }
    let mut lines = Vec::new();
    for ((title, word), readings) in GROUPS.iter().zip(groups).filter(|(_, readings)| !readings.is_empty()) {
        let unsupported = Reading::Absent(Absence::Unsupported);
        if readings.iter().all(|(_, value)| *value == unsupported) {
            let text = format!(" {title}: {}", reading(unsupported, model::Unit::Count));
            lines.push(super::cut(&text, width, app.theme.dim()));
            continue;
        }
        lines.push(super::cut(&format!(" {title}"), width, app.theme.title()));
        for row in readings.chunks((width / CELL).max(1)) {
            lines.push(Line::from(row.iter().flat_map(|r| cell(app, *r, word, width)).collect::<Vec<_>>()));
        }
    }
    lines
}

/// The name of a metric's family without the words that all accelerators' families share.
fn stem(metric: Metric) -> &'static str {
    let family = metric.row().family;
    let stem = family.strip_prefix("wattkeeper_accelerator_").unwrap_or(family);
    let stem = stem.strip_suffix("_total").unwrap_or(stem);
    stem.strip_suffix(metric.row().unit.suffix()).unwrap_or(stem).trim_end_matches('_')
}

fn group(metric: Metric) -> usize {
    GROUPS.iter().position(|(_, word)| stem(metric).starts_with(word)).unwrap_or(GROUPS.len() - 1)
}

/// What tells a reading apart within its group: `limit range, min`.
fn label(metric: Metric, word: &str) -> String {
    let rest = stem(metric).strip_prefix(word).unwrap_or(stem(metric)).trim_start_matches('_');
    let values = metric.row().labels.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(" ");
    let parts: Vec<&str> = [rest, values.as_str()].into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { stem(metric).replace('_', " ") } else { parts.join(", ").replace('_', " ") }
}

fn cell(app: &App, (metric, value): (Metric, Reading), word: &str, width: usize) -> [Span<'static>; 2] {
    let room = CELL.min(width.max(VALUE + 4)) - VALUE - 4;
    let name = format!("   {} ", fit(&label(metric, word), room));
    let text = format!("{:>VALUE$}", reading(value, metric.row().unit));
    let style = match value {
        Reading::Value(_) => ratatui::style::Style::new(),
        Reading::Absent(Absence::Unsupported | Absence::Disabled) => app.theme.dim(),
        Reading::Absent(_) => app.theme.warn(),
    };
    [Span::styled(name, app.theme.dim()), Span::styled(text, style)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::DeviceKind;
    use std::collections::BTreeSet;

    #[test]
    fn every_reading_of_an_accelerator_has_a_name_of_its_own_in_its_group() {
        let mut seen = BTreeSet::new();
        for metric in Metric::all().filter(|metric| metric.column(DeviceKind::Gpu).is_some()) {
            let place = group(metric);
            let name = label(metric, GROUPS[place].1);
            assert!(!name.is_empty() && seen.insert((place, name.clone())), "{metric}: {name}");
            assert!(name.len() <= CELL - VALUE - 4, "{metric}: {name} is cut");
        }
    }
}
