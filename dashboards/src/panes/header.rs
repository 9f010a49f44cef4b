//! The header of every page: whose node this is, whether it is real, its power against the budget, and the host.
use crate::app::App;
use crate::format::{NOTHING, bar, clock, fit, spark, value};
use model::snapshot::{PowerStage, PowerState, Rig};
use model::{DeviceKind, Metric, Mode, Snapshot, Unit};
use ratatui::text::{Line, Span};

/// Four lines.
pub(super) fn lines(app: &App, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width);
    let Some(snapshot) = app.snapshot() else {
        return vec![
            Line::styled(" wattkeeper", app.theme.title()),
            Line::raw(fit(&format!(" {}", app.feed.note), width)),
        ];
    };
    vec![
        identity(app, snapshot, width),
        note(app, width),
        power(app, snapshot, width),
        host(app, snapshot, width),
    ]
}

fn identity(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let mut spans =
        vec![Span::styled(format!(" {}", snapshot.node.host), app.theme.title()), Span::raw("  ")];
    let banner = match snapshot.node.rig {
        Rig::Hardware => None,
        Rig::Sim => Some(" SIMULATED NODE "),
        Rig::Replay => Some(" RECORDING "),
    };
    spans.extend(banner.map(|banner| {
        Span::styled(banner, app.theme.warn().add_modifier(ratatui::style::Modifier::REVERSED))
    }));
    let right = format!("wattkeeper {}  {} UTC ", snapshot.node.version, clock(snapshot.frame.at.wall_ms));
    let used: usize = spans.iter().map(Span::width).sum();
    if used + right.len() < width {
        spans.push(Span::raw(" ".repeat(width - used - right.len())));
        spans.push(Span::styled(right, app.theme.dim()));
    }
    Line::from(spans)
}

fn note(app: &App, width: usize) -> Line<'static> {
    Line::styled(fit(&format!(" {}", app.feed.note), width), app.theme.dim())
}

fn power(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let Some(power) = &snapshot.power else {
        return Line::styled(" power   no budget is configured (key power.budget)", app.theme.dim());
    };
    let share = power.counted.0 / power.budget.0;
    let total = (power.accelerators + power.rest).0;
    let text = format!(" {total:.0} of {:.0} W ", power.budget.0);
    let stage = match (power.stage, snapshot.mode) {
        (PowerStage::Free, _) => "within budget".to_owned(),
        (stage, Mode::Enforce) => stage.as_str().to_owned(),
        (stage, Mode::Advise) => format!("{} (advice)", stage.as_str()),
    };
    let room = width.saturating_sub(11 + text.len() + 22).clamp(8, 60);
    let style = if power.stage == PowerStage::Brake { app.theme.bad() } else { app.theme.share(share) };
    let mut spans = vec![
        Span::raw(" power   "),
        Span::styled(marked(power, room, app.options.unicode), style),
        Span::raw(text),
    ];
    spans.push(Span::styled(stage, style));
    if width > 120 {
        let line = spark(&app.past.line("", 40), power.budget.0, 40, app.options.unicode);
        spans.push(Span::styled(format!("  {line}"), app.theme.accent()));
    }
    let trouble = power.troubles.first().map(|trouble| format!("  ! {}", trouble.as_str()));
    spans.extend(trouble.map(|trouble| Span::styled(trouble, app.theme.warn())));
    Line::from(spans)
}

/// The bar of counted power with marks where trimming begins.
fn marked(power: &PowerState, width: usize, unicode: bool) -> String {
    let mark = if unicode { '│' } else { '|' };
    let mut cells: Vec<char> = bar(power.counted.0 / power.budget.0, width, unicode).chars().collect();
    for share in [power.low, power.high] {
        let place = ((share * width as f64) as usize).min(width - 1);
        if matches!(cells[place], ' ' | '.') {
            cells[place] = mark;
        }
    }
    let (open, close) = if unicode { ('▕', '▏') } else { ('[', ']') };
    format!("{open}{}{close}", cells.into_iter().collect::<String>())
}

fn host(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let frame = &snapshot.frame;
    let Some(node) = frame.devices.of_kind(DeviceKind::Node).next().map(|device| device.id) else {
        return Line::styled(" host    nothing is known of it", app.theme.dim());
    };
    let show =
        |metric, unit| frame.value(node, metric).map_or(NOTHING.to_owned(), |number| value(number, unit));
    let size = frame.value(node, Metric::NodeMemorySize);
    let used =
        size.zip(frame.value(node, Metric::NodeMemoryAvailable)).map(|(size, free)| (size - free) / size);
    let memory = used.map_or(NOTHING.to_owned(), |used| value(used, Unit::Ratio));
    let text = format!(
        " host    load {}   memory {memory}   waiting for cpu {}, memory {}, disk {}",
        frame.value(node, Metric::Load1).map_or(NOTHING.to_owned(), |load| format!("{load:.2}")),
        show(Metric::PressureCpuSome10, Unit::Ratio),
        show(Metric::PressureMemorySome10, Unit::Ratio),
        show(Metric::PressureIoSome10, Unit::Ratio),
    );
    Line::raw(fit(&text, width))
}
