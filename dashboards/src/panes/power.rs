//! The power page: what holds each accelerator down, and what that costs.
use crate::app::App;
use crate::format::{NOTHING, bar, fit, value};
use model::snapshot::PowerState;
use model::{Device, Keep, Metric, Mode, Snapshot, Unit};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Joules in a watt-hour.
const WATT_HOUR: f64 = 3600.0;
/// Cells of the bar that shows how much slower work is.
const BAR: usize = 8;

/// The page.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let width = usize::from(area.width);
    let Some(power) = &snapshot.power else {
        return vec![
            Line::raw(""),
            super::cut(" no budget is configured (key power.budget)", width, app.theme.title()),
        ];
    };
    let mut lines = vec![Line::raw(""), super::cut(&sentence(snapshot, power), width, app.theme.title())];
    lines.push(super::cut(&thresholds(power), width, app.theme.dim()));
    lines.push(Line::raw(""));
    let heading = format!(
        " {:<6} {:<6} {:<10} {:>6} {:>9} {:>9} {:<6} {:>7} {:>9}",
        "device", "class", "work", "draws", "power cap", "clock cap", "kind", "slower", "saved"
    );
    lines.push(super::cut(&heading, width, app.theme.dim()));
    lines.extend(app.accelerators().iter().map(|device| row(app, (snapshot, power), device, width)));
    lines.push(Line::raw(""));
    lines.push(super::cut(&sum(snapshot, power), width, app.theme.title()));
    lines.push(super::cut(" estimates: slower now, saved since the agent's start", width, app.theme.dim()));
    lines
}

fn sentence(snapshot: &Snapshot, power: &PowerState) -> String {
    let mode = match snapshot.mode {
        Mode::Enforce => "ENFORCE",
        Mode::Advise => "ADVISE: nothing is written (key power.enforce)",
    };
    format!(
        " {mode}   stage {}   {:.0} of {:.0} W counted, over for {:.0} s so far",
        power.stage.as_str(),
        power.counted.0,
        power.budget.0,
        power.over_budget_seconds
    )
}

fn thresholds(power: &PowerState) -> String {
    let why = match power.rise {
        Some(rise) => format!("made for rises of {} in the loop's delay", value(rise, Unit::Ratio)),
        None => "as configured, while rises are learnt".to_owned(),
    };
    format!(
        " low work gives above {}, all above {}: {why}",
        value(power.low, Unit::Ratio),
        value(power.high, Unit::Ratio)
    )
}

fn row(
    app: &App,
    (snapshot, power): (&Snapshot, &PowerState),
    device: &Device,
    width: usize,
) -> Line<'static> {
    let id = device.id;
    let cap = power.caps.power.iter().find(|cap| cap.device == id);
    let clock = power.caps.clocks.iter().find(|cap| cap.device == id);
    let cost = power.costs.iter().find(|cost| cost.device == id);
    let class = snapshot.priorities.get(id.index()).copied().unwrap_or_default();
    let work = snapshot
        .frame
        .works
        .iter()
        .find(|state| state.device == id)
        .map_or(NOTHING, |state| state.work.as_str());
    let draws =
        snapshot.frame.value(id, Metric::PowerInstant).or(snapshot.frame.value(id, Metric::PowerAverage));
    let keep = cap.map(|cap| cap.keep).or(clock.map(|cap| cap.keep)).map_or("", Keep::as_str);
    let word = |text: Option<String>| text.unwrap_or(NOTHING.to_owned());
    let slower = cost.map(|cost| cost.slowdown).filter(|slower| *slower > 0.0);
    let left = format!(
        " {} {:<6} {:<10} {:>6} {:>9} {:>9} {:<6} ",
        fit(&device.info.name, 6),
        class.as_str(),
        work,
        word(draws.map(|watts| format!("{watts:.0} W"))),
        word(cap.map(|cap| cap.limit.to_string())),
        word(clock.map(|cap| cap.limit.to_string())),
        keep,
    );
    let text = format!("{:>7}", word(slower.map(|slower| value(slower, Unit::Ratio))));
    let saved = format!(" {:>9}", word(cost.map(|cost| watt_hours(cost.saved_j))));
    let style = if slower.is_some() { app.theme.warn() } else { app.theme.dim() };
    let room = width.saturating_sub(left.chars().count());
    let mut spans = vec![Span::raw(if room == 0 { fit(&left, width) } else { left })];
    spans.push(Span::styled(fit(&text, room.min(7)), style));
    spans.push(Span::raw(fit(&saved, room.saturating_sub(7).min(10))));
    if room > 20 + BAR {
        let bar = bar(slower.unwrap_or(0.0).min(1.0), BAR, app.options.unicode);
        spans.push(Span::styled(format!("  {bar}"), style));
    }
    Line::from(spans)
}

fn watt_hours(joules: f64) -> String {
    // A sum of nothing is -0.
    format!("{:.1} Wh", joules / WATT_HOUR + 0.0)
}

fn sum(snapshot: &Snapshot, power: &PowerState) -> String {
    let capped = power.caps.power.len() + power.caps.clocks.len() + power.caps.quotas.len();
    let saved: f64 = power.costs.iter().map(|cost| cost.saved_j).sum();
    let slowed = power.costs.iter().filter(|cost| cost.slowdown > 0.0).count();
    let held = if snapshot.mode == Mode::Enforce { "in force" } else { "advised" };
    format!(" {capped} cap(s) {held}, {slowed} device(s) slowed, about {} saved in all", watt_hours(saved))
}
