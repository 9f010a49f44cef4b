//! The table of windows on an accelerator: the columns of the lab's table, then the driver's counters. Simulated windows have a
//! file of their own, and say so in every line.
use crate::lab::table::{Kind, TableError, compress, decompress, short};
use detectors::interference::sharers::Sighting;
use std::path::Path;

/// The columns before those of counters.
const HEAD: [&str; 12] = [
    "rig",
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
/// Counters: of the victim's process, of the others', of the board.
const COUNTERS: [&str; 15] = [
    "own_share",
    "others_share",
    "others",
    "mps",
    "busy",
    "sm_active",
    "tensor_active",
    "dram_active",
    "pcie_share",
    "clock_hz",
    "clock_free",
    "rival_share",
    "power_w",
    "limit_w",
    "link_bytes",
];
/// What a simulated line says, and a real one.
const RIGS: [&str; 2] = ["real", "SIMULATED"];

/// The file in a data set.
pub const fn name(simulated: bool) -> &'static str {
    if simulated { "gpu-simulated.csv.gz" } else { "gpu-windows.csv.gz" }
}

/// One window.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Whether the board did not exist.
    pub simulated: bool,
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
    /// How hard it pressed, 0 to 1.
    pub intensity: f64,
    /// How processes shared the board: `turns` or `mps`.
    pub sharing: String,
    /// Operations in a second of working.
    pub speed: f64,
    /// The median of that over the quiet windows of the block at the same duty.
    pub alone: f64,
    /// What the driver showed; of several others only how many, and their shares together.
    pub seen: Sighting,
    /// The share of the time in which the antagonist's kernels ran, where the driver says.
    pub rival: Option<f64>,
    /// Power and the limit in force, in watts.
    pub power: [Option<f64>; 2],
    /// Data over links to other boards, in bytes a second.
    pub link: Option<f64>,
}

impl Window {
    /// Performance now over performance alone, at most 1.
    pub fn y(&self) -> f64 {
        (self.speed / self.alone).clamp(0.0, 1.0)
    }

    fn counters(&self) -> [f64; COUNTERS.len()] {
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let (seen, flag) = (&self.seen, |holds: bool| f64::from(u8::from(holds)));
        let told = seen.others.iter().take(seen.count);
        let others: Option<f64> = told.copied().sum();
        [
            known(seen.own),
            known(others),
            seen.count as f64,
            flag(seen.mps),
            known(seen.busy),
            known(seen.sm),
            known(seen.tensor),
            known(seen.memory),
            known(seen.host),
            known(seen.clock),
            flag(seen.free),
            known(self.rival),
            known(self.power[0]),
            known(self.power[1]),
            known(self.link),
        ]
    }
}

/// Writes a table.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, windows: &[Window]) -> Result<(), TableError> {
    let mut text = header();
    for window in windows {
        let head = [
            RIGS[usize::from(window.simulated)].to_owned(),
            window.campaign.to_string(),
            window.block.to_string(),
            window.victim.clone(),
            short(window.duty),
            window.kind.as_str().to_owned(),
            window.encounter.to_string(),
            window.antagonist.clone(),
            short(window.intensity),
            window.sharing.clone(),
            short(window.speed),
            short(window.alone),
        ];
        let line: Vec<String> = head.into_iter().chain(window.counters().map(short)).collect();
        text.push('\n');
        text.push_str(&line.join(","));
    }
    text.push('\n');
    compress(path, &text)
}

fn header() -> String {
    [&HEAD[..], &COUNTERS[..]].concat().join(",")
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
    let columns = HEAD.len() + COUNTERS.len();
    if cells.len() != columns {
        return Err(format!("{} columns instead of {columns}", cells.len()));
    }
    let number = |place: usize| -> Result<Option<f64>, String> {
        match cells[place] {
            "" => Ok(None),
            text => {
                text.parse().map(Some).map_err(|_| format!("{text:?} in column {} is no number", place + 1))
            }
        }
    };
    let given = |place: usize| -> Result<f64, String> {
        number(place)?.ok_or_else(|| format!("column {} is empty", place + 1))
    };
    let counter = |place: usize| number(HEAD.len() + place);
    let simulated = RIGS.iter().position(|rig| *rig == cells[0]);
    let simulated = simulated.ok_or_else(|| format!("{:?} is no rig", cells[0]))? == 1;
    let kind = Kind::named(cells[5]).ok_or_else(|| format!("{:?} is no kind of window", cells[5]))?;
    let mut seen = Sighting {
        own: counter(0)?,
        count: counter(2)?.unwrap_or(0.0) as usize,
        mps: counter(3)? == Some(1.0),
        busy: counter(4)?,
        sm: counter(5)?,
        tensor: counter(6)?,
        memory: counter(7)?,
        host: counter(8)?,
        clock: counter(9)?,
        free: counter(10)? == Some(1.0),
        ..Sighting::default()
    };
    seen.others[0] = counter(1)?.filter(|_| seen.count > 0);
    Ok(Window {
        simulated,
        campaign: given(1)? as u32,
        block: given(2)? as u32,
        victim: cells[3].to_owned(),
        duty: given(4)?,
        kind,
        encounter: given(6)? as u32,
        antagonist: cells[7].to_owned(),
        intensity: given(8)?,
        sharing: cells[9].to_owned(),
        speed: given(10)?,
        alone: number(11)?.unwrap_or(f64::NAN),
        seen,
        rival: counter(11)?,
        power: [counter(12)?, counter(13)?],
        link: counter(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let mut seen =
            Sighting { own: Some(0.49), count: 1, clock: Some(1.98e9), free: true, ..Sighting::default() };
        seen.others[0] = Some(0.5);
        Window {
            simulated: true,
            campaign: 1,
            block: 3,
            victim: "decode".into(),
            duty: 1.0,
            kind: Kind::Met,
            encounter: 2,
            antagonist: "memory".into(),
            intensity: 0.5,
            sharing: "turns".into(),
            speed: 0.75,
            alone: 1.0,
            seen,
            rival: Some(0.5),
            power: [Some(400.0), None],
            link: None,
        }
    }

    #[test]
    fn a_table_read_back_is_the_table_that_was_written_and_says_that_it_is_simulated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name(true));
        write(&path, &[window()]).unwrap();
        assert_eq!(read(&path).unwrap(), [window()]);
        assert!(decompress(&path).unwrap().lines().nth(1).unwrap().starts_with("SIMULATED,"));
    }

    #[test]
    fn a_table_of_other_columns_or_with_a_damaged_line_is_refused_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name(false));
        let put = |text: &str| {
            compress(&path, text).unwrap();
            read(&path).unwrap_err().to_string()
        };
        assert!(put("rig,victim\nreal,x\n").contains("line 1: the columns are not those"));
        assert!(put(&format!("{}\n1,2,3\n", header())).contains("line 2: 3 columns instead of"));
        let line = ["imagined"].into_iter().chain([""; 26]).collect::<Vec<_>>().join(",");
        assert!(put(&format!("{}\n{line}\n", header())).contains("is no rig"));
    }
}
