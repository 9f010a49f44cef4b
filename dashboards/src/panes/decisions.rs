//! The decisions page: what was decided, why, and what became of it.
use crate::app::App;
use crate::format::{clock, fit};
use model::snapshot::Settled;
use model::{Action, Snapshot, Verdict};
use ratatui::layout::Rect;
use ratatui::text::Line;

/// The page.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(snapshot) = app.snapshot() else { return Vec::new() };
    let (width, room) = (usize::from(area.width), usize::from(area.height));
    let mode = match snapshot.mode {
        model::Mode::Enforce => " caps are ENFORCED",
        model::Mode::Advise => " caps are ADVICE only; nothing is written (key power.enforce)",
    };
    let heading = format!(
        "   {:<8} {:<6} {:<14} {:<19} {:<9} {:>7} {:>7}",
        "at", "device", "wanted", "why", "outcome", "ordered", "is now"
    );
    let mut lines = vec![
        Line::raw(""),
        Line::styled(fit(mode, width), app.theme.title()),
        Line::styled(fit(&heading, width), app.theme.dim()),
    ];
    if snapshot.decisions.is_empty() {
        lines.push(Line::raw(" nothing had to be decided so far"));
    }
    let selected = app.line.min(snapshot.decisions.len().saturating_sub(1));
    for place in super::window(selected, snapshot.decisions.len(), room.saturating_sub(3)) {
        let settled = &snapshot.decisions[place];
        let cursor = if place == selected { ">" } else { " " };
        let style = match settled.outcome.map(|outcome| outcome.verdict) {
            Some(Verdict::Applied | Verdict::Unchanged) => app.theme.good(),
            Some(Verdict::Refused | Verdict::Failed) => app.theme.bad(),
            Some(Verdict::Advised) | None => app.theme.dim(),
        };
        lines.push(Line::styled(fit(&format!(" {cursor} {}", row(snapshot, settled)), width), style));
    }
    lines
}

fn row(snapshot: &Snapshot, settled: &Settled) -> String {
    let decision = &settled.decision;
    let name = &snapshot.frame.devices.get(decision.device).info.name;
    let wanted = match decision.action {
        Action::Limit(limit) => format!("limit {limit}"),
        Action::Brake => "brake to floor".to_owned(),
        Action::Release => "release".to_owned(),
    };
    let outcome = settled.outcome;
    let verdict = outcome.map_or("pending", |outcome| outcome.verdict.as_str());
    let watts = |watts: Option<model::Watts>| watts.map_or(String::new(), |watts| watts.to_string());
    let (ordered, back) = (watts(outcome.and_then(|o| o.ordered)), watts(outcome.and_then(|o| o.read_back)));
    let reason =
        outcome.and_then(|outcome| outcome.reason).map_or(String::new(), |reason| format!("  {reason}"));
    let at = clock(decision.at.wall_ms);
    format!(
        "{at:<8} {:<6} {wanted:<14} {:<19} {verdict:<9} {ordered:>7} {back:>7}{reason}",
        fit(name, 6),
        decision.why.as_str()
    )
}
