//! What is evaluated on: one machine's past, which is learnt from, and what came after it, with what is known to be wrong there.
use ndarray::Array2;
use std::ops::Range;

/// The public data sets whose layouts are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dataset {
    /// Server Machine Dataset: 38 channels, a sample a minute.
    Smd,
    /// Application Server Dataset: 19 channels, a sample in five minutes.
    Asd,
    /// Numenta Anomaly Benchmark, cloud and server series: one channel, a sample in five minutes.
    Nab,
}

impl Dataset {
    /// In the order in which they are reported.
    pub const ALL: [Self; 3] = [Self::Smd, Self::Asd, Self::Nab];

    /// Its name: the folder's, and the key in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smd => "smd",
            Self::Asd => "asd",
            Self::Nab => "nab",
        }
    }

    /// Seconds between samples.
    pub const fn step_s(self) -> f64 {
        match self {
            Self::Smd => 60.0,
            Self::Asd | Self::Nab => 300.0,
        }
    }
}

/// One stretch of test rows in which something is known to be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Test rows.
    pub rows: Range<usize>,
    /// The channels that are truly anomalous, from 0; `None` when that is not known.
    pub channels: Option<Vec<usize>>,
}

/// One machine. All values are finite; `train` and `test` have the same channels.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The set it belongs to.
    pub dataset: Dataset,
    /// Its name in the set.
    pub name: String,
    /// The past, rows by channels, without labels.
    pub train: Array2<f32>,
    /// What came after it, rows by channels.
    pub test: Array2<f32>,
    /// Whether something is wrong, by test row.
    pub label: Vec<bool>,
    /// The runs of `label`.
    pub segments: Vec<Segment>,
    /// Seconds between rows.
    pub step_s: f64,
}

impl Machine {
    /// Days that so many rows last.
    pub fn days(&self, rows: usize) -> f64 {
        rows as f64 * self.step_s / 86_400.0
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.test.ncols()
    }
}

/// The runs of `true`.
pub fn runs(label: &[bool]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for row in (0..label.len()).filter(|row| label[*row]) {
        match found.last_mut().filter(|last| last.end == row) {
            Some(last) => last.end += 1,
            None => found.push(row..row + 1),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_reach_both_ends() {
        assert_eq!(runs(&[true, true, false, true]), [0..2, 3..4]);
        assert!(runs(&[false, false]).is_empty());
    }
}
