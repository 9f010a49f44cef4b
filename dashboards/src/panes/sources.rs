//! The sources page: what is read, what is not and why, and what the agent itself costs.
use crate::app::App;
use crate::format::{NOTHING, ago, fit, value, wrap};
use model::snapshot::SourceHealth;
use model::{DeviceKind, Metric, Reason, Snapshot, Unit};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// The page, as long as it is.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let width = usize::from(area.width);
    let name =
        snapshot.sources.iter().map(|source| source.name.chars().count()).max().unwrap_or(0).clamp(11, 20);
    let heading = format!(
        " {:<name$} {:<6} {:>8} {:>5} {:>8} {:>6}  failures, or why none",
        "source", "state", "took", "calls", "readings", "absent"
    );
    let mut lines = vec![Line::raw(""), super::cut(&heading, width, app.theme.dim())];
    lines.extend(snapshot.sources.iter().flat_map(|source| rows(app, snapshot, source, (name, width))));
    if snapshot.sources.is_empty() {
        lines.push(Line::raw(" no source is open"));
    }
    lines.extend([Line::raw(""), Line::styled(" the agent itself", app.theme.title())]);
    lines.extend(agent(snapshot).into_iter().map(|text| Line::raw(fit(&text, width))));
    lines
}

/// What a source did on its last collection, and below it why it does not do better.
fn rows(app: &App, snapshot: &Snapshot, source: &SourceHealth, look: (usize, usize)) -> Vec<Line<'static>> {
    let (name, width) = look;
    let device = snapshot.frame.devices.find(DeviceKind::Source, &source.name);
    let get = |metric, unit| {
        device
            .and_then(|id| snapshot.frame.value(id, metric))
            .map_or(NOTHING.to_owned(), |number| value(number, unit))
    };
    let (state, style) = match (source.up, source.reason) {
        (true, _) => ("up", app.theme.good()),
        (false, Some(Reason::Unsupported)) => ("none", app.theme.dim()),
        (false, Some(Reason::Late)) => ("late", app.theme.bad()),
        (false, Some(Reason::Denied)) => ("denied", app.theme.bad()),
        (false, _) => ("down", app.theme.bad()),
    };
    let failures: Vec<_> =
        source.failures.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let none = source.reason == Some(Reason::Unsupported) && !source.up && failures.is_empty();
    let none = source.message.as_deref().filter(|_| none);
    let right = format!(
        " {:>8} {:>5} {:>8} {:>6}  {}{}",
        get(Metric::SourceDuration, Unit::Seconds),
        get(Metric::SourceCalls, Unit::Count),
        get(Metric::SourceReadings, Unit::Count),
        get(Metric::SourceAbsences, Unit::Count),
        failures.join(", "),
        none.unwrap_or("")
    );
    let right = fit(&right, width.saturating_sub(name + 8)).trim_end().to_owned();
    let mut lines = vec![Line::from(vec![
        Span::raw(format!(" {} ", fit(&source.name, name))),
        Span::styled(format!("{state:<6}"), style),
        Span::raw(right),
    ])];
    let late_s =
        device.and_then(|id| snapshot.frame.value(id, Metric::SourceLate)).filter(|late| *late > 0.0);
    let reason = source.reason.map(Reason::as_str).filter(|_| !source.up);
    let why = source.message.as_deref().or(reason).filter(|_| none.is_none()).map(str::to_owned);
    let why = why.or(late_s.map(|late| format!("past its deadline for {}", ago(late))));
    let why = why.map(|why| wrap(&why, width.saturating_sub(5).max(10))).unwrap_or_default();
    lines.extend(why.into_iter().map(|text| super::cut(&format!("   {text}"), width, app.theme.dim())));
    lines
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
