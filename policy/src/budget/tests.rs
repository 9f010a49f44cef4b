//! Tests of the tally.
use super::*;
use model::stages::{Cap, Caps};
use model::{DeviceInfo, Keep, Mode};
use std::sync::Arc;
use std::time::Duration;

struct Node {
    frame: Frame,
    history: History,
    caps: Caps,
    meter: Meter,
    at: Timestamp,
}

impl Node {
    fn new(devices: &[(DeviceKind, &str)]) -> (Self, Vec<DeviceId>) {
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let add = |(kind, key): &(DeviceKind, &str)| {
            table.register(&Arc::new(DeviceInfo::new(*kind, *key))).unwrap()
        };
        let ids = devices.iter().map(add).collect();
        let (history, at) = (History::new(8), Timestamp::default());
        (Self { frame, history, caps: Caps::default(), meter: Meter::default(), at }, ids)
    }

    fn beat(&mut self, values: &[(DeviceId, Metric, f64)]) -> Tally {
        self.at = self.at.after(Duration::from_secs(1));
        self.frame.begin(self.at);
        for (device, metric, value) in values {
            self.frame.put(*device, *metric, Reading::Value(*value));
        }
        self.history.append(&self.frame);
        let view = View {
            now: self.at,
            frame: &self.frame,
            history: &self.history,
            events: &[],
            caps: &self.caps,
            reaches: &[],
            priorities: &[],
            outcomes: &[],
            mode: Mode::Enforce,
        };
        self.meter.read(&view, &Settings::default(), Watts(6000.0))
    }
}

fn gpu() -> (Node, DeviceId) {
    let (node, ids) = Node::new(&[(DeviceKind::Gpu, "GPU-a")]);
    (node, ids[0])
}

#[test]
fn measured_power_counts_with_the_sensors_margin() {
    let (mut node, gpu) = gpu();
    let tally = node.beat(&[(gpu, Metric::PowerInstant, 400.0)]);
    assert_eq!((tally.accelerators, tally.rest), (Watts(400.0), Watts(1200.0)));
    assert_eq!((tally.counted, tally.blind, tally.certain), (Watts(1620.0), false, true));
}

#[test]
fn a_blind_device_counts_at_its_enforced_limit_else_its_largest_else_the_default() {
    let (mut node, gpu) = gpu();
    let range = [(gpu, Metric::PowerLimitMin, 200.0), (gpu, Metric::PowerLimitMax, 700.0)];
    let counted = |tally: Tally| (tally.counted - tally.rest).0;
    assert_eq!(counted(node.beat(&[])), 1000.0);
    assert_eq!(counted(node.beat(&[(gpu, Metric::PowerLimitEnforced, 500.0)])), 600.0);
    assert_eq!(counted(node.beat(&range)), 840.0);
    assert_eq!(counted(node.beat(&[])), 840.0, "the range is remembered");
}

#[test]
fn the_average_stands_in_where_a_driver_has_no_instantaneous_power() {
    let (mut node, gpu) = gpu();
    assert_eq!(node.beat(&[(gpu, Metric::PowerAverage, 300.0)]).accelerators, Watts(300.0));
    node.frame.begin(node.at);
    let late = Reading::Absent(Absence::Late);
    node.frame.put(gpu, Metric::PowerInstant, late);
    assert!(node.beat(&[(gpu, Metric::PowerAverage, 300.0)]).certain);
}

#[test]
fn a_peak_from_before_the_cap_does_not_count_after_it() {
    let (mut node, gpu) = gpu();
    node.beat(&[(gpu, Metric::PowerInstant, 690.0)]);
    let (limit, original, since, keep) = (Watts(200.0), Watts(700.0), node.at, Keep::Safety);
    node.caps.power.push(Cap { device: gpu, limit, original, since, keep });
    node.beat(&[(gpu, Metric::PowerInstant, 195.0)]);
    assert_eq!(node.meter.loads()[0].peak, Some(Watts(195.0)));
    node.beat(&[(gpu, Metric::PowerInstant, 150.0)]);
    assert_eq!(node.meter.loads()[0].peak, Some(Watts(195.0)));
}

#[test]
fn packages_and_their_memory_are_the_rest_and_cores_and_the_platform_are_not() {
    let zones = ["package-0", "package-1", "package-0/dram", "package-0/core", "psys"];
    let (mut node, ids) = Node::new(&zones.map(|key| (DeviceKind::Zone, key)));
    let at = |seconds: f64| -> Vec<_> {
        let watts = [200.0, 210.0, 30.0, 150.0, 900.0];
        ids.iter().zip(watts).map(|(id, watts)| (*id, Metric::ZoneEnergy, watts * seconds)).collect()
    };
    assert!(!node.beat(&at(1.0)).rest_measured);
    let tally = node.beat(&at(2.0));
    assert_eq!((tally.rest, tally.rest_measured), (Watts(940.0), true));
    let tally = node.beat(&at(3.0)[1..]);
    assert_eq!((tally.rest, tally.rest_measured, tally.certain), (Watts(1200.0), false, false));
}
