//! The device page: its past, what is wrong with it, who is on it, and every reading with its unit or why there is none.
use crate::app::App;
use crate::format::{NOTHING, ago, clock, spark, value, wrap};
use crate::past::Track;
use crate::theme::{health_sign, severity_sign};
use model::{Device, Event, Metric, Snapshot, Unit, WorkState};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// The page, as long as it is.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let devices = app.accelerators();
    let Some(device) = devices.get(app.device) else {
        return vec![
            Line::raw(""),
            Line::raw(" no accelerator was found; page 7 shows what each source says"),
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
    lines.extend(super::parts::lines(app, snapshot, device, width));
    lines.push(Line::raw(""));
    lines.extend(super::readings::lines(app, device.id, width));
    lines
}

/// Attributes in the order in which they are looked for; the others follow by name, and the long list of peers.
const ATTRIBUTES: &[&str] = &["pci", "serial", "driver", "firmware", "vbios", "numa"];

/// Name and model, state, and what is known of it that does not change.
fn identity(app: &App, snapshot: &Snapshot, device: &Device, width: usize) -> Vec<Line<'static>> {
    let (info, health) = (&device.info, snapshot.health(device.id));
    let gone = if device.gone { ", gone" } else { "" };
    let mut state = vec![Span::styled(
        format!(" {} {}{gone}", health_sign(health, app.options.unicode), health.as_str()),
        app.theme.health(health),
    )];
    let late = super::late::word(snapshot, device);
    state.extend(late.map(|late| Span::styled(format!(", {late}"), app.theme.bad())));
    state.push(Span::raw(format!("   priority {}", snapshot.priority(device.id).as_str())));
    let work = snapshot.frame.work(device.id);
    state.extend(work.map(|work| Span::raw(format!("   {}", doing(work)))));
    state.push(Span::styled(format!("   {}", info.key), app.theme.dim()));
    let mut lines = vec![
        super::cut(&format!(" {}   {}", info.name, info.model), width, app.theme.title()),
        Line::from(state),
    ];
    let place = |name: &str| ATTRIBUTES.iter().position(|known| *known == name).unwrap_or(ATTRIBUTES.len());
    let mut known: Vec<_> = info.attributes.iter().collect();
    known.sort_by_key(|(name, _)| (*name == "peers", place(name)));
    let facts: Vec<_> = known.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let room = width.saturating_sub(1).max(10);
    lines.extend(
        packed(&facts, room).into_iter().map(|fact| super::cut(&format!(" {fact}"), width, app.theme.dim())),
    );
    let late = super::late::sentence(snapshot, device);
    let late = late.map(|text| wrap(&text, width.saturating_sub(4).max(10))).unwrap_or_default();
    lines.extend(late.into_iter().map(|text| Line::styled(format!(" {text}"), app.theme.bad())));
    lines
}

/// What it does, and how sure that is.
fn doing(state: &WorkState) -> String {
    format!("{} ({:.0} % sure)", state.work.as_str().replace('_', "-"), 100.0 * state.confidence)
}

/// Facts side by side in lines of a width; one is only torn apart where it is longer than a line.
fn packed(facts: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for fact in facts {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 3 + fact.chars().count() <= width => {
                line.push_str("   ");
                line.push_str(fact);
            }
            _ => lines.extend(wrap(fact, width)),
        }
    }
    lines
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
        " {} {}, {} since {}, {lasted}",
        severity_sign(event.severity, app.options.unicode),
        event.title(),
        event.phase.as_str(),
        clock(event.since.wall_ms),
    );
    if !event.active() {
        return vec![super::cut(&text, width, app.theme.dim())];
    }
    let style = app.theme.severity(event.severity);
    let title = wrap(&text, width.saturating_sub(4).max(10));
    let indent = |number: usize| if number == 0 { " " } else { "   " };
    let title =
        title.into_iter().enumerate().map(|(number, text)| (indent(number).to_owned() + &text, style));
    let mut lines: Vec<_> = title.map(|(text, style)| Line::styled(text, style)).collect();
    let remedy = wrap(event.advice(), width.saturating_sub(4).max(10));
    lines.extend(remedy.into_iter().map(|text| Line::raw(format!("   {text}"))));
    lines
}
