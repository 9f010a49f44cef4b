//! The catalogue as a document for people, made from the data.
use super::{Catalogue, Limit, Row, XidRow};
use std::fmt::Write as _;

const HEAD: &str = "\
# Faults

Generated from `data/faults.toml` and `data/xid.toml`. An operator's file (key `detectors.faults`) has rows of the same kind, of
which only the name and what changes need be there:

```toml
[[fault]]
fault = \"pcie_replays\"
limits.gen5 = 4.0

[[xid]]
code = 109
severity = \"critical\"
```

A fault that comes back on the same device after as many reboots or resets as its row says (`repeats`) asks for an inspection of
the hardware. Where
the driver gives a recovery action, that stands in for the remedy of rows that say so, except for an inspection.

";

/// The document, in Markdown.
pub fn document() -> String {
    let catalogue = Catalogue::built_in();
    let mut text = HEAD.to_owned();
    catalogue.rows().for_each(|row| fault(&mut text, catalogue, row));
    text.push_str("# XID errors\n\nA code that is not here is a warning to be investigated.\n\n");
    text.push_str("| code | class | what | severity | remedy | repeats | policies | why ours |\n");
    text.push_str("|---:|---|---|---|---|---:|---|---|\n");
    catalogue.xids().iter().for_each(|row| xid(&mut text, row));
    text
}

fn fault(text: &mut String, catalogue: &Catalogue, row: &Row) {
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{name}{value}");
        }
    };
    line("## ", &format!("{} (`{}`)\n", row.fault.title(), row.fault.as_str()));
    line("", &format!("{}\n", row.fault.advice()));
    let severity = if row.worst == row.severity {
        row.severity.as_str().to_owned()
    } else {
        format!("{}, at worst {}", row.severity.as_str(), row.worst.as_str())
    };
    line("- Severity: ", &severity);
    let repeats = match row.repeats {
        0 => "never an inspection for coming back".to_owned(),
        count => format!("an inspection after {count} reboots or resets"),
    };
    let driver = if row.driver_wins { "; the driver's own action stands in" } else { "" };
    line("- Remedy: ", &format!("{}; {repeats}{driver}", row.remedy.as_str()));
    let signals: Vec<_> = row.signals.iter().map(|metric| format!("`{metric}`")).collect();
    line("- Signals: ", &signals.join(", "));
    for limit in Limit::of(row.fault) {
        let about = limit.row();
        let value = catalogue.limit(limit);
        let value = if value != 0.0 && value.abs() < 1e-6 { format!("{value:e}") } else { value.to_string() };
        line("- Limit ", &format!("`{}` = {value}: {}", about.key, about.help));
    }
    let pace = row.pace;
    let begins = if pace.within_beats == 1 {
        "on the first sign".to_owned()
    } else {
        format!("after {} of {} beats", pace.raise_beats, pace.within_beats)
    };
    line("- Begins ", &format!("{begins}; over after {} s without it", pace.quiet_s));
    line("- Delay of its own: ", &row.delay);
    line("- Source: ", &row.source);
    line("- Would confirm it: ", &row.confirm);
    text.push('\n');
}

fn xid(text: &mut String, row: &XidRow) {
    let XidRow { code, mnemonic, class, title, severity, remedy, repeats, policy, because } = row;
    let (class, severity, remedy) = (class.as_str(), severity.as_str(), remedy.as_str());
    // Writing to a text does not fail.
    let _ = writeln!(
        text,
        "| {code} | {class} | {title} (`{mnemonic}`) | {severity} | {remedy} | {repeats} | {policy} | {because} |"
    );
}
