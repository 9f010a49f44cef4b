//! The overview: a row an accelerator, and the newest events below.
use crate::app::App;
use crate::format::{NOTHING, bar, clock, fit, spark, value};
use crate::past::Track;
use crate::theme::{health_sign, severity_sign};
use model::{Device, Event, Metric, Priority, Severity, Snapshot};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// Widths that follow from the room there is; 0 leaves a column out.
#[derive(Debug, Clone, Copy)]
struct Widths {
    all: usize,
    model: usize,
    bar: usize,
    spark: usize,
}

fn widths(all: usize) -> Widths {
    let (model, bar, spark) = match all {
        0..60 => (0, 0, 0),
        60..80 => (0, 4, 0),
        80..110 => (0, 6, 6),
        110..160 => (18, 8, 14),
        _ => (22, 12, 32),
    };
    Widths { all, model, bar, spark }
}

/// The page.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let (widths, room) = (widths(usize::from(area.width)), usize::from(area.height));
    let devices = app.accelerators();
    let mut lines = Vec::new();
    if room > 6 {
        lines.extend([Line::raw(""), super::cut(&heading(widths), widths.all, app.theme.dim())]);
    }
    if devices.is_empty() {
        lines.push(Line::raw(" no accelerator was found; page 5 shows what each source says"));
    }
    // A row for each device, but two lines stay for what is wrong.
    let rows = devices.len().min(room.saturating_sub(lines.len() + 3).max(1));
    for place in super::window(app.device, devices.len(), rows) {
        lines.push(row(app, snapshot, devices[place], (place == app.device, widths)));
    }
    if rows < devices.len() {
        let text = format!("   {} of {} devices; arrows show the others", rows, devices.len());
        lines.push(super::cut(&text, widths.all, app.theme.dim()));
    } else {
        lines.push(Line::raw(""));
    }
    let left = room.saturating_sub(lines.len());
    lines.extend(news(app, snapshot, widths.all, left));
    lines
}

fn heading(widths: Widths) -> String {
    let Widths { model, bar, spark, .. } = widths;
    let name = if model > 0 { format!("{:<model$} ", "model") } else { String::new() };
    format!(
        "  {:<7} {name}{:<busy$} {:>11} {:<spark$} {:>5} {:>6} {:>8}  state",
        "device",
        "busy",
        "power",
        "",
        "temp",
        "clock",
        "memory",
        busy = bar + 5,
    )
}

fn row(app: &App, snapshot: &Snapshot, device: &Device, look: (bool, Widths)) -> Line<'static> {
    let ((selected, widths), unicode) = (look, app.options.unicode);
    let get = |metric| snapshot.frame.value(device.id, metric);
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let busy = get(Metric::Utilization);
    let clock = or_nothing(get(Metric::ClockSm).map(|hz| format!("{:.2}G", hz / 1e9)));
    let memory = get(Metric::MemoryUsed).zip(get(Metric::MemorySize));
    let gib = f64::from(1 << 30);
    let memory = or_nothing(memory.map(|(used, size)| format!("{:.0}/{:.0}G", used / gib, size / gib)));
    let temperature = or_nothing(get(Metric::Temperature).map(|celsius| format!("{celsius:.0}°C")));
    let mut spans = names(app, snapshot, device, (selected, widths));
    // No bar at all where nothing is known: an empty one would say zero.
    let bar = busy.map_or(" ".repeat(widths.bar), |busy| bar(busy, widths.bar, unicode));
    spans.push(Span::styled(bar, app.theme.accent()));
    spans.push(Span::raw(format!(" {:>4} ", or_nothing(busy.map(|busy| format!("{:.0}%", 100.0 * busy))))));
    spans.extend(power(app, snapshot, device, widths.spark));
    spans.push(Span::raw(format!(" {temperature:>5} {clock:>6} {memory:>8}  ")));
    let health = snapshot.health(device.id);
    let text = format!("{} {}", health_sign(health, unicode), health.as_str());
    spans.push(Span::styled(text, app.theme.health(health)));
    let used: usize = spans.iter().map(Span::width).sum();
    let room = widths.all.saturating_sub(used + 1);
    let why = why(snapshot, device).filter(|_| room > 2);
    spans.extend(why.map(|(text, warn)| {
        let style = if warn { app.theme.warn() } else { app.theme.dim() };
        Span::styled(format!(" {}", fit(&text, room).trim_end()), style)
    }));
    Line::from(spans)
}

