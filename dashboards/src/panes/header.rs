//! The header of every page: whose node this is, whether it is real, its power against the budget, and the host.
use crate::app::App;
use crate::format::{NOTHING, ago, bar, clock, fit, spark, value};
use crate::past::Track;
use model::snapshot::{PowerStage, PowerState, Rig};
use model::{DeviceKind, Metric, Mode, Snapshot, Unit};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// The bar reaches past the budget, so that its mark and what is above it can be seen.
const BAR_TOP: f64 = 1.1;

/// As many lines as the area has, the most important ones.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let width = usize::from(area.width);
    let Some(snapshot) = app.snapshot() else {
        return vec![Line::styled(" wattkeeper", app.theme.title())];
    };
    let first = identity(app, snapshot, width);
    match area.height {
        0..2 => vec![first],
        2..4 => vec![first, power(app, snapshot, width)],
        _ => {
            vec![first, note(app, snapshot, width), power(app, snapshot, width), host(app, snapshot, width)]
        }
    }
}

fn identity(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    let rig = match snapshot.node.rig {
        Rig::Hardware => None,
        Rig::Sim => Some(" SIMULATED NODE "),
        Rig::Replay => Some(" REPLAY OF A RECORDING "),
    };
    let old = app.stale().map(|time| format!(" NO NEWS FOR {} ", ago(time.as_secs_f64())));
    for banner in rig.map(str::to_owned).into_iter().chain(old) {
        spans.extend([Span::styled(banner, app.theme.banner()), Span::raw("  ")]);
    }
    spans.push(Span::styled(snapshot.node.host.clone(), app.theme.title()));
    let time = format!("{} UTC ", clock(snapshot.frame.at.wall_ms));
    // The time stays on the line, whatever is written about the node.
    let used: usize = spans.iter().map(Span::width).sum();
    let room = width.saturating_sub(used + 4 + time.len());
    let note = fit(&snapshot.node.note, room.min(snapshot.node.note.chars().count()));
    spans.push(Span::styled(format!("  {note}"), app.theme.dim()));
    let whole = format!("wattkeeper {}  beat {}  {time}", snapshot.node.version, snapshot.vitals.beats);
    let used: usize = spans.iter().map(Span::width).sum();
    if let Some(right) = [whole, time].into_iter().find(|right| used + right.len() + 2 <= width) {
        spans.push(Span::raw(" ".repeat(width - used - right.len())));
        spans.push(Span::styled(right, app.theme.dim()));
    }
    Line::from(spans)
}

/// What stands in the way of the budget, then where the snapshots come from.
fn note(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let troubles = snapshot.power.iter().flat_map(|power| &power.troubles);
    let troubles: String = troubles.map(|trouble| format!(" ! {} ", trouble.as_str())).collect();
    let room = width.saturating_sub(troubles.chars().count());
    let note = fit(&format!(" {}", app.feed.note), room).trim_end().to_owned();
    Line::from(vec![Span::styled(troubles, app.theme.warn()), Span::styled(note, app.theme.dim())])
}

fn power(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let Some(power) = &snapshot.power else {
        return super::cut(" power   no budget is configured (key power.budget)", width, app.theme.dim());
    };
    let text = format!(" {:.0} of {:.0} W  ", power.counted.0, power.budget.0);
    let stage = match (power.stage, snapshot.mode) {
        (PowerStage::Free, _) => "within budget".to_owned(),
        (stage, Mode::Enforce) => stage.as_str().to_owned(),
        (stage, Mode::Advise) => format!("{} (advice only)", stage.as_str()),
    };
    let room = width.saturating_sub(9 + 2 + text.len() + 22).clamp(6, 60);
    let style = app.theme.stage(power.stage);
    let mut spans = vec![Span::raw(" power   ")];
    spans.extend(marked(app, power, room));
    spans.extend([Span::raw(text), Span::styled(stage, style)]);
    let measured = if power.rest_measured { "" } else { " (estimated)" };
    let parts =
        format!("   accelerators {:.0} W, rest {:.0} W{measured}", power.accelerators.0, power.rest.0);
    let used: usize = spans.iter().map(Span::width).sum();
    spans.extend((used + parts.len() <= width).then(|| Span::styled(parts, app.theme.dim())));
    let used: usize = spans.iter().map(Span::width).sum();
    let costs = costs(power);
    spans.extend((used + costs.len() <= width).then(|| Span::styled(costs, app.theme.dim())));
    let used: usize = spans.iter().map(Span::width).sum();
    let points = width.saturating_sub(used + 4).min(40);
    if points >= 10 {
        let line =
            spark(&app.past.line("", Track::Power, points), power.budget.0, points, app.options.unicode);
        spans.push(Span::styled(format!("   {line}"), app.theme.accent()));
    }
    Line::from(spans)
}

