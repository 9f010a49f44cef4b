//! `wattkeeper catalogue`: every metric and every exported family, as a table or as JSON.
use model::catalogue::CATALOGUE;
use model::families::FAMILIES;
use model::metric::MetricKind;
use serde_json::json;
use std::fmt::Write as _;

fn kind(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Gauge => "gauge",
        MetricKind::Counter => "counter",
        MetricKind::Constant => "constant",
    }
}

/// The catalogue as a table with one line a series name.
pub fn table() -> String {
    let mut text = String::new();
    let mut section = "";
    for row in CATALOGUE {
        let subject = row.subjects.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
        if section != row.subjects[0].as_str() {
            section = row.subjects[0].as_str();
            let _ = writeln!(text, "\n{subject}");
        }
        let labels = row
            .labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect::<Vec<_>>()
            .join(",");
        let name =
            if labels.is_empty() { row.family.to_owned() } else { format!("{}{{{labels}}}", row.family) };
        let _ = writeln!(text, "  {name:<82} {:<8}  {}", kind(row.kind), row.help);
    }
    let _ = writeln!(text, "\nagent");
    for family in FAMILIES {
        let name = match family.labels {
            [] => family.name.to_owned(),
            labels => format!("{}{{{}}}", family.name, labels.join(",")),
        };
        let _ = writeln!(text, "  {name:<82} {:<8}  {}", kind(family.kind), family.help);
    }
    text
}

/// The catalogue as JSON: `metrics` of devices, and `families` of the agent.
pub fn json() -> serde_json::Value {
    let metric = |row: &model::metric::Row| {
        let labels: serde_json::Map<_, _> =
            row.labels.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
        json!({
            "id": row.metric, "name": row.family, "labels": labels, "unit": row.unit, "kind": row.kind,
            "plausible": [row.low, row.high], "devices": row.subjects, "help": row.help,
        })
    };
    let family = |f: &model::metric::Family| json!({ "name": f.name, "labels": f.labels, "unit": f.unit, "kind": f.kind, "help": f.help });
    json!({
        "metrics": CATALOGUE.iter().map(metric).collect::<Vec<_>>(),
        "families": FAMILIES.iter().map(family).collect::<Vec<_>>(),
    })
}

/// The sources, one a line, as `collectors.disabled` names them.
pub fn sources() -> String {
    collectors::BUILT_IN.iter().map(|entry| format!("{}\n", entry.name)).collect()
}
