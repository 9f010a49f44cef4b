//! The sources page: what is read, what is not and why, and what the agent itself costs.
use crate::app::App;
use crate::format::{NOTHING, fit, value};
use model::{DeviceKind, Metric, Snapshot, Unit};
use ratatui::layout::Rect;
use ratatui::text::Line;

/// The page.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let width = usize::from(area.width);
    let heading = format!("   {:<12} {:<8} {:>9} {:>9}  {}", "source", "state", "took", "readings", "why");
    let mut lines = vec![Line::raw(""), Line::styled(fit(&heading, width), app.theme.dim())];
    for source in &snapshot.sources {
        let find = snapshot.frame.devices.find(DeviceKind::Source, &source.name);
        let get = |metric, unit| {
            find.and_then(|id| snapshot.frame.value(id, metric))
                .map_or(NOTHING.to_owned(), |number| value(number, unit))
        };
        let absent = source.reason == Some(model::Reason::Unsupported);
        let state = if source.up {
            "up"
        } else if absent {
            "none"
        } else {
            "down"
        };
        let why = source.message.as_deref().unwrap_or("");
        let (took, count) =
            (get(Metric::SourceDuration, Unit::Seconds), get(Metric::SourceReadings, Unit::Count));
        let text = format!("   {:<12} {state:<8} {took:>9} {count:>9}  {why}", source.name);
        let style = if source.up {
            app.theme.good()
        } else if absent {
            app.theme.dim()
        } else {
            app.theme.bad()
        };
        lines.push(Line::styled(fit(&text, width), style));
    }
    lines.push(Line::raw(""));
    lines.extend(agent(snapshot).into_iter().map(|text| Line::raw(fit(&text, width))));
    lines.into_iter().skip(app.line).take(usize::from(area.height)).collect()
}

fn agent(snapshot: &Snapshot) -> Vec<String> {
    let vitals = &snapshot.vitals;
    vec![
        format!("   agent: {} beats, {} missed", vitals.beats, vitals.beats_missed),
        format!(
            "   last beat took {}, began {} late",
            value(vitals.beat_seconds, Unit::Seconds),
            value(vitals.late_seconds, Unit::Seconds)
        ),
        format!(
            "   {} of processor time so far, {} resident",
            value(vitals.cpu_seconds, Unit::Seconds),
            value(vitals.resident_bytes as f64, Unit::Bytes)
        ),
    ]
}
