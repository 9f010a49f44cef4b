//! Tests of verdicts, stories and what is said of the past.
use super::*;
use model::{DeviceInfo, DeviceKind, Metric, Reading, Timestamp};
use std::sync::Arc;

fn node(temperatures: &[Option<f64>]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    let info = |n| Arc::new(DeviceInfo::new(DeviceKind::Gpu, format!("GPU-{n}")));
    let ids: Vec<_> = (0..temperatures.len()).map(|n| table.register(&info(n)).unwrap()).collect();
    snapshot.frame.begin(Timestamp::default());
    for (id, temperature) in ids.iter().zip(temperatures) {
        if let Some(value) = temperature {
            snapshot.frame.put(*id, Metric::Temperature, Reading::Value(*value));
        }
    }
    snapshot
}

#[test]
fn a_node_without_accelerators_is_unknown() {
    assert_eq!(Report::of(&node(&[])).exit_code(), 3);
}

#[test]
fn one_silent_device_makes_the_node_unknown() {
    let report = Report::of(&node(&[Some(40.0), None]));
    assert_eq!(report.exit_code(), 3);
    assert_eq!(report.devices[0].health, Health::Healthy);
    assert!(report.text().contains("does not answer"));
}

#[test]
fn healthy_devices_make_a_healthy_node() {
    assert_eq!(Report::of(&node(&[Some(40.0), Some(41.0)])).exit_code(), 0);
}
