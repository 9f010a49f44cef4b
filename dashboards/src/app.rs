//! The dashboard's state: changed by snapshots and keys, read by drawing.
use crate::keys::{Ask, ask};
use crate::panes;
use crate::past::Past;
use crate::theme::Theme;
use crate::{Feed, Options};
use crossterm::event::KeyEvent;
use model::{Device, Incident, IncidentId, Snapshot};
use ratatui::Frame;
use ratatui::layout::Size;
use std::sync::Arc;
use std::time::Duration;

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
    /// Incidents, each a story.
    Incidents,
    /// What holds accelerators down and what that costs.
    Power,
    /// How fast workloads are beside each other.
    Workloads,
    /// Decisions with their outcomes.
    Decisions,
    /// Sources and the agent itself.
    Sources,
    /// Keys.
    Help,
}

impl Page {
    /// Every page, in the order of its number.
    pub const ALL: [Self; 8] = [
        Self::Overview,
        Self::Device,
        Self::Incidents,
        Self::Power,
        Self::Workloads,
        Self::Decisions,
        Self::Sources,
        Self::Help,
    ];

    /// The name in the footer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Device => "device",
            Self::Incidents => "incidents",
            Self::Power => "power",
            Self::Workloads => "workloads",
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
    /// The incident whose own page is open.
    pub story: Option<IncidentId>,
    /// The selected line of the incidents and the decisions page; the first line shown of the others.
    pub line: usize,
    /// The size of the terminal, so that scrolling ends where the page does.
    pub size: Size,
    /// How long no new snapshot has come.
    pub still: Duration,
}

impl App {
    /// A dashboard that has been fed nothing.
    pub fn new(options: Options) -> Self {
        let feed = Feed { snapshot: None, note: String::new(), ended: false };
        let (past, theme) = (Past::default(), Theme::new(options));
        let (size, still) = (Size::new(80, 24), Duration::ZERO);
        Self {
            options,
            theme,
            feed,
            past,
            page: Page::Overview,
            device: 0,
            story: None,
            line: 0,
            size,
            still,
        }
    }

    /// Takes what the agent says.
    pub fn update(&mut self, feed: Feed) {
        if feed.snapshot.as_ref().is_some_and(|snapshot| self.past.take(snapshot)) {
            self.still = Duration::ZERO;
        }
        self.feed = feed;
        self.device = self.device.min(self.accelerators().len().saturating_sub(1));
        self.line = self.line.min(self.last_line());
    }

    /// Is told that time has passed.
    pub fn wait(&mut self, time: Duration) {
        self.still = self.still.saturating_add(time);
    }

    /// Is told the size of the terminal.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
        self.line = self.line.min(self.last_line());
    }

    /// How long nothing new has come, once that is longer than three beats and five seconds: what is shown is old.
    pub fn stale(&self) -> Option<Duration> {
        let beat_s = self.snapshot()?.node.beat_s;
        let patience = Duration::try_from_secs_f64(3.0 * beat_s).unwrap_or_default();
        (self.still > patience.max(Duration::from_secs(5))).then_some(self.still)
    }

    /// Takes a key.
    pub fn on(&mut self, key: KeyEvent) -> Flow {
        match ask(key) {
            Some(Ask::Quit) => return Flow::Quit,
            Some(Ask::Back) if self.page == Page::Overview => return Flow::Quit,
            Some(Ask::Back) if self.story.is_some() => self.close_story(),
            Some(Ask::Back) => self.turn(Page::Overview),
            Some(Ask::Page(number)) => self.turn(Page::ALL[number - 1]),
            Some(Ask::Next) => self.turn(Page::ALL[(self.page as usize + 1) % Page::ALL.len()]),
            Some(Ask::Previous) => {
                self.turn(Page::ALL[(self.page as usize + Page::ALL.len() - 1) % Page::ALL.len()]);
            }
            Some(Ask::Device(places)) => {
                self.device = Self::moved(self.device, places, self.accelerators().len())
            }
            Some(Ask::Open) if self.page == Page::Overview => self.turn(Page::Device),
            Some(Ask::Open) if self.page == Page::Incidents => self.open(),
            Some(Ask::Move(lines)) => self.step(lines),
            Some(Ask::Open) | None => {}
        }
        Flow::Continue
    }

    fn turn(&mut self, page: Page) {
        self.page = page;
        self.story = None;
        self.line = 0;
    }

    /// A place so many lines on, inside a list of `count`.
    fn moved(place: usize, lines: i32, count: usize) -> usize {
        place.saturating_add_signed(lines as isize).min(count.saturating_sub(1))
    }

    fn step(&mut self, lines: i32) {
        if self.page == Page::Overview {
            self.device = Self::moved(self.device, lines, self.accelerators().len());
        } else {
            self.line = Self::moved(self.line, lines, self.last_line() + 1);
        }
    }

    /// The largest value that `line` may have on this page.
    fn last_line(&self) -> usize {
        let count = |list: fn(&Snapshot) -> usize| self.snapshot().map_or(0, |s| list(s)).saturating_sub(1);
        match self.page {
            Page::Overview | Page::Power => 0,
            Page::Incidents if self.story.is_none() => count(|snapshot| snapshot.incidents.len()),
            Page::Decisions => count(|snapshot| snapshot.decisions.len()),
            Page::Device | Page::Workloads | Page::Sources | Page::Help | Page::Incidents => {
                panes::hidden_lines(self)
            }
        }
    }

    /// From the list to the selected incident; from an incident to the device of its cause, where that is an accelerator.
    fn open(&mut self) {
        if self.story.is_none() {
            let chosen = self.snapshot().and_then(|snapshot| snapshot.incidents.get(self.line));
            self.story = chosen.map(|incident| incident.id);
            self.line = 0;
            return;
        }
        let place = self.opened().and_then(|incident| {
            let subject = incident.subject(incident.cause.device)?;
            self.accelerators().iter().position(|device| subject.is(&device.info))
        });
        if let Some(place) = place {
            self.device = place;
            self.turn(Page::Device);
        }
    }

    /// From an incident back to the list, where it is selected.
    fn close_story(&mut self) {
        let story = self.story.take();
        let place = self
            .snapshot()
            .and_then(|snapshot| snapshot.incidents.iter().position(|incident| Some(incident.id) == story));
        self.line = place.unwrap_or(0);
    }

    /// The incident whose own page is open.
    pub fn opened(&self) -> Option<&Arc<Incident>> {
        let story = self.story?;
        self.snapshot()?.incidents.iter().find(|incident| incident.id == story)
    }

    /// The last snapshot.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.feed.snapshot.as_ref()
    }

    /// The accelerators of the last snapshot, vanished ones included: GPUs before NPUs, by maker, then by name.
    pub fn accelerators(&self) -> Vec<&Device> {
        let Some(snapshot) = self.snapshot() else { return Vec::new() };
        let mut list: Vec<_> =
            snapshot.frame.devices.iter().filter(|d| d.info.kind.is_accelerator()).collect();
        let number = |name: &str| name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
        let word = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        list.sort_by_key(|d| {
            let (info, name) = (&d.info, &d.info.name);
            (info.kind, info.vendor as usize, word(name), number(name), name.clone())
        });
        list
    }

    /// Draws the page.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        panes::draw(self, frame);
    }
}

#[cfg(test)]
mod tests;
