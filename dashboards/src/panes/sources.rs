//! The sources page: what is read, what is not and why, and what the agent itself costs.
use crate::app::App;
use crate::format::{NOTHING, fit, value};
use model::snapshot::SourceHealth;
use model::{DeviceKind, Metric, Snapshot, Unit};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// The page, as long as it is.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let width = usize::from(area.width);
    let heading = format!(
        " {:<12} {:<6} {:>9} {:>8} {:>7}  {}",
        "source", "state", "took", "readings", "absent", "why, and failures since the start"
    );
    let mut lines = vec![Line::raw(""), super::cut(&heading, width, app.theme.dim())];
    lines.extend(snapshot.sources.iter().map(|source| row(app, snapshot, source, width)));
    if snapshot.sources.is_empty() {
        lines.push(Line::raw(" no source is open"));
    }
    lines.extend([Line::raw(""), Line::styled(" the agent itself", app.theme.title())]);
    lines.extend(agent(snapshot).into_iter().map(|text| Line::raw(fit(&text, width))));
    lines
}

fn row(app: &App, snapshot: &Snapshot, source: &SourceHealth, width: usize) -> Line<'static> {
    let device = snapshot.frame.devices.find(DeviceKind::Source, &source.name);
    let get = |metric, unit| {
        device
            .and_then(|id| snapshot.frame.value(id, metric))
            .map_or(NOTHING.to_owned(), |number| value(number, unit))
    };
    let (state, style) = match (source.up, source.reason) {
        (true, _) => ("up", app.theme.good()),
        (false, Some(model::Reason::Unsupported)) => ("none", app.theme.dim()),
        (false, _) => ("down", app.theme.bad()),
    };
    let failures: Vec<_> =
        source.failures.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let reason = source.reason.map_or("", model::Reason::as_str);
    let why = source.message.as_deref().unwrap_or(reason);
    let right = format!(
        " {:>9} {:>8} {:>7}  {why}{}{}",
        get(Metric::SourceDuration, Unit::Seconds),
        get(Metric::SourceReadings, Unit::Count),
        get(Metric::SourceAbsences, Unit::Count),
        if why.is_empty() || failures.is_empty() { "" } else { "   " },
        failures.join(", ")
    );
    let right = fit(&right, width.saturating_sub(20)).trim_end().to_owned();
    Line::from(vec![
        Span::raw(format!(" {} ", fit(&source.name, 12))),
        Span::styled(format!("{state:<6}"), style),
        Span::raw(right),
    ])
}

fn agent(snapshot: &Snapshot) -> Vec<String> {
    let vitals = &snapshot.vitals;
    let lived_s = vitals.beats as f64 * snapshot.node.beat_s;
    let share = if lived_s > 0.0 {
        format!("{:.2} % of one core", 100.0 * vitals.cpu_seconds / lived_s)
    } else {
        NOTHING.to_owned()
    };
    let seconds = |seconds| value(seconds, Unit::Seconds);
    vec![
        format!(
            "   beats      {}, one each {}, {} missed",
            vitals.beats,
            seconds(snapshot.node.beat_s),
            vitals.beats_missed
        ),
        format!(
            "   last beat  took {}, began {} late",
            seconds(vitals.beat_seconds),
            seconds(vitals.late_seconds)
        ),
        format!("   processor  {} so far, {share}", seconds(vitals.cpu_seconds)),
        format!(
            "   memory     {} resident, {} of it history and models",
            value(vitals.resident_bytes as f64, Unit::Bytes),
            value(vitals.held_bytes as f64, Unit::Bytes)
        ),
    ]
}
