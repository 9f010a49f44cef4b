//! The table of windows that the lab writes and models are trained on: one line a window, comma-separated, compressed.
use detectors::interference::{Node, Own, Sample};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The columns before those of counters.
const HEAD: [&str; 11] = [
    "campaign",
    "block",
    "victim",
    "duty",
    "kind",
    "encounter",
    "antagonist",
    "intensity",
    "placement",
    "speed",
    "alone",
];
/// Counters of the antagonists that are kept, to see whether they are named.
pub(super) const RIVAL: [Own; 5] = [Own::Run, Own::Wait, Own::StorageBytes, Own::CallBytes, Own::FaultsMinor];

/// What a window was recorded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The victim alone: what its profile is learnt from.
    Quiet,
    /// The victim alone at changing load, kept back: nothing may be alarmed at.
    Control,
    /// The victim beside an antagonist.
    Met,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Quiet, Self::Control, Self::Met];

    /// The kind with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name in data sets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Control => "control",
            Self::Met => "met",
        }
    }
}

/// One window.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The campaign: a recording in one go.
    pub campaign: u32,
    /// The life of one victim within all campaigns.
    pub block: u32,
    /// The victim.
    pub victim: String,
    /// The share of its full rate that it was asked for.
    pub duty: f64,
    /// What it was recorded for.
    pub kind: Kind,
    /// Which encounter of the block; 0 for none.
    pub encounter: u32,
    /// The antagonist, empty for none.
    pub antagonist: String,
    /// The share of the time that the antagonist pressed.
    pub intensity: f64,
    /// Where it ran, empty for none.
    pub placement: String,
    /// Operations in a second of working.
    pub speed: f64,
    /// The median of that over the quiet windows of the block at the same duty.
    pub alone: f64,
    /// Counters.
    pub sample: Sample,
    /// Counters of the antagonists, in the order of `RIVAL`.
    pub rival: [f32; RIVAL.len()],
}

impl Window {
    /// Performance now over performance alone, at most 1.
    pub fn y(&self) -> f64 {
        (self.speed / self.alone).clamp(0.0, 1.0)
    }
}

/// A table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read or written.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The file is not such a table.
    #[error("{}, line {line}: {fault}; record the table anew with this version's `wattkeeper lab`", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: String,
    },
}

fn header() -> String {
    let own = Own::ALL.iter().map(|counter| format!("own_{}", counter.column()));
    let node = Node::ALL.iter().map(|counter| format!("node_{}", counter.column()));
    let rival = RIVAL.iter().map(|counter| format!("rival_{}", counter.column()));
    let columns: Vec<String> =
        HEAD.iter().map(|&name| name.to_owned()).chain(own).chain(node).chain(rival).collect();
    columns.join(",")
}

