//! Pages: each is a function from the dashboard's state to lines.
mod decisions;
mod device;
mod header;
mod help;
mod incidents;
mod late;
mod overview;
mod parts;
mod power;
mod readings;
mod sharers;
mod sources;
mod workloads;

use crate::app::{App, Page};
use crate::format::{ascii, fit};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Header, page and footer; on a low terminal the header shrinks first.
fn areas(area: Rect) -> [Rect; 3] {
    let header = match area.height {
        0..8 => 1,
        8..14 => 2,
        _ => 4,
    };
    let (header, footer) = (header.min(area.height), u16::from(area.height > 2));
    let middle = area.height - header - footer;
    let at = |y: u16, height: u16| Rect { y: area.y + y, height, ..area };
    [at(0, header), at(header, middle), at(header + middle, footer)]
}

/// Draws header, page and footer into whatever room there is.
pub(crate) fn draw(app: &App, frame: &mut Frame<'_>) {
    let [top, middle, bottom] = areas(frame.area());
    frame.render_widget(Paragraph::new(header::lines(app, top)), top);
    let lines = match app.page {
        _ if app.snapshot().is_none() && app.page != Page::Help => nothing(app, middle),
        Page::Overview => overview::lines(app, middle),
        Page::Incidents if app.story.is_none() => incidents::lines(app, middle),
        Page::Power => power::lines(app, middle),
        Page::Decisions => decisions::lines(app, middle),
        Page::Workloads => workloads::from(app, middle, app.line),
        Page::Device | Page::Sources | Page::Help | Page::Incidents => {
            long(app, middle).into_iter().skip(app.line).take(usize::from(middle.height)).collect()
        }
    };
    frame.render_widget(Paragraph::new(lines), middle);
    frame.render_widget(Paragraph::new(footer(app, bottom)), bottom);
    if !app.options.unicode {
        to_ascii(frame.buffer_mut());
    }
}

/// The pages that scroll as a whole.
fn long(app: &App, area: Rect) -> Vec<Line<'static>> {
    match app.page {
        Page::Device => device::lines(app, area),
        Page::Incidents => incidents::story(app, area),
        Page::Workloads => workloads::lines(app, area),
        Page::Sources => sources::lines(app, area),
        _ => help::lines(app),
    }
}

/// Lines of a scrolling page that do not fit on the terminal.
pub(crate) fn hidden_lines(app: &App) -> usize {
    let [_, middle, _] = areas(Rect::from((Position::ORIGIN, app.size)));
    long(app, middle).len().saturating_sub(usize::from(middle.height))
}

/// What is shown before the first snapshot.
fn nothing(app: &App, area: Rect) -> Vec<Line<'static>> {
    let mut lines = vec![Line::raw(""); usize::from(area.height / 3)];
    lines.push(Line::styled("waiting for the first beat", app.theme.title()).centered());
    lines.push(Line::styled(app.feed.note.clone(), app.theme.dim()).centered());
    lines
}

fn footer(app: &App, area: Rect) -> Line<'static> {
    let width = usize::from(area.width);
    let names: usize = Page::ALL.iter().map(|page| page.name().len() + 2).sum();
    // With a space on both sides of each name, else between them, else of the page that is shown only.
    let (wide, tight) = (names + 2 * Page::ALL.len(), names + Page::ALL.len() - 1);
    let named = tight <= width;
    let mut spans = Vec::new();
    for (number, page) in Page::ALL.into_iter().enumerate() {
        let here = page == app.page;
        let style = if here { app.theme.selected() } else { app.theme.dim() };
        let name =
            if here || named { format!("{} {}", number + 1, page.name()) } else { format!("{}", number + 1) };
        if named && wide > width {
            spans.extend((number > 0).then(|| Span::raw(" ")));
            spans.push(Span::styled(name, style));
        } else {
            spans.push(Span::styled(format!(" {name} "), style));
        }
    }
    let used: usize = spans.iter().map(Span::width).sum();
    spans.extend((used + 8 <= width).then(|| Span::styled("  q quit", app.theme.dim())));
    Line::from(spans)
}

/// The lines of a list that fit, so that the selected one is among them.
fn window(selected: usize, count: usize, room: usize) -> std::ops::Range<usize> {
    let first = selected.saturating_sub(room.saturating_sub(1)).min(count.saturating_sub(room));
    first..(first + room).min(count)
}

/// A line cut to a width, for text of one style.
fn cut(text: &str, width: usize, style: ratatui::style::Style) -> Line<'static> {
    Line::styled(fit(text, width).trim_end().to_owned(), style)
}

/// Replaces what a terminal without Unicode cannot show.
fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let character = cell.symbol().chars().next().map_or(' ', ascii);
            cell.set_char(character);
        }
    }
}
