//! The arrays of one machine: an npz archive with `train`, `test` and `label`.
use super::error::{DataError, Wrong};
use ndarray::{Array1, Array2, ArrayBase, Dimension, OwnedRepr};
use ndarray_npy::{NpzReader, ReadableElement};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// What the archive holds.
pub(super) struct Arrays {
    pub(super) train: Array2<f32>,
    pub(super) test: Array2<f32>,
    pub(super) label: Vec<bool>,
}

type Archive = NpzReader<BufReader<File>>;

/// Reads and checks an archive.
pub(super) fn read(path: &Path) -> Result<Arrays, DataError> {
    let fault = |wrong| DataError::new(path, wrong);
    let file = File::open(path).map_err(|error| fault(Wrong::Unreadable(error)))?;
    let mut archive =
        NpzReader::new(BufReader::new(file)).map_err(|error| fault(Wrong::NoArchive(error.to_string())))?;
    let train = rows(&mut archive, "train").map_err(fault)?;
    let test = rows(&mut archive, "test").map_err(fault)?;
    let label: Array1<u8> = array(&mut archive, "label", "a row of uint8").map_err(fault)?;
    let alike = train.ncols() == test.ncols() && label.len() == test.nrows();
    if !alike || train.is_empty() || test.is_empty() {
        let (train, test, label) = (train.dim(), test.dim(), label.len());
        return Err(fault(Wrong::Shapes { train, test, label }));
    }
    Ok(Arrays { train, test, label: label.iter().map(|label| *label != 0).collect() })
}

/// A table in the order of its rows, whatever order the archive keeps.
fn rows(archive: &mut Archive, key: &'static str) -> Result<Array2<f32>, Wrong> {
    let table: Array2<f32> = array(archive, key, "a table of float32")?;
    let table = table.as_standard_layout().into_owned();
    match table.rows().into_iter().position(|row| row.iter().any(|value| !value.is_finite())) {
        Some(row) => Err(Wrong::NotFinite { key, row }),
        None => Ok(table),
    }
}

fn array<A: ReadableElement, D: Dimension>(
    archive: &mut Archive,
    key: &'static str,
    expected: &'static str,
) -> Result<ArrayBase<OwnedRepr<A>, D>, Wrong> {
    archive.by_name(key).map_err(|error| Wrong::Array { key, expected, reason: error.to_string() })
}
