//! One series of NAB: a csv of `timestamp,value`, with labelled windows in a JSON of its own.
//!
//! NAB knows no training part: the first half is learnt from and the second half judged. Windows in the first half stay unused, as a
//! node's own past is unlabelled too. Values are scaled to 0..1 by the first half, like the other sets are by their authors.
use super::Found;
use super::error::{DataError, Wrong};
use crate::evaluate::machine::{Machine, Segment, runs};
use ndarray::Array2;
use std::collections::BTreeMap;

/// Rows that a half must have for any detector to learn from.
const ROWS_LEAST: usize = 200;
/// The length of `2014-05-14 01:14:00`, which sorts as it counts; windows add a fraction of a second.
const STAMP: usize = 19;

/// By series, named `folder/file.csv`: windows from start to end, both within.
type Windows = BTreeMap<String, Vec<(String, String)>>;

pub(super) fn read(found: &Found) -> Result<Machine, DataError> {
    let (stamps, values) = series(found)?;
    let windows = windows(found)?;
    let label: Vec<bool> = stamps
        .iter()
        .map(|stamp| windows.iter().any(|(start, end)| start <= stamp && stamp <= end))
        .collect();
    let half = values.len() / 2;
    let column = |part: &[f32]| Array2::from_shape_fn((part.len(), 1), |(row, _)| part[row]);
    let (low, high) = values[..half].iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let span = if high > low { high - low } else { 1.0 };
    let scaled: Vec<f32> = values.iter().map(|value| (value - low) / span).collect();
    let label = label[half..].to_vec();
    let segments = runs(&label).into_iter().map(|rows| Segment { rows, channels: None }).collect();
    let (train, test) = (column(&scaled[..half]), column(&scaled[half..]));
    let (dataset, name) = (found.dataset, found.name.clone());
    Ok(Machine { dataset, name, train, test, label, segments, step_s: dataset.step_s() })
}

fn series(found: &Found) -> Result<(Vec<String>, Vec<f32>), DataError> {
    let fault = |wrong| DataError::new(&found.file, wrong);
    let text = std::fs::read_to_string(&found.file).map_err(|error| fault(Wrong::Unreadable(error)))?;
    let (mut stamps, mut values) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let cells = line.split_once(',').and_then(|(stamp, value)| {
            let value: f32 = value.trim().parse().ok().filter(|value: &f32| value.is_finite())?;
            Some((stamp.get(..STAMP)?.to_owned(), value))
        });
        let expected = || "`YYYY-MM-DD hh:mm:ss,value`".to_owned();
        let (stamp, value) =
            cells.ok_or_else(|| fault(Wrong::Line { number: number + 1, expected: expected() }))?;
        stamps.push(stamp);
        values.push(value);
    }
    let least = 2 * ROWS_LEAST;
    if values.len() < least {
        return Err(fault(Wrong::Short { rows: values.len(), least }));
    }
    Ok((stamps, values))
}

fn windows(found: &Found) -> Result<Vec<(String, String)>, DataError> {
    let fault = |wrong| DataError::new(&found.labels, wrong);
    let text = std::fs::read_to_string(&found.labels).map_err(|error| fault(Wrong::Unreadable(error)))?;
    let all: Windows = serde_json::from_str(&text).map_err(|error| fault(Wrong::Json(error.to_string())))?;
    let file = format!("{}.csv", found.name);
    let of_file = |(series, _): &(&String, &Vec<_>)| series.rsplit('/').next() == Some(&file);
    let (_, windows) = all.iter().find(of_file).ok_or_else(|| fault(Wrong::NoWindows(file.clone())))?;
    let cut = |stamp: &String| stamp.get(..STAMP).unwrap_or(stamp).to_owned();
    Ok(windows.iter().map(|(start, end)| (cut(start), cut(end))).collect())
}
