//! Readings of one accelerator, grouped by what they are about, in as many columns as fit; what it lacks is counted.
use crate::app::App;
use crate::format::{fit, reading};
use model::{Absence, DeviceId, Metric, Reading};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// The groups, in the order of the page.
const TITLES: &[&str] = &[
    "use",
    "memory",
    "power",
    "clocks",
    "why clocks are lower",
    "heat",
    "errors",
    "memory errors by place",
    "links",
    "PCIe",
    "modes and states",
];

/// How a metric's name begins, the group that it stands in, and what is shown in place of that beginning. The first
/// that fits takes a metric.
const PLACES: &[(&str, usize, &str)] = &[
    ("utilization", 0, ""),
    ("pipe_active", 0, "pipe"),
    ("sm_occupancy", 0, "sm occupancy"),
    ("processes", 0, "processes"),
    ("memory", 1, ""),
    ("bar1", 1, "BAR1"),
    ("power", 2, ""),
    ("part_power", 2, ""),
    ("energy", 2, "energy"),
    ("voltage", 2, "voltage"),
    ("clock_event_active", 4, ""),
    ("clock", 3, ""),
    ("violation", 4, "held,"),
    ("temperature", 5, ""),
    ("fan", 5, "fan"),
    ("ecc_location_errors", 7, ""),
    ("ecc_errors", 6, "ecc"),
    ("ecc_sram_errors", 6, "sram, ever:"),
    ("ecc_sram_threshold_exceeded", 6, "sram errors too many"),
    ("rows_remapped", 6, "remapped"),
    ("row_remap_banks", 6, "remap banks"),
    ("row_remap", 6, "row remap"),
    ("pages_retired", 6, "retired"),
    ("page_retirement", 6, "retirement"),
    ("recovery_action", 6, "recovery action"),
    ("health_code", 6, "health code"),
    ("error", 6, "error"),
    ("xid", 6, "XID"),
    ("inforom", 6, "InfoROM"),
    ("fabric_condition_active", 8, ""),
    ("links", 8, ""),
    ("link_errors", 8, "errors"),
    ("throughput_link", 8, ""),
    ("throughput_pcie", 9, ""),
    ("pcie", 9, ""),
    ("mode_enabled", 10, ""),
    ("up", 10, "driver answers"),
    ("late", 10, "call late"),
    ("", 10, ""),
];

/// Width of one reading.
const CELL: usize = 39;
/// Width of a reading's value.
const VALUE: usize = 13;
/// More readings of a group than this that are absent for one reason are counted and not listed.
const ALIKE_MAX: usize = 3;
/// Why readings are absent, and the words for it; what calls for attention first.
const ABSENCES: &[(Absence, &str)] = &[
    (Absence::Late, "late"),
    (Absence::Lost, "lost"),
    (Absence::Denied, "denied"),
    (Absence::Implausible, "implausible"),
    (Absence::Disabled, "disabled"),
    (Absence::Unsupported, "not supported"),
];

/// A line of counts, then a block a group. A group of which the device has nothing is left out.
pub(super) fn lines(app: &App, device: DeviceId, width: usize) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let mut groups: Vec<Vec<(Metric, Reading)>> = vec![Vec::new(); TITLES.len()];
    for (metric, value) in snapshot.frame.readings(device) {
        groups[place(metric).1].push((metric, value));
    }
    let all: Vec<Reading> = groups.iter().flatten().map(|(_, value)| *value).collect();
    let text = format!(" readings   {}", counts(&all));
    let mut lines = vec![super::cut(&text, width, app.theme.title())];
    for (title, readings) in TITLES.iter().zip(groups) {
        lines.extend(block(app, title, &readings, width));
    }
    lines
}