/// Five significant digits; empty for what is not known.
pub(super) fn short(value: f64) -> String {
    if !value.is_finite() {
        return String::new();
    }
    if value == 0.0 {
        return "0".into();
    }
    let digits = (4 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Writes a table.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, windows: &[Window]) -> Result<(), TableError> {
    let mut text = header();
    for window in windows {
        let head = [
            window.campaign.to_string(),
            window.block.to_string(),
            window.victim.clone(),
            short(window.duty),
            window.kind.as_str().to_owned(),
            window.encounter.to_string(),
            window.antagonist.clone(),
            short(window.intensity),
            window.placement.clone(),
            short(window.speed),
            short(window.alone),
        ];
        let numbers = window.sample.own.iter().chain(&window.sample.node).chain(&window.rival);
        let line: Vec<String> =
            head.into_iter().chain(numbers.map(|value| short(f64::from(*value)))).collect();
        text.push('\n');
        text.push_str(&line.join(","));
    }
    text.push('\n');
    compress(path, &text)
}

/// Writes a text, compressed.
pub(super) fn compress(path: &Path, text: &str) -> Result<(), TableError> {
    let failed = |error| TableError::Io { path: path.to_owned(), error };
    let mut file = GzEncoder::new(File::create(path).map_err(failed)?, Compression::best());
    file.write_all(text.as_bytes()).and_then(|()| file.finish().map(drop)).map_err(failed)
}

/// Reads a text that was compressed.
pub(super) fn decompress(path: &Path) -> Result<String, TableError> {
    let failed = |error| TableError::Io { path: path.to_owned(), error };
    let mut text = String::new();
    MultiGzDecoder::new(File::open(path).map_err(failed)?).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Reads a table.
///
/// # Errors
/// When the file cannot be read, or is not a table of this version's columns.
pub fn read(path: &Path) -> Result<Vec<Window>, TableError> {
    let text = decompress(path)?;
    let mut lines = text.lines().enumerate();
    let fault =
        |line: usize, fault: String| TableError::Malformed { path: path.to_owned(), line: line + 1, fault };
    match lines.next() {
        Some((_, first)) if first == header() => {}
        _ => return Err(fault(0, "the columns are not those of this version".into())),
    }
    lines.map(|(number, line)| parse(line).map_err(|what| fault(number, what))).collect()
}

fn parse(line: &str) -> Result<Window, String> {
    let cells: Vec<&str> = line.split(',').collect();
    let columns = HEAD.len() + Own::COUNT + Node::COUNT + RIVAL.len();
    if cells.len() != columns {
        return Err(format!("{} columns instead of {columns}", cells.len()));
    }
    let number = |place: usize| -> Result<f64, String> {
        match cells[place] {
            "" => Ok(f64::NAN),
            text => text.parse().map_err(|_| format!("{text:?} in column {} is no number", place + 1)),
        }
    };
    let kind = Kind::named(cells[4]);
    let mut window = Window {
        campaign: number(0)? as u32,
        block: number(1)? as u32,
        victim: cells[2].to_owned(),
        duty: number(3)?,
        kind: kind.ok_or_else(|| format!("{:?} is no kind of window", cells[4]))?,
        encounter: number(5)? as u32,
        antagonist: cells[6].to_owned(),
        intensity: number(7)?,
        placement: cells[8].to_owned(),
        speed: number(9)?,
        alone: number(10)?,
        sample: Sample::default(),
        rival: [f32::NAN; RIVAL.len()],
    };
    let counters = window.sample.own.iter_mut().chain(&mut window.sample.node).chain(&mut window.rival);
    for (place, counter) in counters.enumerate() {
        *counter = number(HEAD.len() + place)? as f32;
    }
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let mut sample = Sample::default();
        sample.own[Own::Run as usize] = 0.5;
        sample.node[Node::DiskBytes as usize] = 123_450.0;
        Window {
            campaign: 2,
            block: 9,
            victim: "chase".into(),
            duty: 0.25,
            kind: Kind::Met,
            encounter: 4,
            antagonist: "cpu".into(),
            intensity: 1.0,
            placement: "same".into(),
            speed: 50.0,
            alone: 100.0,
            sample,
            rival: [0.25; RIVAL.len()],
        }
    }

    #[test]
    fn a_table_read_back_is_the_table_that_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("windows.csv.gz");
        write(&path, &[window(), window()]).unwrap();
        let back = read(&path).unwrap();
        assert_eq!(back.len(), 2);
        assert!((back[0].y() - 0.5).abs() < 1e-9);
        assert_eq!(back[1].sample.own(Own::Run), Some(0.5));
        assert_eq!(back[1].sample.own(Own::Wait), None, "what is not known stays so");
        assert_eq!(back[1].sample.node(Node::DiskBytes), Some(123_450.0));
        assert_eq!((back[0].kind, back[0].victim.as_str()), (Kind::Met, "chase"));
    }

    #[test]
    fn a_table_of_other_columns_or_with_a_damaged_line_is_refused_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("windows.csv.gz");
        let put = |text: &str| {
            let mut file = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
            file.write_all(text.as_bytes()).unwrap();
            file.finish().unwrap();
            read(&path).unwrap_err().to_string()
        };
        assert!(put("campaign,victim\n1,x\n").contains("line 1: the columns are not those"));
        assert!(put(&format!("{}\n1,2,3\n", header())).contains("line 2: 3 columns instead of"));
    }

    #[test]
    fn numbers_keep_five_digits() {
        for (value, text) in
            [(0.123_456_7, "0.12346"), (1_234_567.0, "1234567"), (f64::NAN, ""), (0.0, "0"), (1.5, "1.5")]
        {
            assert_eq!(short(value), text);
        }
    }
}
