//! The overview: a row an accelerator, and the newest incidents below.
use crate::app::App;
use crate::format::{NOTHING, bar, fit, moment, spark, value};
use crate::past::Track;
use crate::theme::{health_sign, severity_sign};
use model::{Device, DeviceKind, Incident, Metric, Priority, Severity, Snapshot};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// One gibibyte, in bytes.
const GIB: f64 = 1_073_741_824.0;
/// Room below which the name of a workload would only be a stump.
const WHO_MIN: usize = 16;
/// Characters of a workload's name.
const WHO_NAME: usize = 22;

/// Widths that follow from the room there is; 0 leaves a column out.
#[derive(Debug, Clone, Copy)]
struct Widths {
    all: usize,
    name: usize,
    model: usize,
    bar: usize,
    spark: usize,
    who: usize,
}

/// `name`: the longest name, so that no two devices look alike.
fn widths(all: usize, name: usize) -> Widths {
    let (model, bar, spark, who) = match all {
        0..60 => (0, 0, 0, 0),
        60..80 => (0, 4, 0, 0),
        80..110 => (0, 6, 6, 0),
        110..160 => (18, 8, 14, 0),
        _ => (22, 12, 32, 34),
    };
    Widths { all, name: name.clamp(6, 10), model, bar, spark, who }
}

/// The page.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let devices = app.accelerators();
    let name = devices.iter().map(|device| device.info.name.chars().count()).max().unwrap_or(0);
    let (mut widths, room) = (widths(usize::from(area.width), name), usize::from(area.height));
    widths.who = if snapshot.shares.is_empty() { 0 } else { widths.who };
    let mut lines = Vec::new();
    if room > 6 {
        lines.extend([Line::raw(""), super::cut(&heading(widths), widths.all, app.theme.dim())]);
    }
    if devices.is_empty() {
        lines.push(Line::raw(" no accelerator was found; page 7 shows what each source says"));
    }
    // A row for each device, but two lines stay for what is wrong.
    let most = room.saturating_sub(lines.len() + 3).max(1);
    let rows = devices.len().min(most);
    let parts: usize = devices.iter().map(|device| parts_of(snapshot, device).len()).sum();
    let with_parts = parts > 0 && devices.len() + parts <= most;
    for place in super::window(app.device, devices.len(), rows) {
        lines.push(row(app, snapshot, devices[place], (place == app.device, widths)));
        if with_parts {
            lines.extend(
                parts_of(snapshot, devices[place])
                    .into_iter()
                    .map(|part| part_row(app, snapshot, part, widths)),
            );
        }
    }
    lines.push(super::cut(
        &hidden(rows, devices.len(), if with_parts { 0 } else { parts }),
        widths.all,
        app.theme.dim(),
    ));
    let left = room.saturating_sub(lines.len());
    lines.extend(super::workloads::news(app, snapshot, widths.all).filter(|_| left > 2));
    let left = room.saturating_sub(lines.len());
    lines.extend(news(app, snapshot, widths.all, left));
    lines
}

fn parts_of<'a>(snapshot: &'a Snapshot, device: &Device) -> Vec<&'a Device> {
    super::parts::of(snapshot, device, DeviceKind::Partition)
}

/// What there was no room for.
fn hidden(rows: usize, count: usize, parts: usize) -> String {
    let devices = (rows < count).then(|| format!("{rows} of {count} devices; arrows show the others"));
    let parts = (parts > 0).then(|| {
        let word = if parts == 1 { "partition" } else { "partitions" };
        format!("{parts} {word}; page 2 shows them")
    });
    let told: Vec<_> = [devices, parts].into_iter().flatten().collect();
    if told.is_empty() { String::new() } else { format!("   {}", told.join("; ")) }
}

fn heading(widths: Widths) -> String {
    let Widths { model, bar, spark, who, .. } = widths;
    let name = if model > 0 { format!("{:<model$} ", "model") } else { String::new() };
    let user = if who > 0 { format!("{:<who$}  ", "used by") } else { String::new() };
    format!(
        "  {:<first$} {name}{:<busy$} {:>11} {:<spark$} {:>5} {:>6} {:>8}  {user}state",
        "device",
        "busy",
        "power",
        "",
        "temp",
        "clock",
        "memory",
        first = widths.name + 1,
        busy = bar + 5,
    )
}

fn row(app: &App, snapshot: &Snapshot, device: &Device, look: (bool, Widths)) -> Line<'static> {
    let (widths, unicode) = (look.1, app.options.unicode);
    let mut spans = names(app, snapshot, device, look);
    spans.extend(busy(app, snapshot, device, widths));
    spans.extend(power(app, snapshot, device, widths.spark));
    let temperature = snapshot.frame.value(device.id, Metric::Temperature);
    let temperature = or_nothing(temperature.map(|celsius| format!("{celsius:.0}°C")));
    let clock = snapshot.frame.value(device.id, Metric::ClockSm);
    let clock = or_nothing(clock.map(|hz| format!("{:.2}G", hz / 1e9)));
    let memory = memory(snapshot, device);
    spans.push(Span::raw(format!(" {temperature:>5} {clock:>6} {memory:>8}  ")));
    let user = user(snapshot, device);
    if widths.who > 0 {
        spans.push(Span::styled(
            format!("{}  ", fit(user.as_deref().unwrap_or(""), widths.who)),
            app.theme.dim(),
        ));
    }
    let health = snapshot.health(device.id);
    let late = super::late::word(snapshot, device);
    let word = late.unwrap_or_else(|| health.as_str().to_owned());
    spans.push(Span::styled(format!("{} {word}", health_sign(health, unicode)), app.theme.health(health)));
    let used: usize = spans.iter().map(Span::width).sum();
    let room = widths.all.saturating_sub(used + 1);
    let user = user.filter(|_| widths.who == 0 && room >= WHO_MIN).map(|user| (user, false));
    let why = match super::late::word(snapshot, device) {
        // The state already says what is wrong; which call it is helps where it can be read.
        Some(_) => Some((super::late::call(snapshot, device).to_owned(), true)).filter(|_| room >= WHO_MIN),
        None => why(snapshot, device).or(user).filter(|_| room > 2),
    };
    spans.extend(why.map(|(text, warn)| {
        let style = if warn { app.theme.warn() } else { app.theme.dim() };
        Span::styled(format!(" {}", fit(&text, room).trim_end()), style)
    }));
    Line::from(spans)
}

