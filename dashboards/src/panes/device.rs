//! The device page: every reading with its unit, absences with their reason, who is on it, what is wrong with it.
use crate::app::App;
use crate::format::{fit, reading, spark};
use model::{Metric, Snapshot};
use ratatui::layout::Rect;
use ratatui::text::Line;

/// The page.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let devices = app.accelerators();
    let Some(device) = devices.get(app.device) else {
        return vec![Line::raw(""), Line::raw(" no accelerator was found")];
    };
    let (width, info) = (usize::from(area.width), &device.info);
    let health = snapshot.health(device.id);
    let title = format!(" {}  {}  {}", info.name, info.model, info.key);
    let mut lines = vec![Line::raw(""), Line::styled(fit(&title, width), app.theme.title())];
    let attributes: Vec<_> = info.attributes.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let state = format!(
        " {}, priority {}  {}",
        health.as_str(),
        snapshot.priority(device.id).as_str(),
        attributes.join("  ")
    );
    lines.push(Line::styled(fit(&state, width), app.theme.health(health)));
    let points = app.past.line(&info.key, width.saturating_sub(10));
    let most = snapshot.frame.value(device.id, Metric::PowerLimitMax).unwrap_or(1000.0);
    let line = spark(&points, most, points.len(), app.options.unicode);
    lines.push(Line::styled(format!(" power   {line}"), app.theme.accent()));
    for event in snapshot.events.iter().filter(|event| event.active() && event.device == device.id) {
        lines.push(Line::styled(
            fit(&format!(" {}: {}", event.title(), event.fault.remedy()), width),
            app.theme.severity(event.severity),
        ));
    }
    for process in snapshot.frame.processes.iter().filter(|process| process.device == device.id) {
        let memory = process
            .memory_bytes
            .map_or("memory unknown".to_owned(), |b| crate::format::value(b as f64, model::Unit::Bytes));
        lines.push(Line::raw(fit(&format!(" process {} {}  {memory}", process.pid, process.name), width)));
    }
    lines.push(Line::raw(""));
    let left = usize::from(area.height).saturating_sub(lines.len());
    lines.extend(table(snapshot, device.id, width, app.line).into_iter().take(left));
    lines
}

/// Readings in as many columns as fit.
fn table(snapshot: &Snapshot, device: model::DeviceId, width: usize, first: usize) -> Vec<Line<'static>> {
    const CELL: usize = 66;
    let columns = (width / CELL).max(1);
    let cell = |(metric, value): (Metric, model::Reading)| {
        let text = format!(
            " {:<46} {:>16}",
            metric.to_string().trim_start_matches("accelerator_"),
            reading(value, metric.row().unit)
        );
        fit(&text, CELL.min(width))
    };
    let cells: Vec<String> = snapshot.frame.readings(device).map(cell).collect();
    let rows = cells.len().div_ceil(columns);
    let row = |row: usize| {
        (0..columns).filter_map(|column| cells.get(column * rows + row)).cloned().collect::<String>()
    };
    (first.min(rows)..rows).map(|number| Line::raw(row(number))).collect()
}