/// What caps cost, in words; nothing where none bites and none has saved anything.
fn costs(power: &PowerState) -> String {
    let slowed = power.costs.iter().filter(|cost| cost.slowdown > 0.0).count();
    let most = power.costs.iter().map(|cost| cost.slowdown).fold(0.0, f64::max);
    let saved = power.costs.iter().map(|cost| cost.saved_j).sum::<f64>();
    match (slowed, saved) {
        (0, 0.0) => String::new(),
        (0, _) => format!("   saved ~{}", value(saved, Unit::Joules)),
        _ => format!(
            "   slows {slowed} by up to ~{}, saved ~{}",
            value(most, Unit::Ratio),
            value(saved, Unit::Joules)
        ),
    }
}

/// The bar of counted power with marks at the low and the high threshold and at the budget, where the brake comes on.
fn marked(app: &App, power: &PowerState, width: usize) -> Vec<Span<'static>> {
    let unicode = app.options.unicode;
    let mark = if unicode { "│" } else { "|" };
    let place = |share: f64| ((share / BAR_TOP * width as f64) as usize).min(width - 1);
    let marks = [power.low, power.high, 1.0].map(place);
    let counted = power.counted.0 / power.budget.0;
    let style =
        if power.stage == PowerStage::Free { app.theme.accent() } else { app.theme.stage(power.stage) };
    let (open, close) = if unicode { ("▕", "▏") } else { ("[", "]") };
    let mut spans = vec![Span::raw(open)];
    for (cell, character) in bar(counted / BAR_TOP, width, unicode).chars().enumerate() {
        spans.push(match (marks.contains(&cell), character) {
            (false, _) => Span::styled(character.to_string(), style),
            (true, ' ' | '.') => Span::raw(mark),
            (true, '#') => Span::styled(mark, style),
            (true, _) => Span::styled(mark, reversed(style)),
        });
    }
    spans.push(Span::raw(close));
    spans
}

fn reversed(style: Style) -> Style {
    style.add_modifier(Modifier::REVERSED)
}

fn host(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let frame = &snapshot.frame;
    let Some(node) = frame.devices.of_kind(DeviceKind::Node).next().map(|device| device.id) else {
        return super::cut(" host    nothing is known of it", width, app.theme.dim());
    };
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let share = |share: Option<f64>| or_nothing(share.map(|share| value(share, Unit::Ratio)));
    let size = frame.value(node, Metric::NodeMemorySize);
    let used =
        size.zip(frame.value(node, Metric::NodeMemoryAvailable)).map(|(size, free)| (size - free) / size);
    let text = format!(
        " host    cpu {}  load {}  memory {}   stalled on cpu {}, memory {}, disk {}",
        share(app.past.busy()),
        or_nothing(frame.value(node, Metric::Load1).map(|load| format!("{load:.1}"))),
        share(used),
        share(frame.value(node, Metric::PressureCpuSome10)),
        share(frame.value(node, Metric::PressureMemorySome10)),
        share(frame.value(node, Metric::PressureIoSome10)),
    );
    Line::raw(fit(&text, width))
}
