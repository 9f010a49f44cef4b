//! Layouts and broken files, written by the tests.
use super::*;
use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;
use std::fs;

fn archive(path: &Path, test: &Array2<f32>, label: &Array1<u8>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut npz = NpzWriter::new_compressed(fs::File::create(path).unwrap());
    npz.add_array("train", &Array2::<f32>::zeros((5, 3))).unwrap();
    npz.add_array("test", test).unwrap();
    npz.add_array("label", label).unwrap();
    npz.finish().unwrap();
}

fn label() -> Array1<u8> {
    Array1::from_vec(vec![0, 1, 1, 1, 0, 1])
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn only(dir: &Path, dataset: Dataset) -> Result<Machine, DataError> {
    let found = find(dir, dataset).unwrap();
    assert_eq!(found.len(), 1);
    found[0].read()
}

#[test]
fn ends_of_segments_are_exclusive_in_smd_and_inclusive_in_asd() {
    let dir = tempfile::tempdir().unwrap();
    for (set, line) in [("smd", "1-4:2\n5-6:1,3\n"), ("asd", "1-3:2\n5-5:1,3")] {
        archive(&dir.path().join(set).join("a.npz"), &Array2::zeros((6, 3)), &label());
        write(&dir.path().join(format!("{set}_interpretation/a.txt")), line);
    }
    for dataset in [Dataset::Smd, Dataset::Asd] {
        let machine = only(dir.path(), dataset).unwrap();
        let expected = [
            Segment { rows: 1..4, channels: Some(vec![1]) },
            Segment { rows: 5..6, channels: Some(vec![0, 2]) },
        ];
        assert_eq!(machine.segments, expected, "{dataset:?}");
    }
}

#[test]
fn a_machine_without_interpretation_has_segments_whose_channels_are_unknown() {
    let dir = tempfile::tempdir().unwrap();
    // Column by column, as numpy keeps a transposed array.
    let columns = Array2::from_shape_fn((3, 6), |(column, row)| (10 * row + column) as f32);
    archive(&dir.path().join("smd/a.npz"), &columns.t().to_owned(), &label());
    let machine = only(dir.path(), Dataset::Smd).unwrap();
    assert!(machine.segments.iter().all(|segment| segment.channels.is_none()));
    assert_eq!((machine.segments.len(), machine.test[(4, 1)]), (2, 41.0));
}

#[test]
fn a_broken_file_is_told_with_its_name_what_is_wrong_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let npz = dir.path().join("smd/a.npz");
    let fault = || only(dir.path(), Dataset::Smd).unwrap_err().to_string();
    write(&npz, "not an archive");
    assert!(fault().contains("a.npz: is no npz archive") && fault().contains("savez"), "{}", fault());
    archive(&npz, &Array2::zeros((6, 2)), &label());
    assert!(fault().contains("train is (5, 3), test is (6, 2)"), "{}", fault());
    archive(&npz, &Array2::from_elem((6, 3), f32::NAN), &label());
    assert!(fault().contains("row 0 of `test`") && fault().contains("fill or cut"), "{}", fault());
    archive(&npz, &Array2::zeros((6, 3)), &label());
    write(&dir.path().join("smd_interpretation/a.txt"), "1-4:2\n5-6:4\n");
    assert!(fault().contains("a.txt: line 2 is not") && fault().contains("channels 1 to 3"), "{}", fault());
}

#[test]
fn the_second_half_of_a_nab_series_is_judged_with_windows_that_include_their_ends() {
    let dir = tempfile::tempdir().unwrap();
    let stamp = |row: usize| format!("2014-01-{:02} {:02}:00:00", 1 + row / 24, row % 24);
    let lines: String = (0..400).map(|row| format!("{},{row}.5\n", stamp(row))).collect();
    write(&dir.path().join("nab/data/s.csv"), &format!("timestamp,value\n{lines}"));
    let windows = format!(r#"{{"real/s.csv": [["{}.000000", "{}.000000"]]}}"#, stamp(250), stamp(259));
    let labels = dir.path().join("nab/labels/combined_windows.json");
    write(&labels, &windows);
    let machine = only(dir.path(), Dataset::Nab).unwrap();
    assert_eq!(machine.segments, [Segment { rows: 50..60, channels: None }]);
    assert_eq!((machine.train[(0, 0)], machine.train[(199, 0)]), (0.0, 1.0));
    write(&labels, "{}");
    assert!(only(dir.path(), Dataset::Nab).unwrap_err().to_string().contains("says nothing about s.csv"));
}

#[test]
fn a_set_that_is_not_there_has_no_machines() {
    assert!(find(tempfile::tempdir().unwrap().path(), Dataset::Asd).unwrap().is_empty());
}
