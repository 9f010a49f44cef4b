//! The decisions page: what was decided, why, and what became of it.
use crate::app::App;
use crate::format::{NOTHING, ago, clock, fit};
use model::snapshot::Settled;
use model::{Mode, Snapshot, Verdict};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// The page.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let (width, room) = (usize::from(area.width), usize::from(area.height));
    let mode = match snapshot.mode {
        Mode::Enforce => " ENFORCE: caps are written to devices and read back",
        Mode::Advise => " ADVISE: nothing is written to a device (key power.enforce)",
    };
    let mut lines = vec![Line::raw(""), super::cut(mode, width, app.theme.title())];
    if snapshot.decisions.is_empty() {
        lines.push(Line::raw(" nothing had to be decided so far"));
        return lines;
    }
    let heading = format!(
        "   {:<8} {:<6} {:<12} {:<19} {:<9} {:>7} {:>7}",
        "at", "device", "asked", "why", "outcome", "ordered", "is now"
    );
    lines.push(super::cut(&heading, width, app.theme.dim()));
    let selected = app.line.min(snapshot.decisions.len() - 1);
    let mut below = vec![Line::raw("")];
    below.extend(
        explanation(snapshot, &snapshot.decisions[selected]).iter().map(|t| Line::raw(fit(t, width))),
    );
    let rows = room.saturating_sub(lines.len() + below.len()).max(1);
    for place in super::window(selected, snapshot.decisions.len(), rows) {
        lines.push(row(app, snapshot, &snapshot.decisions[place], (place == selected, width)));
    }
    lines.extend(below);
    lines
}

fn position(settled: &Settled, of: impl Fn(&model::Outcome) -> Option<f64>) -> String {
    let knob = settled.decision.action.knob();
    settled.outcome.as_ref().and_then(of).map_or(NOTHING.to_owned(), |value| knob.say(value))
}

fn row(app: &App, snapshot: &Snapshot, settled: &Settled, (selected, width): (bool, usize)) -> Line<'static> {
    let (decision, outcome) = (&settled.decision, settled.outcome);
    let name = &snapshot.frame.devices.get(decision.device).info.name;
    let cursor = match (selected, app.options.unicode) {
        (true, true) => "▸",
        (true, false) => ">",
        (false, _) => " ",
    };
    let left = format!(
        " {cursor} {:<8} {} {:<12} {:<19} ",
        clock(decision.at.wall_ms),
        fit(name, 6),
        decision.action.to_string(),
        decision.why.as_str()
    );
    let verdict = outcome.map(|outcome| outcome.verdict);
    let style = match verdict {
        Some(Verdict::Applied | Verdict::Unchanged) => app.theme.good(),
        Some(Verdict::Refused | Verdict::Failed) => app.theme.bad(),
        Some(Verdict::Advised) | None => app.theme.dim(),
    };
    let right = format!(
        " {:>7} {:>7}  {}",
        position(settled, |outcome| outcome.ordered),
        position(settled, |outcome| outcome.read_back),
        outcome.and_then(|outcome| outcome.reason).map_or("", model::Reason::as_str)
    );
    let plain = if selected { app.theme.title() } else { Style::new() };
    let room = width.saturating_sub(left.chars().count() + 9);
    let word = format!("{:<9}", verdict.map_or("pending", Verdict::as_str));
    let right = fit(&right, room).trim_end().to_owned();
    Line::from(vec![Span::styled(left, plain), Span::styled(word, style), Span::styled(right, plain)])
}

/// The whole story of one decision in sentences.
fn explanation(snapshot: &Snapshot, settled: &Settled) -> Vec<String> {
    let (decision, now) = (&settled.decision, snapshot.frame.at);
    let info = &snapshot.frame.devices.get(decision.device).info;
    let mut lines = vec![format!(
        " decision {} in mode {}: {} for {} ({})",
        decision.id,
        decision.mode.as_str(),
        decision.action.to_string(),
        info.name,
        info.key
    )];
    let mut why = format!(" because: {}", decision.why.as_str());
    let event = decision.event.and_then(|id| snapshot.events.iter().find(|event| event.id == id));
    if let Some(event) = event {
        why.push_str(&format!(", event {} ({})", event.id.0, event.title()));
    }
    if let Some(expires) = decision.expires {
        let left = expires.seconds_since(now);
        why.push_str(&if left > 0.0 {
            format!("; expires in {}", ago(left))
        } else {
            "; expired".to_owned()
        });
    }
    lines.push(why);
    lines.push(match settled.outcome {
        None => " outcome: not settled yet".to_owned(),
        Some(outcome) => match (outcome.verdict, outcome.reason) {
            (Verdict::Advised, _) => " outcome: advice only, nothing was written".to_owned(),
            (verdict, reason) => format!(
                " outcome: {} at {}; ordered {}, read back {}{}",
                verdict.as_str(),
                clock(outcome.at.wall_ms),
                position(settled, |outcome| outcome.ordered),
                position(settled, |outcome| outcome.read_back),
                reason.map_or(String::new(), |reason| format!("; reason {reason}"))
            ),
        },
    });
    lines
}