/// One group: its title, what it has, and how much of it is not there.
fn block(app: &App, title: &str, readings: &[(Metric, Reading)], width: usize) -> Vec<Line<'static>> {
    let count =
        |absence: Absence| readings.iter().filter(|(_, value)| value.absence() == Some(absence)).count();
    let lacking = count(Absence::Unsupported);
    let counted = |absence: Absence| match absence {
        Absence::Unsupported => true,
        // These befall the whole device; of the others one wants to know which readings they are.
        Absence::Late | Absence::Lost => count(absence) > ALIKE_MAX,
        _ => count(absence) > ALIKE_MAX && count(absence) + lacking == readings.len(),
    };
    let shown = readings.iter().copied().filter(|(_, value)| !value.absence().is_some_and(counted));
    let shown: Vec<_> = shown.collect();
    let mut head = vec![Span::styled(format!(" {title}"), app.theme.title())];
    for (absence, word) in ABSENCES.iter().filter(|(absence, _)| counted(*absence) && count(*absence) > 0) {
        let all = if count(*absence) == readings.len() { "all " } else { "" };
        let style = if *absence == Absence::Unsupported { app.theme.dim() } else { app.theme.warn() };
        head.push(Span::styled(format!("   {all}{} {word}", count(*absence)), style));
    }
    if lacking == readings.len() {
        return Vec::new();
    }
    let mut lines = vec![Line::from(head)];
    for row in shown.chunks((width / CELL).max(1)) {
        lines.push(Line::from(row.iter().flat_map(|one| cell(app, *one, width)).collect::<Vec<_>>()));
    }
    lines
}

/// How many readings there are and why the others are not: `41 with a value, 2 denied, 57 not supported`.
fn counts(readings: &[Reading]) -> String {
    let count = |wanted: Option<Absence>| readings.iter().filter(|r| r.absence() == wanted).count();
    let told = ABSENCES.iter().map(|(reason, word)| (count(Some(*reason)), word)).filter(|(n, _)| *n > 0);
    let told: Vec<_> = told.map(|(n, word)| format!("{n} {word}")).collect();
    [vec![format!("{} with a value", count(None))], told].concat().join(", ")
}

/// The name of a metric without the words that all accelerators' families share: family, then values of labels.
fn stem(metric: Metric) -> String {
    let row = metric.row();
    let stem = row.family.strip_prefix("wattkeeper_accelerator_").unwrap_or(row.family);
    let stem = stem.strip_suffix("_total").unwrap_or(stem);
    let stem = stem.strip_suffix(row.unit.suffix()).unwrap_or(stem).trim_end_matches('_');
    row.labels.iter().fold(stem.to_owned(), |name, (_, value)| name + "_" + value)
}

/// Beginning, group and shown beginning of a metric.
fn place(metric: Metric) -> (&'static str, usize, &'static str) {
    let stem = stem(metric);
    let found = PLACES.iter().find(|(word, ..)| stem.starts_with(word));
    found.copied().unwrap_or(("", TITLES.len() - 1, ""))
}

/// What tells a reading apart within its group: `limit range min`.
fn label(metric: Metric) -> String {
    let (word, _, shown) = place(metric);
    let stem = stem(metric);
    let rest = stem.strip_prefix(word).unwrap_or(&stem).trim_start_matches('_').replace('_', " ");
    let short = rest.replace("uncorrected", "uncorr.").replace("corrected", "corr.");
    let short = short.replace("application", "app").replace("low utilization", "low use");
    let parts: Vec<&str> = [shown, short.as_str()].into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { stem.replace('_', " ") } else { parts.join(" ") }
}

fn cell(app: &App, (metric, value): (Metric, Reading), width: usize) -> [Span<'static>; 2] {
    let room = CELL.min(width.max(VALUE + 4)) - VALUE - 4;
    let name = format!("   {} ", fit(&label(metric), room));
    let text = format!("{:>VALUE$}", reading(value, metric.row().unit));
    let style = match value {
        Reading::Value(_) => Style::new(),
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
            let (group, name) = (place(metric).1, label(metric));
            assert!(!name.is_empty() && seen.insert((group, name.clone())), "{metric}: {name}");
            assert!(name.len() <= CELL - VALUE - 4, "{metric}: {name} is cut");
        }
    }

    #[test]
    fn counts_tell_what_is_lacking_from_what_is_refused() {
        let absent = |reason| Reading::Absent(reason);
        let list =
            [Reading::Value(0.0), absent(Absence::Denied), absent(Absence::Unsupported), Reading::Value(1.0)];
        assert_eq!(counts(&list), "2 with a value, 1 denied, 1 not supported");
    }
}
