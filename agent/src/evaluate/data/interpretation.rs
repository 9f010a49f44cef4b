//! Which channels are wrong in a segment: lines of `start-end:channel,channel`, channels from 1.
use super::error::{DataError, Wrong};
use crate::evaluate::machine::Dataset;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

/// One line: test rows, and channels from 0.
pub(super) type Known = (Range<usize>, Vec<usize>);

/// Reads the lines; none where there is no file.
pub(super) fn read(path: &Path, dataset: Dataset, channels: usize) -> Result<Vec<Known>, DataError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DataError::new(path, Wrong::Unreadable(error))),
        Ok(text) => text,
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let known = |(number, line): (usize, &str)| {
        parse(line.trim(), dataset, channels).ok_or_else(|| {
            let expected = format!("`start-end:channel,channel` with channels 1 to {channels}");
            DataError::new(path, Wrong::Line { number: number + 1, expected })
        })
    };
    lines.map(known).collect()
}

fn parse(line: &str, dataset: Dataset, channels: usize) -> Option<Known> {
    let (rows, names) = line.split_once(':')?;
    let (start, end) = rows.split_once('-')?;
    let (start, end): (usize, usize) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    // SMD's ends are exclusive, ASD's inclusive: checked against the labels of both.
    let end = if dataset == Dataset::Asd { end + 1 } else { end };
    let channel = |name: &str| {
        let number: usize = name.trim().parse().ok()?;
        (1..=channels).contains(&number).then(|| number - 1)
    };
    let channels: Option<Vec<usize>> = names.split(',').map(channel).collect();
    (start < end).then_some((start..end, channels?))
}

/// The channels of a labelled segment: of the line with just these rows, else of all lines that overlap it; `None` when none does.
pub(super) fn channels(known: &[Known], rows: &Range<usize>) -> Option<Vec<usize>> {
    let exact = known.iter().find(|(line, _)| line == rows).map(|(_, channels)| channels.clone());
    let overlap = || {
        let lines = known.iter().filter(|(line, _)| line.start < rows.end && rows.start < line.end);
        let mut all: Vec<usize> = lines.flat_map(|(_, channels)| channels.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        (!all.is_empty()).then_some(all)
    };
    exact.or_else(overlap)
}
