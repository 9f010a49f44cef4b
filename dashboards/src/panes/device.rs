//! The device page: its past, what is wrong with it, who is on it, and every reading with its unit or why there is none.
use crate::app::App;
use crate::format::{NOTHING, ago, clock, fit, spark, value, wrap};
use crate::past::Track;
use crate::theme::{health_sign, severity_sign};
use model::{Device, Event, Metric, Snapshot, Unit};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// The page, as long as it is.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let devices = app.accelerators();
    let Some(device) = devices.get(app.device) else {
        return vec![
            Line::raw(""),
            Line::raw(" no accelerator was found; page 5 shows what each source says"),
        ];
    };
    let width = usize::from(area.width);
    let mut lines = vec![Line::raw("")];
    lines.extend(identity(app, snapshot, device, width));
    lines.push(Line::raw(""));
    lines.extend(past(app, snapshot, device, width));
    let events: Vec<_> = snapshot.events.iter().filter(|event| event.device == device.id).collect();
    if !events.is_empty() {
        lines.extend([Line::raw(""), Line::styled(" events", app.theme.title())]);
        lines.extend(events.into_iter().take(6).flat_map(|event| told(app, snapshot, event, width)));
    }
    lines.extend(processes(app, snapshot, device, width));
    lines.push(Line::raw(""));
    lines.extend(super::readings::lines(app, device.id, width));
    lines
}

fn identity(app: &App, snapshot: &Snapshot, device: &Device, width: usize) -> Vec<Line<'static>> {
    let (info, health) = (&device.info, snapshot.health(device.id));
    let gone = if device.gone { ", gone" } else { "" };
    let mut state = vec![
        Span::styled(
            format!(" {} {}{gone}", health_sign(health, app.options.unicode), health.as_str()),
            app.theme.health(health),
        ),
        Span::raw(format!("   priority {}", snapshot.priority(device.id).as_str())),
    ];
    let mut facts = vec![info.key.clone()];
    facts.extend(info.attributes.iter().map(|(name, value)| format!("{name} {value}")));
    state.push(Span::styled(format!("   {}", facts.join("   ")), app.theme.dim()));
    vec![super::cut(&format!(" {}   {}", info.name, info.model), width, app.theme.title()), Line::from(state)]
}

/// Three lines of the short past, each with what is now and between what it moved.
fn past(app: &App, snapshot: &Snapshot, device: &Device, width: usize) -> Vec<Line<'static>> {
    let get = |metric| snapshot.frame.value(device.id, metric);
    let watts = get(Metric::PowerLimitMax).or(get(Metric::PowerLimitEnforced)).unwrap_or(1000.0);
    let celsius = get(Metric::TemperatureSlowdown).unwrap_or(100.0);
    let tracks = [
        ("power", Track::Power, watts, Unit::Watts),
        ("busy", Track::Busy, 1.0, Unit::Ratio),
        ("heat", Track::Heat, celsius, Unit::Celsius),
    ];
    let room = width.saturating_sub(40).min(crate::past::POINTS_MAX);
    let line = |(name, track, top, unit): (&str, Track, f64, Unit)| {
        let points = app.past.line(&device.info.key, track, room);
        let known = || points.iter().flatten().copied();
        let now = points.last().copied().flatten().map_or(NOTHING.to_owned(), |now| value(now, unit));
        let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
        let span = if low <= high {
            format!("{} to {}", value(low, unit), value(high, unit))
        } else {
            String::new()
        };
        Line::from(vec![
            Span::raw(format!(" {name:<6} {now:>7}  ")),
            Span::styled(spark(&points, top, room, app.options.unicode), app.theme.accent()),
            Span::styled(format!("  {span}"), app.theme.dim()),
        ])
    };
    tracks.into_iter().map(line).collect()
}

fn told(app: &App, snapshot: &Snapshot, event: &Event, width: usize) -> Vec<Line<'static>> {
    let end = event.cleared.unwrap_or(snapshot.frame.at);
    let lasted = ago(end.seconds_since(event.since));
    let text = format!(
        " {} {}   {} since {}, {lasted}",
        severity_sign(event.severity, app.options.unicode),
        event.title(),
        event.phase.as_str(),
        clock(event.since.wall_ms),
    );
    if !event.active() {
        return vec![super::cut(&text, width, app.theme.dim())];
    }
    let mut lines = vec![super::cut(&text, width, app.theme.severity(event.severity))];
    let remedy = wrap(event.fault.remedy(), width.saturating_sub(4).max(10));
    lines.extend(remedy.into_iter().map(|text| Line::raw(format!("   {text}"))));
    lines
}

fn processes(app: &App, snapshot: &Snapshot, device: &Device, width: usize) -> Vec<Line<'static>> {
    let mine: Vec<_> =
        snapshot.frame.processes.iter().filter(|process| process.device == device.id).collect();
    if mine.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![
        Line::raw(""),
        Line::styled(format!(" {:<24} {:>9} {:>14}", "processes", "pid", "memory"), app.theme.title()),
    ];
    for process in mine {
        let memory = process.memory_bytes.map(|bytes| value(bytes as f64, Unit::Bytes));
        let memory = memory.unwrap_or_else(|| format!("{NOTHING} not told"));
        let text = format!("   {} {:>9} {memory:>14}", fit(&process.name, 22), process.pid);
        lines.push(Line::raw(fit(&text, width)));
    }
    lines
}
