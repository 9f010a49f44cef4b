//! The catalogue of faults as data: a row a fault and a row an XID, with limits, sources and what is to be done.
//!
//! `data/faults.toml` and `data/xid.toml` are part of the program; an operator's file changes single keys of their rows.
mod document;
mod limits;
mod read;

pub use document::document;
pub use limits::{Limit, LimitRow};
pub use read::{Problem, TEXT_MAX};

use crate::thresholds::Pace;
use model::{FaultKind, Metric, Remedy, Severity};
use std::sync::LazyLock;

const FAULTS: &str = include_str!("../../data/faults.toml");
const XIDS: &str = include_str!("../../data/xid.toml");

/// What kind of error an XID is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A program ran into it.
    Application,
    /// A copy, video or other engine.
    Engine,
    /// The driver or its firmware.
    Driver,
    /// A memory error that was kept to one program.
    ContainedMemory,
    /// A memory error that was not.
    FatalMemory,
    /// Replacement of memory that has worn.
    MemoryRepair,
    /// The device left the bus.
    OffTheBus,
    /// The GPU's system processor.
    Gsp,
    /// A controller inside the GPU, or a wait that did not end.
    Controller,
    /// A link between devices.
    Link,
    /// Wear and corrected errors.
    Wear,
    /// Power supply of the board.
    Power,
    /// A message, no error.
    Notice,
    /// A code that the catalogue lists and does not explain.
    Unused,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 14] = [
        Self::Application,
        Self::Engine,
        Self::Driver,
        Self::ContainedMemory,
        Self::FatalMemory,
        Self::MemoryRepair,
        Self::OffTheBus,
        Self::Gsp,
        Self::Controller,
        Self::Link,
        Self::Wear,
        Self::Power,
        Self::Notice,
        Self::Unused,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Engine => "engine",
            Self::Driver => "driver",
            Self::ContainedMemory => "contained_memory",
            Self::FatalMemory => "fatal_memory",
            Self::MemoryRepair => "memory_repair",
            Self::OffTheBus => "off_the_bus",
            Self::Gsp => "gsp",
            Self::Controller => "controller",
            Self::Link => "link",
            Self::Wear => "wear",
            Self::Power => "power",
            Self::Notice => "notice",
            Self::Unused => "unused",
        }
    }
}

/// The row of a fault that rules find.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which fault.
    pub fault: FaultKind,
    /// Whether the catalogue has it. Faults that statistics find are not in it.
    pub listed: bool,
    /// How bad it is by default.
    pub severity: Severity,
    /// How bad it is in the worse case that `source` names; the same as `severity` where there is none.
    pub worst: Severity,
    /// What is to be done.
    pub remedy: Remedy,
    /// After how many reboots or resets that did not help the hardware is to be inspected; 0 for never.
    pub repeats: u32,
    /// Whether the recovery action that the driver gives stands in for `remedy`.
    pub driver_wins: bool,
    /// How it becomes an event and how it clears.
    pub pace: Pace,
    /// What is looked at.
    pub signals: Vec<Metric>,
    /// The rule's own delay and why, empty where there is none.
    pub delay: String,
    /// Where the numbers and the policy are from.
    pub source: String,
    /// What would confirm it.
    pub confirm: String,
}

impl Row {
    fn blank(fault: FaultKind) -> Self {
        Self {
            fault,
            listed: false,
            severity: Severity::Warning,
            worst: Severity::Warning,
            remedy: fault.remedy(),
            repeats: 0,
            driver_wins: false,
            pace: Pace::at_once(60.0),
            signals: Vec::new(),
            delay: String::new(),
            source: String::new(),
            confirm: String::new(),
        }
    }
}

/// The row of an XID.
#[derive(Debug, Clone, PartialEq)]
pub struct XidRow {
    /// Its number.
    pub code: u32,
    /// The driver's name of it.
    pub mnemonic: String,
    /// What kind of error.
    pub class: Class,
    /// A few words.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// What is to be done.
    pub remedy: Remedy,
    /// As [`Row::repeats`].
    pub repeats: u32,
    /// What published policies say.
    pub policy: String,
    /// Why ours is what it is, where they disagree; empty where they do not.
    pub because: String,
}

/// Faults, XIDs and limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue {
    /// By the fault's place in [`FaultKind::ALL`].
    rows: Vec<Row>,
    limits: Vec<f64>,
    /// Sorted by code.
    xids: Vec<XidRow>,
}

impl Catalogue {
    fn blank() -> Self {
        Self {
            rows: FaultKind::ALL.iter().map(|fault| Row::blank(*fault)).collect(),
            // A limit that nobody gave is never reached. That each is given is tested.
            limits: vec![f64::INFINITY; Limit::COUNT],
            xids: Vec::new(),
        }
    }

    /// The catalogue that is part of the program.
    pub fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::parse().0);
        &BUILT_IN
    }

    /// Reads what is part of the program; a test holds that there are no problems.
    fn parse() -> (Self, Vec<Problem>) {
        let mut catalogue = Self::blank();
        let mut problems = read::read(&mut catalogue, FAULTS, true);
        problems.extend(read::read(&mut catalogue, XIDS, true));
        catalogue.xids.sort_by_key(|row| row.code);
        (catalogue, problems)
    }

    /// The built-in catalogue with an operator's changes: the text of a file with rows of the same kind, of which only the
    /// name and what changes need be there.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn with(text: &str) -> Result<Self, Vec<Problem>> {
        let mut catalogue = Self::built_in().clone();
        let problems = read::read(&mut catalogue, text, false);
        if problems.is_empty() { Ok(catalogue) } else { Err(problems) }
    }

    /// The row of a fault.
    pub fn row(&self, fault: FaultKind) -> &Row {
        &self.rows[fault as usize]
    }

    /// The rows of the faults that rules find.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.listed)
    }

    /// A number that a rule compares with.
    pub fn limit(&self, limit: Limit) -> f64 {
        self.limits[limit as usize]
    }

    /// The row of an XID; `None` for a code that NVIDIA's catalogue does not have.
    pub fn xid(&self, code: u32) -> Option<&XidRow> {
        self.xids.binary_search_by_key(&code, |row| row.code).ok().map(|place| &self.xids[place])
    }

    /// Every XID.
    pub fn xids(&self) -> &[XidRow] {
        &self.xids
    }

    /// After how many reboots or resets that did not help the hardware is to be inspected; 0 for never.
    pub fn repeats(&self, fault: FaultKind, code: u32) -> u32 {
        let xid = self.xid(code).filter(|_| fault == FaultKind::Xid);
        xid.map_or(self.row(fault).repeats, |row| row.repeats)
    }
}

#[cfg(test)]
mod tests;
