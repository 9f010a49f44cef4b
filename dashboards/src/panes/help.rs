//! The help page: keys, and what the words on the screen mean.
use crate::app::App;
use crate::keys::HELP;
use ratatui::text::Line;

const WORDS: &[(&str, &str)] = &[
    ("healthy", "it answers and nothing is wrong"),
    ("degraded", "it works worse than it should"),
    ("faulty", "it does not work, or its results cannot be trusted"),
    ("unknown", "it cannot be read; never counted as healthy"),
    ("–", "there is no value; the device page says why"),
    ("trim low", "low-priority work is held lower to keep the budget"),
    ("trim all", "all work is held lower, the least important most"),
    ("BRAKE", "power passed the budget: everything is at its floor"),
    ("cap", "the device's power limit holds its clock down"),
];

/// The page.
pub(super) fn lines(app: &App) -> Vec<Line<'static>> {
    let mut lines = vec![Line::raw(""), Line::styled(" keys", app.theme.title())];
    lines.extend(HELP.iter().map(|(keys, what)| Line::raw(format!("   {keys:<14} {what}"))));
    lines.push(Line::raw(""));
    lines.push(Line::styled(" words", app.theme.title()));
    lines.extend(WORDS.iter().map(|(word, what)| Line::raw(format!("   {word:<14} {what}"))));
    lines
}
