//! The events page: a list, and for the selected event what speaks for it and what to do.
use crate::app::App;
use crate::format::{clock, fit, value};
use model::{Event, Snapshot};
use ratatui::layout::Rect;
use ratatui::text::Line;

/// Lines that the explanation takes.
const EXPLANATION: usize = 9;

/// The page.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let (width, room) = (usize::from(area.width), usize::from(area.height));
    if snapshot.events.is_empty() {
        return vec![Line::raw(""), Line::raw(" nothing was found wrong so far")];
    }
    let heading =
        format!("   {:<9} {:<9} {:<8} {:<12} {:<7} what", "since", "phase", "severity", "device", "count");
    let mut lines = vec![Line::raw(""), Line::styled(fit(&heading, width), app.theme.dim())];
    let rows = room.saturating_sub(2 + EXPLANATION).max(1);
    let selected = app.line.min(snapshot.events.len() - 1);
    for place in super::window(selected, snapshot.events.len(), rows) {
        let event = &snapshot.events[place];
        let cursor = if place == selected { ">" } else { " " };
        let style = if event.active() { app.theme.severity(event.severity) } else { app.theme.dim() };
        lines.push(Line::styled(fit(&format!(" {cursor} {}", row(snapshot, event)), width), style));
    }
    lines.push(Line::raw(""));
    lines.extend(
        explanation(snapshot, &snapshot.events[selected])
            .into_iter()
            .map(|text| Line::raw(fit(&text, width))),
    );
    lines
}

fn row(snapshot: &Snapshot, event: &Event) -> String {
    let name = &snapshot.frame.devices.get(event.device).info.name;
    let (since, phase, severity) =
        (clock(event.since.wall_ms), event.phase.as_str(), event.severity.as_str());
    format!("{since:<9} {phase:<9} {severity:<8} {:<12} {:<7} {}", fit(name, 12), event.count, event.title())
}

fn explanation(snapshot: &Snapshot, event: &Event) -> Vec<String> {
    let key = &snapshot.frame.devices.get(event.device).info.key;
    let end =
        event.cleared.map_or("still there".to_owned(), |at| format!("over since {}", clock(at.wall_ms)));
    let mut lines = vec![
        format!(" {} on {key}, seen by {}, {end}", event.title(), event.detector),
        format!(" do: {}", event.fault.remedy()),
    ];
    for evidence in event.evidence.iter().flatten() {
        let unit = evidence.metric.row().unit;
        let (seen, expected) = (value(evidence.observed, unit), value(evidence.expected, unit));
        lines.push(format!(" evidence: {} was {seen}, expected {expected}", evidence.metric));
    }
    lines
}
