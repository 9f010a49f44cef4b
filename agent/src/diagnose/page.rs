//! The width of the report: what is longer goes on below itself, so that it can be read on a terminal of 80 columns.
use dashboards::format::wrap;
use std::fmt::Write as _;

/// Columns of the report.
const WIDTH: usize = 80;

/// Writes a head and what it is about; further lines begin below where that began.
pub(super) fn put(text: &mut String, head: &str, body: &str) {
    let indent = head.chars().count();
    for (number, part) in wrap(body, WIDTH.saturating_sub(indent)).into_iter().enumerate() {
        let head = if number == 0 { head } else { "" };
        let _ = writeln!(text, "{head:<indent$}{part}");
    }
}
