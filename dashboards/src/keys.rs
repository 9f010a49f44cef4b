//! Keys: what each does, in one table that the help page prints.
use crate::app::Page;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Leave.
    Quit,
    /// Back to the overview.
    Back,
    /// The page with this number, from 1.
    Page(usize),
    /// The next page.
    Next,
    /// The page before.
    Previous,
    /// The accelerator so many places on, without leaving the page.
    Device(i32),
    /// Open what is selected.
    Open,
    /// Move the selection by so many lines.
    Move(i32),
}

/// The keys as the help page shows them.
pub const HELP: &[(&str, &str)] = &[
    ("↑ ↓  k j", "select or scroll"),
    ("PgUp PgDn", "the same, ten lines at a time"),
    ("Enter", "open the selected device or incident"),
    ("← →", "the device before, the next device"),
    ("1 … 8  Tab", "the pages, as numbered at the foot"),
    ("Esc", "back to the list or the overview; leaves from there"),
    ("?", "this page"),
    ("q  Ctrl-C", "leave"),
];

/// The meaning of a key.
pub fn ask(key: KeyEvent) -> Option<Ask> {
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Ask::Quit,
        KeyCode::Char('q') => Ask::Quit,
        KeyCode::Char('?' | 'h') => Ask::Page(Page::ALL.len()),
        KeyCode::Char(digit @ '1'..='8') => Ask::Page(digit as usize - '0' as usize),
        KeyCode::Esc => Ask::Back,
        KeyCode::Tab => Ask::Next,
        KeyCode::BackTab => Ask::Previous,
        KeyCode::Left => Ask::Device(-1),
        KeyCode::Right => Ask::Device(1),
        KeyCode::Enter => Ask::Open,
        KeyCode::Up | KeyCode::Char('k') => Ask::Move(-1),
        KeyCode::Down | KeyCode::Char('j') => Ask::Move(1),
        KeyCode::PageUp => Ask::Move(-10),
        KeyCode::PageDown => Ask::Move(10),
        _ => return None,
    })
}
