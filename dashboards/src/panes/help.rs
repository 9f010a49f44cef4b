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
    ("↑ ↓ at a name", "its work is of high or low priority"),
    ("cap", "the device's power limit holds its clock down"),
    ("heat", "the device is hot and slows down"),
    ("brake, slowed", "hardware lowers the clock: power supply, or a fault"),
    ("sync, clocks", "its clock is held to that of others, or was set by hand"),
    ("trim low", "low-priority work is held lower to keep the budget"),
    ("trim all", "all work is held lower, the least important most"),
    ("BRAKE", "power passed the budget: everything is at its floor"),
    ("marks on power", "where trimming low and all begins, and the budget"),
    ("stalled on", "share of ten seconds in which some task waited for it"),
    ("speed", "a workload's performance now, of its performance alone"),
    ("r", "how closely a neighbour's activity goes with the slowdown"),
    ("NO NEWS", "the agent sends nothing new: what is shown is old"),
];

/// The page.
pub(super) fn lines(app: &App) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled(" keys", app.theme.title())];
    lines.extend(HELP.iter().map(|(keys, what)| Line::raw(format!("   {keys:<14} {what}"))));
    lines.push(Line::raw(""));
    lines.push(Line::styled(" words", app.theme.title()));
    lines.extend(WORDS.iter().map(|(word, what)| Line::raw(format!("   {word:<14} {what}"))));
    lines
}
