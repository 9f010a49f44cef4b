//! The report as one object: data set → detector → machine → figures, and `mean` beside the machines.
use super::Report;
use crate::evaluate::machine::Dataset;
use serde_json::{Map, Value, json};

pub(super) fn json(report: &Report) -> Value {
    let mut sets = Map::new();
    for dataset in Dataset::ALL {
        let mut detectors = Map::new();
        for line in report.lines(dataset) {
            let mut machines: Map<String, Value> =
                line.machines.iter().map(|(name, figures)| ((*name).to_owned(), json!(figures))).collect();
            machines.insert("mean".to_owned(), json!(line.mean));
            detectors.insert(line.detector.to_owned(), Value::Object(machines));
        }
        if !detectors.is_empty() {
            sets.insert(dataset.as_str().to_owned(), Value::Object(detectors));
        }
    }
    Value::Object(sets)
}
