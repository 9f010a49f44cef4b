//! The overview: a row an accelerator, and the newest events below.
use crate::app::App;
use crate::format::{NOTHING, bar, fit, spark};
use model::event::Health;
use model::{Device, Event, Metric, Snapshot};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// Widths that follow from the room there is.
#[derive(Debug, Clone, Copy)]
struct Widths {
    model: usize,
    bar: usize,
    spark: usize,
}

fn widths(width: usize) -> Widths {
    match width {
        0..100 => Widths { model: 0, bar: 6, spark: 6 },
        100..150 => Widths { model: 0, bar: 10, spark: 16 },
        _ => Widths { model: 26, bar: 14, spark: 40 },
    }
}

/// The page.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let (width, room) = (usize::from(area.width), usize::from(area.height));
    let devices = app.accelerators();
    let mut lines = vec![Line::raw(""), Line::styled(heading(widths(width)), app.theme.dim())];
    if devices.is_empty() {
        lines.push(Line::raw(" no accelerator was found; page 5 shows what each source says"));
    }
    let rows = devices.len().min(room.saturating_sub(5).max(1));
    for place in super::window(app.device, devices.len(), rows) {
        lines.push(row(app, snapshot, devices[place], place == app.device, widths(width)));
    }
    lines.push(Line::raw(""));
    let left = room.saturating_sub(lines.len());
    lines.extend(news(app, snapshot, width, left));
    lines
}

fn heading(widths: Widths) -> String {
    let Widths { model, bar, spark } = widths;
    let name = if model > 0 { format!("{:<model$}", "model") } else { String::new() };
    format!(
        "  device   {name}{:<rest$} {:<12}{:<pad$} {:>5} {:>6} {:>7}  state",
        "busy",
        "power",
        "",
        "temp",
        "clock",
        "memory",
        rest = bar + 5,
        pad = spark
    )
}

fn row(app: &App, snapshot: &Snapshot, device: &Device, selected: bool, widths: Widths) -> Line<'static> {
    let frame = &snapshot.frame;
    let get = |metric| frame.value(device.id, metric);
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let unicode = app.options.unicode;
    let busy = get(Metric::Utilization);
    let power = get(Metric::PowerInstant).or(get(Metric::PowerAverage));
    let limit = get(Metric::PowerLimitEnforced);
    let share = power.zip(limit).map(|(power, limit)| power / limit);
    let most = get(Metric::PowerLimitMax).or(limit).unwrap_or(1000.0);
    let health = snapshot.health(device.id);
    let watts = or_nothing(power.map(|power| format!("{power:.0}")));
    let of = limit.map_or(String::new(), |limit| format!("/{limit:.0} W"));
    let clock = or_nothing(get(Metric::ClockSm).map(|hz| format!("{:.2} G", hz / 1e9)));
    let gib = f64::from(1 << 30);
    let memory = get(Metric::MemoryUsed).zip(get(Metric::MemorySize));
    let memory = or_nothing(memory.map(|(used, size)| format!("{:.0}/{:.0}G", used / gib, size / gib)));
    let temperature = or_nothing(get(Metric::Temperature).map(|celsius| format!("{celsius:.0} °C")));
    let line = app.past.line(&device.info.key, widths.spark);
    let cursor = if selected { if unicode { "▸" } else { ">" } } else { " " };
    let name_style = if selected { app.theme.title() } else { Style::new() };
    let mut spans = vec![
        Span::styled(format!("{cursor} {} ", fit(&device.info.name, 8)), name_style),
        Span::styled(fit(&device.info.model, widths.model), app.theme.dim()),
        Span::styled(bar(busy.unwrap_or(0.0), widths.bar, unicode), app.theme.accent()),
        Span::raw(format!(" {:>4} ", or_nothing(busy.map(|busy| format!("{:.0}%", 100.0 * busy))))),
        Span::styled(
            format!("{:<12}", format!("{watts:>4}{of}")),
            share.map_or(app.theme.dim(), |share| app.theme.share(share - 0.1)),
        ),
        Span::styled(spark(&line, most, widths.spark, unicode), app.theme.accent()),
        Span::raw(format!(" {temperature:>6}{clock:>7} {memory:>7}  ")),
        Span::styled(format!("{} {}", sign(health, unicode), health.as_str()), app.theme.health(health)),
    ];
    spans.extend(reasons(snapshot, device).map(|text| Span::styled(text, app.theme.dim())));
    Line::from(spans)
}

/// The sign of a state, for terminals without colour.
fn sign(health: Health, unicode: bool) -> &'static str {
    match (health, unicode) {
        (Health::Healthy, true) => "●",
        (Health::Degraded, true) => "▲",
        (Health::Faulty, true) => "✖",
        (Health::Unknown, true) => "?",
        (Health::Healthy, false) => "o",
        (Health::Degraded, false) => "!",
        (Health::Faulty, false) => "X",
        (Health::Unknown, false) => "?",
    }
}

/// Why the clock is lower than it could be.
fn reasons(snapshot: &Snapshot, device: &Device) -> Option<String> {
    let names = [
        (Metric::EventHwThermal, "heat"),
        (Metric::EventSwThermal, "heat"),
        (Metric::EventPowerBrake, "brake"),
        (Metric::EventSwPowerCap, "cap"),
    ];
    let set = |metric| snapshot.frame.flag(device.id, metric) == Some(true);
    names.into_iter().find(|(metric, _)| set(*metric)).map(|(_, name)| format!(" {name}"))
}

/// The newest active events, and below them what was cleared last.
fn news(app: &App, snapshot: &Snapshot, width: usize, room: usize) -> Vec<Line<'static>> {
    if room < 2 {
        return Vec::new();
    }
    let active = snapshot.events.iter().filter(|event| event.active()).count();
    let title = if active == 0 {
        " no active event".to_owned()
    } else {
        format!(" {active} active event{}", if active == 1 { "" } else { "s" })
    };
    let mut lines = vec![Line::styled(title, app.theme.title())];
    lines.extend(snapshot.events.iter().take(room - 1).map(|event| told(app, snapshot, event, width)));
    lines
}

fn told(app: &App, snapshot: &Snapshot, event: &Event, width: usize) -> Line<'static> {
    let name = &snapshot.frame.devices.get(event.device).info.name;
    let since = crate::format::clock(event.since.wall_ms);
    let text = format!(
        " {since}  {:<8} {:<8} {} on {name}",
        event.phase.as_str(),
        event.severity.as_str(),
        event.title()
    );
    let style = if event.active() { app.theme.severity(event.severity) } else { app.theme.dim() };
    Line::styled(fit(&text, width), style)
}
