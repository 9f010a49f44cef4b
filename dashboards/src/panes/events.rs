//! The events page: a list, and for the selected event what speaks for it and what to do.
use crate::app::App;
use crate::format::{ago, clock, fit, value, wrap};
use crate::theme::severity_sign;
use model::metric::MetricKind;
use model::{Event, Metric, Snapshot};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// The page.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let (width, room) = (usize::from(area.width), usize::from(area.height));
    if snapshot.events.is_empty() {
        return vec![Line::raw(""), Line::raw(" nothing was found wrong so far")];
    }
    let selected = app.line.min(snapshot.events.len() - 1);
    let mut below = vec![Line::raw("")];
    below.extend(explanation(app, snapshot, &snapshot.events[selected], width));
    let heading =
        format!("     {:<9} {:<9} {:<8} {:<10} {:>6}  what", "severity", "since", "phase", "device", "beats");
    let mut lines = vec![Line::raw(""), super::cut(&heading, width, app.theme.dim())];
    // The explanation is what the page is for: the list gives way, down to the selected line.
    let rows = room.saturating_sub(lines.len() + below.len()).max(1);
    for place in super::window(selected, snapshot.events.len(), rows) {
        lines.push(row(app, snapshot, &snapshot.events[place], (place == selected, width)));
    }
    lines.extend(below);
    lines
}

fn row(app: &App, snapshot: &Snapshot, event: &Event, (selected, width): (bool, usize)) -> Line<'static> {
    let name = &snapshot.frame.devices.get(event.device).info.name;
    let cursor = match (selected, app.options.unicode) {
        (true, true) => "▸",
        (true, false) => ">",
        (false, _) => " ",
    };
    let severity = format!(
        " {cursor} {} {:<9} ",
        severity_sign(event.severity, app.options.unicode),
        event.severity.as_str()
    );
    let (since, phase) = (clock(event.since.wall_ms), event.phase.as_str());
    let text = format!("{since:<9} {phase:<8} {:<10} {:>6}  {}", fit(name, 10), event.count, event.title());
    let style = match (event.active(), selected) {
        (true, true) => app.theme.title(),
        (true, false) => ratatui::style::Style::new(),
        (false, _) => app.theme.dim(),
    };
    let colour = if event.active() { app.theme.severity(event.severity) } else { app.theme.dim() };
    let room = width.saturating_sub(severity.chars().count());
    Line::from(vec![Span::styled(severity, colour), Span::styled(fit(&text, room), style)])
}

fn explanation(app: &App, snapshot: &Snapshot, event: &Event, width: usize) -> Vec<Line<'static>> {
    let info = &snapshot.frame.devices.get(event.device).info;
    let lasted = ago(event.cleared.unwrap_or(snapshot.frame.at).seconds_since(event.since));
    let end = match event.cleared {
        Some(at) => format!("over since {}, lasted {lasted}", clock(at.wall_ms)),
        None => format!("still there after {lasted}"),
    };
    let title = format!(" {} on {} ({})", event.title(), info.name, info.key);
    let seen = format!(" event {}, found by {}, score {:.1}, {end}", event.id.0, event.detector, event.score);
    let mut lines =
        vec![super::cut(&title, width, app.theme.title()), super::cut(&seen, width, app.theme.dim())];
    let remedy = wrap(event.fault.advice(), width.saturating_sub(12).max(10));
    for (number, text) in remedy.into_iter().enumerate() {
        lines.push(Line::raw(format!(" {:<9} {text}", if number == 0 { "do" } else { "" })));
    }
    let pieces: Vec<_> = event.evidence.iter().flatten().collect();
    let room = width.saturating_sub(32).min(60);
    if !pieces.is_empty() {
        let heading = format!(" {} {:>12} {:>12}", fit("evidence", room + 2), "observed", "expected");
        lines.push(super::cut(&heading, width, app.theme.dim()));
    }
    for piece in pieces {
        let text = format!(
            "   {} {:>12} {:>12}",
            fit(&piece.metric.to_string(), room),
            told(piece.metric, piece.observed),
            told(piece.metric, piece.expected)
        );
        lines.push(Line::raw(fit(&text, width)));
    }
    lines
}

/// A piece of evidence in the metric's unit; a counter's is a rate.
fn told(metric: Metric, number: f64) -> String {
    let row = metric.row();
    let per_second = if row.kind == MetricKind::Counter { "/s" } else { "" };
    format!("{}{per_second}", value(number, row.unit))
}
