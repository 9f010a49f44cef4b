//! The incidents page: each a story of a leading line and its timeline; and the page of one, with its cause and evidence.
use crate::app::App;
use crate::format::{ago, evidence, fit, moment, wrap};
use crate::theme::severity_sign;
use model::incident::{Confidence, End, Moment};
use model::{Incident, Snapshot};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// Moments told below the selected incident, and below each other one that lasts.
const MOMENTS: (usize, usize) = (8, 4);
/// Columns of the headings on the page of one incident.
const HEAD: usize = 10;

/// The list.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let (width, room) = (usize::from(area.width), usize::from(area.height));
    if snapshot.incidents.is_empty() {
        return vec![Line::raw(""), Line::raw(" nothing was found wrong so far")];
    }
    let selected = app.line.min(snapshot.incidents.len() - 1);
    let heading = format!("     {:<9} {:<9} {:<8} what", "severity", "since", "state");
    let head = vec![Line::raw(""), super::cut(&heading, width, app.theme.dim())];
    let room = room.saturating_sub(head.len()).max(1);
    let block = |place: usize| {
        let incident = &snapshot.incidents[place];
        let mut block = vec![row(app, snapshot, incident, (place == selected, width))];
        block.extend(timeline(app, snapshot, incident, (place == selected, width)));
        if place == selected && incident.active() {
            let (indent, action) = (indent(width), &incident.advice);
            block.push(super::cut(&format!("{:indent$}→ {action}", ""), width, app.theme.title()));
        }
        if block.len() > 1 {
            block.push(Line::raw(""));
        }
        block
    };
    // The selected story is shown whole, if it fits; what comes before it gives way.
    let mut shown = block(selected);
    let mut first = selected;
    while first > 0 {
        let before = block(first - 1);
        if before.len() + shown.len() > room {
            break;
        }
        shown.splice(0..0, before);
        first -= 1;
    }
    for place in selected + 1..snapshot.incidents.len() {
        if shown.len() >= room {
            break;
        }
        shown.extend(block(place));
    }
    shown.truncate(room);
    head.into_iter().chain(shown).collect()
}

/// The word for where it is in its life.
fn state(incident: &Incident) -> &'static str {
    match (incident.active(), incident.end) {
        (true, _) => "active",
        (false, Some(End::Joined(_))) => "joined",
        (false, Some(End::Unwatched)) => "unseen",
        (false, _) => "cleared",
    }
}

fn row(
    app: &App,
    snapshot: &Snapshot,
    incident: &Incident,
    (selected, width): (bool, usize),
) -> Line<'static> {
    let cursor = match (selected, app.options.unicode) {
        (true, true) => "▸",
        (true, false) => ">",
        (false, _) => " ",
    };
    let sign = severity_sign(incident.severity, app.options.unicode);
    let severity = format!(" {cursor} {sign} {:<9} ", incident.severity.as_str());
    let since = moment(incident.since.wall_ms, snapshot.frame.at.wall_ms);
    let mut text = format!("{since:<9} {:<8} {}", state(incident), incident.title());
    if incident.returns > 0 {
        text.push_str(&format!(", back {}×", incident.returns));
    }
    let style = match (incident.active(), selected) {
        (true, _) => app.theme.title(),
        (false, true) => Style::new(),
        (false, false) => app.theme.dim(),
    };
    let colour = if incident.active() { app.theme.severity(incident.severity) } else { app.theme.dim() };
    let room = width.saturating_sub(severity.chars().count());
    Line::from(vec![
        Span::styled(severity, colour),
        Span::styled(naming(&text, room).trim_end().to_owned(), style),
    ])
}

/// A text cut to a width; what is cut stands before the device at its end, for that is what is looked for.
fn naming(text: &str, width: usize) -> String {
    let long = text.chars().count() > width;
    match text.rfind(" on ").map(|place| text.split_at(place)).filter(|_| long) {
        Some((what, whom)) if whom.chars().count() < width / 2 => {
            fit(what, width - whom.chars().count()) + whom
        }
        _ => fit(text, width),
    }
}

/// Columns before what stands below a leading line.
fn indent(width: usize) -> usize {
    if width < 70 { 5 } else { 15 }
}

/// The timeline below a leading line: its beginning and its end where it is long.
fn timeline(
    app: &App,
    snapshot: &Snapshot,
    incident: &Incident,
    (selected, width): (bool, usize),
) -> Vec<Line<'static>> {
    let most = match (selected, incident.active()) {
        (true, _) => MOMENTS.0,
        (false, true) => MOMENTS.1,
        (false, false) => 0,
    };
    let told = &incident.timeline;
    let indent = indent(width);
    let mut lines = Vec::new();
    for (number, moment) in told.iter().enumerate() {
        let left_out = told.len().saturating_sub(most);
        if left_out > 0 && number == most / 2 {
            let text = format!("{:indent$}… {} more", "", left_out + incident.untold as usize);
            lines.push(super::cut(&text, width, app.theme.dim()));
        }
        if most > 0 && (left_out == 0 || number < most / 2 || number >= most / 2 + left_out) {
            let style = if incident.active() { Style::new() } else { app.theme.dim() };
            lines.push(told_moment(snapshot, incident, (moment, number), (indent, width, style)));
        }
    }
    if most == 0 { Vec::new() } else { lines }
}

