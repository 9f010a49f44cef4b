//! The terminal: taken over on entry and given back on every way out, a panic included.
use crate::app::{App, Flow};
use crate::{Feed, Options};
use crossterm::event::{self, Event, KeyEventKind};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io::{Stdout, stdout};
use std::sync::Once;
use std::time::Duration;

/// How long a key may wait, and how old a screen may be.
const POLL: Duration = Duration::from_millis(200);

/// Holds the terminal; dropping it gives the terminal back.
struct Held(Terminal<CrosstermBackend<Stdout>>);

impl Held {
    fn take() -> std::io::Result<Self> {
        restore_on_panic();
        enable_raw_mode()?;
        let entered = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        entered.map(Self).inspect_err(|_| give_back())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        give_back();
        let _ = self.0.show_cursor();
    }
}

/// Gives the terminal back; there is nothing to be done where that fails.
fn give_back() {
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen);
}

/// Lets a panic's message be readable: the terminal is given back before it is printed.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
}

/// Shows the dashboard until the user leaves or the feed ends.
///
/// # Errors
/// When the terminal cannot be read or written.
pub fn show(options: Options, feed: &mut dyn FnMut() -> Feed) -> std::io::Result<()> {
    let mut held = Held::take()?;
    let mut app = App::new(options);
    loop {
        app.update(feed());
        if app.feed.ended {
            return Ok(());
        }
        app.resize(held.0.size()?);
        held.0.draw(|frame| app.draw(frame))?;
        if !event::poll(POLL)? {
            app.wait(POLL);
            continue;
        }
        // What is waiting is drained before the next drawing, so that held keys do not lag behind.
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
                && app.on(key) == Flow::Quit
            {
                return Ok(());
            }
        }
    }
}
