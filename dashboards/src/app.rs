//! The dashboard's state: changed by snapshots and keys, read by drawing.
use crate::keys::{Ask, ask};
use crate::panes;
use crate::past::Past;
use crate::theme::Theme;
use crate::{Feed, Options};
use crossterm::event::KeyEvent;
use model::{Device, Snapshot};
use ratatui::Frame;
use std::sync::Arc;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Leave.
    Quit,
}

/// The pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// A row a device.
    Overview,
    /// Everything of one device.
    Device,
    /// Events with their evidence.
    Events,
    /// Decisions with their outcomes.
    Decisions,
    /// Sources and the agent itself.
    Sources,
    /// Keys.
    Help,
}

impl Page {
    /// Every page, in the order of its number.
    pub const ALL: [Self; 6] =
        [Self::Overview, Self::Device, Self::Events, Self::Decisions, Self::Sources, Self::Help];

    /// The name in the footer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Device => "device",
            Self::Events => "events",
            Self::Decisions => "decisions",
            Self::Sources => "sources",
            Self::Help => "help",
        }
    }
}

/// The dashboard.
#[derive(Debug)]
pub struct App {
    /// What the terminal can show.
    pub options: Options,
    /// Colours.
    pub theme: Theme,
    /// What was fed last.
    pub feed: Feed,
    /// Short memory for sparklines.
    pub past: Past,
    /// The page shown.
    pub page: Page,
    /// The selected accelerator on the overview and the device page.
    pub device: usize,
    /// The selected line of the other pages; the first line shown of the device page.
    pub line: usize,
}

impl App {
    /// A dashboard that has been fed nothing.
    pub fn new(options: Options) -> Self {
        let feed = Feed { snapshot: None, note: String::new(), ended: false };
        let (past, theme) = (Past::default(), Theme::new(options));
        Self { options, theme, feed, past, page: Page::Overview, device: 0, line: 0 }
    }

    /// Takes what the agent says.
    pub fn update(&mut self, feed: Feed) {
        if let Some(snapshot) = &feed.snapshot {
            self.past.take(snapshot);
        }
        self.feed = feed;
        self.device = self.device.min(self.accelerators().len().saturating_sub(1));
    }

    /// Takes a key.
    pub fn on(&mut self, key: KeyEvent) -> Flow {
        match ask(key) {
            Some(Ask::Quit) => return Flow::Quit,
            Some(Ask::Back) if self.page == Page::Overview => return Flow::Quit,
            Some(Ask::Back) => self.turn(Page::Overview),
            Some(Ask::Page(number)) => self.turn(Page::ALL[number - 1]),
            Some(Ask::Next) => self.turn(Page::ALL[(self.page as usize + 1) % Page::ALL.len()]),
            Some(Ask::Open) if self.page == Page::Overview => self.turn(Page::Device),
            Some(Ask::Open) if self.page == Page::Events => self.open_event(),
            Some(Ask::Move(lines)) => self.step(lines),
            Some(Ask::Open) | None => {}
        }
        Flow::Continue
    }

    fn turn(&mut self, page: Page) {
        self.page = page;
        self.line = 0;
    }

    fn step(&mut self, lines: i32) {
        let moved = |place: usize, count: usize| {
            place.saturating_add_signed(lines as isize).min(count.saturating_sub(1))
        };
        match self.page {
            Page::Overview => self.device = moved(self.device, self.accelerators().len()),
            Page::Events => self.line = moved(self.line, self.snapshot().map_or(0, |s| s.events.len())),
            Page::Decisions => self.line = moved(self.line, self.snapshot().map_or(0, |s| s.decisions.len())),
            Page::Device | Page::Sources | Page::Help => self.line = moved(self.line, 200),
        }
    }

    /// From an event to its device, where that is an accelerator.
    fn open_event(&mut self) {
        let device =
            self.snapshot().and_then(|snapshot| snapshot.events.get(self.line)).map(|event| event.device);
        let place = self.accelerators().iter().position(|d| Some(d.id) == device);
        if let Some(place) = place {
            self.device = place;
            self.turn(Page::Device);
        }
    }

    /// The last snapshot.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.feed.snapshot.as_ref()
    }

    /// The accelerators of the last snapshot, vanished ones included, by name.
    pub fn accelerators(&self) -> Vec<&Device> {
        let Some(snapshot) = self.snapshot() else { return Vec::new() };
        let mut list: Vec<_> =
            snapshot.frame.devices.iter().filter(|d| d.info.kind.is_accelerator()).collect();
        let number = |name: &str| name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
        list.sort_by_key(|d| (d.info.kind, number(&d.info.name), d.info.name.clone()));
        list
    }

    /// Draws the page.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        panes::draw(self, frame);
    }
}

#[cfg(test)]
mod tests;