fn told_moment(
    snapshot: &Snapshot,
    incident: &Incident,
    (told, number): (&Moment, usize),
    (indent, width, style): (usize, usize, Style),
) -> Line<'static> {
    let at = moment(told.at.wall_ms, snapshot.frame.at.wall_ms);
    let word = if number == 0 { "first sign" } else { told.turn.as_str() };
    let name = incident.name(told.device);
    let text = format!("{:indent$}{at}  {word:<10}  {} on {name}", "", told.what);
    Line::styled(naming(&text, width).trim_end().to_owned(), style)
}

/// The page of one incident, as long as it is.
pub(super) fn story(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let Some(incident) = app.opened() else {
        return vec![Line::raw(""), Line::raw(" this incident is no longer kept; Esc goes back")];
    };
    let width = usize::from(area.width);
    let mut lines = heading(app, snapshot, incident, width);
    lines.extend(cause(app, incident, width));
    // What was seen comes before the timeline, which may be long: a small terminal shows why and what to do without scrolling.
    lines.extend(proofs(app, incident, width));
    lines.push(Line::raw(""));
    lines.extend(entry(app, "confirm", (&incident.cause.confirm, Style::new()), width));
    lines.push(Line::raw(""));
    lines.push(super::cut(" timeline", width, app.theme.title()));
    for (number, told) in incident.timeline.iter().enumerate() {
        let style = app.theme.severity(told.severity);
        let style = if told.turn == model::incident::Turn::Over { app.theme.dim() } else { style };
        lines.push(told_moment(snapshot, incident, (told, number), (3, width, style)));
    }
    if incident.devices.len() > 1 {
        let names: Vec<_> = incident.devices.iter().map(|device| device.name.as_str()).collect();
        lines.push(Line::raw(""));
        lines.push(super::cut(" devices", width, app.theme.title()));
        let names = wrap(&names.join(", "), width.saturating_sub(5).max(10));
        lines.extend(names.into_iter().map(|names| Line::raw(format!("   {names}"))));
    }
    lines
}

/// A word at the margin and what it says beside it.
fn entry(app: &App, head: &str, (text, style): (&str, Style), width: usize) -> Vec<Line<'static>> {
    let parts = wrap(text, width.saturating_sub(HEAD + 3).max(10)).into_iter().enumerate();
    let line = |(number, part)| {
        let head = if number == 0 { head } else { "" };
        let head = Span::styled(format!(" {head:<HEAD$} "), app.theme.dim());
        Line::from(vec![head, Span::styled(part, style)])
    };
    parts.map(line).collect()
}

/// What probably caused it, and what to do.
fn cause(app: &App, incident: &Incident, width: usize) -> Vec<Line<'static>> {
    let tell = |head: &str, text: &str, style: Style| entry(app, head, (text, style), width);
    let mut lines = tell("cause", &incident.cause.sentence, Style::new());
    if incident.confidence != Confidence::Unexplained {
        let sure = incident.confidence;
        lines.extend(tell("", &format!("{}: {}", sure.as_str(), sure.why()), app.theme.dim()));
    }
    let asks = if incident.driver_asks { "The driver asks for it. " } else { "" };
    lines.extend(tell("do", &format!("{asks}{}", incident.advice), app.theme.title()));
    let remedy = incident.remedy;
    let words = format!("{}, NVSentinel {}, gpud {}", remedy.as_str(), remedy.nvsentinel(), remedy.gpud());
    lines.extend(tell("", &words, app.theme.dim()));
    lines
}

fn heading(app: &App, snapshot: &Snapshot, incident: &Incident, width: usize) -> Vec<Line<'static>> {
    let end_ms = incident.cleared.unwrap_or(snapshot.frame.at).wall_ms;
    let lasted = ago((end_ms - incident.since.wall_ms).max(0) as f64 / 1e3);
    let life = match (incident.cleared, incident.end) {
        (Some(_), Some(End::Joined(other))) => format!("told on as incident {}", other.0),
        (Some(at), _) => {
            format!("over since {}, lasted {lasted}", moment(at.wall_ms, snapshot.frame.at.wall_ms))
        }
        (None, _) => format!("still there after {lasted}"),
    };
    let back = if incident.returns > 0 { format!(", back {}×", incident.returns) } else { String::new() };
    let sign = severity_sign(incident.severity, app.options.unicode);
    let colour = if incident.active() { app.theme.severity(incident.severity) } else { app.theme.dim() };
    let first = format!(" {sign} {}", incident.severity.as_str());
    let rest = format!("   incident {}, {life}{back}", incident.id.0);
    let rest = fit(&rest, width.saturating_sub(first.chars().count())).trim_end().to_owned();
    vec![
        Line::raw(""),
        super::cut(&format!(" {}", incident.title()), width, app.theme.title()),
        Line::from(vec![Span::styled(first, colour), Span::styled(rest, app.theme.dim())]),
        Line::raw(""),
    ]
}

fn proofs(app: &App, incident: &Incident, width: usize) -> Vec<Line<'static>> {
    if incident.evidence.is_empty() {
        return Vec::new();
    }
    let room = width.saturating_sub(31).min(64);
    let heading = format!(" {} {:>12} {:>12}", fit("evidence", room + 2), "observed", "expected");
    let mut lines = vec![Line::raw(""), super::cut(&heading, width, app.theme.title())];
    for proof in &incident.evidence {
        let metric = proof.evidence.metric;
        let text = format!(
            "   {} {:>12} {:>12}",
            fit(&format!("{} {metric}", incident.name(proof.device)), room),
            evidence(metric, proof.evidence.observed),
            evidence(metric, proof.evidence.expected)
        );
        lines.push(Line::raw(fit(&text, width).trim_end().to_owned()));
    }
    lines
}
