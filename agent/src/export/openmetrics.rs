//! OpenMetrics 1.0 written from the same families as the Prometheus text.
use prometheus::proto::{MetricFamily, MetricType};
use std::fmt::Write as _;

/// Units that the catalogue's names end in; a `# UNIT` line is written where the name does.
const UNITS: [&str; 9] =
    ["watts", "joules", "celsius", "hertz", "bytes", "bytes_per_second", "seconds", "ratio", "rpm"];

/// Writes families. A counter's family loses `_total`, its samples keep it.
pub fn encode(families: &[MetricFamily]) -> String {
    let mut text = String::with_capacity(256 * 1024);
    for family in families {
        let counter = family.get_field_type() == MetricType::COUNTER;
        let name = family.name();
        let stem = name.strip_suffix("_total").filter(|_| counter).unwrap_or(name);
        let unit =
            UNITS.iter().rev().find(|unit| stem.strip_suffix(*unit).is_some_and(|rest| rest.ends_with('_')));
        let kind = if counter { "counter" } else { "gauge" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "# TYPE {stem} {kind}");
        if let Some(unit) = unit {
            let _ = writeln!(text, "# UNIT {stem} {unit}");
        }
        let _ = writeln!(text, "# HELP {stem} {}", escape(family.help()));
        for sample in family.get_metric() {
            text.push_str(name);
            for (place, label) in sample.get_label().iter().enumerate() {
                let open = if place == 0 { '{' } else { ',' };
                let _ = write!(text, "{open}{}=\"{}\"", label.name(), escape(label.value()));
            }
            text.push_str(if sample.get_label().is_empty() { "" } else { "}" });
            let value =
                if counter { sample.get_counter().get_value() } else { sample.get_gauge().get_value() };
            let _ = writeln!(text, " {value}");
        }
    }
    text.push_str("# EOF\n");
    text
}

fn escape(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return text.into();
    }
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
}
