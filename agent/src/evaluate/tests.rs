//! The whole path from files to the report, and what is refused before it.
use super::*;
use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;

fn flags(data: &Path) -> Evaluate {
    let detector = vec!["l2_norm".to_owned()];
    Evaluate {
        interference: false,
        gpu: false,
        data: Some(data.to_owned()),
        json: None,
        detector,
        machine: Vec::new(),
        simulated: false,
        seeds: 1,
        first_seed: 1,
        hours: 0.0,
        beat: None,
        fault: Vec::new(),
        without: Vec::new(),
        power: false,
        days: 0,
        jobs: None,
        policy: Vec::new(),
        mishaps: 0.0,
        host: false,
    }
}

/// One good machine and one broken one.
fn data() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("asd")).unwrap();
    let mut npz = NpzWriter::new_compressed(File::create(dir.path().join("asd/good.npz")).unwrap());
    let value = |row: usize| sim::noise::signed(1, 1, row as u64) as f32;
    npz.add_array("train", &Array2::from_shape_fn((600, 1), |(row, _)| value(row))).unwrap();
    let test = |(row, _)| if row == 300 { 9.0 } else { value(row + 600) };
    npz.add_array("test", &Array2::from_shape_fn((600, 1), test)).unwrap();
    npz.add_array("label", &Array1::from_shape_fn(600, |row| u8::from(row == 300))).unwrap();
    npz.finish().unwrap();
    std::fs::write(dir.path().join("asd/broken.npz"), "no").unwrap();
    dir
}

#[test]
fn a_broken_machine_leaves_the_others_and_shows_in_the_exit_code() {
    let dir = data();
    let file = dir.path().join("out.json");
    let report = evaluate(&Evaluate { json: Some(file.clone()), ..flags(dir.path()) }).unwrap();
    assert_eq!(report.exit_code(), 1);
    assert!(report.text().contains("left out: asd/broken"), "{}", report.text());
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let figures = &json["asd"]["l2_norm"]["good"];
    assert_eq!(figures["deployable"]["0.2"]["recall"], 1.0);
    assert_eq!(figures["deployable"]["0.2"]["recall_random"], 0.0);
    assert_eq!(json["asd"]["l2_norm"]["mean"]["oracle"]["1"]["worst"]["machine"], "good");
    assert!(json["asd"]["random"]["good"]["vus_pr"].as_f64().unwrap() < 0.2);
    assert!(json["asd"]["kmeans_ad"].is_null() && json["smd"].is_null());
}

#[test]
fn what_cannot_be_done_is_said_before_the_run() {
    let dir = data();
    let fault = |flags: Evaluate| evaluate(&flags).unwrap_err().to_string();
    let json = Some(dir.path().join("nowhere/out.json"));
    let said = fault(Evaluate { json, ..flags(dir.path()) });
    assert!(said.contains("out.json: cannot be written"), "{said}");
    let said = fault(Evaluate { machine: vec!["omi-99".to_owned()], ..flags(dir.path()) });
    assert!(said.contains("no such machine; there are broken, good"), "{said}");
    let said = fault(Evaluate { detector: vec!["oracle".to_owned()], ..flags(dir.path()) });
    assert!(said.contains("--detector oracle") && said.contains("l2_norm"), "{said}");
    let empty = tempfile::tempdir().unwrap();
    assert!(fault(flags(empty.path())).contains("give the folder that holds"));
}