/// A partition, below the accelerator that it is a part of; power, heat and clock are the whole's.
fn part_row(app: &App, snapshot: &Snapshot, part: &Device, widths: Widths) -> Line<'static> {
    let name = if widths.model > 0 { widths.name + widths.model + 1 } else { widths.name };
    let model = if widths.model > 0 { part.info.model.as_str() } else { "" };
    let label = format!("{} {model}", super::parts::short(snapshot, part));
    let mut spans = vec![Span::styled(
        format!("   {}  ", fit(label.trim_end(), name.saturating_sub(1))),
        app.theme.dim(),
    )];
    spans.extend(busy(app, snapshot, part, widths));
    let gap = 12 + widths.spark + 14;
    spans.push(Span::raw(format!("{}{:>8}", " ".repeat(gap), memory(snapshot, part))));
    Line::from(spans)
}

fn or_nothing(text: Option<String>) -> String {
    text.unwrap_or_else(|| NOTHING.to_owned())
}

fn busy(app: &App, snapshot: &Snapshot, device: &Device, widths: Widths) -> [Span<'static>; 2] {
    let busy = snapshot.frame.value(device.id, Metric::Utilization);
    // No bar at all where nothing is known: an empty one would say zero.
    let bar = busy.map_or(" ".repeat(widths.bar), |busy| bar(busy, widths.bar, app.options.unicode));
    let text = format!(" {:>4} ", or_nothing(busy.map(|busy| format!("{:.0}%", 100.0 * busy))));
    [Span::styled(bar, app.theme.accent()), Span::raw(text)]
}

/// Memory in use and in all, in GiB.
fn memory(snapshot: &Snapshot, device: &Device) -> String {
    let get = |metric| snapshot.frame.value(device.id, metric).map(|bytes| format!("{:.0}", bytes / GIB));
    match (get(Metric::MemoryUsed), get(Metric::MemorySize)) {
        (None, None) => NOTHING.to_owned(),
        (used, size) => format!("{}/{}G", or_nothing(used), or_nothing(size)),
    }
}

/// The workload that draws the most, and how many more there are.
fn user(snapshot: &Snapshot, device: &Device) -> Option<String> {
    let shares = super::parts::shares(snapshot, device.id);
    let known: Vec<_> = shares.iter().filter(|share| share.workload.is_some()).collect();
    let top = known.first()?;
    let watts = top.power.map_or(NOTHING.to_owned(), |power| value(power.0, model::Unit::Watts));
    let more = if known.len() > 1 { format!(" +{}", known.len() - 1) } else { String::new() };
    let name = top.workload.as_ref().map_or("", |w| if w.pod.is_empty() { &w.name } else { &w.pod });
    Some(format!("{} {watts}{more}", fit(name, WHO_NAME).trim_end()))
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
        Span::styled(format!("{cursor}{}", fit(&info.name, widths.name)), style),
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

/// The newest active incidents, and below them what was over last.
fn news(app: &App, snapshot: &Snapshot, width: usize, room: usize) -> Vec<Line<'static>> {
    if room < 2 {
        return Vec::new();
    }
    let active = snapshot.incidents.iter().filter(|incident| incident.active()).count();
    let title = match active {
        0 => " no active incident".to_owned(),
        1 => " 1 active incident".to_owned(),
        more => format!(" {more} active incidents"),
    };
    let mut lines = vec![Line::styled(title, app.theme.title())];
    lines.extend(
        snapshot.incidents.iter().take(room - 1).map(|incident| told(app, snapshot, incident, width)),
    );
    lines
}

fn told(app: &App, snapshot: &Snapshot, incident: &Incident, width: usize) -> Line<'static> {
    let sign = format!(
        " {} {:<8}",
        severity_sign(incident.severity, app.options.unicode),
        incident.severity.as_str()
    );
    let state = if incident.active() { "active" } else { "cleared" };
    let since = moment(incident.since.wall_ms, snapshot.frame.at.wall_ms);
    let mut text = format!("  {since}  {state:<7}  {}", incident.title());
    if width >= 120 {
        text.push_str(&format!("   {}", incident.cause.sentence));
    }
    let text = fit(&text, width.saturating_sub(11)).trim_end().to_owned();
    if incident.active() {
        Line::from(vec![Span::styled(sign, app.theme.severity(incident.severity)), Span::raw(text)])
    } else {
        Line::styled(format!("{sign}{text}"), app.theme.dim())
    }
}
