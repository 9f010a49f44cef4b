//! Pages: each is a function from the dashboard's state to lines.
mod decisions;
mod device;
mod events;
mod header;
mod help;
mod overview;
mod sources;

use crate::app::{App, Page};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Lines that the header takes.
const HEADER: u16 = 4;

/// Draws header, page and footer into whatever room there is.
pub(crate) fn draw(app: &App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let heights = [Constraint::Length(HEADER), Constraint::Min(0), Constraint::Length(1)];
    let [top, middle, bottom] = Layout::vertical(heights).areas(area);
    frame.render_widget(Paragraph::new(header::lines(app, top.width)), top);
    let lines = match app.page {
        Page::Overview => overview::lines(app, middle),
        Page::Device => device::lines(app, middle),
        Page::Events => events::lines(app, middle),
        Page::Decisions => decisions::lines(app, middle),
        Page::Sources => sources::lines(app, middle),
        Page::Help => help::lines(app),
    };
    frame.render_widget(Paragraph::new(lines), middle);
    frame.render_widget(Paragraph::new(footer(app, bottom)), bottom);
}

fn footer(app: &App, area: Rect) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, page) in Page::ALL.into_iter().enumerate() {
        let style = if page == app.page { app.theme.selected() } else { app.theme.dim() };
        spans.push(Span::styled(format!(" {} {} ", number + 1, page.name()), style));
    }
    if usize::from(area.width) > 74 {
        spans.push(Span::styled("  q quit", app.theme.dim()));
    }
    Line::from(spans)
}

/// The lines of a list that fit, so that the selected one is among them.
fn window(selected: usize, count: usize, room: usize) -> std::ops::Range<usize> {
    let first = selected.saturating_sub(room.saturating_sub(1)).min(count.saturating_sub(room));
    first..(first + room).min(count)
}
