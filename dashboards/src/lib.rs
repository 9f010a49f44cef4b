//! The terminal dashboard: reads snapshots, never a device. Events change the state, drawing only reads it.
pub mod app;
pub mod format;
pub mod keys;
pub mod panes;
pub mod past;
pub mod terminal;
pub mod theme;

pub use app::{App, Flow};
pub use terminal::show;

use model::Snapshot;
use std::sync::Arc;

/// What a dashboard is given, again and again.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    /// The last snapshot; `None` before the first.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Where it comes from, or why nothing comes.
    pub note: String,
    /// Nothing more will come, so the dashboard ends by itself.
    pub ended: bool,
}

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether colours are used. Every state is told by a word or a sign as well.
    pub colour: bool,
    /// Whether block and line characters are used.
    pub unicode: bool,
}
