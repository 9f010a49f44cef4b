//! Coverage: of how many devices each metric can be read, so that an alert that can never fire is visible.
use model::catalogue::columns;
use model::metric::Row;
use model::{Absence, DeviceKind, Frame, Metric, Reading, Vendor};
use std::collections::BTreeMap;

/// What can be said of a metric of a device.
const STATES: [&str; 5] = ["supported", "unsupported", "denied", "disabled", "stale"];

const fn state(reading: Reading) -> usize {
    match reading {
        Reading::Value(_) => 0,
        Reading::Absent(Absence::Unsupported) => 1,
        Reading::Absent(Absence::Denied) => 2,
        Reading::Absent(Absence::Disabled) => 3,
        Reading::Absent(Absence::Lost | Absence::Late | Absence::Implausible) => 4,
    }
}

/// Counts the devices that are there, and the accelerators that were there and are lost, by kind, maker, metric and state.
///
/// `emit` is called for every state that has a device with the values of the labels `metric` (the exported name), `series`
/// (what tells it apart within the name, `engine=compute`), `kind`, `vendor` and `state`.
pub(super) fn coverage(frame: &Frame, mut emit: impl FnMut(&[&str; 5], f64)) {
    let mut counts: BTreeMap<(DeviceKind, &'static str), Vec<[u32; STATES.len()]>> = BTreeMap::new();
    let counted = frame.devices.iter().filter(|d| !d.gone || d.info.kind.is_accelerator());
    for device in counted {
        let (kind, vendor) = (device.info.kind, vendor(device.info.vendor));
        let states =
            counts.entry((kind, vendor)).or_insert_with(|| vec![[0; STATES.len()]; columns(kind).len()]);
        for ((_, reading), metric) in frame.readings(device.id).zip(states) {
            metric[state(reading)] += 1;
        }
    }
    for ((kind, vendor), metrics) in &counts {
        for (metric, states) in columns(*kind).iter().zip(metrics) {
            let (row, series) = (metric.row(), series(*metric));
            for (state, devices) in STATES.iter().zip(states).filter(|(_, devices)| **devices > 0) {
                emit(&[row.family, &series, kind.as_str(), vendor, state], f64::from(*devices));
            }
        }
    }
}

/// The maker; empty, which is no label to Prometheus, where there is none.
const fn vendor(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Unknown => "",
        known => known.as_str(),
    }
}

fn series(metric: Metric) -> String {
    let Row { labels, .. } = metric.row();
    let parts: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, Timestamp};
    use std::sync::Arc;

    fn lines(frame: &Frame, family: &str) -> Vec<String> {
        let mut lines = Vec::new();
        coverage(frame, |labels, devices| {
            if labels[0] == family {
                lines.push(format!("{} {devices}", labels[1..].join(" ")));
            }
        });
        lines
    }

    #[test]
    fn every_device_of_a_kind_is_counted_once_a_metric_and_an_accelerator_that_is_lost_is_stale() {
        let mut frame = Frame::default();
        let table = Arc::make_mut(&mut frame.devices);
        let info = |n: u32| {
            Arc::new(DeviceInfo { vendor: Vendor::Nvidia, ..DeviceInfo::new(DeviceKind::Gpu, n.to_string()) })
        };
        let gpus: Vec<_> = (0..5).map(|n| table.register(&info(n)).unwrap()).collect();
        let disk = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Disk, "sda"))).unwrap();
        table.retire(gpus[4]);
        table.retire(disk);
        frame.begin(Timestamp::default());
        frame.put(gpus[0], Metric::Energy, Reading::Value(0.0));
        frame.put(gpus[1], Metric::Energy, Reading::Absent(Absence::Denied));
        frame.put(gpus[2], Metric::Energy, Reading::Absent(Absence::Implausible));
        assert_eq!(
            lines(&frame, Metric::Energy.row().family),
            [
                " gpu nvidia supported 1",
                " gpu nvidia unsupported 1",
                " gpu nvidia denied 1",
                " gpu nvidia stale 2"
            ]
        );
        assert_eq!(
            lines(&frame, Metric::FanSpeed.row().family),
            [" gpu nvidia unsupported 4", " gpu nvidia stale 1"]
        );
        assert!(lines(&frame, Metric::DiskBusy.row().family).is_empty());
    }
}
