//! Colours: only for state, and never the only sign of it.
use crate::Options;
use model::Severity;
use model::event::Health;
use model::snapshot::PowerStage;
use ratatui::style::{Color, Modifier, Style};

/// Styles for a terminal with or without colour.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    colour: bool,
}

impl Theme {
    /// The theme that the options allow.
    pub fn new(options: Options) -> Self {
        Self { colour: options.colour }
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// Fine.
    pub fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    /// Not fine.
    pub fn warn(self) -> Style {
        self.coloured(Color::Yellow)
    }

    /// Broken.
    pub fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Less important.
    pub fn dim(self) -> Style {
        if self.colour { Style::new().fg(Color::DarkGray) } else { Style::new() }
    }

    /// Bars and lines.
    pub fn accent(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// Titles.
    pub fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The line under the cursor.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A state.
    pub fn health(self, health: Health) -> Style {
        match health {
            Health::Healthy => self.good(),
            Health::Degraded => self.warn(),
            Health::Faulty => self.bad(),
            Health::Unknown => self.dim().add_modifier(Modifier::ITALIC),
        }
    }

    /// A severity.
    pub fn severity(self, severity: Severity) -> Style {
        match severity {
            Severity::Info => self.accent(),
            Severity::Warning => self.warn(),
            Severity::Critical => self.bad(),
        }
    }

    /// How hard power is held.
    pub fn stage(self, stage: PowerStage) -> Style {
        match stage {
            PowerStage::Free => self.good(),
            PowerStage::Low | PowerStage::High => self.warn(),
            PowerStage::Brake => self.bad(),
        }
    }

    /// A notice that must not be overlooked.
    pub fn banner(self) -> Style {
        self.warn().add_modifier(Modifier::REVERSED)
    }
}

/// The sign of a health, so that it is told without colour.
pub const fn health_sign(health: Health, unicode: bool) -> &'static str {
    match (health, unicode) {
        (Health::Healthy, true) => "●",
        (Health::Degraded, true) => "▲",
        (Health::Faulty, true) => "✖",
        (Health::Healthy, false) => "o",
        (Health::Degraded, false) => "!",
        (Health::Faulty, false) => "X",
        (Health::Unknown, _) => "?",
    }
}

/// The sign of a severity.
pub const fn severity_sign(severity: Severity, unicode: bool) -> &'static str {
    match (severity, unicode) {
        (Severity::Info, true) => "·",
        (Severity::Warning, true) => "▲",
        (Severity::Critical, true) => "✖",
        (Severity::Info, false) => "i",
        (Severity::Warning, false) => "!",
        (Severity::Critical, false) => "X",
    }
}