/// Cursor, name, priority and model.
fn names(app: &App, snapshot: &Snapshot, device: &Device, look: (bool, Widths)) -> Vec<Span<'static>> {
    let ((selected, widths), info) = (look, &device.info);
    let cursor = match (selected, app.options.unicode) {
        (true, true) => "▸ ",
        (true, false) => "> ",
        (false, _) => "  ",
    };
    let priority = match snapshot.priority(device.id) {
        Priority::High => "↑",
        Priority::Normal => " ",
        Priority::Low => "↓",
    };
    let style = if selected { app.theme.title() } else { Style::new() };
    let mut spans = vec![
        Span::styled(format!("{cursor}{}", fit(&info.name, 6)), style),
        Span::styled(format!("{priority} "), app.theme.dim()),
    ];
    if widths.model > 0 {
        let maker = ["NVIDIA ", "AMD ", "Intel ", "Huawei "];
        let short = maker.iter().find_map(|maker| info.model.strip_prefix(maker)).unwrap_or(&info.model);
        spans.push(Span::styled(format!("{} ", fit(short, widths.model)), app.theme.dim()));
    }
    spans
}

/// Power against the limit, and its short past.
fn power(app: &App, snapshot: &Snapshot, device: &Device, points: usize) -> Vec<Span<'static>> {
    let get = |metric| snapshot.frame.value(device.id, metric);
    let power = get(Metric::PowerInstant).or(get(Metric::PowerAverage));
    let limit = get(Metric::PowerLimitEnforced);
    let watts = match (power, limit) {
        (Some(power), Some(limit)) => format!("{power:.0}/{limit:.0} W"),
        (Some(power), None) => format!("{power:.0} W"),
        (None, Some(limit)) => format!("{NOTHING}/{limit:.0} W"),
        (None, None) => NOTHING.to_owned(),
    };
    let lowered = limit.zip(get(Metric::PowerLimitDefault)).is_some_and(|(limit, usual)| limit < usual - 0.5);
    let style = if lowered { app.theme.warn() } else { Style::new() };
    let most = get(Metric::PowerLimitMax).or(limit).unwrap_or(1000.0);
    let line = app.past.line(&device.info.key, Track::Power, points);
    vec![
        Span::styled(format!("{watts:>11} "), style),
        Span::styled(spark(&line, most, points, app.options.unicode), app.theme.accent()),
    ]
}

/// What is wrong with a device, else why its clock is lower than it could be; `true` where it calls for attention.
fn why(snapshot: &Snapshot, device: &Device) -> Option<(String, bool)> {
    let worst = snapshot.events.iter().filter(|event| event.active() && event.device == device.id);
    let worst = worst.filter(|event| event.severity > Severity::Info).max_by_key(|event| event.severity);
    if let Some(event) = worst {
        return Some((event.title(), true));
    }
    let names = [
        (Metric::EventHwThermal, "heat", true),
        (Metric::EventSwThermal, "heat", true),
        (Metric::EventPowerBrake, "brake", true),
        (Metric::EventHwSlowdown, "slowed", true),
        (Metric::EventSwPowerCap, "cap", false),
        (Metric::EventSyncBoost, "sync", false),
        (Metric::EventAppClocks, "clocks", false),
    ];
    let set = |metric| snapshot.frame.flag(device.id, metric) == Some(true);
    names.into_iter().find(|(metric, ..)| set(*metric)).map(|(_, name, warn)| (name.to_owned(), warn))
}

/// The newest active events, and below them what was cleared last.
fn news(app: &App, snapshot: &Snapshot, width: usize, room: usize) -> Vec<Line<'static>> {
    if room < 2 {
        return Vec::new();
    }
    let active = snapshot.events.iter().filter(|event| event.active()).count();
    let title = match active {
        0 => " no active event".to_owned(),
        1 => " 1 active event".to_owned(),
        more => format!(" {more} active events"),
    };
    let mut lines = vec![Line::styled(title, app.theme.title())];
    lines.extend(snapshot.events.iter().take(room - 1).map(|event| told(app, snapshot, event, width)));
    lines
}

fn told(app: &App, snapshot: &Snapshot, event: &Event, width: usize) -> Line<'static> {
    let sign =
        format!(" {} {:<8}", severity_sign(event.severity, app.options.unicode), event.severity.as_str());
    let name = &snapshot.frame.devices.get(event.device).info.name;
    let mut text =
        format!("  {}  {:<7}  {} on {name}", clock(event.since.wall_ms), event.phase.as_str(), event.title());
    if let Some(evidence) = event.evidence[0].filter(|_| width >= 120) {
        let unit = evidence.metric.row().unit;
        let (seen, expected) = (value(evidence.observed, unit), value(evidence.expected, unit));
        text.push_str(&format!("   {} {seen}, expected {expected}", evidence.metric));
    }
    let text = fit(&text, width.saturating_sub(11)).trim_end().to_owned();
    if event.active() {
        Line::from(vec![Span::styled(sign, app.theme.severity(event.severity)), Span::raw(text)])
    } else {
        Line::styled(format!("{sign}{text}"), app.theme.dim())
    }
}
